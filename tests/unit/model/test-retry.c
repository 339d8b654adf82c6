/* test-retry.c: backoff (SPEC 2), in particular that the first retry of exponential waits b·2, not b. */
#include <stddef.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "model/retry.h"

#define S USEC_PER_SEC

static void formulas(void **state) {
        static const struct {
                BackoffStrategy strategy;
                usec_t expected[4];     /* retries 1 to 4 of base 10 s */
        } cases[] = {
                { BACKOFF_CONSTANT, { 10 * S, 10 * S, 10 * S, 10 * S } },
                { BACKOFF_LINEAR, { 10 * S, 20 * S, 30 * S, 40 * S } },
                { BACKOFF_EXPONENTIAL, { 20 * S, 40 * S, 80 * S, 160 * S } },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                for (unsigned n = 1; n <= 4; n++) {
                        usec_t expected = cases[i].expected[n - 1];
                        assert_int_equal(retry_delay(cases[i].strategy, 10 * S, USEC_INFINITY, n, 0), expected);
                        assert_int_equal(retry_delay(cases[i].strategy, 10 * S, 25 * S, n, 0), MIN(expected, 25 * S));
                        assert_int_equal(retry_delay(cases[i].strategy, 0, 25 * S, n, 0), 0);
                }
}

static void jitter(void **state) {
        /* The ends of the range, its middle, and its cap. */
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL_JITTER, 10 * S, USEC_INFINITY, 2, 0), 0);
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL_JITTER, 10 * S, USEC_INFINITY, 2, UINT64_MAX), 40 * S);
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL_JITTER, 10 * S, USEC_INFINITY, 2, UINT64_C(1) << 63), 20 * S);
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL_JITTER, 10 * S, 15 * S, 2, UINT64_MAX), 15 * S);
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL_JITTER, 10 * S, 15 * S, 2, UINT64_C(1) << 62), 10 * S);
}

static void saturates(void **state) {
        static const unsigned many[] = { 40, 63, 64, 65, 1000000, UINT32_MAX };
        for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
                assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL, 30 * S, 3600 * S, many[i], 0), 3600 * S);
                assert_true(retry_delay(BACKOFF_EXPONENTIAL_JITTER, 30 * S, 3600 * S, many[i], UINT64_MAX) <= 3600 * S);
        }
        assert_int_equal(retry_delay(BACKOFF_LINEAR, UINT64_MAX / 2, USEC_INFINITY, 3, 0), USEC_INFINITY);
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL, 1, USEC_INFINITY, 64, 0), USEC_INFINITY);
        assert_int_equal(retry_delay(BACKOFF_EXPONENTIAL_JITTER, UINT64_MAX, USEC_INFINITY, 9, UINT64_MAX), USEC_INFINITY);
}

static void words(void **state) {
        for (BackoffStrategy s = 0; s < _BACKOFF_MAX; s++)
                assert_int_equal(backoff_from_string(backoff_to_string(s)), s);
        assert_string_equal(backoff_to_string(BACKOFF_EXPONENTIAL_JITTER), "exponential_jitter");
        assert_int_equal(backoff_from_string("quadratic"), _BACKOFF_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(formulas),
                cmocka_unit_test(jitter),
                cmocka_unit_test(saturates),
                cmocka_unit_test(words),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
