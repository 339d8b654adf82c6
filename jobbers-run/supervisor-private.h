/* supervisor-private.h: what the supervisor's files know of each other.
 *
 *   supervisor.c          an attempt from beginning to end, and the turns of its loop
 *   supervisor-gate.c     gate and start
 *   supervisor-record.c   what is written down in the end */
#pragma once

#include "base/clock.h"
#include "base/log.h"
#include "jobbers-run/containment.h"
#include "jobbers-run/output.h"
#include "jobbers-run/record.h"
#include "jobbers-run/uplink.h"

#define TRY_AGAIN USEC_PER_SEC                  /* after a full disk and the like */
#define START_PATIENCE (30 * USEC_PER_SEC)      /* for a working directory and a program that do not answer */
#define POLL_MAX (30 * USEC_PER_SEC)            /* ppoll does not count suspended time, deadlines do */
#define WAIT_NONE (-1)                          /* to wait(2)'s macros neither an exit nor a signal */

typedef enum Phase {
        PHASE_GATE,
        PHASE_RUNNING,          /* the main process lives, nobody wants its end */
        PHASE_ENDING,           /* the kill sequence, for all of it or for what main left */
        PHASE_OVER,             /* nothing of it is left */
} Phase;

typedef struct Supervisor {
        const Job *job;
        Phase phase;
        AttemptDir dir;
        Containment box;
        Uplink uplink;
        Output output;
        RecordFile file;
        ExitRecord record;
        ChildFailure *failure;
        StopReason stop;        /* the first reason; own decisions included */
        int wait_status;        /* of the main process; WAIT_NONE: there was none */
        int term_fd;            /* in a scope: systemd's stop; else -1 */
        bool main_ended, no_children, killed, complained, reminded, extended;
        usec_t begun_at, timeout_at, beat_limit, kill_at, killed_at, remind_at;   /* boot; USEC_INFINITY: never */
        /* of all that were reaped */
        int64_t cpu_usec, rss_max, blocks_read, blocks_written;
} Supervisor;

static inline LogTask supervisor_log(const Supervisor *s) {
        return (LogTask) { .id = &s->job->task_id, .attempt = s->job->attempt, .name = s->job->definition->name, .queue = s->job->queue };
}

static inline usec_t deadline_after(usec_t now, usec_t span) {
        return span >= USEC_INFINITY - now ? USEC_INFINITY : now + span;
}

/* The gate in full: directory, GO, containment, ID.n.started. 1: the task may be created; 0: it cannot, *ret_sentence says why, and the
 * record is to say it; < 0: leave without a trace (-EEXIST: touching nothing). Lasting trouble of the host is waited for. */
int supervisor_gate(Supervisor *s, char **ret_sentence);
/* ID.n.started is there, or we leave (wire.h, ORDER). */
void supervisor_release_lock(Supervisor *s);
/* Watches for systemd's stop; out of the OOM killer's sight. */
void supervisor_enter_scope(Supervisor *s);
/* Creates the task's main process; -errno with a sentence. */
int supervisor_start(Supervisor *s, char **ret_sentence);
/* Takes sentence, which may be NULL. */
void supervisor_fill_record(Supervisor *s, char *sentence);
/* Stays until it is written: it is the only witness. */
void supervisor_write_record(Supervisor *s);
