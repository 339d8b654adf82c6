/* lanes.c: see lanes.h. The one invariant: heads[0..n) are the first n waiting tasks of the lane, but for those that were passed over.
 * Whatever would come after the last of them is only counted, unless the window holds all there are and has a place left. */
#include "dispatch/lanes.h"

int head_cmp(const Head *a, const Head *b) {
        if (a->priority != b->priority)
                return a->priority > b->priority ? -1 : 1;
        if (a->position != b->position)
                return a->position < b->position ? -1 : 1;
        return 0;
}

Lane *lane_new(Kind *kind) {
        Lane *l = calloc(1, sizeof *l);
        if (!l)
                return NULL;
        link_init(&l->link);
        l->kind = kind;
        return l;
}

void lane_free(Lane *l) {
        if (!l)
                return;
        link_remove(&l->link);
        definition_unref(l->definition);
        free(l->passed);
        free(l);
}

void lane_empty(Lane *l) {
        l->count = 0;
        l->n = 0;
}

/* The place in the window before which nothing comes after h. */
static unsigned lane_place(const Lane *l, const Head *h) {
        unsigned low = 0, high = l->n;
        while (low < high) {
                unsigned middle = (low + high) / 2;
                if (head_cmp(&l->heads[middle], h) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

void lane_insert(Lane *l, const Head *h) {
        bool whole = (int64_t) (l->n + l->n_passed) == l->count;
        l->count++;

        unsigned at = lane_place(l, h);
        if (at == l->n && (!whole || l->n == LANE_WINDOW))
                return;
        if (l->n == LANE_WINDOW)
                l->n--;         /* the last one is only counted from now on */
        memmove(&l->heads[at + 1], &l->heads[at], (l->n - at) * sizeof *l->heads);
        l->heads[at] = *h;
        l->n++;
}

static void window_remove(Lane *l, const Head *h) {
        unsigned at = lane_place(l, h);
        if (at < l->n && l->heads[at].seq == h->seq) {
                l->n--;
                memmove(&l->heads[at], &l->heads[at + 1], (l->n - at) * sizeof *l->heads);
        }
}

static bool is_passed(const Lane *l, int64_t seq, unsigned *ret_at) {
        for (unsigned i = 0; i < l->n_passed; i++)
                if (l->passed[i] == seq) {
                        *ret_at = i;
                        return true;
                }
        return false;
}

void lane_remove(Lane *l, const Head *h) {
        unsigned at;

        if (l->count > 0)
                l->count--;
        window_remove(l, h);
        if (is_passed(l, h->seq, &at))
                l->passed[at] = l->passed[--l->n_passed];
        l->count = MAX(l->count, (int64_t) (l->n + l->n_passed));
}

int lane_pass(Lane *l, const Head *h) {
        int64_t *passed = reallocarray(l->passed, l->n_passed + 1, sizeof *passed);
        if (!passed)
                return -ENOMEM;
        l->passed = passed;
        l->passed[l->n_passed++] = h->seq;
        window_remove(l, h);
        return 0;
}

static int lane_take(void *userdata, int64_t seq, int priority, int64_t position) {
        Lane *l = userdata;
        unsigned at;
        if (l->n < LANE_WINDOW && !is_passed(l, seq, &at))
                l->heads[l->n++] = (Head) { .seq = seq, .priority = priority, .position = position };
        return 0;
}

int lane_first(Lane *l, Store *store, const char *queue, const Head **ret) {
        *ret = NULL;
        if (l->n == 0 && lane_any(l)) {
                int r = store_ready(store, queue, l->kind->name, l->kind->version, INT32_MAX, -1, LANE_WINDOW + l->n_passed, lane_take, l);
                if (r < 0) {
                        l->n = 0;
                        return r;
                }
                if (l->n < LANE_WINDOW)
                        l->count = l->n + l->n_passed;  /* that was all of them */
        }
        if (l->n > 0)
                *ret = &l->heads[0];
        return 0;
}
