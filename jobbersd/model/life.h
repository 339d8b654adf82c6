/* life.h: a task's life as one table (SPEC 2). Pure. Facts are folded into one event first (exit.h), so that the
 * table needs no conditions. An empty cell is a refusal. The diagram in docs/ARCHITECTURE.md is printed from it. */
#pragma once

#include <stdio.h>

#include "base/macro.h"

typedef enum TaskStatus {
        TASK_UNSUBMITTED,       /* client side only: the origin of SUBMIT and SCHEDULE */
        TASK_SUBMITTED,
        TASK_SCHEDULED,
        TASK_STARTED,
        TASK_COMPLETED,
        TASK_FAILED,
        TASK_CANCELLED,
        TASK_STALLED,
        TASK_DROPPED,
        _TASK_STATUS_MAX,
} TaskStatus;

typedef enum LifeEvent {
        LIFE_SUBMIT,            /* a client submits, to run now */
        LIFE_SCHEDULE,          /* a client submits, to run later */
        LIFE_DUE,               /* its time has come */
        LIFE_LAUNCH,            /* its turn has come and everything allows it */
        LIFE_DROP,              /* its turn has come and nobody knows its definition */
        LIFE_NOT_STARTED,       /* the launch came to nothing before the gate: again, at no cost */
        LIFE_COMPLETE,          /* exit 0 and a valid result */
        LIFE_RETRY,             /* expected failure, retries left, no delay */
        LIFE_RETRY_LATER,       /* expected failure, retries left, after a delay */
        LIFE_FAIL,              /* any other failure */
        LIFE_STALL,             /* no heartbeat; or stopped by the daemon's own stop with OnShutdown=stop */
        LIFE_REQUEUE,           /* stopped by us or lost with its host, OnShutdown=resubmit: no retry spent */
        LIFE_CANCEL,            /* a client asks for the end */
        LIFE_CANCELLED,         /* the attempt of a task that is being cancelled is over */
        LIFE_RESUBMIT,          /* a client wants a final task run again */
        _LIFE_EVENT_MAX,
} LifeEvent;

/* What follows an arrow, applied by dispatch/life-apply in one place. */
typedef enum LifeEffect {
        LIFE_FX_NONE = 0,
        LIFE_FX_READY = 1 << 0,         /* stands in its queue, at the end of its priority */
        LIFE_FX_READY_AGAIN = 1 << 1,   /* stands in its queue, at its old place */
        LIFE_FX_UNREADY = 1 << 2,       /* leaves its queue */
        LIFE_FX_TIMER = 1 << 3,         /* waits for its time */
        LIFE_FX_UNTIMER = 1 << 4,
        LIFE_FX_SPAWN = 1 << 5,         /* an attempt begins */
        LIFE_FX_SIGNAL = 1 << 6,        /* the supervisor is asked for the kill sequence */
        LIFE_FX_FREE_SLOT = 1 << 7,     /* the attempt is over: slot, queue and definition counts go down */
        LIFE_FX_SPEND_RETRY = 1 << 8,   /* retry_attempt + 1 */
        LIFE_FX_FINAL = 1 << 9,         /* completed_at, waiters are told */
        LIFE_FX_BURY = 1 << 10,         /* dead letter queue, if the definition says so */
        LIFE_FX_UNDO_START = 1 << 11,   /* this start is not counted */
        LIFE_FX_UNBURY = 1 << 12,       /* leaves the dead letter queue; history stays */
} LifeEffect;

typedef struct LifeArrow {
        bool allowed;
        TaskStatus to;
        unsigned effects;       /* LIFE_FX_* or-ed */
} LifeArrow;

/* The arrow out of `from` on `event`; NULL is a refusal (409 towards clients, a bug inside). */
const LifeArrow *life_arrow(TaskStatus from, LifeEvent event);

static inline bool task_status_is_final(TaskStatus s) {
        return s >= TASK_COMPLETED && s <= TASK_DROPPED;
}
const char *task_status_to_string(TaskStatus s);
TaskStatus task_status_from_string(const char *s);      /* _TASK_STATUS_MAX when unknown */
const char *life_event_to_string(LifeEvent e);

/* Prints the table as the Mermaid state diagram that docs/ARCHITECTURE.md carries (`make check` compares). */
void life_print(FILE *f);
