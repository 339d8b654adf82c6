/* heap.h: a binary min-heap of members ordered by a time; a member knows its place, so that it can be moved or removed. */
#pragma once

#include "base/macro.h"

typedef struct HeapItem {
        usec_t key;
        size_t index;           /* SIZE_MAX when not in a heap */
} HeapItem;

typedef struct Heap {
        HeapItem **items;
        size_t n, cap;
} Heap;

#define HEAP_ITEM_INIT ((HeapItem) { .index = SIZE_MAX })

int heap_put(Heap *h, HeapItem *item, usec_t key);      /* inserts, or moves what is already in; -ENOMEM */
void heap_remove(Heap *h, HeapItem *item);              /* nothing to do when it is not in */
HeapItem *heap_peek(const Heap *h);                     /* smallest key, NULL when empty */
void heap_free(Heap *h);                                /* not the items */
