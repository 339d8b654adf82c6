/* Every I/O of the database fails once, or from then on: a shim over SQLite's real file layer makes the nth write, sync or read
 * fail. Whatever comes of it, what was answered is there at the next open, and a turn is there as a whole or not at all. */
#include <time.h>

#include "fixture.h"
#include "shim.h"

/* ── the work ── */
typedef struct Work {
        int64_t answered[400];          /* tasks of turns that were answered */
        size_t n_answered;
        int64_t unknown[400];           /* of the turn whose outcome is unknown */
        size_t n_unknown;
        int error;
} Work;

/* Turns of one to twenty tasks, some with large parameters, each started and ended in turns of its own, until one is refused. */
static void work(Store *s, Work *w) {
        for (unsigned turn = 0; turn < 14; turn++) {
                size_t n = turn == 9 ? 16 : 1 + turn * 7 % 20;
                int r = 0;
                w->n_unknown = 0;
                for (size_t i = 0; r >= 0 && i < n; i++) {
                        _cleanup_task_ Task t = task_make(turn % 2 ? "mail" : "default", "n", turn % 3, store_next_position(s));
                        if (i % 5 == 0) {
                                /* One turn is larger than the page cache and makes a checkpoint: pages are spilled and read again. */
                                size_t size = turn == 9 ? 3000000 : 9000;
                                free(t.parameters);
                                t.parameters = calloc(1, size);
                                memset(t.parameters, ' ', size - 1);
                        }
                        r = store_task_add(s, &t);
                        if (r >= 0)
                                w->unknown[w->n_unknown++] = t.seq;
                }
                for (size_t i = 0; r >= 0 && i < n; i++) {
                        _cleanup_task_ Task t = { 0 };
                        r = store_task_get_seq(s, w->unknown[i], true, &t);
                        if (r < 0)
                                break;
                        t.status = TASK_STARTED;
                        r = store_task_move(s, &t, TASK_SUBMITTED);
                        Attempt a = { .task_seq = t.seq, .attempt = 1, .outcome = TASK_STARTED };
                        if (r >= 0)
                                r = store_attempt_add(s, &a);
                }
                if (r >= 0)
                        r = store_commit(s);
                if (r == -ENOSPC || r == -EIO || r == -ENOMEM || r == -EBADMSG) {
                        w->error = r;
                        /* As the engine does: what is staged goes. */
                        store_rollback(s);
                        /* The disk is only full, or a read failed: nothing of this turn is there, now and later. */
                        if (r == -ENOSPC)
                                w->n_unknown = 0;
                        return;
                }
                assert_int_equal(r, 0);
                memcpy(w->answered + w->n_answered, w->unknown, n * sizeof *w->unknown);
                w->n_answered += n;
                w->n_unknown = 0;
        }
}

static int count_attempt(void *userdata, const Attempt *a) {
        ++*(int *) userdata;
        return 0;
}

static void check(Store *s, const Work *w) {
        for (size_t i = 0; i < w->n_answered; i++) {
                _cleanup_task_ Task t = { 0 };
                assert_int_equal(store_task_get_seq(s, w->answered[i], true, &t), 0);
                assert_int_equal(t.status, TASK_STARTED);
                int attempts = 0;
                assert_int_equal(store_attempt_list(s, t.seq, count_attempt, &attempts), 0);
                assert_int_equal(attempts, 1);
        }
        size_t there = 0;
        for (size_t i = 0; i < w->n_unknown; i++) {
                _cleanup_task_ Task t = { 0 };
                int r = store_task_get_seq(s, w->unknown[i], true, &t);
                assert_true(r == 0 || r == -ENOENT);
                there += r == 0;
        }
        assert_true(there == 0 || there == w->n_unknown);
        TaskFilter all = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 1 };
        int64_t n;
        assert_int_equal(store_task_count(s, &all, &n), 0);
        assert_int_equal(n, w->n_answered + there);
}

static usec_t real_boot(void) {
        struct timespec t;
        assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
        return (usec_t) t.tv_sec * USEC_PER_SEC + (usec_t) t.tv_nsec / 1000;
}

static void one_fault(Fixture *f, Fault fault, long nth, bool for_ever, bool *ret_hit, int *ret_error) {
        Work w = { 0 };
        shim.fault = fault;
        shim.for_ever = for_ever;
        shim.hits = 0;
        shim.countdown = nth;
        work(f->store, &w);
        *ret_hit = shim.hits > 0;
        *ret_error = w.error;
        if (w.error == -ENOSPC) {
                /* A full disk costs that one turn: once it has space again, the same store goes on. */
                shim.countdown = 0;
                check(f->store, &w);
                clock_shift(0, (int64_t) (clock_boot() - real_boot()) + 2 * (int64_t) USEC_PER_SEC);
                task_put(f->store, "later", "n", 0, 0);
                store_rollback(f->store);
        }
        if (w.error == -EIO && fault == FAULT_SYNC_EIO)
                /* Unknown is for good: only a new open may go on. */
                assert_int_equal(store_task_note(f->store, &(Task) { .seq = 1 }), -EIO);
        store_close(f->store);
        f->store = NULL;
        shim.countdown = 0;
        fixture_open(f);
        check(f->store, &w);
        /* And it works on. */
        int64_t seq = task_put(f->store, "later", "n", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);
        task_to(f->store, seq, TASK_COMPLETED);
        assert_int_equal(store_commit(f->store), 0);
}

static void all_faults(void **state) {
        shim_install();
        for (Fault fault = 0; fault < _FAULT_MAX; fault++)
        for (int for_ever = 0; for_ever < 2; for_ever++) {
                unsigned hits = 0, refused = 0;
                bool hit = true;
                for (long nth = 1; hit; nth += 1 + nth / 3) {
                        void *fixture;
                        assert_int_equal(fixture_setup(&fixture), 0);
                        int error;
                        one_fault(fixture, fault, nth, for_ever, &hit, &error);
                        hits += hit;
                        refused += error < 0;
                        assert_int_equal(fixture_teardown(&fixture), 0);
                        /* Nothing else than the shim makes this work fail. */
                        assert_true(hit || error == 0);
                }
                print_message("%-16s %-8s struck %u times, %u turns refused\n", fault_names[fault], for_ever ? "for ever" : "once", hits, refused);
                if (fault != FAULT_TRUNCATE_EIO)
                        assert_true(refused > 0);
        }
        assert_int_equal(sqlite3_vfs_unregister(&shim.vfs), SQLITE_OK);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(all_faults) };
        return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
