/* test-heap-list.c: the heap against sorting, with moves and removals; the list. */
#include "base/heap.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/list.h"

#define N 500

static void assert_heap(const Heap *h) {
        for (size_t i = 0; i < h->n; i++) {
                assert_int_equal(h->items[i]->index, i);
                if (i > 0)
                        assert_true(h->items[(i - 1) / 2]->key <= h->items[i]->key);
        }
}

static void heap_empty(void **state) {
        HeapItem item = HEAP_ITEM_INIT;
        Heap h = {};

        assert_null(heap_peek(&h));
        heap_remove(&h, &item);
        assert_int_equal(item.index, SIZE_MAX);
        heap_free(&h);
}

static void heap_sorts(void **state) {
        static HeapItem items[N];
        usec_t last = 0;
        Heap h = {};

        srandom(2);
        for (size_t i = 0; i < N; i++) {
                items[i] = HEAP_ITEM_INIT;
                assert_int_equal(heap_put(&h, &items[i], (usec_t) random() % 100), 0);
                assert_heap(&h);
        }
        for (size_t i = 0; i < N; i++) {
                HeapItem *top = heap_peek(&h);

                assert_true(top->key >= last);
                last = top->key;
                heap_remove(&h, top);
                assert_int_equal(top->index, SIZE_MAX);
                assert_heap(&h);
        }
        assert_null(heap_peek(&h));
        heap_free(&h);
}

static void heap_moves_and_removes(void **state) {
        static HeapItem items[N];
        size_t n = 0;
        Heap h = {};

        srandom(3);
        for (size_t i = 0; i < N; i++)
                items[i] = HEAP_ITEM_INIT;
        for (unsigned op = 0; op < 10000; op++) {
                HeapItem *item = &items[(size_t) random() % N];
                usec_t min = USEC_INFINITY;

                if (random() % 3) {
                        n += item->index == SIZE_MAX;
                        assert_int_equal(heap_put(&h, item, (usec_t) random()), 0);
                } else {
                        n -= item->index != SIZE_MAX;
                        heap_remove(&h, item);
                }
                assert_int_equal(h.n, n);
                if (op % 50)
                        continue;
                assert_heap(&h);
                for (size_t i = 0; i < N; i++)
                        if (items[i].index != SIZE_MAX)
                                min = MIN(min, items[i].key);
                assert_true(n == 0 ? !heap_peek(&h) : heap_peek(&h)->key == min);
        }
        heap_free(&h);
        for (size_t i = 0; i < N; i++)
                assert_int_equal(items[i].index, SIZE_MAX);
}

typedef struct Node {
        int n;
        Link link;
} Node;

static int list_sum(const Link *head, int *ret_count) {
        int sum = 0;

        *ret_count = 0;
        for (const Link *l = head->next; l != head; l = l->next) {
                sum = sum * 10 + CONTAINER_OF(l, Node, link)->n;
                (*ret_count)++;
        }
        return sum;
}

static void list(void **state) {
        Node nodes[4] = { { .n = 1 }, { .n = 2 }, { .n = 3 }, { .n = 4 } };
        int count;
        Link head;

        LINK_INIT(head);
        assert_true(list_empty(&head));
        for (size_t i = 0; i < 4; i++) {
                link_init(&nodes[i].link);
                assert_false(link_linked(&nodes[i].link));
                list_append(&head, &nodes[i].link);
                assert_true(link_linked(&nodes[i].link));
        }
        assert_int_equal(list_sum(&head, &count), 1234);
        link_remove(&nodes[2].link);
        assert_false(link_linked(&nodes[2].link));
        link_remove(&nodes[2].link);            /* twice does nothing */
        assert_int_equal(list_sum(&head, &count), 124);
        assert_int_equal(count, 3);

        count = 0;
        LIST_FOREACH(l, &head) {
                link_remove(l);
                count++;
        }
        assert_int_equal(count, 3);
        assert_true(list_empty(&head));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(heap_empty), cmocka_unit_test(heap_sorts),
                cmocka_unit_test(heap_moves_and_removes), cmocka_unit_test(list),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
