/* test-map.c: the map against a plain array, with many random operations; walking while removing. */
#include "base/map.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <cmocka.h>

#define N 3000
typedef struct Item {
        char key[24];
        bool in, seen;
} Item;

static Item items[N];

static int setup(void **state) {
        Map *m = map_new();

        for (unsigned i = 0; i < N; i++) {
                items[i] = (Item) {};
                snprintf(items[i].key, sizeof items[i].key, "%s%u", i % 3 ? "queue-" : "a.rather.long.name-", i);
        }
        *state = m;
        return m ? 0 : -1;
}

static int teardown(void **state) {
        map_free(*state);
        return 0;
}

static void put(Map *m, Item *i) {
        assert_int_equal(map_put(m, i->key, strlen(i->key), i), 0);
        i->in = true;
}

static void assert_same(Map *m) {
        size_t cursor = 0, n = 0;
        void *v;

        for (unsigned i = 0; i < N; i++) {
                assert_ptr_equal(map_get_str(m, items[i].key), items[i].in ? &items[i] : NULL);
                n += items[i].in;
                items[i].seen = false;
        }
        assert_int_equal(map_size(m), n);
        while (map_next(m, &cursor, &v)) {
                Item *i = v;

                assert_true(i->in);
                assert_false(i->seen);
                i->seen = true;
                n--;
        }
        assert_int_equal(n, 0);
}

static void empty(void **state) {
        size_t cursor = 0;
        void *v;

        assert_null(map_get_str(*state, "x"));
        assert_null(map_remove(*state, "x", 1));
        assert_int_equal(map_size(*state), 0);
        assert_false(map_next(*state, &cursor, &v));
        map_free(NULL);
}

static void keys_are_bytes(void **state) {
        static const char a[] = { 0, 1, 2 }, b[] = { 0, 1, 3 };
        Map *m = *state;
        int x, y, z, zz;

        assert_int_equal(map_put(m, a, 3, &x), 0);
        assert_int_equal(map_put(m, b, 3, &y), 0);
        assert_int_equal(map_put(m, a, 2, &z), 0);
        assert_int_equal(map_put(m, NULL, 0, &zz), 0);
        assert_ptr_equal(map_get(m, a, 3), &x);
        assert_ptr_equal(map_get(m, b, 3), &y);
        assert_ptr_equal(map_get(m, b, 2), &z);
        assert_ptr_equal(map_get(m, "", 0), &zz);
        assert_null(map_get(m, a, 1));
}

static void refuses(void **state) {
        Map *m = *state;
        int x, y;

        assert_int_equal(map_put(m, "k", 1, &x), 0);
        assert_int_equal(map_put(m, "k", 1, &y), -EEXIST);
        assert_ptr_equal(map_get(m, "k", 1), &x);
        assert_int_equal(map_put(m, "n", 1, NULL), -EINVAL);
        assert_int_equal(map_size(m), 1);
        assert_ptr_equal(map_remove(m, "k", 1), &x);
        assert_null(map_remove(m, "k", 1));
        assert_int_equal(map_put(m, "k", 1, &y), 0);
        assert_ptr_equal(map_get(m, "k", 1), &y);
}

static void like_an_array(void **state) {
        Map *m = *state;

        srandom(1);
        /* Phases that mostly grow and phases that mostly shrink; both leave marks behind and rebuild. */
        for (unsigned op = 0; op < 60000; op++) {
                Item *i = &items[(size_t) random() % N];
                bool add = random() % 8 < (op / 6000 % 2 ? 2 : 6);

                if (add && !i->in)
                        put(m, i);
                else if (add)
                        assert_int_equal(map_put(m, i->key, strlen(i->key), &op), -EEXIST);
                else {
                        assert_ptr_equal(map_remove(m, i->key, strlen(i->key)), i->in ? i : NULL);
                        i->in = false;
                }
                if (op % 3000 == 0)
                        assert_same(m);
        }
        assert_same(m);
}

static void removing_while_walking(void **state) {
        Map *m = *state;

        /* Every third, then all but one, then all: nothing is skipped, nothing comes twice. */
        for (unsigned every = 3; every > 0; every--) {
                size_t cursor = 0, n = 0;
                void *v;

                for (unsigned i = 0; i < N; i++) {
                        if (!items[i].in)
                                put(m, &items[i]);
                        items[i].seen = false;
                }
                while (map_next(m, &cursor, &v)) {
                        Item *i = v;

                        assert_false(i->seen);
                        i->seen = true;
                        if (n++ % every == 0) {
                                assert_ptr_equal(map_remove(m, i->key, strlen(i->key)), i);
                                i->in = false;
                        }
                }
                assert_int_equal(n, N);
                assert_same(m);
        }
        assert_int_equal(map_size(m), 0);
}

static void first_in_first_out(void **state) {
        Map *m = *state;

        /* The life of a task map: few at a time, always others. Ends only if searches keep finding empty slots. */
        for (unsigned i = 0; i < 50 * N; i++) {
                Item *in = &items[i % N], *out = &items[(i + N - 10) % N];

                put(m, in);
                if (out->in) {
                        assert_ptr_equal(map_remove(m, out->key, strlen(out->key)), out);
                        out->in = false;
                }
        }
        assert_same(m);
        assert_int_equal(map_size(m), 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(empty, setup, teardown),
                cmocka_unit_test_setup_teardown(keys_are_bytes, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses, setup, teardown),
                cmocka_unit_test_setup_teardown(like_an_array, setup, teardown),
                cmocka_unit_test_setup_teardown(removing_while_walking, setup, teardown),
                cmocka_unit_test_setup_teardown(first_in_first_out, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
