/* test-copy.c: a copy made while the store is written to is whole, is noticed when it is put back, and an unfinished one leaves nothing. */
#include "fixture.h"

static void fill(Store *s, int n) {
        char text[600];

        memset(text, 'x', sizeof text);
        for (int i = 0; i < n; i++) {
                _cleanup_task_ Task t = task_make("q", "n", 1, store_next_position(s));
                free(t.parameters);
                t.parameters = str_new("{\"text\": \"%.*s\"}", (int) sizeof text, text);
                assert_int_equal(store_task_add(s, &t), 0);
        }
        assert_int_equal(store_commit(s), 0);
}

static int64_t count(Store *s) {
        TaskFilter filter = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 1 };
        int64_t n;
        assert_int_equal(store_task_count(s, &filter, &n), 0);
        return n;
}

/* Steps until it is complete, with writes in between; returns how many tasks there were when it began. */
static int64_t copy_all(Store *s, StoreCopy *c, int writes) {
        int64_t before = count(s);
        int r, steps = 0;

        while ((r = store_copy_step(c)) == 1) {
                steps++;
                assert_true(steps < 10000);
                if (store_staged(s))
                        assert_int_equal(store_commit(s), 0);
                if (steps > writes)
                        continue;
                fill(s, 20);
                task_put(s, "q", "rolled back", 1, 0);
                store_rollback(s);
        }
        assert_int_equal(r, 0);
        assert_true(steps > 0 || writes == 0);
        return before;
}

static void put_back(Fixture *f) {
        char from[128], wal[128];

        snprintf(from, sizeof from, "%s/backup.db", f->directory);
        snprintf(wal, sizeof wal, "%s-wal", f->path);
        store_close(f->store);
        f->store = NULL;
        (void) unlink(wal);
        assert_int_equal(rename(from, f->path), 0);
        fixture_open(f);
}

static void copy_while_written(void **state) {
        Fixture *f = *state;
        _cleanup_store_copy_ StoreCopy *c = NULL;

        fill(f->store, 3000);
        assert_int_equal(store_copy_new(&c, f->store), 0);
        int64_t before = copy_all(f->store, c, 10);
        assert_true(store_copy_bytes(c) > 3000 * 600);
        store_copy_free(TAKE_PTR(c));
        fill(f->store, 1);              /* not in the copy */
        int64_t after = count(f->store);
        assert_false(store_restored(f->store));
        put_back(f);
        /* Within the very run that made it. */
        assert_true(store_restored(f->store));
        int64_t n = count(f->store);
        assert_true(n >= before && n < after);
        assert_int_equal(store_restored_accept(f->store), 0);
        fixture_reopen(f);
        assert_false(store_restored(f->store));
}

static void copies_one_after_the_other(void **state) {
        Fixture *f = *state;

        fill(f->store, 500);
        for (int i = 0; i < 3; i++) {
                _cleanup_store_copy_ StoreCopy *c = NULL, *second = NULL;
                assert_int_equal(store_copy_new(&c, f->store), 0);
                assert_int_equal(store_copy_new(&second, f->store), -EBUSY);
                (void) copy_all(f->store, c, 1);
        }
        put_back(f);
        assert_true(store_restored(f->store));
        /* A copy of a restored one is still a restored one. */
        _cleanup_store_copy_ StoreCopy *c = NULL;
        assert_int_equal(store_copy_new(&c, f->store), 0);
        (void) copy_all(f->store, c, 0);
        store_copy_free(TAKE_PTR(c));
        put_back(f);
        assert_true(store_restored(f->store));
}

static void unfinished(void **state) {
        Fixture *f = *state;
        char path[128];

        snprintf(path, sizeof path, "%s/backup.db.new", f->directory);
        fill(f->store, 1000);
        StoreCopy *c = NULL;
        assert_int_equal(store_copy_new(&c, f->store), 0);
        assert_int_equal(store_copy_step(c), 1);
        assert_int_equal(access(path, F_OK), 0);
        store_copy_free(c);
        assert_int_equal(access(path, F_OK), -1);
        fill(f->store, 10);             /* nobody is told of it any more */
        fixture_reopen(f);
        assert_false(store_restored(f->store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void) {
        const struct CMUnitTest tests[] = { TEST(copy_while_written), TEST(copies_one_after_the_other), TEST(unfinished) };
        return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
