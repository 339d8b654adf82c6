/* Recovery without memory: at each allocation that it makes, one after the other. It refuses to start, or it recovers all; it never decides
 * anything about a task by what it could not find out. */
#include "tests/unit/inject.h"

#include "fixture.h"

#define TASKS 3
#define ALLOCATIONS_MAX 20000

static void no_memory(void **state) {
        Fixture *f = *state;
        Ulid ids[TASKS];
        unsigned refused = 0, n;

        if (!inject_works())
                skip();
        for (size_t i = 0; i < TASKS; i++)
                ids[i] = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        engine_stop(f);
        for (n = 1; n < ALLOCATIONS_MAX; n++) {
                engine_start(f, false);
                injected.memory = (Injection) { n, ENOMEM };
                int r = engine_recover(f->engine);
                bool reached = injected.memory.nth == 0;
                inject_nothing();
                assert_true(r == 0 || r == -ENOMEM || r == -EIO);
                refused += r < 0;
                for (size_t i = 0; i < TASKS; i++)
                        assert_int_equal(status_of(f, &ids[i]), TASK_STARTED);
                if (!reached) {
                        assert_int_equal(r, 0);
                        assert_int_equal(engine_running(f->engine), TASKS);
                        break;
                }
                engine_stop(f);
        }
        assert_true(n < ALLOCATIONS_MAX);
        assert_true(refused >= TASKS);
}

/* The same for a task whose attempt has no row: one has to be written. */
static void no_memory_for_the_row(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        unsigned refused = 0;

        if (!inject_works())
                skip();
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        task_of(f, &id, &t);
        assert_int_equal(store_attempt_remove(f->store, t.seq, 1), 0);
        assert_int_equal(store_commit(f->store), 0);
        engine_stop(f);
        for (unsigned n = 1; n < ALLOCATIONS_MAX; n++) {
                engine_start(f, false);
                injected.memory = (Injection) { n, ENOMEM };
                int r = engine_recover(f->engine);
                bool reached = injected.memory.nth == 0;
                inject_nothing();
                refused += r < 0;
                engine_stop(f);
                if (!reached) {
                        assert_int_equal(r, 0);
                        break;
                }
        }
        assert_true(refused > 1);
}

static void no_directory_to_sweep(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *away = str_new("%s-away", f->settings.attempt_dir);
        engine_stop(f);
        assert_int_equal(rename(f->settings.attempt_dir, away), 0);
        _cleanup_close_ int file = open(f->settings.attempt_dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        engine_start(f, true);
        assert_int_equal(run(f), 0);            /* said in the log, and nothing else comes of it */
        submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(engine_running(f->engine), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = { TEST(no_memory), TEST(no_memory_for_the_row), TEST(no_directory_to_sweep) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
