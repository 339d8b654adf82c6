/* engine.h: what jobbers does with tasks, for whoever asks (HTTP, signals, timers). Verbs decide and stage; they are durable after the
 * turn's commit. Replies therefore wait: a caller that changed something, or read while something was staged, registers with
 * engine_on_commit. */
#pragma once

#include <jansson.h>
#include <systemd/sd-event.h>

#include "base/list.h"
#include "launch/launch.h"
#include "model/definition.h"
#include "model/settings.h"
#include "store/store.h"

typedef struct Engine Engine;

/* The store is open, the launcher is started (and is attached to the loop here); loads queues, roles and definitions. Borrowed pointers
 * outlive the engine. */
int engine_new(Engine **ret, sd_event *event, const Settings *settings, Store *store, Launch *launch);
void engine_free(Engine *e);
/* Recovery: for every `started` task finds the evidence (RELIABILITY: the windows around a launch); then dispatch may begin. */
int engine_recover(Engine *e);
/* One turn's end: expire, dispatch, commit, effects; until nothing is staged. -EIO: the outcome of a commit is unknown, the daemon must end. */
int engine_turn(Engine *e);
Store *engine_store(Engine *e);
const Settings *engine_settings(Engine *e);
DefinitionSet *engine_definitions(Engine *e);

/* ── waiting ── */
/* Called once after the next commit that covers what is staged now: result 0, -ENOSPC (rolled back), -EIO (unknown). Link is the caller's;
 * removing it cancels. With nothing staged it is called at the end of this turn with 0. */
typedef struct EngineWait {
        Link link;
        void (*fn)(struct EngineWait *w, int result);
} EngineWait;
void engine_on_commit(Engine *e, EngineWait *w);
/* Called once when the task is final and that is durable (or the daemon stops). Free with engine_unwatch. */
typedef struct EngineWatch {
        Link link;
        Ulid id;
        void (*fn)(struct EngineWatch *w);
} EngineWatch;
void engine_watch(Engine *e, EngineWatch *w);
void engine_unwatch(EngineWatch *w);

/* ── tasks ── */
typedef struct Submission {
        bool has_id;
        Ulid id;
        const char *name, *queue;       /* queue NULL: "default" */
        uint32_t version;
        bool version_omitted;           /* 0 for want of one */
        int priority;
        json_t *parameters;             /* object, borrowed; NULL: {} */
        usec_t run_at;                  /* wall; 0: now */
} Submission;

/* Errors of the verbs below carry one sentence for the client in *ret_sentence (static or freed by engine: copy it now):
 * -ENOENT unknown task id; -EINVAL unknown task name, version or queue, or wrong parameters (400); -EEXIST same id, another body (409);
 * -EPERM not possible in this state (409); -E2BIG parameters too large (413); -ENOSPC state cannot be written (507); -EBADMSG this task's
 * record is damaged (503), which is about no other task. */
/* 0 submitted, 1 the same id with the same body was there already; *ret is the task either way (task_done). */
int engine_submit(Engine *e, const Submission *s, Task *ret, const char **ret_sentence);
/* Only checks: what engine_submit would answer, without staging anything (for all-or-nothing lists). */
int engine_submit_check(Engine *e, const Submission *s, const char **ret_sentence);
/* Nothing of this turn is committed: a verb that was part of a whole came to nothing, with this error. */
void engine_undo(Engine *e, int error);
int engine_cancel(Engine *e, const Ulid *id, Task *ret, const char **ret_sentence);     /* 0 also when it is being cancelled already */
int engine_cancel_check(Engine *e, const Ulid *id, const char **ret_sentence);         /* what they would answer, without staging anything */
int engine_resubmit_check(Engine *e, const Ulid *id, const char **ret_sentence);
int engine_resubmit(Engine *e, const Ulid *id, bool reset_retries, Task *ret, const char **ret_sentence);
int engine_bury_remove(Engine *e, const Ulid *id);      /* out of the dead letter queue; -ENOENT when not in it */

/* ── queues and roles (sentences as above) ── */
const QueueConfig *engine_queue_get(Engine *e, const char *name);                       /* NULL: unknown */
int engine_queue_put(Engine *e, const QueueConfig *q, const char **ret_sentence);       /* create or change, in force at once */
/* Cancels some of the tasks that wait in it: 1 when there may be more, for another turn. */
int engine_queue_empty(Engine *e, const char *name, const char **ret_sentence);
/* -EBUSY: holds unfinished tasks; with force, such as cannot be cancelled, their records being damaged (the others are cancelled). */
int engine_queue_remove(Engine *e, const char *name, bool force, const char **ret_sentence);
typedef struct QueueStatus {
        const QueueConfig *config;
        int64_t waiting, scheduled_unused;
        unsigned running;
        bool served;                    /* by a role of this daemon */
} QueueStatus;
size_t engine_queue_count(Engine *e);
void engine_queue_at(Engine *e, size_t i, QueueStatus *ret);                            /* sorted by name */
typedef struct RoleStatus {
        const char *name;
        char *const *queues;            /* sorted, NULL-terminated */
        Ulid refresh_tag;
        bool served, exists;
        unsigned slots, running;
} RoleStatus;
size_t engine_role_count(Engine *e);
void engine_role_at(Engine *e, size_t i, RoleStatus *ret);                              /* sorted by name */
bool engine_role_served_at(Engine *e, size_t i, RoleStatus *ret);       /* those of --role=, also where they do not exist; false at the end */
int engine_role_get(Engine *e, const char *name, RoleStatus *ret);                      /* -ENOENT */
int engine_role_put(Engine *e, const char *name, char *const *queues, const char **ret_sentence);       /* -EINVAL unknown queue */
int engine_role_remove(Engine *e, const char *name, const char **ret_sentence);
int engine_role_refresh(Engine *e, const char *name, Ulid *ret_tag);

/* ── the daemon ── */
/* Called once when the definitions that engine_reload read last are in force everywhere, the launcher included; at the end of this turn
 * when nothing is under way or no launcher is there to wait for. */
void engine_on_reload(Engine *e, EngineWait *w);
bool engine_reloading(const Engine *e);
int engine_reload(Engine *e);                   /* definitions anew; problems are logged; returns their number */
#define PROBLEMS_KEPT 50
char *const *engine_problems(const Engine *e);  /* those of the last reload, as sentences; may be NULL */
void engine_drain(Engine *e, bool on);          /* stop starting tasks */
bool engine_draining(const Engine *e);
/* Begins the shutdown: applies every policy; on_done once nothing is left to wait for (or after shutdown_timeout). */
void engine_shutdown(Engine *e, void (*on_done)(void *userdata), void *userdata);
unsigned engine_running(const Engine *e);
uint32_t engine_launch_flags(const Engine *e);  /* LAUNCHER_* of wire.h as the launcher said hello; 0 while it is away */

/* ── numbers for /metrics and /status: monotonic counters and histograms, by queue, task name and version where it makes sense ── */
typedef struct EngineCounters EngineCounters;
const EngineCounters *engine_counters(const Engine *e);
