/* internal.h: the engine from inside, for the rooms of this group alone.
 *
 * What is in memory mirrors the store: lanes (who waits), counts (who runs), queues and roles. Verbs change both at once, and the mirror
 * runs ahead of the disk until the turn's commit. When that fails for lack of space, the store rolls back and engine_rebuild makes the
 * mirror anew; only what the disk does not know survives in memory: living attempts and the outcomes of ended ones (Run). */
#pragma once

#include <dirent.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "dispatch/counters.h"
#include "dispatch/engine.h"
#include "dispatch/lanes.h"

/* Rate windows run on the boot-time clock plus this, so that starts of before the boot have a place on it too. */
#define WINDOW_EPOCH (1ULL << 60)
/* What a lane waits after a launch that was refused for a passing reason, and the whole engine after a full disk. */
#define HOLD_USEC (1 * USEC_PER_SEC)
#define NOTE_INTERVAL_USEC (1 * USEC_PER_SEC)

typedef struct Role {
        char *name;
        char **queues;                  /* sorted, NULL-terminated; never NULL while it exists */
        Ulid refresh_tag;
        bool exists;                    /* in the store; a served role that is deleted stays as a husk */
        bool served;
        unsigned slots, running;
} Role;

typedef struct Queue {
        Link ring;                      /* Engine.ring while tasks wait */
        Link lanes;
        QueueConfig config;
        RateWindow window;
        bool exists;                    /* in the store; else a husk that attempts still run in */
        bool slice_changed;             /* its limits go to the launcher after the commit */
        unsigned running;
        int64_t waiting;
        unsigned untrimmed;             /* starts since the stored window was last trimmed */
        Role **roles;                   /* served roles that it is in */
        size_t n_roles;
} Queue;

typedef enum RunState {
        RUN_STARTING,                   /* `started` is staged; its gate opens after the commit */
        RUN_ALIVE,                      /* its gate was opened */
        RUN_ENDED,                      /* its end is known, not yet staged */
        RUN_SETTLED,                    /* outcome staged; gone after the commit */
} RunState;

/* An attempt of this daemon, from `started` to the commit of its outcome. */
typedef struct Run {
        Link link;                      /* launching, ended or settled; alone while alive */
        Link stop_link;                 /* Engine.stopping: STOP goes out after the commit */
        Link note_link;                 /* Engine.noted: heartbeat or status not yet stored */
        RunState state;
        Task task;                      /* as staged; parameters only until the launch */
        Attempt attempt;
        usec_t before_started, before_retried, before_heartbeat;        /* to undo a start */
        Definition *definition;         /* what it started with; NULL: lost */
        Queue *queue;
        Role *role;
        Kind *kind;
        bool counted;                   /* in the running counts of queue, role and kind */
        usec_t rated_at;                /* its stamp in its queue's window, 0 without one */
        bool mapped;                    /* in Engine.runs */
        LaunchAttempt *launch;
        usec_t noted_at;                /* boot */
        usec_t waited;                  /* ready to start */

        /* the end, kept until it is committed */
        LaunchEnd end;
        int end_error;
        char *end_sentence;
        ExitRecord record;              /* with LAUNCH_END_RECORD */
        bool forget;                    /* nothing of it is needed on disk any more, once committed */
        bool restarts;                  /* and the same attempt will be started again */
} Run;

typedef struct FinalTask {
        Link link;
        Ulid id;
} FinalTask;

#define WATCH_BUCKETS 256

struct Engine {
        sd_event *event;
        const Settings *settings;
        Store *store;
        Launch *launch;
        DefinitionSet *definitions;
        uint64_t generation;            /* of the definitions */
        usec_t reloaded_at;             /* boot */
        EngineCounters counters;
        char *sentence;                 /* of the last refusal */
        char **problems;                /* what the last reload found, as sentences: the first PROBLEMS_KEPT */

        Map *queue_map;                 /* name → Queue, husks too */
        Queue **queues;                 /* existing ones, sorted by name */
        size_t n_queues;
        Role **roles;                   /* sorted by name, husks too */
        size_t n_roles;
        Map *kinds;                     /* (version, name) → Kind */
        Map *runs;                      /* task id → Run */
        Map *hashes;                    /* definition hashes that are in the store: value and key are a KnownHash */
        Link ring;                      /* queues with waiting tasks; the front one is next */

        bool recovered, draining;
        bool accept_restored;           /* the operator accepts a database that was put back from a backup */
        bool sweep;                     /* files of finished attempts are to be looked for */
        bool dirty;                     /* something changed that dispatch looks at */
        usec_t hold_until;              /* boot: launches are refused at large */
        usec_t dispatch_wake;           /* boot: a window opens, a hold ends; USEC_INFINITY: nothing to wait for */

        /* effects of the turn, run after its commit */
        Link launching, stopping, settled, finals, waits, reload_waits;
        bool slices_changed;
        char **sayings;                 /* lines for the log about what people changed */
        Link ended;                     /* ends to be staged (again, after a full disk) */
        Link noted;
        Link watches[WATCH_BUCKETS];

        int spoiled;                    /* a write failed: what is staged must not be committed */
        bool full;                      /* the disk is: nothing is decided before full_until (boot) */
        usec_t full_until;

        usec_t next_due;                /* wall: the earliest scheduled task; USEC_INFINITY: none */
        int64_t clock_offset;           /* wall - boot as the stored due times of retries have it */
        bool clock_known;               /* the store has it */
        unsigned due_unreadable;        /* due rows that are passed over */
        int clock_fd;                   /* readable when somebody sets the clock */
        usec_t expire_at;               /* boot; USEC_INFINITY: nothing to expire */
        bool expire_more;
        DIR *expire_logs;               /* the directory of log files, while it is gone through */

        bool stopping_down;             /* engine_shutdown was called */
        bool hurry;                     /* do not wait for `continue` attempts */
        bool gave_up;
        usec_t shutdown_deadline, shutdown_end;         /* boot */
        void (*on_down)(void *userdata);
        void *on_down_data;

        sd_event_source *timer_boot, *timer_wall, *again, *clock_watch;
};

/* ── engine.c ── */
/* Something could not be written: remembers the first such error and returns it; the turn then rolls back. */
int engine_spoil(Engine *e, int error);
/* Sets the sentence of a refusal; returns `error`, or -ENOMEM. */
int engine_refuse(Engine *e, const char **ret_sentence, int error, const char *format, ...) _printf_(4, 5);
/* A line for the log (notice) about a change that is being staged: written once it is committed, dropped if it is rolled back. */
void engine_say(Engine *e, const char *format, ...) _printf_(2, 3);
/* -ENOSPC with its sentence while nothing can be written, else 0. */
int engine_writable(Engine *e, const char **ret_sentence);
void engine_again(Engine *e);           /* another turn soon, without waiting for an event */
Kind *engine_kind(Engine *e, const char *name, uint32_t version);       /* made when new; NULL without memory */
uint64_t engine_random(void);

/* ── life-apply.c ── */
/* Applies one arrow of the life table to `t`: changes it, stages it, keeps lanes and counts, queues effects, logs. `run` is its attempt, NULL
 * where it has none; `due` is the wall time it waits for with LIFE_FX_TIMER. -EPERM: the table has no such arrow. */
int life_apply(Engine *e, Task *t, Run *run, LifeEvent event, usec_t due);
/* The wall time now, but not before anything that already happened to the task. */
usec_t task_now(const Task *t);
/* Why it stopped, what it said: notes of a started task. */
int task_note(Engine *e, const Task *t);

/* ── run.c: attempts ── */
extern const LaunchCallbacks run_callbacks;
/* Takes the task over; counts it as running; in the map. NULL without memory (the task is then untouched). */
Run *run_new(Engine *e, Task *t, Queue *q, Role *role, Kind *kind, Definition *d);
void run_free(Engine *e, Run *run);
void run_undo_start(Run *run);          /* its task as it was before: the start came to nothing */
Run *run_find(Engine *e, const Ulid *id);
void run_count(Run *run);
void run_uncount(Run *run);
int run_ask_stop(Engine *e, Run *run, StopReason reason);       /* commits the reason, then the kill sequence */
void run_ended(Engine *e, Run *run, LaunchEnd end, int error, const char *sentence, ExitRecord *record);
int run_settle_all(Engine *e);          /* stages the outcomes of what has ended */
int run_flush_notes(Engine *e);
void run_prepare_launches(Engine *e);   /* supervisors come up while the commit is under way, and wait at their gates */
void run_effects_launch(Engine *e);
void run_effects_stop(Engine *e);
void run_effects_settled(Engine *e);
int run_rollback(Engine *e);            /* after a rollback: what was starting never was, what was settled is to be settled again */
usec_t run_notes_wake(Engine *e);       /* boot; USEC_INFINITY */

/* ── dispatch.c ── */
int dispatch_run(Engine *e);
void dispatch_ready(Engine *e, Queue *q, const Task *t);
void dispatch_unready(Engine *e, Queue *q, const Task *t);
int dispatch_load(Engine *e);           /* lanes anew from the store */

/* ── queues.c, roles.c ── */
int queues_load(Engine *e);             /* queues anew from the store */
int queues_default(Engine *e);          /* stages the queue and the role `default` where they are missing */
Queue *queue_find(Engine *e, const char *name);                 /* existing ones */
Queue *queue_husk(Engine *e, const char *name);                 /* an existing one, or a stand-in for what still refers to it */
void queues_effects(Engine *e);
void queues_slices_all(Engine *e);      /* a new launcher is told all limits */
void queues_free(Engine *e);
int roles_load(Engine *e);
void roles_warn(Engine *e);             /* of those that are to be served and do not exist */
void roles_link(Engine *e);             /* which served roles each queue is in */
int roles_forget_queue(Engine *e, const char *queue);
void roles_free(Engine *e);
Role *role_find(Engine *e, const char *name);                   /* existing ones */
Role *role_for(Engine *e, Queue *q);    /* a served role with a free slot, NULL */

/* ── due.c ── */
int due_init(Engine *e);
void due_done(Engine *e);
int due_run(Engine *e);
int due_reload(Engine *e);              /* next_due anew from the store */
void due_note(Engine *e, usec_t wall);  /* a task was scheduled */
void due_arm(Engine *e);
/* A moment of the boot clock as the store's times are meant, which is not by the wall clock if that was set a moment ago: due_run follows. */
usec_t due_wall(const Engine *e, usec_t boot);

/* ── expire.c, shutdown.c, recover.c (engine.h) ── */
void recover_sweep(Engine *e);         /* after a commit */
int expire_run(Engine *e);
void expire_note(Engine *e);            /* a task became final */
void expire_done(Engine *e);
int shutdown_run(Engine *e);            /* asks what is to stop to stop */
bool shutdown_over(Engine *e);
usec_t shutdown_wake(const Engine *e);
