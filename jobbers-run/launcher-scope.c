/* launcher-scope.c: scope mode: asking systemd for a transient scope around each waiting supervisor, and for the limits of queues' slices.
 *
 * The manager's private socket is used where it lets us in (half of the cost of a message bus, and there is none to be restarted), else the
 * bus. All calls are asynchronous, many at a time. What counts in the end is neither an answer nor a signal but where the kernel says that
 * the supervisor is: so a connection that breaks in between costs a look, and maybe a second asking, and nothing else. */
#include "jobbers-run/launcher-private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/supervisor.h"
#include "model/task.h"

#define DESTINATION "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define CONNECT_TIMEOUT (5 * USEC_PER_SEC)
#define RECONNECT_AFTER (100 * USEC_PER_MSEC)
#define CALL_TIMEOUT (60 * USEC_PER_SEC)        /* a daemon-reload may take its time */
#define GIVE_UP_AFTER (90 * USEC_PER_SEC)       /* a scope that is not there by then */
#define STOP_MARGIN (10 * USEC_PER_SEC)         /* after the kill grace: for SIGKILL to be over and the record to be written */
#define ASKED_MAX 32                            /* at once: more gains nothing, and a slow manager would keep the last ones waiting for too long */
#define HAS_LEFT "its supervisor has left"
#define IDLE_AFTER (3 * USEC_PER_SEC)           /* without a question */
#define LOOK_EVERY (100 * USEC_PER_MSEC)        /* while something is out of the ordinary */

typedef struct Scope {
        Link link;
        Scopes *scopes;
        LauncherRequest request;
        uint64_t connection;
        Definition *definition;
        char unit[SCOPE_NAME_MAX];
        pid_t pid;
        int pidfd;                      /* the number cannot come to mean somebody else unnoticed */
        sd_bus_slot *call;              /* under way */
        bool asked;                     /* one of ASKED_MAX; the others wait for their turn, in the order they came */
        bool had_its_turn;
        bool left;                      /* its supervisor has, and that was answered; whether there is a scope to stop is not known yet */
        bool was_there, was_empty;      /* systemd has said that it has such a unit; and that nobody is in there */
        uint32_t job;                   /* systemd's number of what was asked for, 0 until it tells: a unit of this name may have had others */
        usec_t give_up_at, again_at;    /* boot */
} Scope;

struct Scopes {
        Launcher *launcher;
        sd_bus *bus;                    /* NULL while there is no connection: it is lost, or nobody needs one */
        BusWatch *watch;
        int bus_fd;                     /* scopes_before_fork */
        bool lost, on_message_bus;
        usec_t used_at;                 /* boot */
        sd_event_source *idle_timer;
        unsigned n_slices;              /* calls under way */
        CgroupControllers controllers;
        sd_event_source *timer;
        Link pending;                   /* of Scope */
        unsigned n_asked;
};

/* ── names ── */

/* A "-" would nest one queue's slice in another's. */
static char *slice_name(const char *queue) {
        Str name = {};
        (void) str_append(&name, "jobbers-");
        for (const char *s = queue; *s; s++)
                (void) (*s == '-' ? str_append(&name, "\\x2d") : str_append_n(&name, s, 1));
        (void) str_append(&name, ".slice");
        return str_take(&name);
}

/* ── one scope ── */

static void scope_set_asked(Scope *s, bool asked) {
        s->scopes->n_asked += asked - s->asked;
        s->asked = asked;
        s->job = 0;
}

static Scope *scope_free(Scope *s) {
        scope_set_asked(s, false);
        sd_bus_slot_unref(s->call);
        link_remove(&s->link);
        definition_unref(s->definition);
        fd_close(s->pidfd);
        free(s);
        return NULL;
}

static void scope_reply(const Scope *s, int result, const char *text) {
        Launcher *l = s->scopes->launcher;
        if (s->connection == l->connection)
                launcher_reply(l, &s->request, result, text);
}

static void scope_answer(Scope *s, int result, const char *text) {
        scope_reply(s, result, text);
        scope_free(s);
}

static bool supervisor_is_alive(const Scope *s) {
        return pidfd_send_signal(s->pidfd, 0, NULL, 0) >= 0;
}

/* One around nobody: a process that ends while systemd puts it into its scope is put there as if it went on, and nothing tells that the scope is
 * empty (systemd 252). Without an answer, as it may be gone by now. */
static void scope_stop(const Scope *s) {
        Scopes *scopes = s->scopes;
        if (scopes->bus && !scopes->lost)
                (void) sd_bus_call_method_async(scopes->bus, NULL, DESTINATION, MANAGER_PATH, MANAGER, "StopUnit", NULL, NULL, "ss", s->unit, "replace");
}

/* A scope that we have asked for is around this supervisor and nobody else. That of the same name may be another's as long as systemd has not
 * answered. */
static void scope_left(Scope *s) {
        scope_reply(s, -EAGAIN, HAS_LEFT);
        if (s->asked && s->call) {
                scope_set_asked(s, false);      /* it waits for systemd as one of many, but keeps nobody waiting */
                s->left = true;
                return;
        }
        if (s->job != 0)
                scope_stop(s);
        scope_free(s);
}

/* Answers, and mostly frees, if the supervisor is where it should be, or gone. */
static bool scope_look(Scope *s) {
        _cleanup_free_ char *of = NULL;
        if (!supervisor_is_alive(s)) {
                scope_left(s);
                return true;
        }
        if (cgroup_of_pid(s->pid, &of) < 0)
                return false;
        const char *last = strrchr(of, '/');
        if (!last || !STREQ(last + 1, s->unit))
                return false;
        scope_answer(s, 0, s->unit);
        return true;
}

static int put(sd_bus_message *m, int r, const char *name, const char *type, uint64_t value) {
        return r < 0 ? r : sd_bus_message_append(m, "(sv)", name, type, value);
}

static int put_bool(sd_bus_message *m, int r, const char *name) {
        return r < 0 ? r : sd_bus_message_append(m, "(sv)", name, "b", 1);
}

static int limits_put(sd_bus_message *m, const Definition *d) {
        int r = 0;
        if (d->memory_max != UINT64_MAX)
                r = put(m, r, "MemoryMax", "t", d->memory_max);
        if (d->memory_high != UINT64_MAX)
                r = put(m, r, "MemoryHigh", "t", d->memory_high);
        if (d->tasks_max != UINT64_MAX)
                r = put(m, r, "TasksMax", "t", d->tasks_max);
        if (d->cpu_quota > 0)
                r = put(m, r, "CPUQuotaPerSecUSec", "t", d->cpu_quota * (USEC_PER_SEC / 10000));
        if (d->cpu_weight > 0)          /* systemd's number for idle is 0 */
                r = put(m, r, "CPUWeight", "t", d->cpu_weight == CPU_WEIGHT_IDLE ? 0 : d->cpu_weight);
        if (d->io_weight > 0)
                r = put(m, r, "IOWeight", "t", d->io_weight);
        /* Without accounting there is nothing to tell of its end. */
        r = put_bool(m, r, "MemoryAccounting");
        r = put_bool(m, r, "CPUAccounting");
        r = put_bool(m, r, "TasksAccounting");
        return put_bool(m, r, "IOAccounting");
}

/* A stop of the scope, at the host's shutdown above all, is the supervisor's affair: what reaches the task is the definition's kill sequence. So
 * systemd's own signal is one that tasks do not notice, and its SIGKILL to all comes when the supervisor must be done. */
static int stop_put(sd_bus_message *m, const Definition *d) {
        int r = sd_bus_message_append(m, "(sv)", "KillSignal", "i", (int32_t) SCOPE_STOP_SIGNAL);
        return put(m, r, "TimeoutStopUSec", "t", d->kill_grace < USEC_INFINITY - STOP_MARGIN ? d->kill_grace + STOP_MARGIN : USEC_INFINITY);
}

static void scopes_ask(Scopes *scopes);
static bool bus_is_ready(Scopes *s);

/* Twice in a row: one that systemd is about to start, since we asked for it over a connection that broke, is not empty for long. */
static int on_processes(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        Scope *s = userdata;
        s->call = sd_bus_slot_unref(s->call);
        bool empty = !sd_bus_message_get_error(m) && sd_bus_message_enter_container(m, 'a', "(sus)") >= 0 && sd_bus_message_at_end(m, false) > 0;
        if (scope_look(s))
                return 0;
        if (empty && s->was_empty)
                scope_stop(s);
        s->was_empty = empty;
        s->again_at = clock_boot() + LOOK_EVERY;
        return 0;
}

/* A scope of an earlier try, by this launcher or by one that was killed, is about to be collected by systemd. Or it is one around nobody, which stays. */
static void scope_is_there(Scope *s) {
        if (s->was_there)
                (void) sd_bus_call_method_async(s->scopes->bus, &s->call, DESTINATION, MANAGER_PATH, MANAGER, "GetUnitProcesses", on_processes, s, "s",
                                                s->unit);
        s->was_there = true;
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        Scope *s = userdata;
        Scopes *scopes = s->scopes;
        const sd_bus_error *error = sd_bus_message_get_error(m);
        const char *job;
        s->call = sd_bus_slot_unref(s->call);
        if (s->left) {
                if (!error)
                        scope_stop(s);
                scope_free(s);
                return 0;
        }
        if (!error) {           /* JobRemoved follows */
                if (sd_bus_message_read(m, "o", &job) >= 0)
                        s->job = (uint32_t) strtoul(strrchr(job, '/') + 1, NULL, 10);
                return 0;
        }
        if (scopes->lost)
                return 0;
        if (scope_look(s)) {
                scopes_ask(scopes);
                return 0;
        }
        bool there = sd_bus_error_has_name(error, DESTINATION ".UnitExists");
        if (there || sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT)) {
                scope_set_asked(s, false);
                s->again_at = clock_boot() + LOOK_EVERY;
                if (there)
                        scope_is_there(s);
        } else {
                char text[sizeof(((LauncherReply *) 0)->text)];
                snprintf(text, sizeof text, "systemd refuses its scope: %s", error->message ?: error->name);
                scope_answer(s, -EIO, text);
        }
        scopes_ask(scopes);
        return 0;
}

static int scope_message(Scope *s, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *slice = slice_name(s->request.queue);
        char description[160];
        int r;

        if (!slice)
                return -ENOMEM;
        snprintf(description, sizeof description, "jobbers task %s, attempt %u", s->definition->name, s->request.attempt);
        r = sd_bus_message_new_method_call(s->scopes->bus, &m, DESTINATION, MANAGER_PATH, MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", s->unit, "fail");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)", "Description", "s", description, "PIDs", "au", 1, (uint32_t) s->pid,
                                          "CollectMode", "s", "inactive-or-failed", "Slice", "s", slice, "After", "as", 1, "jobbersd.service");
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)", "Delegate", "b", 1);
        if (r >= 0)
                r = limits_put(m, s->definition);
        if (r >= 0)
                r = stop_put(m, s->definition);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0)
                r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static void scope_ask(Scope *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = scope_message(s, &m);
        if (r >= 0)
                r = sd_bus_call_async(s->scopes->bus, &s->call, m, on_started, s, CALL_TIMEOUT);
        if (r < 0 && !s->scopes->lost && !sd_bus_is_open(s->scopes->bus))
                return;         /* its end is about to be told */
        if (r < 0) {
                scope_answer(s, r, "its scope cannot be asked for");
                return;
        }
        scope_set_asked(s, true);
        if (!s->had_its_turn)           /* the time until then was not systemd's to answer in */
                s->give_up_at = clock_boot() + GIVE_UP_AFTER;
        s->had_its_turn = true;
}

/* Those whose turn it is. */
static void scopes_ask(Scopes *scopes) {
        usec_t now = clock_boot();
        LIST_FOREACH(i, &scopes->pending) {
                Scope *s = CONTAINER_OF(i, Scope, link);
                if (scopes->n_asked >= ASKED_MAX || !bus_is_ready(scopes))
                        return;
                if (s->asked || s->call || now < s->again_at)
                        continue;
                if (supervisor_is_alive(s))
                        scope_ask(s);
                else
                        scope_answer(s, -EAGAIN, HAS_LEFT);
        }
}

/* ── the connection ── */

static void timer_arm(Scopes *s, usec_t span) {
        int enabled;
        if (sd_event_source_get_enabled(s->timer, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;         /* else many starts would put it off for ever */
        (void) sd_event_source_set_time_relative(s->timer, span);
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        Scopes *scopes = userdata;
        const char *job, *unit, *result;
        uint32_t id;
        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        LIST_FOREACH(i, &scopes->pending) {
                Scope *s = CONTAINER_OF(i, Scope, link);
                if (!s->asked || s->job != id)
                        continue;
                if (!scope_look(s) && !STREQ(result, "done")) {
                        char text[128];
                        snprintf(text, sizeof text, "its scope did not start: %s", result);
                        scope_answer(s, -EIO, text);
                }
                scopes_ask(scopes);
                return 0;
        }
        return 0;
}

static void on_broken(void *userdata) {
        Scopes *s = userdata;
        log_notice("the connection to systemd is lost, connecting again");
        s->lost = true;
        timer_arm(s, RECONNECT_AFTER);
}

static void bus_close(Scopes *s) {
        s->watch = bus_unwatch(s->watch);
        s->bus = sd_bus_close_unref(s->bus);
}

static int private_open(const Settings *settings, sd_bus **ret) {
        sd_bus *bus = NULL;
        _cleanup_free_ char *address = NULL;
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        int r;
        if (!settings->user_mode)
                address = strdup("unix:path=/run/systemd/private");
        else if (runtime && runtime[0] == '/')
                address = str_new("unix:path=%s/systemd/private", runtime);
        else
                return -ENOENT;
        if (!address)
                return -ENOMEM;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0) {
                sd_bus_unref(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

static int manager_ask(sd_bus *bus, const char *property, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(bus, &m, DESTINATION, MANAGER_PATH, "org.freedesktop.DBus.Properties", "Get");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", MANAGER, property);
        return r < 0 ? r : sd_bus_call(bus, m, CONNECT_TIMEOUT, NULL, ret);
}

/* A manager is there if it tells its version; a socket alone is no manager. */
static int manager_greet(sd_bus *bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        return manager_ask(bus, "Version", &reply);
}

/* It makes its scopes below its own cgroup and gives them the controllers that this one has: all of the host's for PID 1, those that were
 * delegated for a user's. */
static CgroupControllers manager_controllers(sd_bus *bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ char *path = NULL;
        const char *group, *mount;
        CgroupControllers found;
        if (manager_ask(bus, "ControlGroup", &reply) < 0 || sd_bus_message_read(reply, "v", "s", &group) < 0 || cgroup_mount_point(&mount) < 0 ||
            !(path = str_new("%s%s", mount, group)))
                return 0;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd >= 0 && cgroup_controllers(fd, "cgroup.controllers", &found) >= 0 ? found : 0;
}

static void idle_timer_arm(Scopes *s) {
        (void) sd_event_source_set_time_relative(s->idle_timer, IDLE_AFTER);
        (void) sd_event_source_set_enabled(s->idle_timer, SD_EVENT_ONESHOT);
}

/* Without a greeting nothing waits here, and what is wrong shows later. */
static int bus_open(Scopes *s, bool greet) {
        sd_bus *bus = NULL;
        bool on_bus = false;
        int r = private_open(s->launcher->settings, &bus);
        if (r >= 0 && greet)
                r = manager_greet(bus);
        if (r < 0 && greet) {
                bus = sd_bus_close_unref(bus);
                on_bus = true;
                r = s->launcher->settings->user_mode ? sd_bus_open_user(&bus) : sd_bus_open_system(&bus);
                if (r >= 0)
                        r = manager_greet(bus);
        }
        if (r >= 0)
                r = sd_bus_match_signal(bus, NULL, on_bus ? DESTINATION : NULL, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed, s);
        if (r >= 0 && on_bus)
                r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "Subscribe", NULL, NULL, NULL);
        if (r >= 0)
                r = bus_watch(bus, s->launcher->event, on_broken, s, &s->watch);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return r;
        }
        s->bus = bus;
        s->lost = false;
        s->on_message_bus = on_bus;
        s->used_at = clock_boot();
        idle_timer_arm(s);
        return 0;
}

/* systemd tells all who are connected to its private socket of all that happens to any unit: that costs it a sixth of what a scope does, and wakes
 * us each time. A message bus delivers only what was asked for. */
static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Scopes *s = userdata;
        if (!s->bus || s->lost || s->on_message_bus)
                return 0;
        if (!list_empty(&s->pending) || s->n_slices > 0 || clock_boot() < s->used_at + IDLE_AFTER)
                idle_timer_arm(s);
        else
                bus_close(s);
        return 0;
}

static bool bus_is_ready(Scopes *s) {
        s->used_at = clock_boot();
        if (s->bus || s->lost)
                return !s->lost;
        if (bus_open(s, false) < 0) {
                log_notice("systemd does not answer, connecting again");
                s->lost = true;
                timer_arm(s, RECONNECT_AFTER);
        }
        return !s->lost;
}

/* Whatever is out of the ordinary ends up here: reconnecting, asking again, giving up. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Scopes *scopes = userdata;
        usec_t now = clock_boot();

        if (scopes->lost) {
                LIST_FOREACH(i, &scopes->pending) {
                        Scope *s = CONTAINER_OF(i, Scope, link);
                        s->call = sd_bus_slot_unref(s->call);
                        scope_set_asked(s, false);
                        if (s->left)
                                scope_free(s);
                }
                bus_close(scopes);
                int r = bus_open(scopes, true);
                if (r >= 0)
                        log_notice("connected to systemd again");
        }
        LIST_FOREACH(i, &scopes->pending) {
                Scope *s = CONTAINER_OF(i, Scope, link);
                bool waits = !s->asked && !s->call && !scopes->lost && now >= s->again_at;
                if (!s->left && !waits && !scope_look(s) && now >= s->give_up_at)
                        scope_answer(s, -ETIMEDOUT, s->was_there ? "systemd has a scope of its name already"
                                                                 : "systemd does not answer");
        }
        scopes_ask(scopes);
        if (scopes->lost || !list_empty(&scopes->pending))
                timer_arm(scopes, LOOK_EVERY);
        return 0;
}

/* ── the launcher's side ── */

bool scopes_expected(const Settings *settings) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        if (!settings->user_mode)
                return access("/run/systemd/system", F_OK) >= 0;
        _cleanup_free_ char *path = runtime ? str_new("%s/systemd", runtime) : NULL;
        return path && access(path, F_OK) >= 0;
}

int scopes_new(Launcher *l, Scopes **ret) {
        if (!scopes_expected(l->settings))
                return -EOPNOTSUPP;
        Scopes *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        s->launcher = l;
        s->bus_fd = -1;
        link_init(&s->pending);
        int r = sd_event_add_time_relative(l->event, &s->timer, CLOCK_BOOTTIME, 0, 10 * USEC_PER_MSEC, on_timer, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &s->idle_timer, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_idle, s);
        if (r >= 0)
                r = bus_open(s, true);
        if (r < 0) {
                scopes_free(s);
                return r == -ENOMEM ? r : -EOPNOTSUPP;
        }
        s->controllers = manager_controllers(s->bus);
        *ret = s;
        return 0;
}

void scopes_free(Scopes *s) {
        if (!s)
                return;
        LIST_FOREACH(i, &s->pending)
                scope_free(CONTAINER_OF(i, Scope, link));
        bus_close(s);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->idle_timer);
        free(s);
}

CgroupControllers scopes_controllers(const Scopes *s) {
        return s->controllers;
}

void scopes_before_fork(Scopes *s) {
        s->bus_fd = s->bus ? sd_bus_get_fd(s->bus) : -1;
}

void scopes_close_fds(Scopes *s) {
        fd_close(s->bus_fd);
        LIST_FOREACH(i, &s->pending)
                fd_close(CONTAINER_OF(i, Scope, link)->pidfd);
}

void scopes_add(Scopes *scopes, const LauncherRequest *q, Definition *d, pid_t supervisor) {
        _cleanup_close_ int pidfd = pidfd_open(supervisor, 0);
        if (pidfd < 0) {
                bool gone = errno == ESRCH;
                launcher_reply(scopes->launcher, q, gone ? -EAGAIN : -errno, gone ? HAS_LEFT : "its supervisor cannot be watched");
                return;
        }
        Scope *s = calloc(1, sizeof *s);
        if (!s) {
                launcher_reply(scopes->launcher, q, -ENOMEM, "not enough memory");
                return;
        }
        *s = (Scope) { .scopes = scopes, .request = *q, .connection = scopes->launcher->connection, .definition = definition_ref(d), .pid = supervisor,
                       .pidfd = TAKE_FD(pidfd), .give_up_at = clock_boot() + GIVE_UP_AFTER };
        task_scope_name(&q->task_id, q->attempt, s->unit);
        list_append(&scopes->pending, &s->link);
        scopes_ask(scopes);
        timer_arm(scopes, LOOK_EVERY);
}

/* ── slices ── */

typedef struct SliceCall {
        Launcher *launcher;
        LauncherRequest request;
        uint64_t connection;
} SliceCall;

static int on_slice(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        SliceCall *c = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(m);
        c->launcher->scopes->n_slices--;
        if (c->connection == c->launcher->connection)
                launcher_reply(c->launcher, &c->request, error ? -EIO : 0, error ? error->message : NULL);
        return 0;
}

void scopes_slice(Scopes *s, const LauncherRequest *q) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *slice = slice_name(q->queue);
        sd_bus_slot *slot = NULL;
        SliceCall *c;
        int r;

        if (!bus_is_ready(s)) {
                launcher_reply(s->launcher, q, -EAGAIN, "systemd does not answer just now");
                return;
        }
        c = malloc(sizeof *c);
        r = slice && c ? 0 : -ENOMEM;
        if (r >= 0)
                r = sd_bus_message_new_method_call(s->bus, &m, DESTINATION, MANAGER_PATH, MANAGER, "SetUnitProperties");
        if (r >= 0)
                r = sd_bus_message_append(m, "sb", slice, 1);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(sv)");
        /* All of them each time: what is not set any more goes back to having no limit. */
        r = put(m, r, "MemoryMax", "t", q->memory_max);
        r = put(m, r, "TasksMax", "t", q->tasks_max);
        r = put(m, r, "CPUQuotaPerSecUSec", "t",
                q->cpu_quota_percent > 0 && q->cpu_quota_percent < UINT64_MAX / 10000 ? q->cpu_quota_percent * (USEC_PER_SEC / 100) : UINT64_MAX);
        r = put(m, r, "CPUWeight", "t", q->cpu_weight > 0 ? q->cpu_weight : UINT64_MAX);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        if (r >= 0) {
                *c = (SliceCall) { .launcher = s->launcher, .request = *q, .connection = s->launcher->connection };
                r = sd_bus_call_async(s->bus, &slot, m, on_slice, c, CALL_TIMEOUT);
        }
        if (r < 0) {
                free(c);
                launcher_reply(s->launcher, q, r, "the limits of its slice cannot be set");
                return;
        }
        s->n_slices++;
        /* The call owns its data; it is answered also when the connection breaks. */
        (void) sd_bus_slot_set_destroy_callback(slot, free);
        (void) sd_bus_slot_set_floating(slot, 1);
        sd_bus_slot_unref(slot);
}
