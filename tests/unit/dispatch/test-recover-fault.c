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

        if (!INJECT_WORKS)
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

int main(void) {
        const struct CMUnitTest tests[] = { TEST(no_memory) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
