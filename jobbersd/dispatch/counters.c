/* counters.c: see counters.h. A series is found by one key, "queue\0name\0version", which it carries itself. */
#include "dispatch/counters.h"

#include <stdio.h>

#include "base/str.h"

const usec_t histogram_bounds[HISTOGRAM_BUCKETS] = {
        1000, 5000, 10000, 50000, 100000, 500000,
        1 * USEC_PER_SEC, 5 * USEC_PER_SEC, 10 * USEC_PER_SEC, 30 * USEC_PER_SEC,
        60 * USEC_PER_SEC, 300 * USEC_PER_SEC, 900 * USEC_PER_SEC,
        3600 * USEC_PER_SEC, 6 * 3600 * USEC_PER_SEC, 24 * 3600 * USEC_PER_SEC,
};

int counters_init(EngineCounters *c) {
        *c = (EngineCounters) { .series = map_new() };
        return c->series ? 0 : -ENOMEM;
}

void counters_done(EngineCounters *c) {
        size_t cursor = 0;
        void *v;

        while (c->series && map_next(c->series, &cursor, &v)) {
                CounterSeries *s = v;
                free(s->queue);
                free(s->name);
                free(s);
        }
        map_free(c->series);
        free(c->notes);
        *c = (EngineCounters) {};
}

CounterSeries *counters_get(EngineCounters *c, const char *queue, const char *name, uint32_t version) {
        char key[2 * (NAME_LEN_MAX + 1) + 16];
        int n = snprintf(key, sizeof key, "%s%c%s%c%u", queue, 0, name, 0, version);
        if (n < 0 || (size_t) n >= sizeof key)
                return NULL;
        CounterSeries *s = map_get(c->series, key, n);
        if (s)
                return s;

        s = calloc(1, sizeof *s + n + 1);
        if (!s)
                return NULL;
        memcpy(s->key, key, n + 1);
        s->queue = strdup(queue);
        s->name = strdup(name);
        s->version = version;
        if (!s->queue || !s->name || map_put(c->series, s->key, n, s) < 0) {
                free(s->queue);
                free(s->name);
                free(s);
                return NULL;
        }
        return s;
}

const CounterSeries *counters_next(const EngineCounters *c, size_t *cursor) {
        void *v;
        return map_next(c->series, cursor, &v) ? v : NULL;
}

static void note(EngineCounters *c, CounterNote n) {
        if (c->n_notes == c->cap_notes) {
                size_t cap = c->cap_notes ? c->cap_notes * 2 : 256;
                CounterNote *more = reallocarray(c->notes, cap, sizeof *more);
                if (!more)
                        return;
                c->notes = more;
                c->cap_notes = cap;
        }
        c->notes[c->n_notes++] = n;
}

void counters_note(EngineCounters *c, uint64_t *number) {
        note(c, (CounterNote) { .number = number });
}

void counters_note_value(EngineCounters *c, Histogram *h, usec_t value) {
        note(c, (CounterNote) { .histogram = h, .value = value });
}

void counters_settle(EngineCounters *c, bool committed) {
        for (size_t i = 0; committed && i < c->n_notes; i++) {
                const CounterNote *n = c->notes + i;
                if (n->number)
                        ++*n->number;
                else
                        histogram_add(n->histogram, n->value);
        }
        c->n_notes = 0;
}

void histogram_add(Histogram *h, usec_t value) {
        size_t i = 0;
        while (i < HISTOGRAM_BUCKETS && value > histogram_bounds[i])
                i++;
        h->buckets[i]++;
        h->count++;
        h->sum_usec += value;
}
