/* list.h: a circular doubly linked list; the link is a member of what it links. */
#pragma once

#include "base/macro.h"

typedef struct Link {
        struct Link *prev, *next;
} Link;

#define LINK_INIT(l) ((l).prev = (l).next = &(l))

static inline void link_init(Link *l) {
        l->prev = l->next = l;
}
static inline bool list_empty(const Link *head) {
        return head->next == head;
}
/* True for a link that stands in a list. Links must be initialised with link_init. */
static inline bool link_linked(const Link *l) {
        return l->next != l;
}
static inline void list_append(Link *head, Link *l) {
        l->prev = head->prev;
        l->next = head;
        head->prev->next = l;
        head->prev = l;
}
static inline void link_remove(Link *l) {
        l->prev->next = l->next;
        l->next->prev = l->prev;
        link_init(l);
}
#define LIST_FOREACH(l, head) for (Link *l = (head)->next, *l##_next = l->next; l != (head); l = l##_next, l##_next = l->next)
