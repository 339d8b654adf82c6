/* test-queue.c: a queue's defaults, and the sliding window, which is also compared with a list of all starts. */
#include <stddef.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "model/queue.h"

static void config(void **state) {
        QueueConfig q;

        queue_config_init(&q, "reports");
        assert_string_equal(q.name, "reports");
        assert_int_equal(q.max_concurrent, 10);
        assert_false(queue_config_has_rate(&q));
        assert_int_equal(queue_config_window(&q), 0);
        assert_true(q.memory_max == UINT64_MAX && q.tasks_max == UINT64_MAX && q.cpu_quota_percent == 0 && q.cpu_weight == 0);

        q.rate_numerator = 5;
        q.rate_denominator = 3;
        assert_false(queue_config_has_rate(&q));
        q.rate_period = RATE_MINUTE;
        assert_true(queue_config_has_rate(&q));
        assert_int_equal(queue_config_window(&q), 180 * USEC_PER_SEC);
        q.rate_numerator = 0;
        assert_int_equal(queue_config_window(&q), 0);
        q = (QueueConfig) { .rate_numerator = 1, .rate_denominator = UINT32_MAX, .rate_period = RATE_DAY };
        assert_true(queue_config_window(&q) == UINT64_C(4294967295) * 86400 * USEC_PER_SEC);
}

static void periods(void **state) {
        static const usec_t usec[] = { 0, 1, 60, 3600, 86400 };
        assert_null(rate_period_to_string(RATE_NONE));
        for (RatePeriod p = RATE_SECOND; p < _RATE_PERIOD_MAX; p++) {
                assert_int_equal(rate_period_from_string(rate_period_to_string(p)), p);
                assert_int_equal(rate_period_usec(p), usec[p] * USEC_PER_SEC);
        }
        assert_int_equal(rate_period_from_string("week"), _RATE_PERIOD_MAX);
        assert_int_equal(rate_period_from_string(NULL), _RATE_PERIOD_MAX);
}

static void window(void **state) {
        RateWindow w = {};

        assert_int_equal(rate_window_next(&w, 5), 0);
        rate_window_add(&w, 5);                 /* off: nothing is kept */
        rate_window_undo(&w, 5);
        assert_int_equal(rate_window_set(&w, 2, 100), 0);
        rate_window_add(&w, 1000);
        assert_int_equal(rate_window_next(&w, 1000), 0);
        rate_window_add(&w, 1010);
        assert_int_equal(rate_window_next(&w, 1010), 1100);
        assert_int_equal(rate_window_next(&w, 1099), 1100);
        assert_int_equal(rate_window_next(&w, 1100), 0);
        rate_window_add(&w, 1100);
        assert_int_equal(rate_window_next(&w, 1100), 1110);
        rate_window_undo(&w, 1100);
        assert_int_equal(rate_window_next(&w, 1100), 0);
        rate_window_add(&w, 1105);
        assert_int_equal(rate_window_next(&w, 1105), 1110);

        /* Wider, narrower, off: what fits is kept, the newest first. */
        assert_int_equal(rate_window_set(&w, 3, 100), 0);
        assert_int_equal(rate_window_next(&w, 1105), 0);
        rate_window_add(&w, 1106);
        assert_int_equal(rate_window_next(&w, 1106), 1110);
        assert_int_equal(rate_window_set(&w, 1, 100), 0);
        assert_int_equal(rate_window_next(&w, 1106), 1206);
        assert_int_equal(rate_window_set(&w, 1, 50), 0);
        assert_int_equal(rate_window_next(&w, 1106), 1156);
        assert_int_equal(rate_window_set(&w, 1, USEC_INFINITY - 5), 0);
        assert_true(rate_window_next(&w, 1106) == USEC_INFINITY);
        assert_int_equal(rate_window_set(&w, 0, 0), 0);
        assert_int_equal(rate_window_next(&w, 1106), 0);
        rate_window_free(&w);
}

/* A launch that comes to nothing late takes back its own start, and none of those that came after it. */
static void undone_late(void **state) {
        RateWindow w = {};
        assert_int_equal(rate_window_set(&w, 3, 100), 0);
        for (usec_t at = 990; at <= 1010; at += 5)      /* goes round the end of the ring; 1000, 1005 and 1010 are left */
                rate_window_add(&w, at);
        rate_window_undo(&w, 990);                      /* long out of it */
        assert_int_equal(rate_window_next(&w, 1010), 1100);
        rate_window_undo(&w, 1005);
        assert_int_equal(rate_window_next(&w, 1010), 0);
        rate_window_add(&w, 1020);
        assert_int_equal(rate_window_next(&w, 1020), 1100);
        assert_int_equal(rate_window_next(&w, 1100), 0);
        rate_window_add(&w, 1100);
        assert_int_equal(rate_window_next(&w, 1100), 1110);
        rate_window_free(&w);
}

/* Never more than numerator starts in any span, and never a start refused that would have fitted. */
static void against_a_list(void **state) {
        enum { SPAN = 50, N = 4, STEPS = 3000 };
        RateWindow w = {};
        usec_t starts[STEPS];
        size_t n = 0;
        uint64_t seed = 42;

        assert_int_equal(rate_window_set(&w, N, SPAN), 0);
        for (usec_t now = 1, step = 0; step < STEPS; step++) {
                seed = seed * 6364136223846793005 + 1442695040888963407;
                now += seed >> 60;
                unsigned within = 0;
                for (size_t i = 0; i < n; i++)
                        within += starts[i] + SPAN > now;
                usec_t next = rate_window_next(&w, now);
                assert_int_equal(next == 0, within < N);
                if (next != 0) {
                        assert_true(next > now && next <= now + SPAN);
                        continue;
                }
                rate_window_add(&w, now);
                if (seed & 1U << 20)
                        rate_window_undo(&w, now);
                else
                        starts[n++] = now;
        }
        assert_true(n > 100);
        rate_window_free(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(config),
                cmocka_unit_test(periods),
                cmocka_unit_test(window), cmocka_unit_test(undone_late),
                cmocka_unit_test(against_a_list),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
