/* queue.h: a queue's limits and the sliding window of its rate (SPEC 6). Pure. */
#pragma once

#include "base/macro.h"

typedef enum RatePeriod { RATE_NONE, RATE_SECOND, RATE_MINUTE, RATE_HOUR, RATE_DAY, _RATE_PERIOD_MAX } RatePeriod;
const char *rate_period_to_string(RatePeriod p);        /* NULL for RATE_NONE */
RatePeriod rate_period_from_string(const char *s);      /* _RATE_PERIOD_MAX when unknown */
usec_t rate_period_usec(RatePeriod p);

#define QUEUE_MAX_CONCURRENT_DEFAULT 10
#define RATE_NUMERATOR_MAX 1000000

typedef struct QueueConfig {
        char name[65];
        unsigned max_concurrent;        /* 0: no limit */
        uint32_t rate_numerator, rate_denominator;      /* numerator 0: no rate */
        RatePeriod rate_period;
        bool paused;
        uint64_t memory_max, tasks_max;                 /* UINT64_MAX: not set */
        uint64_t cpu_quota_percent, cpu_weight;         /* 0: not set */
} QueueConfig;

void queue_config_init(QueueConfig *q, const char *name);       /* the defaults */
bool queue_config_has_rate(const QueueConfig *q);
usec_t queue_config_window(const QueueConfig *q);               /* denominator × period, 0 without a rate */

/* The last `numerator` starts, oldest first, boot-time clock. A start is allowed when fewer than numerator lie within the window. */
typedef struct RateWindow {
        usec_t *at;
        size_t first, n, cap;           /* ring; cap = numerator, grown as needed */
        usec_t span;
} RateWindow;

int rate_window_set(RateWindow *w, uint32_t numerator, usec_t span);    /* keeps what fits; 0, 0 turns it off; -ENOMEM */
/* 0: a start is allowed at `now`; else the time (same clock) from which one is. */
usec_t rate_window_next(const RateWindow *w, usec_t now);
void rate_window_add(RateWindow *w, usec_t at);
void rate_window_undo(RateWindow *w, usec_t at);                        /* takes one back (a launch that came to nothing), if it is still there */
void rate_window_free(RateWindow *w);
