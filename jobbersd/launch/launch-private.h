/* launch-private.h: what the files of this group know of each other. Others include launch.h.
 *
 *   launch.c    the connection to the launcher: hello, requests, replies, the list of outcomes to be told
 *   spawn.c     the launcher as a child of the daemon
 *   attempt.c   a living attempt: what comes and goes through its channel
 *   channel.c   channels themselves, and the supervisors that wait for another attempt
 *   adopt.c     who is there, and what became of whom (EVIDENCE in wire.h)
 *   sweep.c     what nobody waits for any more */
#pragma once

#include "base/list.h"
#include "launch/launch.h"

/* A request on its way: in `queue` until it is sent, then (all but `start` and `forget`) in `sent` until it is answered, so that a launcher
 * which is restarted gets it again; all of these may be repeated. */
typedef struct Request {
        Link link;
        LauncherRequest body;
        LaunchAttempt *attempt;         /* start, kill: whom it is about */
        int parameters, channel;        /* start, until sent; else -1 */
        LauncherKind launcher;          /* start: of its definition */
} Request;

/* A connection to a supervisor. It outlives the attempt when the supervisor takes another one. */
typedef struct Channel {
        Launch *launch;
        LaunchAttempt *attempt;         /* NULL: idle, and in Launch.idle */
        int fd;
        sd_event_source *io;
        Link link;
        unsigned reloads;               /* Launch.reloads_asked at its birth */
        Ulid last_id;                   /* its attempt before, */
        unsigned last_number;           /* 0: none */
        bool taken;                     /* whose outcome is committed: the supervisor may use up the record, or the launcher is to forget it */
        usec_t idle_since;              /* boot */
} Channel;

struct Launch {
        const Settings *settings;
        bool is_child;                  /* the launcher is our child; else the packaged service */
        pid_t child;                    /* 0: none */
        int child_pidfd;
        int sock;
        sd_event *event;
        sd_event_source *io, *child_io, *timer, *defer, *look;
        usec_t reconnect_delay;
        const LaunchCallbacks *callbacks;
        void *userdata;
        bool ready, dead, wants_out;
        bool hello_new, reloaded_new;   /* the loop has not been told yet */
        unsigned reloads;               /* asked for and not answered */
        unsigned reloads_asked;         /* ever: supervisors know the definitions of their birth */
        Link idle;                      /* of Channel */
        size_t n_idle;
        sd_event_source *retire;
        uint32_t flags, last_cookie;
        Link queue, sent;               /* of Request */
        Link attempts;                  /* LaunchAttempt.link */
        Link unseen;                    /* LaunchAttempt.unseen_link: to be adopted, and not looked for yet */
        Link ended;                     /* LaunchAttempt.ended_link: outcomes to be told */
        int record_fd, saved_fd;        /* of record_dir and saved_dir, -1 until they exist */
        char evidence[EVIDENCE_MAX];
        int parameters_fd;              /* the parameters of the last start, sealed; -1 without */
        char *parameters;
};

typedef enum AttemptState {
        ATTEMPT_STARTING,               /* own channel; the start is queued or sent */
        ATTEMPT_UNSEEN,                 /* an earlier daemon's, not looked for yet */
        ATTEMPT_HELLO,                  /* connected to `control`, not known yet to be who it should be: nothing but HELLO is sent */
        ATTEMPT_LIVING,                 /* verified */
        ATTEMPT_LEAVING,                /* the channel has ended, the pidfd has not */
        ATTEMPT_WAIT_HELLO,             /* adoption: nobody answers, but a start of an earlier daemon may still be on its way */
        ATTEMPT_WAIT_RETRY,             /* the evidence could not be read just now */
        ATTEMPT_KILLING,                /* waits for the answer to `kill` */
        ATTEMPT_ENDED,                  /* on_ended will be called */
} AttemptState;

struct LaunchAttempt {
        Launch *launch;
        Link link, unseen_link, ended_link;
        Ulid id;
        unsigned number;
        char evidence[EVIDENCE_MAX];    /* as launch_evidence was at its start */
        void *data;
        AttemptState state;
        pid_t pid;                      /* supervisor's, 0 unknown */
        Channel *channel;               /* NULL without */
        int pidfd;
        sd_event_source *pidfd_io, *timer;
        usec_t retry_delay;
        Request *request;               /* start: while it is queued; kill: until it is answered */
        Request *again;                 /* the start, while the supervisor that waited may still leave it to the launcher */
        uint32_t start_cookie;          /* 0: not sent */
        bool placed;                    /* it is where it is to run, or will be by itself: in no scope, or in the right one */
        bool committed;                 /* launch_go */
        bool go;                        /* the gate was opened, for which it takes both */
        bool seen;                      /* it said something: it did run */
        bool adopting;                  /* its supervisor has not answered yet */
        bool stranger;                  /* who listens on `control` is not it */
        bool damaged;                   /* its record cannot be read */
        StopReason stop;                /* asked for, and not yet in the channel */
        LaunchEnd end;
        int error;
        char *sentence;
        ExitRecord record;
};

/* launch.c */
Request *launch_request_new(Launch *l, LauncherVerb verb, const Ulid *task_id, unsigned attempt);
Request *launch_request_free(Request *q);               /* also takes it out of its list; returns NULL */
void launch_request_put(Launch *l, Request *q);         /* at the end of the queue, sent at once if that is possible */
bool launch_forget_is_under_way(const Launch *l, const Ulid *task_id, unsigned attempt);       /* one of those that are answered */
void launch_read_replies(Launch *l);                    /* what is there already; never calls back */
void launch_defer(Launch *l);                           /* the list `ended` has grown */
int launch_ask_to_forget(Launch *l, const Ulid *task_id, unsigned attempt, bool answered);
int launch_new_connected(Launch **ret, const Settings *settings, int sock);     /* tests: a socketpair's end in place of a child's; takes it */

/* spawn.c */
int launch_spawn(char **argv, int argc, int *ret_sock, int *ret_pidfd, pid_t *ret_pid);

/* attempt.c */
#define ATTEMPT_NAME_MAX (ULID_LEN + 32)
char *attempt_file_name(const Ulid *id, unsigned number, const char *suffix, char buf[static ATTEMPT_NAME_MAX]);
LaunchAttempt *attempt_new(Launch *l, const Ulid *id, unsigned number, const char *evidence, void *data);
LaunchAttempt *attempt_free(LaunchAttempt *a);          /* returns NULL */
void attempt_ended(LaunchAttempt *a, LaunchEnd end);    /* to be told from the loop */
void attempt_placed(LaunchAttempt *a);
void attempt_refused(LaunchAttempt *a, int error, const char *sentence);
void attempt_connection_lost(LaunchAttempt *a);         /* to the launcher */
bool attempt_ask_again(LaunchAttempt *a);               /* the launcher, since the supervisor that waited has left: true when it was asked */
int attempt_watch_channel(LaunchAttempt *a, int channel);       /* takes it */
void attempt_read(LaunchAttempt *a);                    /* what has come through its channel */
void attempt_close_channel(LaunchAttempt *a);
void attempt_retry(LaunchAttempt *a, usec_t first_delay);       /* attempt_on_timer later; twice as long each time, at most 10 s */
void attempt_send_stop(LaunchAttempt *a);
void attempt_killed(LaunchAttempt *a, int result, const char *text);

/* channel.c */
Channel *channel_new(LaunchAttempt *a, int fd);         /* watched; takes fd; NULL: not enough memory */
Channel *channel_free(Channel *c);                      /* returns NULL */
void channel_keep(Channel *c);                          /* its attempt is over, its supervisor waits for another; takes it */
Channel *channel_take(Launch *l);                       /* one whose supervisor waits; NULL without */
bool channel_may_use_up(Launch *l, const Ulid *id, unsigned number);    /* the record, which need not be forgotten then: true when it waits */
void channels_clear(Launch *l);                         /* all who wait may leave */

/* adopt.c */
void launch_look_at_records(Launch *l);                 /* the launcher has said hello: they are there, maybe anew */
/* -EBADMSG: damaged, or not of this attempt. Else as exit_record_decode(). */
int record_decode(const Ulid *task_id, unsigned attempt, const char *text, size_t len, ExitRecord *ret);
void attempt_gone(LaunchAttempt *a);                    /* its channel has ended */
typedef enum SettleAfter { SETTLE_FIND, SETTLE_GONE, SETTLE_KILLED } SettleAfter;
void attempt_settle(LaunchAttempt *a, SettleAfter after);       /* who is there, what is on disk */
void attempt_kill(LaunchAttempt *a);                    /* asks the launcher for the proof that nothing is left */
void attempt_state_line(LaunchAttempt *a, char *lines); /* the answer to HELLO; changes `lines` */
int launch_look(sd_event_source *s, uint64_t usec, void *launch);       /* for the next that is unseen */
