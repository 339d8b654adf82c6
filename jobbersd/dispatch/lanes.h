/* lanes.h: which tasks wait. A queue's waiting tasks stand in lanes, one per definition, so that a definition without room never hides
 * those behind it. A lane counts its tasks but knows only the first few by heart (its window), refilled from the store when it runs out:
 * memory does not grow with the queue. */
#pragma once

#include "base/list.h"
#include "base/str.h"
#include "model/definition.h"
#include "model/task.h"
#include "store/store.h"

/* A (name, version) that has waiting or running tasks; the key is what the engine's map is keyed by. */
typedef struct Kind {
        unsigned running;               /* attempts of this daemon */
        uint32_t version;
        char name[NAME_LEN_MAX + 1];
} Kind;

typedef struct Head {
        int64_t seq, position;
        int priority;
} Head;

#define LANE_WINDOW 32

typedef struct Lane {
        Link link;                      /* Queue.lanes */
        Kind *kind;
        int64_t count;                  /* waiting tasks in all, those that were passed over too */
        unsigned n;                     /* of them in the window: always the first n in order */
        Head heads[LANE_WINDOW];
        int64_t *passed;                /* seqs of tasks that cannot be read: they wait, and nothing more is done about them */
        unsigned n_passed;
        usec_t hold_until;              /* boot; launches were refused for a passing reason */
        /* the definition as of a generation of the set; NULL: unknown */
        Definition *definition;
        uint64_t generation;
        bool may_come;                  /* unknown, but a broken file might define it */
} Lane;

/* < 0 when a goes first: higher priority, then lower position. */
int head_cmp(const Head *a, const Head *b);

Lane *lane_new(Kind *kind);
void lane_free(Lane *l);                                /* unlinks; NULL is fine */
void lane_empty(Lane *l);                               /* forgets all tasks (before a rebuild), but not which were passed over */
void lane_insert(Lane *l, const Head *h);
void lane_remove(Lane *l, const Head *h);
int lane_pass(Lane *l, const Head *h);                  /* lane_first does not come to it any more; -ENOMEM */
static inline bool lane_any(const Lane *l) {            /* is there one that was not passed over? */
        return l->count > (int64_t) l->n_passed;
}
/* The first waiting task, read from the store when the window is empty. 0 and *ret = NULL when nothing waits; -errno from the store. */
int lane_first(Lane *l, Store *store, const char *queue, const Head **ret);
