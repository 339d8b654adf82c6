/* launcher-private.h: what the launcher's files know of each other.
 *
 *   launcher.c         the loop, the connection, hello
 *   launcher-start.c   start: checking, finding definition and user, fork
 *   launcher-worker.c  supervisors that have done their attempt and take another
 *   launcher-rest.c    those of them that are in scopes, which get it from here
 *   launcher-save.c    records that no daemon has taken
 *   launcher-end.c     signal, kill, forget: what is left of an attempt whose supervisor is gone
 *   launcher-tree.c    the same where only descent tells what was left
 *   launcher-scope.c   scope mode: talking to systemd
 *   launcher-bus.c     that connection in the loop */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "base/list.h"
#include "base/map.h"
#include "jobbers-run/containment.h"
#include "jobbers-run/place.h"
#include "jobbers-run/stay.h"
#include "jobbers-run/user.h"
#include "launch/wire.h"
#include "model/definition-trust.h"

typedef struct BusWatch BusWatch;
typedef struct Scopes Scopes;
typedef struct Rests Rests;
typedef struct Rest Rest;

/* What was found out about a definition, for as long as it is in force. */
typedef struct Finding {
        uint64_t hash;                  /* the key */
        bool has_user;
        RunUser user;
        TrustStamp trust;
} Finding;

typedef struct Launcher {
        const Settings *settings;
        Identity daemon;
        Place place;
        CgroupBase base;
        const ContainmentDriver *driver;        /* of attempts that are not in scopes */
        Scopes *scopes;                         /* NULL unless systemd answers */
        bool scope_is_default;                  /* of definitions that leave Launcher= open; as it was said in hello */
        usec_t scopes_tried_at;                 /* boot */
        bool has_journal, oom_protected;
        DefinitionSet *definitions;
        Map *findings;
        sd_event *event;
        int listen_fd, conn_fd, lock_fd;
        sd_event_source *listen_io, *conn_io, *lock_timer, *save_timer;
        bool is_child;                          /* leaves when its one connection ends */
        bool greeted;
        uint64_t connection;                    /* number of the present one: late answers to an earlier one are dropped */
        Link kills;                             /* of Kill */
        Link supervisors;                       /* launcher-tree.c: those we forked, and some that have ended */
        size_t n_supervisors, supervisors_max;
        int stay_fd, stay_read_fd;              /* a pipe that nobody writes to: supervisors leave when its writing end is closed */
        Rests *rests;                           /* who rests */
        bool save_failed;                       /* the last time; told */
        usec_t save_delay;                      /* until the next time */
        unsigned save_syncs;                    /* still to be done */
        int exit_status;
} Launcher;

/* Answers a request; text may be NULL. Nothing happens when its connection is gone. */
void launcher_reply(Launcher *l, const LauncherRequest *q, int result, const char *text);
/* Closes what a supervisor must not hold: called in the fresh fork. */
void launcher_close_fds(Launcher *l);

/* Makes the place of attempts' cgroups anew when somebody has removed it: a unit that was stopped. -errno, which was logged. */
int launcher_base_check(Launcher *l);
/* The same without making anything: false when somebody has removed it. */
bool launcher_base_is_there(const Launcher *l);
/* Is there a manager to ask for a scope? One that did not answer is asked again, now and then. 0, -EAGAIN: not just now, -EOPNOTSUPP: never. */
int launcher_scopes_check(Launcher *l);

/* launcher-start.c: takes the descriptors. */
void launcher_start(Launcher *l, const LauncherRequest *q, int parameters_fd, int channel_fd);
bool launcher_request_is_valid(const LauncherRequest *q);       /* its names are text, and names where there must be one */
/* What a request stands for, as this process knows it; all of it borrowed. */
typedef struct Start {
        Definition *definition;
        const RunUser *user;
        bool scope;
} Start;
/* -errno: it may not be started, for the reason in *ret_sentence (to be freed) or else in *ret_why. A worker reads no files again and makes nothing
 * anew, and refuses what would need that. */
int launcher_check_start(Launcher *l, const LauncherRequest *q, int parameters_fd, bool worker, Start *ret, const char **ret_why, char **ret_sentence);
void launcher_job(Launcher *l, const LauncherRequest *q, const Start *start, int parameters_fd, int channel_fd, int lock_fd, Job *ret);
int launcher_load_definitions(Launcher *l);
void launcher_forget_findings(Launcher *l);

/* launcher-worker.c */
void workers_dismiss(Launcher *l);                      /* those there are leave after their attempt: what they know has changed */
void workers_close_fds(Launcher *l);                    /* in a fork */
int workers_close(Launcher *l);                         /* idle ones have ended when it returns: with the lock, if that could be had; -1 without a descriptor */
/* In the fork: what comes after the first attempt; returns when there is nothing more. */
void worker_run(Launcher *l, Stay *stay);

/* launcher-rest.c */
int rests_new(Rests **ret);
Rests *rests_free(Rests *r);
void rests_close_fds(Rests *r);                         /* in a fork */
/* Around the fork of a supervisor that may rest: its end of the socket and its word are put into `stay`. NULL: there is no place for it. */
Rest *rest_begin(Rests *r, Stay *stay);
void rest_forked(Rest *p, Stay *stay, pid_t pid);       /* in the launcher; pid < 0: it was not */
void rests_dismiss(Rests *r);                           /* those there are get no more orders, and leave. One that is on its way is done */
/* Has a start done by a supervisor that rests. Copies the descriptors. Its number, or 0: there is none. */
pid_t rest_order(Rests *r, const LauncherRequest *q, int parameters_fd, int channel_fd);
/* In the fork, its attempt being over: leaves the scope; from then on an order may come. False: it cannot. */
bool rest_lie_down(Rests *r, Stay *stay);
bool rest_get_up(Stay *stay);                           /* to leave. False: an order is on its way */
void rest_ordered(Rests *r);                            /* it is here, and not read yet */
void rest_done(Stay *stay);                             /* the last thing before the process ends */

/* launcher-save.c */
void save_begin(const Launcher *l);                     /* removes what somebody was writing who was killed */
void save_while_alone(Launcher *l);                     /* from now on there is no daemon: saves records, from the loop */
void save_stop(Launcher *l);                            /* there is one */
void save_at_the_end(Launcher *l);                      /* of this launcher: once */

/* launcher-end.c */
void launcher_signal(Launcher *l, const LauncherRequest *q);
void launcher_kill(Launcher *l, const LauncherRequest *q);
void launcher_forget(Launcher *l, const LauncherRequest *q);
void launcher_kills_free(Launcher *l);
void launcher_kills_close_fds(Launcher *l);

/* launcher-tree.c: does nothing unless attempts are held by descent */
void tree_open(Launcher *l);
void tree_close(Launcher *l);
int tree_add(Launcher *l, const LauncherRequest *q);    /* a supervisor is about to be forked. -ENOMEM */
void tree_forked(Launcher *l, pid_t supervisor);        /* it was, or -1 */
/* SIGKILL to what may be left of the attempt, and to all other orphans. 0: nothing was left. */
size_t tree_kill(Launcher *l, const LauncherRequest *q);

/* launcher-bus.c: the bus is borrowed. on_broken: it has come to its end, told once, from the loop; the watch is still there. */
int bus_watch(sd_bus *bus, sd_event *event, void (*on_broken)(void *userdata), void *userdata, BusWatch **ret);
BusWatch *bus_unwatch(BusWatch *w);

/* launcher-scope.c */
bool scopes_expected(const Settings *settings);         /* this host, or this user, has a manager, whether it answers or not */
int scopes_new(Launcher *l, Scopes **ret);              /* -EOPNOTSUPP: no systemd manager answers */
void scopes_free(Scopes *s);
CgroupControllers scopes_controllers(const Scopes *s);  /* those that limit anything in a scope */
/* Around a fork, in which the connection's descriptor is to be closed: sd-bus tells its number only here, and it changes. */
void scopes_before_fork(Scopes *s);
void scopes_close_fds(Scopes *s);                       /* in the fork */
/* Asks for the attempt's scope around the supervisor; replies to the request when it is in there, or with the failure. */
void scopes_add(Scopes *s, const LauncherRequest *q, Definition *d, pid_t supervisor);
void scopes_slice(Scopes *s, const LauncherRequest *q);
