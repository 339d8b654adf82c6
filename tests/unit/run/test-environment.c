/* EnvironmentFile= as systemd reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"
#include "jobbers-run/environment.h"

/* All assignments, joined by "|". */
static void expect(const char *text, const char *wanted) {
        _cleanup_strv_ char **env = NULL;
        _cleanup_str_ Str joined = {};
        unsigned line = 0;
        assert_int_equal(environment_parse(text, &env, &line), 0);
        for (char **e = env; e && *e; e++)
                (void) str_printf(&joined, "%s%s", e == env ? "" : "|", *e);
        assert_string_equal(joined.s ?: "", wanted);
}

static void test_plain(void **state) {
        expect("", "");
        expect("A=1", "A=1");
        expect("A=1\nB=2\n", "A=1|B=2");
        expect("\n\n# comment\n; comment\nA=x # not a comment\n", "A=x # not a comment");
        expect("A=\nB= \n", "A=|B=");
        expect("A=first\nA=second\n", "A=second");
        expect("  A = two words  \n", "A=two words");
        expect("A=b=c\n", "A=b=c");
}

static void test_quotes(void **state) {
        expect("A=\"two words \"\n", "A=two words ");
        expect("A='it is $HOME \\n'\n", "A=it is $HOME \\n");
        expect("A=\"a \\\"b\\\" \\\\ \\n\"\n", "A=a \"b\" \\ \\n");
        expect("A=\"over\ntwo lines\"\nB=1\n", "A=over\ntwo lines|B=1");
        expect("A=\"one\"'two' \"three\" four\n", "A=onetwothreefour");
        expect("A=''\nB=\"\"\n", "A=|B=");
}

/* A quote that does not open the value is a character of it. */
static void test_quotes_within(void **state) {
        expect("PASSWORD=it's me\nTOKEN=abc\n", "PASSWORD=it's me|TOKEN=abc");
        expect("JSON={\"a\": \"b c\"}\nLAST=x\"y\nNEXT=1\n", "JSON={\"a\": \"b c\"}|LAST=x\"y|NEXT=1");
        expect("A='it'\\''s'\nB=\\\"x\n", "A=it''s'|B=\"x");
        expect("A=\"quoted\"don't\nB=1\n", "A=quoteddon't|B=1");
}

static void test_quotes_that_stay_open(void **state) {
        static const struct {
                const char *text;
                unsigned line;
        } cases[] = { { "A=\"open\nB=1\n", 1 }, { "A=1\n\nB='open\nC=1\n", 3 }, { "A=\"one\ntwo\" 'open", 2 }, { "A=\"", 1 }, { "A=\"x\\\"\n", 1 } };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_strv_ char **env = NULL;
                unsigned line = 0;
                assert_int_equal(environment_parse(cases[i].text, &env, &line), -EINVAL);
                assert_int_equal(line, cases[i].line);
        }
}

static void test_continuation(void **state) {
        expect("A=one \\\ntwo\nB=1\n", "A=one two|B=1");
        expect("A=end\\", "A=end\\");
}

static void test_bad_lines_are_skipped(void **state) {
        expect("no assignment\nA=1\n", "A=1");
        expect("=x\n1A=x\nA-B=x\nA B=x\n_a1=ok\n", "_a1=ok");
}

static void test_put(void **state) {
        _cleanup_strv_ char **env = NULL;
        assert_int_equal(environment_put(&env, "AB=1"), 0);
        assert_int_equal(environment_put(&env, "A=2"), 0);
        assert_int_equal(environment_put(&env, "AB=3"), 0);
        assert_int_equal(strv_len(env), 2);
        assert_string_equal(env[0], "AB=3");
        assert_string_equal(env[1], "A=2");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_quotes),
                cmocka_unit_test(test_quotes_within),
                cmocka_unit_test(test_quotes_that_stay_open),
                cmocka_unit_test(test_continuation),
                cmocka_unit_test(test_bad_lines_are_skipped),
                cmocka_unit_test(test_put),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
