/* daemon.c: puts the parts together, in the order that keeps root away from requests: addresses and launcher first, then the rights go,
 * then everything that reads what others wrote. And the loop: events until nothing is ready, then one turn of the engine. */
#include "daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "dispatch/engine.h"
#include "http/http.h"
#include "launch/launch.h"
#include "launch/shortfall.h"
#include "store/store.h"

/* Events between two turns at most: a busy loop must still commit. */
#define EVENTS_PER_TURN 64
#define STATUS_INTERVAL_USEC (1 * USEC_PER_SEC)
/* READY=1 waits for the launcher's hello, but not longer than this. */
#define LAUNCHER_PATIENCE_USEC (5 * USEC_PER_SEC)

typedef struct Daemon {
        const Settings *settings;
        Identity identity;
        sd_event *event;
        Store *store;
        Launch *launch;
        Http *http;
        Engine *engine;
        bool stopping, done;
        bool holds_said;                /* what the launcher can hold has been told */
        bool ready_said;
        sd_event_source *patience;      /* with a launcher that does not answer */
        EngineWait reload;              /* linked while a SIGHUP is not yet answered */
        usec_t status_at;               /* boot */
        unsigned status_running;
        int64_t status_waiting;
} Daemon;

/* ── before the loop ── */

static int identity_check(const Daemon *d) {
        uid_t me = geteuid();

        if (d->settings->user_mode || me == 0 || me == d->identity.uid)
                return 0;
        log_error("a system daemon is started as root or as the user jobbers; use --user for one of your own");
        return -EPERM;
}

#define USER_WORD_MAX 64

/* As chown takes it. */
static const char *user_word(uid_t uid, char buf[static USER_WORD_MAX]) {
        const struct passwd *pw = getpwuid(uid);
        if (pw)
                snprintf(buf, USER_WORD_MAX, "%s", pw->pw_name);
        else
                snprintf(buf, USER_WORD_MAX, "%u", (unsigned) uid);
        return buf;
}

/* Made 0700 for us when it is missing, refused when it is somebody else's. */
static int state_dir_prepare(const Daemon *d) {
        const char *path = d->settings->state_dir;
        struct stat st;

        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) {
                _cleanup_free_ char *parent = strdup(path);
                char *slash = parent ? strrchr(parent, '/') : NULL;
                if (!parent)
                        return log_oom();
                if (slash && slash != parent) {
                        *slash = '\0';
                        int r = fd_mkdirs(parent, 0755);
                        if (r < 0)
                                return log_error_errno(r, "cannot create %s", parent);
                }
                if (mkdir(path, 0700) < 0 && errno != EEXIST)
                        return log_error_errno(errno, "cannot create the state directory %s", path);
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (fd >= 0 && geteuid() == 0 && fchown(fd, d->identity.uid, d->identity.gid) < 0)
                        return log_error_errno(errno, "cannot give the state directory %s to the user jobbers", path);
        }
        if (fd < 0 || fstat(fd, &st) < 0)
                return log_error_errno(errno, "cannot open the state directory %s", path);
        if (st.st_uid != d->identity.uid) {
                char has[USER_WORD_MAX], wants[USER_WORD_MAX];
                user_word(d->identity.uid, wants);
                log_error("the state directory %s belongs to %s and not to %s, as which jobbersd runs; give it away (chown %s: %s) or choose another "
                          "with --state-dir=", path, user_word(st.st_uid, has), wants, wants, path);
                return -EPERM;
        }
        if (st.st_mode & 0022) {
                log_error("the state directory %s can be written by others; run: chmod go-w on it", path);
                return -EPERM;
        }
        return 0;
}

/* A packaged daemon finds it there (tmpfiles.d). */
static int run_dir_prepare(const Daemon *d) {
        int r = fd_mkdirs(d->settings->run_dir, d->settings->user_mode ? 0700 : 0755);
        if (r >= 0 || (geteuid() != 0 && !d->settings->user_mode))
                return 0;
        log_error("cannot create %s: %s%s", d->settings->run_dir, strerror(-r),
                  d->settings->user_mode && getenv("XDG_RUNTIME_DIR") ? "; is XDG_RUNTIME_DIR right?" : "");
        return r;
}

/* Everything of root goes, for good. */
static int privileges_drop(const Daemon *d) {
        if (d->settings->user_mode || geteuid() != 0 || d->identity.uid == 0)
                return 0;
        struct passwd *pw = getpwuid(d->identity.uid);
        if (!pw)
                return log_error_errno(ESRCH, "cannot find the user jobbers");
        /* Whoever descends from root's session reaches its keys and tickets, as whatever user. */
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM)
                return log_error_errno(errno, "cannot leave the session keyring of root");
        if (initgroups(pw->pw_name, d->identity.gid) < 0 || setresgid(d->identity.gid, d->identity.gid, d->identity.gid) < 0 ||
            setresuid(d->identity.uid, d->identity.uid, d->identity.uid) < 0)
                return log_error_errno(errno, "cannot become the user jobbers");
        if (setuid(0) >= 0) {
                log_error("root could be regained after it was given up; exiting");
                return -EPERM;
        }
        /* The change of uid made this process unreadable to itself in places (/proc/self), and undebuggable. */
        (void) prctl(PR_SET_DUMPABLE, 1);
        return 0;
}

static void limits_raise(void) {
        struct rlimit l;
        if (getrlimit(RLIMIT_NOFILE, &l) >= 0 && l.rlim_cur < l.rlim_max) {
                l.rlim_cur = l.rlim_max;
                (void) setrlimit(RLIMIT_NOFILE, &l);
        }
}

/* ── signals ── */

static void on_down(void *userdata) {
        Daemon *d = userdata;
        d->done = true;
}

static int on_stop_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Daemon *d = userdata;

        if (!d->stopping) {
                log_notice("stopping on %s", signal_name((int) si->ssi_signo));
                (void) sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
                http_stop(d->http);
        }
        d->stopping = true;
        engine_shutdown(d->engine, on_down, d);         /* a second one shortens the wait */
        return 0;
}

static void on_reloaded(EngineWait *w, int result) {
        (void) sd_notify(0, "READY=1");
}

static int on_reload_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        Daemon *d = userdata;
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                          (unsigned long long) now.tv_sec * USEC_PER_SEC + (unsigned long long) now.tv_nsec / 1000);
        (void) engine_reload(d->engine);
        if (!link_linked(&d->reload.link))
                engine_on_reload(d->engine, &d->reload);
        return 0;
}

static int signals_attach(Daemon *d) {
        int r;

        static const struct {
                int signal;
                sd_event_signal_handler_t fn;
        } signals[] = { { SIGTERM, on_stop_signal }, { SIGINT, on_stop_signal }, { SIGHUP, on_reload_signal } };

        for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
                sd_event_source *s;
                if ((r = sd_event_add_signal(d->event, &s, signals[i].signal, signals[i].fn, d)) < 0 ||
                    (r = sd_event_source_set_priority(s, SD_EVENT_PRIORITY_IMPORTANT)) < 0 ||           /* before what a thousand supervisors say */
                    (r = sd_event_source_set_floating(s, true)) < 0)
                        return r;
                sd_event_source_unref(s);
        }
        return 0;
}

/* ── what people are told ── */

static void say_started(const Daemon *d) {
        const Settings *s = d->settings;

        log_info("jobbersd %s, %s mode, listening on %s, state in %s", JOBBERS_VERSION, s->user_mode ? "user" : "system",
                 http_addresses(d->http), s->state_dir);
        if (s->user_mode && !s->no_auth)
                log_info("the token for HTTP is in %s", s->token_file);
        if (s->user_mode)
                log_info("tasks run as your own user and can reach everything you can; this is not a security boundary");
}

/* Without lingering the user manager, and every scope in it, ends with the last session. */
static void linger_check(const Daemon *d) {
        const struct passwd *pw = d->settings->user_mode ? getpwuid(getuid()) : NULL;
        _cleanup_free_ char *path = pw ? str_new("/var/lib/systemd/linger/%s", pw->pw_name) : NULL;
        if (path && access(path, F_OK) < 0)
                log_warning("your tasks end when you log out, even with OnShutdown=continue; to prevent that, run: loginctl enable-linger");
}

/* Once the launcher is there: from then on a task that is submitted runs, and a reload reaches both. */
static void say_ready(Daemon *d) {
        if (d->ready_said)
                return;
        d->ready_said = true;
        (void) sd_notify(0, "READY=1");
        d->patience = sd_event_source_disable_unref(d->patience);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata) {
        log_warning("the launcher does not answer; requests are served, but no task starts until it does");
        say_ready(userdata);
        return 0;
}

/* Once the launcher has said what it can do. */
static void say_holds(Daemon *d) {
        uint32_t flags = engine_launch_flags(d->engine);
        const char *sentence;

        if (flags == 0 || d->holds_said)
                return;
        d->holds_said = true;
        say_ready(d);
        if (flags & LAUNCHER_HOLDS_SCOPE) {
                log_info("tasks run in systemd scopes");
                linger_check(d);
        } else if (flags & LAUNCHER_HOLDS_CGROUP)
                log_info("tasks run as subprocesses, each in a cgroup of its own");
        else if (flags & LAUNCHER_HOLDS_PIDNS)
                log_warning("tasks run as subprocesses, each in a PID namespace of its own, because no cgroup can be made here");
        else
                log_warning("tasks run as plain subprocesses, because neither cgroups nor PID namespaces can be used here");
        for (size_t cursor = 0; (sentence = launch_shortfall(flags, &cursor));)
                log_warning("%s", sentence);
}

static void status_send(Daemon *d) {
        int64_t waiting = 0;
        usec_t now = clock_boot();

        if (!getenv("NOTIFY_SOCKET") || d->stopping || now < d->status_at + STATUS_INTERVAL_USEC)
                return;
        unsigned running = engine_running(d->engine);
        for (size_t i = 0; i < engine_queue_count(d->engine); i++) {
                QueueStatus q;
                engine_queue_at(d->engine, i, &q);
                waiting += q.waiting;
        }
        if (d->status_at != 0 && running == d->status_running && waiting == d->status_waiting)
                return;
        d->status_at = now;
        d->status_running = running;
        d->status_waiting = waiting;
        (void) sd_notifyf(0, "STATUS=%u running, %lld waiting; listening on %s", running, (long long) waiting, http_addresses(d->http));
}

/* ── the loop ── */

static int events_run(Daemon *d) {
        uint64_t timeout = UINT64_MAX;

        for (unsigned i = 0; i < EVENTS_PER_TURN && !d->done; i++) {
                if (sd_event_get_state(d->event) == SD_EVENT_FINISHED) {
                        int code = 0;
                        (void) sd_event_get_exit_code(d->event, &code);
                        return code < 0 ? code : -ECANCELED;
                }
                int r = sd_event_run(d->event, timeout);
                if (r < 0)
                        return log_error_errno(r, "the event loop failed");
                if (r == 0)
                        break;
                timeout = 0;
        }
        return 0;
}

static int loop_run(Daemon *d) {
        int r = 0;

        log_gather(true);
        while (r >= 0 && !d->done) {
                r = events_run(d);
                if (r < 0)
                        break;
                r = engine_turn(d->engine);
                log_flush();            /* before anybody is answered */
                http_run(d->http);
                say_holds(d);
                status_send(d);
                log_flush();            /* before it sleeps */
        }
        log_gather(false);
        return r;
}

/* ── start and end ── */

static int start_with_rights(Daemon *d, int argc, char **argv) {
        int r;

        if ((r = settings_identity(d->settings, &d->identity)) < 0 || (r = identity_check(d)) < 0 || (r = run_dir_prepare(d)) < 0 ||
            (r = state_dir_prepare(d)) < 0)
                return r;
        /* Before there are listeners: a daemon killed right now would leave them in a child that has not come to its exec yet, and the next one
         * would find its addresses taken. */
        r = launch_new(&d->launch, d->settings, argc, argv);
        if (r < 0)
                return log_error_errno(r, "cannot start the launcher");
        r = http_new(&d->http, d->settings, &d->identity);
        return r < 0 ? r : privileges_drop(d);
}

static int start_without(Daemon *d) {
        _cleanup_free_ char *sentence = NULL;
        int r;

        (void) umask(0077);
        limits_raise();
        r = store_open(&d->store, d->settings->database, &sentence);
        if (r < 0) {
                if (!sentence)
                        return log_error_errno(r, "cannot open %s", d->settings->database);
                log_error("%s", sentence);
                return r;
        }
        r = sd_event_default(&d->event);
        if (r >= 0)
                r = engine_new(&d->engine, d->event, d->settings, d->store, d->launch);
        if (r >= 0)
                r = http_attach(d->http, d->event, d->engine);
        if (r >= 0)
                r = signals_attach(d);
        if (r >= 0)
                r = sd_event_set_watchdog(d->event, true);
        if (r >= 0)
                r = engine_recover(d->engine);
        if (r < 0)
                return log_error_errno(r, "cannot start");
        return 0;
}

static void daemon_free(Daemon *d) {
        http_free(d->http);
        engine_free(d->engine);
        launch_free(d->launch);
        store_close(d->store);
        sd_event_source_disable_unref(d->patience);
        sd_event_unref(d->event);
}

int daemon_run(const Settings *settings, int argc, char **argv) {
        Daemon d = { .settings = settings, .reload.fn = on_reloaded };

        link_init(&d.reload.link);
        int r = start_with_rights(&d, argc, argv);
        if (r >= 0)
                r = start_without(&d);
        if (r >= 0) {
                say_started(&d);
                r = sd_event_add_time_relative(d.event, &d.patience, CLOCK_MONOTONIC, LAUNCHER_PATIENCE_USEC, USEC_PER_SEC, on_patience, &d);
                if (r >= 0)
                        r = loop_run(&d);
                http_run(d.http);       /* the last answers */
                if (r >= 0)
                        log_info("stopped");
        }
        daemon_free(&d);
        return r;
}
