/* A list of tasks without memory, at each allocation that the call makes, one after the other: all of them are there afterwards, or none. */
#include "tests/unit/inject.h"

#include "../dispatch/fixture.h"
#include "http/routes.h"

#define TASKS 3
#define ALLOCATIONS_MAX 20000

static const char *const body = "{\"tasks\":[{\"name\":\"many\",\"version\":1,\"parameters\":{\"a\":1}},{\"name\":\"many\",\"version\":1},"
                                "{\"name\":\"typed\",\"version\":1,\"parameters\":{\"n\":1}}]}";

static void all_or_none(void **state) {
        Fixture *f = *state;
        TaskFilter every = { .version = -1, .status = _TASK_STATUS_MAX };
        unsigned refused = 0, n;
        int64_t before = 0, after;

        if (!inject_works())
                skip();
        engine_drain(f->engine, true);
        for (n = 1; n < ALLOCATIONS_MAX; n++) {
                Request r = { .engine = f->engine, .store = f->store, .path = strdup("/submit-tasks") };
                Reply reply = {};
                r.route = route_find(&r, "POST", &reply);
                assert_non_null(r.route);
                assert_int_equal(request_parse_json(&r, body, strlen(body), &reply), 0);
                assert_int_equal(request_check(&r, &reply), 0);
                injected.memory = (Injection) { n, ENOMEM };
                int e = r.route->handler(&r, &reply);
                bool reached = injected.memory.nth == 0;
                inject_nothing();
                bool ok = e == 0 && reply.status == 200;
                request_done(&r);
                reply_done(&reply);
                assert_int_equal(run(f), 0);
                clock_shift(n * 2 * (int64_t) USEC_PER_SEC, n * 2 * (int64_t) USEC_PER_SEC);    /* a rollback is got over in a second */
                assert_int_equal(run(f), 0);
                assert_int_equal(store_task_count(f->store, &every, &after), 0);
                assert_true(after == before || after == before + TASKS);
                assert_true(ok || after == before);
                refused += !ok;
                before = after;
                if (!reached) {
                        assert_true(ok);
                        break;
                }
        }
        assert_true(n < ALLOCATIONS_MAX);
        assert_true(refused > 3 * TASKS);
}

int main(void) {
        const struct CMUnitTest tests[] = { TEST(all_or_none) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
