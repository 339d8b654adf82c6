/* heap.c: a binary min-heap in one array. Items know their index, so moving or removing one needs no search. */
#include "base/heap.h"

static void place(Heap *h, size_t i, HeapItem *item) {
        h->items[i] = item;
        item->index = i;
}

/* Moves the item at i towards the top or the bottom, to where its key belongs. */
static void sift(Heap *h, size_t i) {
        HeapItem *item = h->items[i];

        while (i > 0 && item->key < h->items[(i - 1) / 2]->key) {
                place(h, i, h->items[(i - 1) / 2]);
                i = (i - 1) / 2;
        }
        for (;;) {
                size_t child = 2 * i + 1;

                if (child + 1 < h->n && h->items[child + 1]->key < h->items[child]->key)
                        child++;
                if (child >= h->n || h->items[child]->key >= item->key)
                        break;
                place(h, i, h->items[child]);
                i = child;
        }
        place(h, i, item);
}

int heap_put(Heap *h, HeapItem *item, usec_t key) {
        if (item->index == SIZE_MAX) {
                if (h->n == h->cap) {
                        size_t cap = h->cap ? 2 * h->cap : 16;
                        HeapItem **items = reallocarray(h->items, cap, sizeof *items);

                        if (!items)
                                return -ENOMEM;
                        h->items = items;
                        h->cap = cap;
                }
                place(h, h->n++, item);
        }
        item->key = key;
        sift(h, item->index);
        return 0;
}

void heap_remove(Heap *h, HeapItem *item) {
        size_t i = item->index;
        HeapItem *last;

        if (i == SIZE_MAX)
                return;
        item->index = SIZE_MAX;
        last = h->items[--h->n];
        if (last != item) {
                place(h, i, last);
                sift(h, i);
        }
}

HeapItem *heap_peek(const Heap *h) {
        return h->n > 0 ? h->items[0] : NULL;
}

void heap_free(Heap *h) {
        for (size_t i = 0; i < h->n; i++)
                h->items[i]->index = SIZE_MAX;
        free(h->items);
        *h = (Heap) {};
}
