/* launcher.c: the privileged process: waits for the daemon, says hello, does what fixed verbs ask for. One daemon at a time; a second one
 * waits in the listening socket until the first is gone. */
#include "jobbers-run/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/inherited.h"
#include "jobbers-run/launcher-private.h"

#define LOCK_AGAIN (2 * USEC_PER_MSEC)          /* stragglers need no longer */
#define REQUESTS_AT_ONCE 32
#define SCOPES_AGAIN (2 * USEC_PER_SEC)         /* between two tries to reach a manager that does not answer, each of which holds us up */
/* As a service, attempts that are not in scopes live in a unit of their own: systemd cannot start a service again whose cgroup has controllers
 * turned on for those who are still in it. */
#define ATTEMPTS_UNIT "/jobbers.slice/jobbers-attempts.service"
#define JOURNAL_SOCKET "/run/systemd/journal/stdout"

void launcher_reply(Launcher *l, const LauncherRequest *q, int result, const char *text) {
        LauncherReply reply = { .verb = q->verb, .cookie = q->cookie, .result = result };
        if (l->conn_fd < 0 || q->cookie == 0)
                return;
        if (text)
                snprintf(reply.text, sizeof reply.text, "%s", text);
        /* Blocking: the daemon reads its replies, and losing one would lose an attempt's end. */
        int r = fd_send(l->conn_fd, &reply, sizeof reply, NULL, 0, 0);
        if (r < 0 && r != -EPIPE && r != -ECONNRESET)
                log_warning_errno(r, "cannot answer the daemon");
}

void launcher_close_fds(Launcher *l) {
        fd_close(l->conn_fd);
        fd_close(l->listen_fd);
        launcher_kills_close_fds(l);
        workers_close_fds(l);
        if (l->scopes)
                scopes_close_fds(l->scopes);
}

/* ── the connection ── */

static void connection_watch_listener(Launcher *l, bool on) {
        if (l->listen_io)
                (void) sd_event_source_set_enabled(l->listen_io, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Everything that was in it has been done; the supervisors of it keep their copies of the lock. */
static void connection_end(Launcher *l) {
        l->conn_io = sd_event_source_disable_unref(l->conn_io);
        l->lock_timer = sd_event_source_disable_unref(l->lock_timer);
        l->conn_fd = fd_close(l->conn_fd);
        l->lock_fd = fd_close(l->lock_fd);
        l->greeted = false;
        l->connection++;
        rests_dismiss(l->rests);        /* others leave with their channels, when they have done what is in there */
        if (l->is_child)
                (void) sd_event_exit(l->event, 0);
        else {
                connection_watch_listener(l, true);
                save_while_alone(l);
        }
}

static uint32_t limit_flags(CgroupControllers have) {
        return (have & CGROUP_MEMORY ? LAUNCHER_HAS_MEMORY : 0) | (have & CGROUP_CPU ? LAUNCHER_HAS_CPU : 0) | (have & CGROUP_IO ? LAUNCHER_HAS_IO : 0) |
               (have & CGROUP_PIDS ? LAUNCHER_HAS_PIDS : 0);
}

static uint32_t launcher_flags(const Launcher *l) {
        uint32_t flags = l->scope_is_default ? LAUNCHER_HOLDS_SCOPE : l->driver->flag;
        if (l->scopes)
                flags |= LAUNCHER_HAS_SCOPES;
        if (l->scope_is_default)
                flags |= limit_flags(scopes_controllers(l->scopes));
        else if (l->driver == &containment_cgroup)
                flags |= limit_flags(l->base.controllers);
        else if (l->driver == &containment_pidns && geteuid() != 0)
                flags |= LAUNCHER_OWN_IDS_ONLY;
        if (l->has_journal)
                flags |= LAUNCHER_HAS_JOURNAL;
        return flags;
}

/* By OOMScoreAdjust= of our service, or of the daemon's. */
static bool oom_protected(void) {
        _cleanup_free_ char *text = NULL;
        size_t len;
        return fd_read_file_at(AT_FDCWD, "/proc/self/oom_score_adj", 64, &text, &len) >= 0 && text[0] == '-';
}

static int base_open(Launcher *l) {
        int r = l->is_child ? -EOPNOTSUPP : cgroup_base_open_in(&l->base, ATTEMPTS_UNIT, l->settings->instance);
        return r == -EOPNOTSUPP ? cgroup_base_open(&l->base, l->settings->instance) : r;
}

bool launcher_base_is_there(const Launcher *l) {
        return l->driver != &containment_cgroup || cgroup_base_is_there(&l->base);
}

int launcher_base_check(Launcher *l) {
        if (launcher_base_is_there(l))
                return 0;
        workers_dismiss(l);     /* they know the old one */
        cgroup_base_close(&l->base);
        int r = base_open(l);
        return r < 0 ? log_error_errno(r, "cannot make the parent cgroup of attempts again") : 0;
}

static void connection_greet(Launcher *l) {
        /* The launcher before us may have removed it on its way out; now that we have the lock it is gone. */
        if (launcher_base_check(l) < 0) {
                connection_end(l);
                return;
        }
        LauncherReply hello = { .verb = LAUNCHER_HELLO, .version = WIRE_VERSION, .flags = launcher_flags(l), .pid = getpid() };
        int r = fd_send(l->conn_fd, &hello, sizeof hello, NULL, 0, 0);
        if (r < 0)
                log_warning_errno(r, "cannot greet the daemon");
        l->greeted = true;
        (void) sd_event_source_set_io_events(l->conn_io, EPOLLIN);
}

static void request_do(Launcher *l, const LauncherRequest *q, int fds[static FD_PASS_MAX], size_t n_fds) {
        int r;
        if (!launcher_request_is_valid(q)) {
                launcher_reply(l, q, -EINVAL, "a name in the request is not valid");
                return;
        }
        switch (q->verb) {
        case LAUNCHER_START:
                if (n_fds != 2) {
                        launcher_reply(l, q, -EINVAL, "a start takes two descriptors");
                        return;
                }
                launcher_start(l, q, TAKE_FD(fds[0]), TAKE_FD(fds[1]));
                return;
        case LAUNCHER_SIGNAL:
                launcher_signal(l, q);
                return;
        case LAUNCHER_KILL:
                launcher_kill(l, q);
                return;
        case LAUNCHER_FORGET:
                launcher_forget(l, q);
                return;
        case LAUNCHER_SLICE:
                if (l->scopes)
                        scopes_slice(l->scopes, q);
                else
                        launcher_reply(l, q, -EOPNOTSUPP, "limits of queues need scopes");
                return;
        case LAUNCHER_RELOAD:
                r = launcher_load_definitions(l);
                launcher_reply(l, q, r, r < 0 ? "not enough memory" : NULL);
                return;
        default:
                launcher_reply(l, q, -EINVAL, "there is no such request");
        }
}

static int on_connection(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Launcher *l = userdata;
        if (!l->greeted) {
                /* Gone while it waited for its hello; what it may have sent unasked counts for nothing. */
                if (revents & (EPOLLHUP | EPOLLERR))
                        connection_end(l);
                return 0;
        }
        for (unsigned i = 0; i < REQUESTS_AT_ONCE; i++) {
                struct {
                        LauncherRequest q;
                        char more;      /* so that a longer one is seen to be longer */
                } in;
                int fds[FD_PASS_MAX];
                size_t n_fds = 0;
                ssize_t n = fd_recv(l->conn_fd, &in, sizeof in, fds, &n_fds, MSG_DONTWAIT);
                if (n == -EAGAIN || n == -EINTR || n == -ENOMEM || n == -ENOBUFS)
                        return 0;       /* asked again, since it still is there */
                if (n == -ECONNRESET)
                        continue;       /* it left without reading all our answers; what it asked before that comes after this */
                if (n == -EMSGSIZE) {
                        log_warning("a request that is too long is ignored");
                        continue;
                }
                if (n <= 0) {
                        connection_end(l);
                        return 0;
                }
                if (n == sizeof in.q)
                        request_do(l, &in.q, fds, n_fds);
                else
                        log_warning("a request of %zd bytes is not one, ignored", n);
                for (size_t k = 0; k < n_fds; k++)
                        fd_close(fds[k]);
        }
        return 0;
}

/* Hello waits until no start of an earlier connection can come to anything any more (wire.h, ORDER). */
static int on_lock_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Launcher *l = userdata;
        if (flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK && errno != EINTR) {
                        log_error_errno(errno, "cannot lock %s", l->place.saved_dir);
                        connection_end(l);
                        return 0;
                }
                (void) sd_event_source_set_time_relative(s, LOCK_AGAIN);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
                return 0;
        }
        /* From now on others may share it: supervisors that wait for another attempt. */
        if (flock(l->lock_fd, LOCK_SH) < 0) {
                log_error_errno(-errno, "cannot share the lock of %s", l->place.saved_dir);
                connection_end(l);
                return 0;
        }
        l->lock_timer = sd_event_source_disable_unref(l->lock_timer);
        connection_greet(l);
        return 0;
}

static int connection_begin(Launcher *l, int fd) {
        int r;
        l->conn_fd = fd;
        l->connection++;
        save_stop(l);
        connection_watch_listener(l, false);
        l->lock_fd = place_lock_open(&l->place);
        r = l->lock_fd;
        if (r >= 0)
                r = sd_event_add_io(l->event, &l->conn_io, fd, 0, on_connection, l);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &l->lock_timer, CLOCK_BOOTTIME, 0, 1, on_lock_timer, l);
        if (r < 0) {
                log_error_errno(r, "cannot serve the daemon");
                connection_end(l);
        }
        return r;
}

static int on_listen(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Launcher *l = userdata;
        struct ucred peer;
        socklen_t len = sizeof peer;
        _cleanup_close_ int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (conn < 0 || getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return 0;
        if (peer.uid != l->daemon.uid && peer.uid != geteuid()) {
                log_warning("a connection of uid %u is refused: only the daemon's user may use the launcher", (unsigned) peer.uid);
                return 0;
        }
        (void) connection_begin(l, TAKE_FD(conn));
        return 0;
}

/* ── start ── */

static bool journal_answers(void) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        /* EAGAIN: it is there, and behind with accepting. */
        return fd >= 0 && (connect(fd, (struct sockaddr *) &address, sizeof address) >= 0 || errno == EAGAIN);
}

static int holder_choose(Launcher *l) {
        int r = base_open(l);
        if (r < 0 && r != -EOPNOTSUPP)
                return log_error_errno(r, "cannot look for a cgroup");
        l->driver = r >= 0 ? &containment_cgroup : containment_pidns_works() ? &containment_pidns : &containment_tree;
        /* Also with --launcher=subprocess: a definition may say Launcher=scope. */
        r = scopes_new(l, &l->scopes);
        if (r < 0 && l->settings->launcher == LAUNCHER_SCOPE)
                return log_error_errno(r, "--launcher=scope, but no systemd manager answers");
        if (r < 0 && l->settings->launcher == LAUNCHER_AUTO && scopes_expected(l->settings))
                log_warning("systemd does not answer: tasks run as subprocesses and not in scopes, until the launcher is started again");
        l->scope_is_default = l->scopes && l->settings->launcher != LAUNCHER_SUBPROCESS;
        return 0;
}

int launcher_scopes_check(Launcher *l) {
        if (l->scopes)
                return 0;
        if (!scopes_expected(l->settings))
                return -EOPNOTSUPP;
        if (clock_boot() < l->scopes_tried_at + SCOPES_AGAIN)
                return -EAGAIN;
        if (scopes_new(l, &l->scopes) >= 0)
                log_notice("systemd answers now: tasks whose definition says Launcher=scope can be started");
        l->scopes_tried_at = clock_boot();
        return l->scopes ? 0 : -EAGAIN;
}

static int launcher_open(Launcher *l, const Settings *settings, int fd) {
        int r;
        *l = (Launcher) { .settings = settings, .place = PLACE_INIT, .base = CGROUP_BASE_INIT, .listen_fd = -1, .conn_fd = -1, .lock_fd = -1,
                          .stay_fd = -1, .stay_read_fd = -1,
                          .is_child = fd >= 0 };
        link_init(&l->kills);
        link_init(&l->supervisors);
        r = settings_identity(settings, &l->daemon);
        if (r < 0)
                return r;
        if (fd < 0) {
                r = sd_listen_fds(1);
                if (r != 1)
                        return log_error_errno(r < 0 ? r : -EINVAL,
                                               "the launcher is started by systemd with one socket (jobbers-launcher.socket) or by jobbersd");
                l->listen_fd = SD_LISTEN_FDS_START;
        }
        /* Their descriptors first: they stay low and for ever. */
        r = place_open(&l->place, settings, &l->daemon);
        if (r < 0)
                return r;
        attempt_keep_sweep(&l->place);
        save_begin(l);
        inherited_reset();
        r = sd_event_new(&l->event);
        if (r < 0)
                return log_error_errno(r, "cannot make an event loop");
        r = holder_choose(l);
        if (r >= 0)
                r = rests_new(&l->rests);
        if (r < 0)
                return r;
        tree_open(l);
        l->has_journal = journal_answers();
        l->oom_protected = oom_protected();
        l->definitions = definition_set_new();
        l->findings = map_new();
        if (!l->definitions || !l->findings)
                return log_oom();
        r = launcher_load_definitions(l);
        if (r < 0)
                return r;
        if (l->listen_fd >= 0) {
                r = sd_event_add_io(l->event, &l->listen_io, l->listen_fd, EPOLLIN, on_listen, l);
                if (r < 0)
                        return log_error_errno(r, "cannot watch the socket");
        }
        r = sd_event_add_signal(l->event, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return log_error_errno(r, "cannot watch SIGTERM");
        /* Supervisors are not tied to us: nobody waits for them. */
        (void) sigaction(SIGCHLD, &(struct sigaction) { .sa_handler = SIG_IGN }, NULL);
        if (fd >= 0)
                return connection_begin(l, fd);
        save_while_alone(l);            /* what a launcher that was killed has left */
        return 0;
}

/* The host is left as it was found. The lock says that nobody is about to make a cgroup in there, neither a supervisor before its start
 * nor the launcher after us; what lives in there keeps it. */
static void base_leave(Launcher *l) {
        _cleanup_close_ int lock = l->is_child && l->base.fd >= 0 ? place_lock_open(&l->place) : -1;
        if (lock < 0)
                return;
        if (flock(lock, LOCK_EX | LOCK_NB) < 0)
                log_debug("%s is left to those who hold the lock: %s", l->base.path, strerror(errno));
        else
                cgroup_base_remove(&l->base, l->place.attempts_fd);
}

static void launcher_close(Launcher *l) {
        /* The daemon first: it lets go those at their gates, who wait for a scope that nobody asks for any more. */
        l->conn_io = sd_event_source_disable_unref(l->conn_io);
        l->conn_fd = fd_close(l->conn_fd);
        launcher_kills_free(l);
        tree_close(l);
        int lock = workers_close(l);
        save_at_the_end(l);
        fd_close(lock);
        attempt_keep_sweep(&l->place);
        base_leave(l);
        scopes_free(l->scopes);
        rests_free(l->rests);
        sd_event_source_disable_unref(l->listen_io);
        sd_event_source_disable_unref(l->lock_timer);
        fd_close(l->listen_fd);
        fd_close(l->lock_fd);
        sd_event_unref(l->event);
        if (l->findings)
                launcher_forget_findings(l);
        map_free(l->findings);
        definition_set_free(l->definitions);
        cgroup_base_close(&l->base);
        place_close(&l->place);
}

int launcher_run(const Settings *settings, int fd) {
        Launcher l;
        int r = launcher_open(&l, settings, fd);
        if (r >= 0) {
                log_debug("attempts are held by %s%s", l.scope_is_default ? "scopes, else by " : "", l.driver->name);
                if (!l.is_child)
                        (void) sd_notify(0, "READY=1");
                r = sd_event_loop(l.event);
                if (r < 0)
                        log_error_errno(r, "the event loop failed");
        }
        launcher_close(&l);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
