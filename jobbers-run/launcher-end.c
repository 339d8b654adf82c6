/* launcher-end.c: what a supervisor that was killed left behind: its cgroup is found by the symlink in the attempt's directory, which only
 * we can write. Waiting for the end of processes never holds up the loop. */
#include "jobbers-run/launcher-private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define KILL_WAIT (10 * USEC_PER_SEC)           /* then the daemon is told, and asks again */
#define TREE_AGAIN (20 * USEC_PER_MSEC)         /* nobody reports the end of processes that only descent holds */

/* The attempt's cgroup: 1 and an open directory with its parent and name; 0 when there is none (any more). */
static int attempt_cgroup_open(Launcher *l, const LauncherRequest *q, int *ret_fd, int *ret_parent, char **ret_name) {
        char link[PLACE_KEY_MAX + 16], key[PLACE_KEY_MAX], path[4096];
        snprintf(link, sizeof link, "%s/cgroup", place_key(&q->task_id, q->attempt, key));
        ssize_t n = readlinkat(l->place.attempts_fd, link, path, sizeof path - 1);
        if (n < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        path[n] = '\0';
        char *slash = strrchr(path, '/');
        if (path[0] != '/' || !slash || slash == path)
                return -EINVAL;
        *slash = '\0';
        _cleanup_close_ int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int fd = parent < 0 ? -1 : openat(parent, slash + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        if (ret_name) {
                *ret_name = strdup(slash + 1);
                if (!*ret_name)
                        return -ENOMEM;
        }
        *ret_fd = TAKE_FD(fd);
        if (ret_parent)
                *ret_parent = TAKE_FD(parent);
        return 1;
}

void launcher_signal(Launcher *l, const LauncherRequest *q) {
        _cleanup_close_ int fd = -1;
        if (q->signal <= 0 || q->signal >= _NSIG) {
                launcher_reply(l, q, -EINVAL, "there is no such signal");
                return;
        }
        int r = attempt_cgroup_open(l, q, &fd, NULL, NULL);
        if (r > 0)
                r = cgroup_signal(fd, q->signal);
        launcher_reply(l, q, MIN(r, 0), r < 0 ? "its cgroup cannot be signalled" : NULL);
}

/* ── kill ── */

typedef struct Kill {
        Link link;
        Launcher *launcher;
        LauncherRequest request;
        uint64_t connection;
        int fd, parent_fd, events_fd;
        char *name;
        sd_event_source *io, *timer;
} Kill;

static Kill *kill_free(Kill *k) {
        sd_event_source_disable_unref(k->io);
        sd_event_source_disable_unref(k->timer);
        link_remove(&k->link);
        fd_close(k->fd);
        fd_close(k->parent_fd);
        fd_close(k->events_fd);
        free(k->name);
        free(k);
        return NULL;
}

static void kill_answer(Kill *k, int result, const char *text) {
        if (k->connection == k->launcher->connection)
                launcher_reply(k->launcher, &k->request, result, text);
        kill_free(k);
}

/* A scope's is systemd's to remove: were it gone before systemd looks whether it is empty, the unit would stay "running" for ever. */
static bool is_scope(const char *name) {
        size_t n = strlen(name);
        return n > strlen(".scope") && STREQ(name + n - strlen(".scope"), ".scope");
}

static void kill_look(Kill *k) {
        int r = cgroup_populated(k->events_fd);
        if (r > 0)
                return;
        if (r == 0 && !is_scope(k->name))
                r = cgroup_remove(k->parent_fd, k->name);
        /* Empty is what was asked for. */
        kill_answer(k, r == -EBUSY ? 0 : r, r < 0 ? "its cgroup cannot be removed" : NULL);
}

static int on_kill_events(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        kill_look(userdata);
        return 0;
}

static int on_kill_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        kill_answer(userdata, -EBUSY, "a process of the attempt survived SIGKILL");
        return 0;
}

static Kill *kill_new(Launcher *l, const LauncherRequest *q) {
        Kill *k = calloc(1, sizeof *k);
        if (!k)
                return NULL;
        *k = (Kill) { .launcher = l, .request = *q, .connection = l->connection, .fd = -1, .parent_fd = -1, .events_fd = -1 };
        list_append(&l->kills, &k->link);
        return k;
}

static int kill_begin_cgroup(Kill *k) {
        int r = k->events_fd = cgroup_open_events(k->fd);
        if (r >= 0)
                r = cgroup_kill(k->fd);
        if (r >= 0)
                r = sd_event_add_io(k->launcher->event, &k->io, k->events_fd, EPOLLPRI, on_kill_events, k);
        return r;
}

static int on_kill_init(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        kill_answer(userdata, 0, NULL);
        return 0;
}

/* 1: its PID namespace is being ended, whose first process ends last; 0: there is none (any more). */
static int kill_begin_init(Kill *k) {
        char link[PLACE_KEY_MAX + 16], key[PLACE_KEY_MAX], text[64];
        unsigned long long start_time;
        int pid;

        snprintf(link, sizeof link, "%s/init", place_key(&k->request.task_id, k->request.attempt, key));
        ssize_t n = readlinkat(k->launcher->place.attempts_fd, link, text, sizeof text - 1);
        if (n < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        text[n] = '\0';
        if (sscanf(text, "%d %llu", &pid, &start_time) != 2 || pid <= 1)
                return -EINVAL;
        /* Held first, then looked at: the number may be another process's by now. */
        k->events_fd = pidfd_open(pid, 0);
        if (k->events_fd < 0)
                return errno == ESRCH ? 0 : -errno;
        if (process_start_time(pid) != start_time)
                return 0;
        if (pidfd_send_signal(k->events_fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
                return -errno;
        int r = sd_event_add_io(k->launcher->event, &k->io, k->events_fd, EPOLLIN, on_kill_init, k);
        return r < 0 ? r : 1;
}

static int on_kill_tree(sd_event_source *s, uint64_t usec, void *userdata) {
        Kill *k = userdata;
        if (tree_kill(k->launcher, &k->request) == 0) {
                kill_answer(k, 0, NULL);
                return 0;
        }
        (void) sd_event_source_set_time_relative(s, TREE_AGAIN);
        (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

/* 1: being ended, and looked for again until there is nothing; 0: there is nothing. */
static int kill_begin_tree(Kill *k) {
        if (tree_kill(k->launcher, &k->request) == 0)
                return 0;
        int r = sd_event_add_time_relative(k->launcher->event, &k->io, CLOCK_BOOTTIME, TREE_AGAIN, USEC_PER_MSEC, on_kill_tree, k);
        return r < 0 ? r : 1;
}

void launcher_kill(Launcher *l, const LauncherRequest *q) {
        Kill *k = kill_new(l, q);
        if (!k) {
                launcher_reply(l, q, -ENOMEM, "not enough memory");
                return;
        }
        int r = attempt_cgroup_open(l, q, &k->fd, &k->parent_fd, &k->name);
        bool cgroup = r > 0;
        if (cgroup)
                r = kill_begin_cgroup(k);
        else if (r == 0) {
                r = kill_begin_init(k);
                if (r == 0)
                        r = kill_begin_tree(k);
                if (r == 0) {
                        kill_answer(k, 0, NULL);
                        return;
                }
        }
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &k->timer, CLOCK_BOOTTIME, KILL_WAIT, 10 * USEC_PER_MSEC, on_kill_timeout, k);
        if (r < 0)
                kill_answer(k, r, "the processes of the attempt cannot be reached");
        else if (cgroup)
                kill_look(k);
}

void launcher_kills_free(Launcher *l) {
        LIST_FOREACH(i, &l->kills)
                kill_free(CONTAINER_OF(i, Kill, link));
}

void launcher_kills_close_fds(Launcher *l) {
        LIST_FOREACH(i, &l->kills) {
                Kill *k = CONTAINER_OF(i, Kill, link);
                fd_close(k->fd);
                fd_close(k->parent_fd);
                fd_close(k->events_fd);
        }
}

/* ── forget ── */

void launcher_forget(Launcher *l, const LauncherRequest *q) {
        char key[PLACE_KEY_MAX], started[PLACE_KEY_MAX + 16];
        int r = 0;
        place_key(&q->task_id, q->attempt, key);
        snprintf(started, sizeof started, "%s.started", key);
        /* The directory first: as long as there is a record, somebody will ask for this again. A supervisor that goes on has removed it itself. */
        if (faccessat(l->place.attempts_fd, key, F_OK, AT_SYMLINK_NOFOLLOW) >= 0) {
                /* One that was killed after its record left its cgroup as well, empty. In a scope it is systemd's. */
                if (l->base.fd >= 0)
                        (void) cgroup_remove(l->base.fd, key);
                r = fd_remove_tree_at(l->place.attempts_fd, key);
        }
        /* The one becomes the other: when the record is there, the proof of its start is not. */
        if (unlinkat(l->place.records_fd, key, 0) < 0 &&
            (errno != ENOENT || (unlinkat(l->place.records_fd, started, 0) < 0 && errno != ENOENT)))
                r = -errno;
        if (unlinkat(l->place.saved_fd, key, 0) < 0 && errno != ENOENT)
                r = -errno;
        if (r < 0)
                log_task(&(LogTask) { .id = &q->task_id, .attempt = q->attempt }, LOG_WARNING, r, "its files cannot be removed");
        launcher_reply(l, q, r, r < 0 ? "its files cannot be removed" : NULL);
}
