/* Times: what a client asked for follows the wall clock, delays follow a clock that nobody can set. */
#include "fixture.h"

#define MINUTE (60 * USEC_PER_SEC)

static void run_at(void **state) {
        Fixture *f = *state;
        Ulid id, past;
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + 60 * MINUTE }, &id), 0);
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = 1000 }, &past), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        assert_int_equal(status_of(f, &past), TASK_STARTED);
        clock_shift(61 * MINUTE, 0);            /* a forward step of the wall clock alone */
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static Ulid failed_once(Fixture *f) {
        Ulid id = submit(f, "later", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &id, 75);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        return id;
}

static void retry_delay_passes(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(59 * USEC_PER_SEC, 59 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static void forward_step(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(600 * MINUTE, 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static void backward_step(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(-600 * (int64_t) MINUTE, 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(-600 * (int64_t) MINUTE + 61 * (int64_t) USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
        _cleanup_task_ Task t = {};
        finish(f, &id, 0);
        task_of(f, &id, &t);
        assert_true(t.retried_at >= t.started_at && t.completed_at >= t.retried_at);
}

static void step_while_down(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        engine_stop(f);
        clock_shift(600 * MINUTE, 0);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static void many_at_once(void **state) {
        Fixture *f = *state;
        for (unsigned i = 0; i < 1500; i++)
                assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + MINUTE }, NULL), 0);
        assert_int_equal(run(f), 0);
        clock_shift(2 * MINUTE, 2 * MINUTE);
        assert_int_equal(run(f), 0);
        TaskFilter filter = { .version = -1, .status = TASK_SCHEDULED, .limit = 1 };
        int64_t n = -1;
        assert_int_equal(store_task_count(f->store, &filter, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(f->n_seen, 4);
}

static void expiry(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        f->settings.completed_task_age = 10 * MINUTE;
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &id, 0);
        clock_shift(5 * MINUTE, 5 * MINUTE);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_COMPLETED);
        clock_shift(20 * MINUTE, 20 * MINUTE);
        assert_int_equal(run(f), 0);
        assert_int_equal(store_task_get(f->store, &id, false, &t), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(run_at), TEST(retry_delay_passes), TEST(forward_step), TEST(backward_step), TEST(step_while_down), TEST(many_at_once),
                TEST(expiry),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
