/* wire.h: what the daemon, the launcher and the supervisors say to each other. All sockets are AF_UNIX SOCK_SEQPACKET.
 *
 * DAEMON → LAUNCHER: one fixed-size LauncherRequest per datagram; `start` carries two descriptors: [0] the parameters (a memfd,
 * JSON text), [1] the supervisor's end of the channel. Nothing in a request is a path, a user or a limit of a task (SPEC 1).
 * LAUNCHER → DAEMON: a LauncherReply. First of all, unasked, a `hello` reply: what this launcher can hold (see flags).
 *
 * The launcher answers `start` only when it has something to say: a refusal (result < 0), or that the attempt's scope holds the supervisor
 * (result 0). A start without a scope that succeeds is silent. Which of the two it is follows from the definition, and for one that leaves
 * Launcher= open from the hello. A start is sent before `started` is committed; GO follows the commit.
 * Every other verb is answered, unless its cookie is 0: `forget` of an attempt that has just ended, one of which may come with every task. What is
 * lost with a connection is found by the sweep that follows the next hello.
 *
 * CHANNEL (daemon ↔ supervisor): a socketpair made by the daemon for each start that the launcher gets, or a connection to `control` in the
 * attempt's directory (SOCK_SEQPACKET listener) by the next daemon; datagrams of "KEY=VALUE\n" lines (unknown keys are skipped on both sides):
 *   daemon → supervisor   GO=1                     opens the gate
 *                         TAKEN=1                  with GO: the outcome of its attempt before is committed, whose record it may use up
 *                         STOP=cancelled|shutdown  begin the kill sequence (repeats are harmless; the first reason stays)
 *                         HELLO=1                  ask for the state line (control connections only)
 *                         a LauncherRequest `start` with the parameters' descriptor: the next attempt, after END
 *   supervisor → daemon   STATE=running|ending TASK=ID ATTEMPT=n PID=supervisor STARTTIME=ticks  answer to HELLO. (Not the boot id: who
 *                                                  answers is of this boot, and in a container the two may be shown different ones.)
 *                         BEAT=wall µs, STATUS=text, PROGRESS=n        as they come, at most ten datagrams a second
 *                         STOPPING=timeout|stalled                     its own reason, before the first signal
 *                         END=1, then the exit record if it fits in the datagram: the attempt is over, the record is there, nothing of
 *                                                  it is left, and this supervisor takes another attempt. (Not after an attempt in a scope:
 *                                                  its channel ends, and the launcher sends the supervisor another one, jobbers-run/launcher-rest.c.)
 *   End of stream, seen by the daemon: the supervisor is gone. Everything there will ever be is there (see the evidence below).
 *   End of stream, seen by the supervisor before GO: it exits without running anything and leaves no trace. After GO: it goes on alone,
 *   and saves its record as well. A newer control connection replaces the older one.
 *   Peers other than the daemon's uid, root and the own uid are refused (SO_PEERCRED).
 *
 * FILES of attempt n of task ID:
 *   attempt_dir/ID.n/            0711, launcher's uid, group jobbers
 *     control                    SOCK_SEQPACKET listener, 0660
 *     cgroup                     symlink whose text is the absolute path of the attempt's cgroup (absent without one)
 *     init                       symlink whose text is "PID STARTTIME" of the first process of the attempt's PID namespace, where that holds it
 *     notify                     NOTIFY_SOCKET, datagrams; 0600, the task's uid
 *     work/                      0700, the task's uid
 *       parameters               0444, the launcher's uid: JOBBERS_PARAMETERS, and standard input
 *       result                   JOBBERS_RESULT, made by the task
 *   attempt_dir/sPID-STARTTIME/  such a directory whose supervisor waits for its next attempt
 *   record_dir/ID.n.started      0640 group jobbers: written before the task's process exists, filled up to 4 KiB: proof that it may have run
 *   record_dir/ID.n              the exit record, by rename of the former; after TAKEN it becomes the next ID.n.started by rename
 *   record_dir/.birth            a name that no other directory ever has: what an attempt of another one left is lost
 *   saved_dir/ID.n               the exit record, made durable. record_dir is in memory: what no daemon was there to take has to outlive a reboot.
 *                                Written by the supervisor that ends alone, by the launcher while it has no daemon and at its end, and by a
 *                                supervisor that finds no room in record_dir (not synced then). The same text as in record_dir, if it is there too
 *
 * ORDER, so that two supervisors of one attempt never both run it (a `start` of a daemon that was killed may still be on its way):
 *   - hello is sent only when no start of an earlier connection can come to anything any more. The launcher opens saved_dir anew for each
 *     connection and holds flock(LOCK_EX) on it; supervisors inherit that descriptor and close it once ID.n.started exists (or they
 *     leave); the launcher closes its copy at the end of the connection, after the requests that were in it. Getting the lock is the proof.
 *     It then makes it a shared one, and a supervisor that waits for another attempt has a shared lock of its own.
 *   - ID.n.started is created with O_EXCL: who finds it there leaves everything as it is and exits. The daemon then asks `control`.
 *   - a refusal of `start` is sent before the launcher closes its copy of the channel's end.
 *
 * EVIDENCE once the supervisor is gone, in the same boot: ID.n in either directory → its facts; ID.n.started alone → host-lost; neither → not
 * started, but host-lost where record_dir is not the one (.birth) that it was when the attempt began. In a later boot: ID.n or nothing.
 * `forget` removes all of it (in memory first), after the outcome is committed. For a record alone, and a supervisor that goes on, TAKEN does instead; when that
 * supervisor leaves with its next attempt, nobody knows how far it came, and `forget` follows. */
#pragma once

#include "base/ulid.h"

#define WIRE_VERSION 5

#define RECORDS_BIRTH ".birth"
#define RECORDS_BIRTH_LEN 16           /* hexadecimal digits */

#define CHANNEL_END "END=1\n"
#define CHANNEL_END_MAX 8192            /* with its record: well below what a datagram may be */

typedef enum LauncherVerb {
        LAUNCHER_HELLO,         /* reply only */
        LAUNCHER_START,
        LAUNCHER_SIGNAL,        /* signal → every process of the attempt's cgroup: when its supervisor is gone */
        LAUNCHER_KILL,          /* SIGKILL to all of it; answered when the cgroup is empty and removed (result 0), or -EBUSY with text when
                                 * something cannot be killed (then asked again later by the daemon) */
        LAUNCHER_FORGET,        /* remove records and directories of the attempt */
        LAUNCHER_SLICE,         /* limits of a queue's slice (LAUNCHER_HAS_SCOPES), applied live */
        LAUNCHER_RELOAD,        /* read the definition files again: the daemon just did. A file that is bad later then has the same last good
                                 * version on both sides, which a launcher that looks only when it misses a hash may never have seen */
        _LAUNCHER_VERB_MAX,
} LauncherVerb;

typedef struct LauncherRequest {
        uint32_t verb;
        uint32_t cookie;                /* comes back in the reply; 0: no reply is wanted */
        Ulid task_id;
        uint32_t attempt;
        uint32_t retry_attempt;
        char name[65];                  /* NUL-terminated, checked by the launcher as everything here is */
        char queue[65];
        uint32_t version;
        uint64_t definition_hash;
        int32_t signal;
        /* slice: UINT64_MAX / 0 = not set, as in QueueConfig */
        uint64_t memory_max, tasks_max, cpu_quota_percent, cpu_weight;
} LauncherRequest;

/* hello flags: what attempts are held by whose definition leaves Launcher= open, in falling order of strength; exactly one of the first four. */
#define LAUNCHER_HOLDS_SCOPE (1U << 0)          /* transient scopes */
#define LAUNCHER_HOLDS_CGROUP (1U << 1)         /* cgroup v2 of its own making */
#define LAUNCHER_HOLDS_PIDNS (1U << 2)          /* PID namespaces */
#define LAUNCHER_HOLDS_TREE (1U << 3)           /* subreapers: nothing but descent */
#define LAUNCHER_HAS_MEMORY (1U << 4)           /* the cgroup controllers whose limits hold */
#define LAUNCHER_HAS_JOURNAL (1U << 5)          /* output of tasks goes to the journal, not to files */
#define LAUNCHER_HAS_SCOPES (1U << 6)           /* systemd answers: queues have slices, and a definition may ask for a scope */
#define LAUNCHER_HAS_CPU (1U << 7)
#define LAUNCHER_HAS_IO (1U << 8)
#define LAUNCHER_HAS_PIDS (1U << 9)
#define LAUNCHER_OWN_IDS_ONLY (1U << 10)        /* PID namespaces come with user namespaces, as an ordinary user gets them */
#define LAUNCHER_HAS_LIMITS (LAUNCHER_HAS_MEMORY | LAUNCHER_HAS_CPU | LAUNCHER_HAS_IO | LAUNCHER_HAS_PIDS)

typedef struct LauncherReply {
        uint32_t verb;
        uint32_t cookie;
        int32_t result;                 /* 0 or -errno; start: -ESTALE = no definition with that hash, also after rereading */
        uint32_t version;               /* WIRE_VERSION in hello */
        uint32_t flags;                 /* hello */
        int32_t pid;                    /* hello: the launcher's */
        char text[256];                 /* one sentence with a failure; start in a scope: the unit's name */
} LauncherReply;
