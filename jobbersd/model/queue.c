/* queue.c: a queue's limits, and the true sliding window of its rate: the times of the last starts themselves, not a counter per
 * period, which would let twice the rate through around a period's edge. */
#include "model/queue.h"

#include <stdio.h>

static const struct {
        const char *name;
        usec_t usec;
} periods[_RATE_PERIOD_MAX] = {
        [RATE_SECOND] = { "second", USEC_PER_SEC },
        [RATE_MINUTE] = { "minute", 60 * USEC_PER_SEC },
        [RATE_HOUR] = { "hour", 3600 * USEC_PER_SEC },
        [RATE_DAY] = { "day", 24 * 3600 * USEC_PER_SEC },
};

const char *rate_period_to_string(RatePeriod p) {
        return (unsigned) p < _RATE_PERIOD_MAX ? periods[p].name : NULL;
}

RatePeriod rate_period_from_string(const char *s) {
        for (RatePeriod p = RATE_NONE + 1; s && p < _RATE_PERIOD_MAX; p++)
                if (STREQ(periods[p].name, s))
                        return p;
        return _RATE_PERIOD_MAX;
}

usec_t rate_period_usec(RatePeriod p) {
        return (unsigned) p < _RATE_PERIOD_MAX ? periods[p].usec : 0;
}

void queue_config_init(QueueConfig *q, const char *name) {
        *q = (QueueConfig) {
                .max_concurrent = QUEUE_MAX_CONCURRENT_DEFAULT,
                .rate_denominator = 1,
                .memory_max = UINT64_MAX,
                .tasks_max = UINT64_MAX,
        };
        snprintf(q->name, sizeof q->name, "%s", name);
}

usec_t queue_config_window(const QueueConfig *q) {
        if (q->rate_numerator == 0)
                return 0;
        return (usec_t) q->rate_denominator * rate_period_usec(q->rate_period);
}

bool queue_config_has_rate(const QueueConfig *q) {
        return queue_config_window(q) > 0;
}

static usec_t rate_window_at(const RateWindow *w, size_t i) {
        return w->at[(w->first + i) % w->cap];
}

int rate_window_set(RateWindow *w, uint32_t numerator, usec_t span) {
        if (numerator == 0 || span == 0) {
                rate_window_free(w);
                return 0;
        }
        if (numerator != w->cap) {
                /* Only pages that starts are written to cost memory, so a large numerator is cheap until it is used. */
                usec_t *at = malloc(numerator * sizeof *at);
                if (!at)
                        return -ENOMEM;
                size_t n = MIN(w->n, (size_t) numerator), skip = w->n - n;
                for (size_t i = 0; i < n; i++)
                        at[i] = rate_window_at(w, skip + i);
                free(w->at);
                *w = (RateWindow) { .at = at, .n = n, .cap = numerator };
        }
        w->span = span;
        return 0;
}

usec_t rate_window_next(const RateWindow *w, usec_t now) {
        if (w->n < w->cap || w->cap == 0)
                return 0;
        usec_t oldest = rate_window_at(w, 0);
        usec_t free_at = w->span > USEC_INFINITY - oldest ? USEC_INFINITY : oldest + w->span;
        return now >= free_at ? 0 : free_at;
}

void rate_window_add(RateWindow *w, usec_t at) {
        if (w->cap == 0)
                return;
        if (w->n == w->cap) {
                w->first = (w->first + 1) % w->cap;
                w->n--;
        }
        w->at[(w->first + w->n) % w->cap] = at;
        w->n++;
}

void rate_window_undo(RateWindow *w, usec_t at) {
        for (size_t i = w->n; i > 0; i--) {
                if (rate_window_at(w, i - 1) != at)
                        continue;
                for (; i < w->n; i++)
                        w->at[(w->first + i - 1) % w->cap] = rate_window_at(w, i);
                w->n--;
                return;
        }
}

void rate_window_free(RateWindow *w) {
        free(w->at);
        *w = (RateWindow) {};
}
