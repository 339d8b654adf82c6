/* store.h: everything durable, in our words. Reads answer at once. Writes are staged in one open transaction; store_commit makes all of a
 * turn durable at once, after which the effects may go out (docs/ARCHITECTURE.md, "One turn"). SQL lives in sql/ alone; drivers behind
 * store-driver.h. One connection, one process per file (SPEC 9).
 *
 * Errors: -ENOSPC the disk is full (nothing of the failed verb is staged, the transaction goes on), -EIO the outcome of a commit is
 * unknown (the daemon must end and reread), -EROFS, -ENOMEM; others as said. */
#pragma once

#include "model/queue.h"
#include "model/task.h"

typedef struct Store Store;

/* Opens or creates the database, locks it, migrates it forward, checks its integrity (quick_check). -EBUSY: another process has it;
 * -ENOTSUP: made by a newer version; -EBADMSG: damaged. On failure *ret_sentence (caller frees) says what and names the holder's pid. */
int store_open(Store **ret, const char *path, char **ret_sentence);
void store_close(Store *s);                     /* rolls back what is staged */
/* The database is older than the epoch file beside it: it was put back from a backup. Stays so over restarts until it is accepted (or the
 * file is removed). accept is durable when it returns 0; -EBUSY while something is staged. */
bool store_restored(const Store *s);
int store_restored_accept(Store *s);

/* ── the batch ── */
bool store_staged(const Store *s);              /* is a transaction open? */
size_t store_staged_writes(const Store *s);     /* writes in it */
/* Durable when it returns 0. On failure everything staged is rolled back (-ENOSPC), or unknown (-EIO and anything else). */
int store_commit(Store *s);
void store_rollback(Store *s);
usec_t store_last_commit_usec(const Store *s);  /* how long the last one took, for metrics */

/* ── backup ── */
/* A copy of the database in the file backup.db beside it, made while everything goes on. new: -EBUSY when one is being made already. step: 1 to
 * be called again, after a commit if something is staged; 0 when the copy is complete and on disk and has replaced the one before. free
 * removes an unfinished one. */
typedef struct StoreCopy StoreCopy;
int store_copy_new(StoreCopy **ret, Store *s);
int store_copy_step(StoreCopy *c);
void store_copy_free(StoreCopy *c);
static inline void store_copy_free_p(StoreCopy **c) {
        store_copy_free(*c);
}
#define _cleanup_store_copy_ _cleanup_(store_copy_free_p)
const char *store_copy_path(const StoreCopy *c);
int64_t store_copy_bytes(const StoreCopy *c);   /* of a complete one */

/* ── tasks ── */
/* Whether a new task may be added. While the disk is full what little space there is belongs to tasks that run. */
bool store_has_room(Store *s);
/* Sets t->seq. Nobody may have that id, so look first: it is found out here (-EEXIST), or only by what comes next, and then it costs all that is
 * staged. */
int store_task_add(Store *s, Task *t);
/* Fills *ret (to be freed with task_done). -ENOENT. */
int store_task_get(Store *s, const Ulid *id, bool with_parameters, Task *ret);
int store_task_get_seq(Store *s, int64_t seq, bool with_parameters, Task *ret);
/* Writes the mutable fields of `t` where the row still is in status `from`: -ESTALE when it is not. */
int store_task_move(Store *s, const Task *t, TaskStatus from);
/* heartbeat_at, progress, status_text, stop_reason of a started task. */
int store_task_note(Store *s, const Task *t);
int64_t store_next_position(Store *s);          /* ascends for ever, also over restarts */

/* ── attempts ── */
int store_attempt_add(Store *s, const Attempt *a);
int store_attempt_end(Store *s, const Attempt *a);                      /* all facts of the end */
int store_attempt_remove(Store *s, int64_t task_seq, unsigned attempt); /* a start that came to nothing */
typedef int (*store_attempt_fn)(void *userdata, const Attempt *a);
int store_attempt_list(Store *s, int64_t task_seq, store_attempt_fn fn, void *userdata);        /* ascending; damaged ones skipped */

/* ── what the dispatcher needs ── */
/* Counts of submitted tasks per queue and definition, once at start. */
typedef int (*store_lane_fn)(void *userdata, const char *queue, const char *name, uint32_t version, int64_t count);
int store_lanes(Store *s, store_lane_fn fn, void *userdata);
/* The first `limit` waiting tasks of a lane in order (priority falling, position rising) after (priority, position). */
typedef int (*store_ready_fn)(void *userdata, int64_t seq, int priority, int64_t position);
int store_ready(Store *s, const char *queue, const char *name, uint32_t version, int after_priority, int64_t after_position,
                unsigned limit, store_ready_fn fn, void *userdata);
/* Scheduled tasks due at or before `now` (wall), earliest first, and how many of them cannot be read and stay where they are; the earliest due
 * time after `after` (0: none). */
typedef int (*store_task_fn)(void *userdata, Task *t);                  /* may take strings out of *t; freed afterwards */
int store_due(Store *s, usec_t now, unsigned limit, store_task_fn fn, void *userdata, unsigned *ret_unreadable);
int store_next_due(Store *s, usec_t after, usec_t *ret);
/* The wall clock was set by `delta` µs: scheduled tasks that wait for a retry (scheduled_at is not their run_at) and starts in the windows of
 * rates are moved as much, so that delays and windows keep their length. */
int store_shift_times(Store *s, int64_t delta);
/* After a boot: where `now` (wall) is more than a day before the end of the attempt, the clock is wrong, and once it is corrected a retry would be
 * that much later. It waits for its full delay from now. */
int store_cap_retries(Store *s, usec_t now);
/* The offset between wall and boot clock that the stored times are meant with, and the boot it belongs to. In the database, so that it changes
 * in one commit with the times. -ENOENT: never put. */
#define BOOT_ID_MAX 40
int store_clock_get(Store *s, char boot_id[static BOOT_ID_MAX], int64_t *ret_offset);
int store_clock_put(Store *s, const char *boot_id, int64_t offset);
int store_started(Store *s, store_task_fn fn, void *userdata);          /* all started tasks, for recovery */

/* ── lists (SPEC 7) ── */
typedef struct TaskFilter {
        const char *queue, *name;       /* NULL: any */
        int64_t version;                /* -1: any */
        TaskStatus status;              /* _TASK_STATUS_MAX: any */
        unsigned statuses;              /* not 0: any of these instead, 1 << TaskStatus each */
        bool dead;                      /* only the dead letter queue, newest last */
        bool order_by_id;               /* default: by submission */
        bool newest_first;              /* by submission, downwards; not with has_start */
        bool has_after;                 /* keyset cursor: strictly after this row in the order asked for */
        int64_t after_seq;
        bool has_start;                 /* ids >= start */
        Ulid start;
        Ulid after_id;
        unsigned limit;                 /* rows at most, > 0 */
        uint64_t offset;
        bool with_parameters;
} TaskFilter;
/* Rows that cannot be read are logged and passed over, and neither shorten the list nor count for `limit`. */
int store_task_list(Store *s, const TaskFilter *f, store_task_fn fn, void *userdata);
int store_task_count(Store *s, const TaskFilter *f, int64_t *ret);      /* limit, offset and cursor are not looked at */

/* ── queues and roles ── */
int store_queue_put(Store *s, const QueueConfig *q);                    /* insert or replace */
int store_queue_remove(Store *s, const char *name);                     /* also from all roles */
typedef int (*store_queue_fn)(void *userdata, const QueueConfig *q);
int store_queue_list(Store *s, store_queue_fn fn, void *userdata);
int store_role_put(Store *s, const char *name, char *const *queues, const Ulid *refresh_tag);
int store_role_remove(Store *s, const char *name);
typedef int (*store_role_fn)(void *userdata, const char *name, char *const *queues, const Ulid *refresh_tag);
int store_role_list(Store *s, store_role_fn fn, void *userdata);
/* Starts of rate-limited queues, so that windows last over restarts. Times: wall µs. */
int store_start_add(Store *s, const char *queue, usec_t at);
int store_start_trim(Store *s, const char *queue, usec_t before);
typedef int (*store_start_fn)(void *userdata, usec_t at);
int store_start_list(Store *s, const char *queue, usec_t since, store_start_fn fn, void *userdata);     /* ascending */

/* ── definitions that attempts started with ── */
int store_definition_put(Store *s, uint64_t hash, const char *text);    /* once per hash */
int store_definition_get(Store *s, uint64_t hash, char **ret_text);     /* -ENOENT; caller frees */

/* ── retention: removes at most `limit` rows, returns how many (>= 0); ids go to fn so that logs can follow ── */
typedef void (*store_gone_fn)(void *userdata, const Ulid *id);
int store_expire_final(Store *s, usec_t before, unsigned limit, store_gone_fn fn, void *userdata);      /* final, not in the DLQ */
int store_expire_dead(Store *s, usec_t before, unsigned limit, store_gone_fn fn, void *userdata);
