/* counters.h: what the engine counts for /metrics: per queue, task name and version, since the daemon started. Plain numbers; names and
 * text of the metrics are HTTP's. The number of series is bounded by queues × definitions. */
#pragma once

#include "base/map.h"
#include "base/str.h"
#include "model/life.h"

/* Upper bounds of the buckets in µs; a last bucket without one follows. Values are kept per bucket (not cumulated). */
#define HISTOGRAM_BUCKETS 16
extern const usec_t histogram_bounds[HISTOGRAM_BUCKETS];

typedef struct Histogram {
        uint64_t buckets[HISTOGRAM_BUCKETS + 1];
        uint64_t count;
        uint64_t sum_usec;
} Histogram;

typedef struct CounterSeries {
        char *queue, *name;
        uint32_t version;
        uint64_t submitted;                     /* submissions taken, resubmissions included */
        uint64_t selected;                      /* starts */
        uint64_t retried;                       /* attempts that led to a retry */
        uint64_t not_started;                   /* launches that came to nothing */
        uint64_t dead_lettered;
        uint64_t cancel_requests;
        uint64_t processed[_TASK_STATUS_MAX];   /* tasks that became final, by status */
        Histogram execution;                    /* of one attempt, start to end */
        Histogram latency;                      /* submission to final state */
        Histogram waiting;                      /* last time ready (submission, or due) to start */
        char key[];
} CounterSeries;

/* One more of a number, or one value more in a histogram, decided in a turn that is not committed yet. */
typedef struct CounterNote {
        uint64_t *number;
        Histogram *histogram;
        usec_t value;
} CounterNote;

typedef struct EngineCounters {
        Map *series;
        CounterNote *notes;
        size_t n_notes, cap_notes;
        uint64_t commits, commit_failures;
        Histogram commit;                       /* duration of commits */
        uint64_t launches_refused;
        uint64_t reloads;
        uint64_t role_refreshes;                /* changes of roles, which are in force at once */
} EngineCounters;

int counters_init(EngineCounters *c);
void counters_done(EngineCounters *c);
/* The series, made when it is new; NULL without memory (counting is then skipped). */
CounterSeries *counters_get(EngineCounters *c, const char *queue, const char *name, uint32_t version);
/* Walk: start with *cursor = 0; NULL at the end. */
const CounterSeries *counters_next(const EngineCounters *c, size_t *cursor);

/* What a turn counts counts once it is committed: one that is rolled back is decided anew. Without memory it is not counted. */
void counters_note(EngineCounters *c, uint64_t *number);
void counters_note_value(EngineCounters *c, Histogram *h, usec_t value);
void counters_settle(EngineCounters *c, bool committed);

void histogram_add(Histogram *h, usec_t value);
