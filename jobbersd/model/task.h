/* task.h: the records: a task, and each of its attempts, as the store keeps them. */
#pragma once

#include "base/clock.h"
#include "base/ulid.h"
#include "model/life.h"

#define TASK_PRIORITY_MIN (-100)
#define TASK_PRIORITY_MAX 100

#define SCOPE_NAME_MAX 128
/* The unit of an attempt in scope mode: the user finds its lines, limits and processes by that. */
void task_scope_name(const Ulid *id, unsigned attempt, char buf[static SCOPE_NAME_MAX]);

/* Why an attempt is to be stopped; the first one committed wins, but a cancel that was answered beats the others (SPEC 8.5). */
typedef enum StopReason { STOP_NONE, STOP_CANCELLED, STOP_SHUTDOWN, STOP_TIMEOUT, STOP_STALLED, _STOP_REASON_MAX } StopReason;
const char *stop_reason_to_string(StopReason r);        /* "cancelled" … ; NULL for STOP_NONE */
StopReason stop_reason_from_string(const char *s);      /* _STOP_REASON_MAX when unknown */

/* How an attempt ended (SPEC 5). */
typedef enum EndReason {
        END_NONE,               /* not over yet */
        END_EXIT, END_SIGNAL, END_OOM, END_TIMEOUT, END_STALLED, END_CANCELLED, END_SHUTDOWN, END_HOST_LOST,
        _END_REASON_MAX,
} EndReason;
const char *end_reason_to_string(EndReason r);          /* "exit" … "host-lost"; NULL for END_NONE */
EndReason end_reason_from_string(const char *s);        /* _END_REASON_MAX when unknown */

/* All times are wall microseconds, 0 = not set. Strings are owned by the record; task_done frees them. */
typedef struct Task {
        int64_t seq;                    /* submission order, the store's key */
        Ulid id;
        char *name;
        uint32_t version;
        char *queue;
        int priority;
        TaskStatus status;
        int64_t position;               /* place in its queue: lower goes first inside a priority */
        unsigned retry_attempt;
        unsigned attempts;              /* starts so far; number of the newest attempt */
        StopReason stop_reason;         /* of the running attempt */
        usec_t submitted_at, started_at, retried_at, heartbeat_at, completed_at, scheduled_at;
        usec_t run_at;                  /* as the client asked, 0 for "now": part of what an id stands for */
        usec_t dead_at;                 /* when it entered the dead letter queue, 0 when not in it */
        int progress;                   /* 0..100, -1 none */
        char *status_text;
        char *last_error;
        char *results;                  /* JSON object text or NULL */
        char *parameters;               /* JSON object text; NULL where a read did not ask for it */
} Task;

void task_done(Task *t);                /* frees what it owns and zeroes it */
#define _cleanup_task_ _cleanup_(task_done)

/* Where an attempt's evidence is gathered: the boot id, a dot, and the birth of record_dir (launch/wire.h). */
#define EVIDENCE_MAX 50

typedef struct Attempt {
        int64_t task_seq;
        unsigned attempt;               /* 1, 2, … */
        unsigned retry_attempt;
        char evidence[EVIDENCE_MAX];
        uint64_t definition_hash;
        char scope[SCOPE_NAME_MAX];     /* unit name in scope mode, "" otherwise */
        usec_t started_at, ended_at;
        EndReason end_reason;
        int exit_status;                /* -1: did not exit */
        int term_signal;                /* 0: not killed by one */
        TaskStatus outcome;             /* what the task became by it; TASK_STARTED while it runs */
        char *error;                    /* one sentence, NULL without */
        char *error_type;
        /* -1: not measured */
        int64_t cpu_usec, memory_peak, io_read, io_write, oom_kills, pids_peak;
} Attempt;

void attempt_done(Attempt *a);
#define _cleanup_attempt_ _cleanup_(attempt_done)
