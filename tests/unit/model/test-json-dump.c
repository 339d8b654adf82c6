/* JSON as text: real numbers as short as they can be, and nothing else changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/json-dump.h"

static void check(const char *text, const char *want) {
        json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(j);
        _cleanup_free_ char *got = json_dump_text(j, JSON_COMPACT | JSON_ENCODE_ANY);
        assert_string_equal(got, want);
        json_t *again = json_loads(got, JSON_DECODE_ANY, NULL);
        assert_true(json_equal(j, again));
        json_decref(j);
        json_decref(again);
}

static void keep(const char *text) {
        check(text, text);
}

static void reals(void **state) {
        keep("19.99");
        keep("[0.1,0.30000000000000004,-19.99,5.0,-0.0,1e300,2e-300,1.7976931348623157e308]");  /* each by itself */
        keep("{\"price\":19.99,\"third\":0.3333333333333333,\"n\":[1.5,[2.5e-7]]}");
        check("[1.50,100e-2,1E2,123456789012345680.0]", "[1.5,1.0,100.0,1.2345678901234568e17]");
}

static void the_rest(void **state) {
        keep("[0,-7,9223372036854775807,true,null,\"\",{}]");
        keep("{\"0.10000000000000001\":\"0.10000000000000001\",\"a\\\"0.10000000000000001\":\"\\\\\",\"b\":0.1}");
        keep("\"\\\\\\\"19.989999999999998\"");
        keep("\"n\xc3\xa4her 19.989999999999998\"");
}

static void random_reals(void **state) {
        unsigned long long x = 88172645463325252ULL;
        for (int i = 0; i < 20000; i++) {
                double d;
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                memcpy(&d, &x, sizeof d);
                json_t *j = json_real(d);
                if (!j)                 /* no number */
                        continue;
                _cleanup_free_ char *text = json_dump_text(j, JSON_ENCODE_ANY), *long_ = json_dumps(j, JSON_ENCODE_ANY);
                assert_true(strlen(text) <= strlen(long_));
                json_t *back = json_loads(text, JSON_DECODE_ANY, NULL);
                assert_true(json_equal(j, back));
                json_decref(back);
                json_decref(j);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reals), cmocka_unit_test(the_rest), cmocka_unit_test(random_reals),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
