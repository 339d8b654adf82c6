/* exit.h: the exit record (SPEC 5) as text, and the fold of its facts into one event of the life table. Pure.
 *
 * The record: "KEY=VALUE\n" lines, an empty line, then the bytes of the result file. The first line is
 * "JOBBERS_EXIT_RECORD=1". Values have no newline (they are replaced by blanks when encoded). Unknown keys are skipped. */
#pragma once

#include "base/str.h"
#include "model/definition.h"
#include "model/task.h"

typedef struct ExitRecord {
        Ulid task_id;
        unsigned attempt;
        char boot_id[33];
        usec_t started_at, ended_at;    /* wall */
        usec_t heartbeat_at;            /* last one, wall; 0 none */
        usec_t allowed;                 /* span: how long it might take in the end, when it had asked for more than TimeoutSec=; 0: it had not */
        EndReason end_reason;
        int exit_status;                /* -1: did not exit */
        int term_signal;                /* 0: not killed by one */
        int progress;                   /* -1 none */
        char *status_text;              /* NULL none */
        char *error;                    /* the supervisor's own sentence ("cannot run …", "the result is larger than …"), NULL none */
        int64_t cpu_usec, memory_peak, io_read, io_write, oom_kills, pids_peak;         /* -1: not measured */
        char *result;                   /* bytes of the result file, NUL-terminated; NULL: there was no file */
        size_t result_len;
} ExitRecord;

void exit_record_done(ExitRecord *r);
#define _cleanup_exit_record_ _cleanup_(exit_record_done)

#define EXIT_RECORD_OVERHEAD (64 * 1024)        /* the most that is in one besides the result */

int exit_record_encode(const ExitRecord *r, Str *ret);                          /* appends; -ENOMEM */
/* -EBADMSG for anything that is not a whole, consistent record (fuzzed). */
int exit_record_decode(const char *data, size_t len, ExitRecord *ret);

/* What an attempt's end means for its task. Strings are the caller's to free (outcome_done). */
typedef struct Outcome {
        LifeEvent event;
        EndReason end_reason;
        char *error;                    /* one sentence; NULL on success */
        char *error_type;               /* from the task's {"error": …}; NULL none */
        char *results;                  /* JSON object text on success */
        usec_t delay;                   /* with LIFE_RETRY_LATER */
} Outcome;
void outcome_done(Outcome *o);
#define _cleanup_outcome_ _cleanup_(outcome_done)

/* The fold. `stop` is the committed stop reason; a committed cancel wins over anything; otherwise the record's end reason tells.
 * `random` feeds the jitter. record NULL: no record will ever come (host-lost); `lost_why` is then the error sentence.
 * definition NULL (its text was lost): no retry, dead letters none. max_result bounds what counts as a valid result. -ENOMEM. */
int exit_fold(const ExitRecord *record, const char *lost_why, const Definition *definition, StopReason stop,
              unsigned retry_attempt, uint64_t max_result, uint64_t random, Outcome *ret);
