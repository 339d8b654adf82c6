/* launch.h: the daemon's side of launching: the connection to the launcher, and a handle per living attempt.
 *
 * The launcher process is started here as a child (by hand as root, and in user mode) before privileges are dropped, or reached at
 * settings.launcher_socket (packaged service). All callbacks run from the event loop, never from within a verb. */
#pragma once

#include <systemd/sd-event.h>

#include "launch/wire.h"
#include "model/exit.h"
#include "model/queue.h"
#include "model/settings.h"
#include "model/task.h"

typedef struct Launch Launch;
typedef struct LaunchAttempt LaunchAttempt;     /* one living attempt; owned by Launch, freed after on_ended or launch_abandon */

/* What became of an attempt that is over (wire.h, EVIDENCE). */
typedef enum LaunchEnd {
        LAUNCH_END_RECORD,              /* record is set */
        LAUNCH_END_LOST,                /* it may have run and left no record; its cgroup is proven empty (LAUNCHER_KILL was answered) */
        LAUNCH_END_NOT_STARTED,         /* it never ran */
        LAUNCH_END_REFUSED,             /* the launcher refused: error and sentence say why; -ESTALE: definitions differ */
} LaunchEnd;

typedef struct LaunchCallbacks {
        /* An attempt of an earlier daemon lives: its supervisor has answered. */
        void (*on_adopted)(void *userdata, void *attempt_data);
        /* Notes from the task, already coalesced: beat 0, status NULL, progress -1 where absent. */
        void (*on_note)(void *userdata, void *attempt_data, usec_t beat, const char *status, int progress);
        /* The supervisor stops the attempt by itself: STOP_TIMEOUT or STOP_STALLED. */
        void (*on_stopping)(void *userdata, void *attempt_data, StopReason reason);
        /* It is over. record may be taken from (its strings), it is freed afterwards. The handle is gone after this. */
        void (*on_ended)(void *userdata, void *attempt_data, LaunchEnd end, int error, const char *sentence, ExitRecord *record);
        /* The launcher has said hello (first connection, or a new one after it was restarted). */
        void (*on_ready)(void *userdata);
        /* All that launch_reload asked for has been done, or cannot be waited for. */
        void (*on_reloaded)(void *userdata);
        /* The launcher child died: the daemon must end non-zero (SPEC 1). Not called for the packaged service: there it reconnects. */
        void (*on_launcher_dead)(void *userdata);
} LaunchCallbacks;

/* Before privileges are dropped: starts the launcher child if there is to be one (argv: the daemon's own, handed on; the child gets no
 * listener) and opens nothing else. */
int launch_new(Launch **ret, const Settings *settings, int argc, char **argv);
/* After the drop: attaches to the loop, opens record_dir, connects. */
int launch_attach(Launch *l, sd_event *event, const LaunchCallbacks *callbacks, void *userdata);
void launch_free(Launch *l);                    /* living attempts run on */
uint32_t launch_flags(const Launch *l);         /* of the hello; 0 while there is none */
/* Will an attempt be in a scope, by its definition's Launcher=? To be asked once the launcher is ready. */
bool launch_uses_scope(const Launch *l, LauncherKind wanted);
bool launch_is_ready(const Launch *l);          /* starts asked for while not ready are kept and sent at the next hello */

typedef struct LaunchStart {
        const Ulid *task_id;
        unsigned attempt, retry_attempt;
        const char *queue;
        const Definition *definition;
        const char *parameters;                 /* JSON text */
        bool committed;                         /* `started` is; else launch_go says so later */
} LaunchStart;

/* Begins an attempt, or prepares one whose `started` is staged: its supervisor comes up and waits at its gate while the commit is under way.
 * -errno (nothing was begun) only without memory or descriptors. */
int launch_start(Launch *l, const LaunchStart *start, void *attempt_data, LaunchAttempt **ret);
/* `started` is committed: the gate opens as soon as the supervisor is in its place. The outcome comes by on_ended, failures of every kind
 * included, so that callers have one path. */
void launch_go(LaunchAttempt *a);
/* `started` is not committed: nothing is run, on_ended is not called. Returns NULL. */
LaunchAttempt *launch_abandon(LaunchAttempt *a);
/* Where evidence of what is started now is gathered: to be kept with the attempt, and given to launch_adopt. Borrowed, until the next hello. */
const char *launch_evidence(const Launch *l);
/* Finds out, from the loop, what became of an attempt that an earlier daemon started in this boot: connects to its supervisor and verifies who
 * it is (wire.h), or, when nobody is there, gathers the evidence. Ends in on_ended sooner or later, after on_adopted if it lives. -errno: it is
 * not looked for. */
int launch_adopt(Launch *l, const Ulid *task_id, unsigned attempt, const char *evidence, void *attempt_data, LaunchAttempt **ret);
/* Evidence of an attempt of an earlier boot: 0 and the record (to be freed), -ENOENT without one. */
int launch_read_record(Launch *l, const Ulid *task_id, unsigned attempt, ExitRecord *ret);

/* Asks the supervisor for the kill sequence (STOP_CANCELLED or STOP_SHUTDOWN). The reason is committed before this is called. */
int launch_stop(LaunchAttempt *a, StopReason reason);
pid_t launch_attempt_pid(const LaunchAttempt *a);       /* supervisor's, 0 while unknown */
/* The outcome is committed: records and directories may go. `restarts`: an attempt of this number may be started again. The record of an attempt
 * whose supervisor waits for another is left to that one, if it gets a start before launch_forget_the_rest, which is to follow the starts. */
int launch_forget(Launch *l, const Ulid *task_id, unsigned attempt, bool restarts);
void launch_forget_the_rest(Launch *l);
/* Has everything forgotten that lies on disk of attempts which are not `wanted` (left by a daemon that was killed between a commit and its
 * forget). To be called after on_ready, while nothing is staged. Returns how many files and directories, or -errno. */
int launch_sweep(Launch *l, bool (*wanted)(void *userdata, const Ulid *task_id, unsigned attempt), void *userdata);
/* The definitions were read anew: the launcher does the same, before any start that is asked for later. */
int launch_reload(Launch *l);
bool launch_is_reloading(const Launch *l);      /* on_reloaded will come; never while no launcher is there */
/* A queue's slice limits (no-op where there are no scopes). */
int launch_slice(Launch *l, const QueueConfig *queue);
