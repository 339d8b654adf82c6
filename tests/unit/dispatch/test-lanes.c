/* The window of a lane against a plain sorted list of all that wait: whatever is done, its heads are the first ones. */
#include "fixture.h"

#define N 2000

typedef struct World {
        Head all[N];
        size_t n;
        Lane *lane;
} World;

static int by_order(const void *a, const void *b) {
        return head_cmp(a, b);
}

static void check(World *w) {
        qsort(w->all, w->n, sizeof *w->all, by_order);
        assert_int_equal(w->lane->count, w->n);
        assert_true(w->lane->n <= LANE_WINDOW);
        for (unsigned i = 0; i < w->lane->n; i++)
                assert_int_equal(w->lane->heads[i].seq, w->all[i].seq);
}

/* What the store would answer. */
static void refill(World *w) {
        if (w->lane->n > 0)
                return;
        qsort(w->all, w->n, sizeof *w->all, by_order);
        for (size_t i = 0; i < w->n && i < LANE_WINDOW; i++)
                w->lane->heads[w->lane->n++] = w->all[i];
}

static void random_walk(void **state) {
        static Kind kind = { .name = "k", .version = 1 };
        World w = { .lane = lane_new(&kind) };
        int64_t next = 1;

        assert_non_null(w.lane);
        srandom(4711);
        for (unsigned step = 0; step < 40000; step++) {
                unsigned what = (unsigned) random() % 10;
                bool growing = (step / 5000) % 2 == 0;
                if (w.n < N && (w.n == 0 || (growing ? what < 6 : what < 4))) {
                        Head h = { .seq = next, .position = next, .priority = (int) (random() % 3) };
                        next++;
                        w.all[w.n++] = h;
                        lane_insert(w.lane, &h);
                } else if (what == 9) {         /* back at its old place: an early position again */
                        Head h = { .seq = next, .position = random() % next, .priority = 1 };
                        bool taken = false;
                        for (size_t i = 0; i < w.n; i++)
                                taken = taken || w.all[i].position == h.position;
                        next++;
                        if (taken || w.n == N)
                                continue;
                        w.all[w.n++] = h;
                        lane_insert(w.lane, &h);
                } else if (w.n > 0) {           /* the first one starts, or any one is cancelled */
                        refill(&w);
                        check(&w);
                        size_t i = what % 2 ? 0 : (size_t) random() % w.n;
                        Head h = w.all[i];
                        w.all[i] = w.all[--w.n];
                        lane_remove(w.lane, &h);
                }
                check(&w);
        }
        lane_free(w.lane);
}

/* A thousand waiting tasks, read through a window of 32: every one starts once, in order. */
static void long_queue(void **state) {
        Fixture *f = *state;
        Ulid ids[200];

        queue_put(f, "long", 1);
        serve(f, "long", NULL, NULL);
        engine_drain(f->engine, true);
        for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
                assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .queue = "long",
                                                                .priority = i % 3 == 0 ? 5 : 0 }, &ids[i]), 0);
        assert_int_equal(run(f), 0);
        engine_drain(f->engine, false);
        assert_int_equal(run(f), 0);
        size_t k = 0;
        for (int round = 0; round < 2; round++)
                for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
                        if ((i % 3 == 0) != (round == 0))
                                continue;
                        assert_int_equal(f->n_seen, k + 1);
                        assert_true(ulid_cmp(&f->seen[k].request.task_id, &ids[i]) == 0);
                        finish(f, &ids[i], 0);
                        k++;
                }
        assert_int_equal(k, ARRAY_SIZE(ids));
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(random_walk), TEST(long_queue) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
