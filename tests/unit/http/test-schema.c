/* The field tables: what they read, what they refuse and how they say so; and every table that is served, against its own rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/api.h"
#include "http/routes.h"
#include "http/schema.h"

typedef struct In {
        Given given;
        const char *name, *text;
        Ulid id;
        int64_t n;
        bool on;
        int word;
        double x;
        uint64_t size, room;
        int64_t percent;
        usec_t when;
        json_t *object, *list;
} In;

static const char *const WORDS[] = { "one", "two", NULL };
static const Schema S = { "In", sizeof(In), .fields = (const Field[]) {
        { "name", FIELD_NAME, FIELD_REQUIRED, offsetof(In, name) },
        { "text", FIELD_STRING, FIELD_NULLABLE, offsetof(In, text), 1, 5 },
        { "id", FIELD_ULID, FIELD_NULLABLE, offsetof(In, id) },
        { "n", FIELD_INTEGER, 0, offsetof(In, n), -5, 5, "3" },
        { "on", FIELD_BOOL, 0, offsetof(In, on), .fallback = "true" },
        { "word", FIELD_ENUM, 0, offsetof(In, word), .fallback = "\"two\"", .values = WORDS },
        { "x", FIELD_NUMBER, 0, offsetof(In, x), 0, 60, "0" },
        { "size", FIELD_SIZE, 0, offsetof(In, size) },
        { "room", FIELD_SIZE, 0, offsetof(In, room), 1, 1 << 20 },
        { "percent", FIELD_PERCENT, 0, offsetof(In, percent), 1, 1000 },
        { "when", FIELD_TIME, 0, offsetof(In, when) },
        { "object", FIELD_OBJECT, 0, offsetof(In, object) },
        { "list", FIELD_LIST, 0, offsetof(In, list), 0, 3, .item = FIELD_STRING },
        { "ignored", FIELD_ANY, FIELD_IGNORED },
        {},
} };

static const Loc BODY = { .name = "body" };

/* Reads; the number of faults. *ret_first is the sentence, to be freed. */
static unsigned read_text(const Schema *s, const char *text, void *in, char **ret_first, json_t **ret_json) {
        Problems p = {};
        json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);

        assert_non_null(j);
        schema_read(s, j, &BODY, in, &p);
        unsigned n = p.n;
        if (ret_first)
                *ret_first = TAKE_PTR(p.first);
        problems_done(&p);
        if (ret_json)
                *ret_json = j;
        else
                json_decref(j);
        return n;
}

static void reads(void **state) {
        json_t *j;
        In in;

        assert_int_equal(read_text(&S, "{\"name\":\"a.b-c\",\"text\":\"hi\",\"id\":\"01jbkr2e5f3g4h5j6k7l8m9nop\",\"n\":-5,\"on\":false,"
                                       "\"word\":\"one\",\"x\":1.5,\"size\":\"2K\",\"room\":\"infinity\",\"percent\":\"150%\",\"when\":\"2026-03-12T10:00:00Z\","
                                       "\"object\":{},\"list\":[\"a\",\"b\"],\"ignored\":7,\"unknown\":8}", &in, NULL, &j), 0);
        assert_string_equal(in.name, "a.b-c");
        assert_string_equal(in.text, "hi");
        assert_int_equal(in.n, -5);
        assert_false(in.on);
        assert_int_equal(in.word, 0);
        assert_true(in.x > 1.49 && in.x < 1.51);
        assert_int_equal(in.size, 2048);
        assert_true(in.room == UINT64_MAX);
        assert_int_equal(in.percent, 150);
        assert_true(in.when == 1773309600ULL * USEC_PER_SEC);
        assert_int_equal(json_array_size(in.list), 2);
        assert_true(schema_given(&S, &in, "id"));
        assert_false(schema_given(&S, &in, "unknown"));
        json_decref(j);
}

static void defaults(void **state) {
        json_t *j;
        In in;

        memset(&in, 0xff, sizeof in);
        assert_int_equal(read_text(&S, "{\"name\":\"a\",\"text\":null}", &in, NULL, &j), 0);
        assert_null(in.text);
        assert_true(schema_given(&S, &in, "text") && schema_is_null(&S, &in, "text"));
        assert_false(schema_given(&S, &in, "n") || schema_is_null(&S, &in, "n"));
        assert_int_equal(in.n, 3);
        assert_true(in.on);
        assert_int_equal(in.word, 1);
        assert_null(in.object);
        json_decref(j);
}

static void refuses(void **state) {
        static const struct {
                const char *text, *sentence;
        } cases[] = {
                { "{}", "name is required" },
                { "[]", "body must be an object" },
                { "null", "body must be an object" },
                { "{\"name\":null}", "name must be a string" },
                { "{\"name\":\"\"}", "name may have 1 to 64 letters" },
                { "{\"name\":\"..\"}", "name may have 1 to 64 letters" },
                { "{\"name\":\"a\",\"text\":\"\"}", "text must have 1 to 5 characters" },
                { "{\"name\":\"a\",\"text\":\"123456\"}", "text must have 1 to 5 characters" },
                { "{\"name\":\"a\",\"id\":\"x\"}", "id must be a ULID" },
                { "{\"name\":\"a\",\"n\":6}", "n must be between -5 and 5" },
                { "{\"name\":\"a\",\"n\":1.0}", "n must be an integer" },
                { "{\"name\":\"a\",\"n\":true}", "n must be an integer" },
                { "{\"name\":\"a\",\"n\":null}", "n must be an integer" },
                { "{\"name\":\"a\",\"on\":1}", "on must be true or false" },
                { "{\"name\":\"a\",\"word\":\"three\"}", "word must be one of one, two" },
                { "{\"name\":\"a\",\"x\":61}", "x must be between 0 and 60" },
                { "{\"name\":\"a\",\"size\":\"many\"}", "size must be a number of bytes" },
                { "{\"name\":\"a\",\"room\":\"0\"}", "room must be between 1 and 1048576 bytes" },
                { "{\"name\":\"a\",\"room\":\"1.5M\"}", "room must be between 1 and 1048576 bytes" },
                { "{\"name\":\"a\",\"room\":\"18446744073709551614\"}", "room must be between 1 and 1048576 bytes" },
                { "{\"name\":\"a\",\"room\":0}", "room must be between 1 and 1048576" },
                { "{\"name\":\"a\",\"room\":-1}", "room must be between 1 and 1048576" },
                { "{\"name\":\"a\",\"percent\":0}", "percent must be between 1 and 1000" },
                { "{\"name\":\"a\",\"when\":\"tomorrow\"}", "when must be a time" },
                { "{\"name\":\"a\",\"object\":[]}", "object must be an object" },
                { "{\"name\":\"a\",\"list\":{}}", "list must be an array" },
                { "{\"name\":\"a\",\"list\":[\"a\",2]}", "list[1] must be a string" },
                { "{\"name\":\"a\",\"list\":[\"a\",\"b\",\"c\",\"d\"]}", "list must have 0 to 3 elements, not 4" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *first = NULL;
                In in;
                assert_int_equal(read_text(&S, cases[i].text, &in, &first, NULL), 1);
                assert_memory_equal(first, cases[i].sentence, strlen(cases[i].sentence));
        }
}

static void bare_lists(void **state) {
        static const Field fields[] = { { "list", FIELD_LIST, FIELD_REQUIRED, offsetof(In, list), .item = FIELD_STRING }, {} };
        static const Schema bare = { "Bare", sizeof(In), .bare_list = "list", .fields = fields };
        json_t *j;
        In in;

        assert_int_equal(read_text(&bare, "[\"a\"]", &in, NULL, &j), 0);
        assert_int_equal(json_array_size(in.list), 1);
        json_decref(j);
        assert_int_equal(read_text(&bare, "{\"list\":[]}", &in, NULL, &j), 0);
        assert_int_equal(json_array_size(in.list), 0);
        json_decref(j);
        assert_int_equal(read_text(&bare, "{}", &in, NULL, NULL), 1);
        assert_int_equal(read_text(&bare, "5", &in, NULL, NULL), 1);
        assert_int_equal(read_text(&bare, "[5]", &in, NULL, NULL), 1);
}

static const char *get(void *userdata, const char *name) {
        const char *const *pairs = userdata;
        for (; pairs[0]; pairs += 2)
                if (STREQ(pairs[0], name))
                        return pairs[1];
        return NULL;
}

static void queries(void **state) {
        const char *good[] = { "name", "a", "n", "-2", "on", "false", "word", "one", "x", "2.5", NULL };
        const char *bad[] = { "n", "1e3", "on", "maybe", "word", "", "x", "nan", NULL };
        Problems p = {};
        In in;

        schema_read_query(&S, get, good, &in, &p);
        assert_int_equal(p.n, 0);
        assert_true(in.n == -2 && !in.on && in.word == 0 && in.x > 2.4 && in.x < 2.6);
        schema_read_query(&S, get, bad, &in, &p);
        assert_int_equal(p.n, 5);               /* name is missing, too */
        assert_string_equal(p.first, "name is required");
        assert_non_null(strstr(p.errors.s, "{\"loc\":[\"query\",\"n\"],\"msg\":\"must be an integer\"}"));
        problems_done(&p);
}

static void many_faults_stay_short(void **state) {
        Str text = {};
        _cleanup_free_ char *first = NULL;
        static const Field fields[] = { { "list", FIELD_LIST, 0, offsetof(In, list), .item = FIELD_STRING }, {} };
        static const Schema list = { "L", sizeof(In), .fields = fields };
        In in;

        str_append(&text, "{\"list\":[1");
        for (int i = 0; i < 5000; i++)
                str_append(&text, ",1");
        str_append(&text, "]}");
        assert_int_equal(read_text(&list, text.s, &in, &first, NULL), 5001);
        assert_string_equal(first, "list[0] must be a string");
        str_free(&text);
}

/* ── the tables that are served ── */

static void check_table(const Schema *s) {
        unsigned n = 0;

        if (!s)
                return;
        assert_true(s->size <= SCHEMA_SIZE_MAX);
        for (const Field *f = s->fields; f->name; f++, n++) {
                if (f->type == FIELD_ENUM)
                        assert_non_null(f->values);
                if (f->type == FIELD_STRUCT || (f->type == FIELD_LIST && f->item == FIELD_STRUCT)) {
                        assert_non_null(f->of);
                        check_table(f->of);
                }
                if (s->size > 0 && !(f->flags & FIELD_IGNORED))
                        assert_true(f->offset >= sizeof(Given) && f->offset < s->size);
                if (f->fallback) {
                        json_t *j = json_loads(f->fallback, JSON_DECODE_ANY, NULL);
                        assert_non_null(j);
                        json_decref(j);
                }
        }
        assert_true(n <= 32);                   /* bits of Given */
        _cleanup_str_ Str b = {};
        str_append(&b, "{");
        schema_print(s, &b);
        str_append(&b, "}");
        json_t *j = json_loads(b.s, 0, NULL);
        assert_non_null(j);
        json_decref(j);
}

static void tables(void **state) {
        for (size_t i = 0; i < N_ROUTES; i++) {
                check_table(ROUTES[i].query);
                check_table(ROUTES[i].body);
                check_table(ROUTES[i].answer);
                assert_non_null(ROUTES[i].summary);
                assert_true(ROUTES[i].success == 200 || ROUTES[i].success == 201);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads), cmocka_unit_test(defaults), cmocka_unit_test(refuses), cmocka_unit_test(bare_lists),
                cmocka_unit_test(queries), cmocka_unit_test(many_faults_stay_short), cmocka_unit_test(tables),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
