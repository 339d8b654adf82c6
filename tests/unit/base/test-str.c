/* test-str.c: the buffer, string arrays, names, and command lines split as systemd splits them. */
#include "base/str.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void buffer_grows(void **state) {
        _cleanup_str_ Str b = {};
        _cleanup_free_ char *want = malloc(100001);
        size_t cap;

        assert_non_null(want);
        for (unsigned i = 0; i < 100000; i++) {
                char c = (char) ('a' + i % 26);

                want[i] = c;
                assert_int_equal(str_append_n(&b, &c, 1), 0);
        }
        want[100000] = 0;
        assert_int_equal(b.len, 100000);
        assert_string_equal(b.s, want);

        cap = b.cap;
        str_reset(&b);
        assert_int_equal(b.len, 0);
        assert_string_equal(b.s, "");
        assert_int_equal(b.cap, cap);
}

static void buffer_prints(void **state) {
        _cleanup_str_ Str b = {};

        assert_int_equal(str_printf(&b, "%s", ""), 0);
        assert_string_equal(b.s, "");
        assert_int_equal(str_append(&b, "x="), 0);
        assert_int_equal(str_printf(&b, "%d", 7), 0);
        /* Longer than the room that is left, and by one at every boundary. */
        for (int i = 0; i < 300; i++)
                assert_int_equal(str_printf(&b, "%*d", i, 1), 0);
        assert_int_equal(b.len, 3 + 1 + 299 * 300 / 2);
        assert_int_equal(strlen(b.s), b.len);
        assert_memory_equal(b.s, "x=711 1  1", 10);
}

static void buffer_holds_bytes(void **state) {
        _cleanup_str_ Str b = {};

        assert_int_equal(str_append_n(&b, "a\0b", 3), 0);
        assert_int_equal(str_append_n(&b, NULL, 0), 0);
        assert_int_equal(b.len, 3);
        assert_memory_equal(b.s, "a\0b", 4);
}

static void buffer_is_taken(void **state) {
        _cleanup_free_ char *a = NULL, *e = NULL;
        Str b = {};

        e = str_take(&b);
        assert_string_equal(e, "");
        assert_int_equal(str_append(&b, "text"), 0);
        a = str_take(&b);
        assert_string_equal(a, "text");
        assert_null(b.s);
        assert_int_equal(b.len, 0);
        str_free(&b);
}

static void buffer_remembers_failure(void **state) {
        _cleanup_str_ Str b = {};

        assert_int_equal(str_append(&b, "kept"), 0);
        assert_int_equal(str_append_n(&b, "", SIZE_MAX - 2), -ENOMEM);
        assert_true(b.failed);
        assert_string_equal(b.s, "kept");
        assert_int_equal(str_append(&b, "!"), 0);
        assert_string_equal(b.s, "kept!");
        assert_null(str_take(&b));
        assert_null(b.s);
        assert_false(b.failed);
}

static void new_string(void **state) {
        _cleanup_free_ char *s = str_new("%s-%d", "a", 5);

        assert_string_equal(s, "a-5");
}

static void names(void **state) {
        static const char *const good[] = {
                "a", "default", "A.b-c_9", "...", "-", ".hidden", "0123456789012345678901234567890123456789012345678901234567890123",
        };
        static const char *const bad[] = {
                "", ".", "..", "a b", "a/b", "ä", "a\n", "a:", "01234567890123456789012345678901234567890123456789012345678901234",
        };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                if (!name_valid(good[i]))
                        fail_msg("\"%s\" was refused", good[i]);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (name_valid(bad[i]))
                        fail_msg("\"%s\" was accepted", bad[i]);
}

static void arrays(void **state) {
        _cleanup_strv_ char **v = NULL;

        assert_int_equal(strv_len(NULL), 0);
        strv_free(NULL);
        for (unsigned i = 0; i < 100; i++) {
                char s[2] = { (char) ('!' + i % 90), 0 };

                assert_int_equal(strv_push(&v, s), 0);
                assert_int_equal(strv_len(v), i + 1);
        }
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(v[i][0], '!' + i % 90);
        assert_null(v[100]);
}

typedef struct SplitCase {
        const char *line;
        const char *words[6];
} SplitCase;

static void splits(void **state) {
        static const SplitCase cases[] = {
                { "", {} },
                { " \t\n ", {} },
                { "/bin/true", { "/bin/true" } },
                { "  /bin/echo  a\tb ", { "/bin/echo", "a", "b" } },
                { "a 'b c' \"d e\"", { "a", "b c", "d e" } },
                { "a '' \"\"", { "a", "", "" } },
                { "a'b'\"c\"d e", { "abcd", "e" } },
                { "'say \"hi\"' \"it's\"", { "say \"hi\"", "it's" } },
                { "\"a\\nb\\tc\\\\d\\\"e\"", { "a\nb\tc\\d\"e" } },
                { "a\\sb \\x41\\x7a \\101 \\u00e4 \\U0001F600", { "a b", "Az", "A", "ä", "😀" } },
                { "\\u20ac \\u0041", { "€", "A" } },
                { "'it\\'s' 'a\\nb'", { "it's", "a\nb" } },
                { "sed 's/\\.c$/\\(x\\)/'", { "sed", "s/\\.c$/\\(x\\)/" } },
                { "$HOME *.c | ; &&", { "$HOME", "*.c", "|", ";", "&&" } },
                { "a \\; b", { "a", ";", "b" } },
                { "\\;", { ";" } },
                { "sh -c 'echo \"$1\"; exit 3'", { "sh", "-c", "echo \"$1\"; exit 3" } },
                { "\\a\\b\\f\\r\\v", { "\a\b\f\r\v" } },
                { "a#b #c", { "a#b", "#c" } },
                { "1 2 3 4 5 6", { "1", "2", "3", "4", "5", "6" } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_strv_ char **v = NULL;
                size_t n = 0;

                if (split_command(cases[i].line, &v) < 0)
                        fail_msg("<%s> was refused", cases[i].line);
                while (n < 6 && cases[i].words[n])
                        n++;
                if (strv_len(v) != n)
                        fail_msg("<%s> became %zu words", cases[i].line, strv_len(v));
                for (size_t k = 0; k < n; k++)
                        assert_string_equal(v[k], cases[i].words[k]);
        }
}

static void split_refuses(void **state) {
        static const char *const bad[] = {
                "\"", "'", "a 'b", "a \"b", "\"a\\\"", "a\\", "\\q", "\"\\.\"", "\\x4", "\\xg0", "\\x00", "\\000", "\\777",
                "\\u00", "\\ud800", "\\U00110000", "\\u0000", "\\1", "\\;x", "'\\",
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char **v = (char **) 1;

                if (split_command(bad[i], &v) != -EINVAL || v != (char **) 1)
                        fail_msg("<%s> was accepted, or changed the result", bad[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(buffer_grows),    cmocka_unit_test(buffer_prints),
                cmocka_unit_test(buffer_holds_bytes), cmocka_unit_test(buffer_is_taken),
                cmocka_unit_test(buffer_remembers_failure), cmocka_unit_test(new_string),
                cmocka_unit_test(names),           cmocka_unit_test(arrays),
                cmocka_unit_test(splits),          cmocka_unit_test(split_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
