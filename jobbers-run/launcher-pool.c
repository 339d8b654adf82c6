/* launcher-pool.c: supervisors that have done their attempt and take another. Each is at the other end of a socketpair: a request with its
 * descriptors down is the next attempt. That it has nothing to do it says in a byte of shared memory, which is looked at when there is a
 * start: nobody has to be woken for it.
 *
 * A supervisor takes another attempt only if the last one left nothing in it (supervisor.h). It knows the definitions of its birth, so
 * all go when those are read again; and it goes after a while without work, so that an idle host has none of them. It is always told to
 * go, by the end of its socket, and never goes by itself: a request that was sent is one that is read. */
#include "jobbers-run/launcher-private.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "jobbers-run/supervisor.h"

#define WORKERS_MAX 64
#define RETIRE_AFTER (5 * USEC_PER_SEC)
#define GOODBYE_MS 200

typedef struct Worker {
        Link link;
        Launcher *launcher;
        int sock;
        sd_event_source *io;
        _Atomic bool *idle;
        unsigned generation;
        usec_t unused_since;            /* boot; 0: it was not seen idle yet */
} Worker;

static Worker *worker_free(Worker *w) {
        sd_event_source_disable_unref(w->io);
        fd_close(w->sock);
        link_remove(&w->link);
        w->launcher->n_workers--;
        free(w);
        return NULL;
}

static int on_worker(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        worker_free(userdata);          /* it never says anything: this is its end */
        return 0;
}

/* Those of earlier definitions go, and those not needed for a while. */
static void pool_clean(Launcher *l, usec_t now) {
        LIST_FOREACH(i, &l->workers) {
                Worker *w = CONTAINER_OF(i, Worker, link);
                if (!atomic_load(w->idle))
                        continue;
                if (w->unused_since == 0)
                        w->unused_since = now;
                if (w->generation != l->generation || now - w->unused_since >= RETIRE_AFTER)
                        worker_free(w);
        }
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Launcher *l = userdata;
        pool_clean(l, clock_boot());
        if (l->n_workers > 0) {
                (void) sd_event_source_set_time_relative(s, RETIRE_AFTER);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        return 0;
}

int pool_open(Launcher *l) {
        void *shared = mmap(NULL, WORKERS_MAX * sizeof *l->idle, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return log_error_errno(errno, "cannot map memory");
        l->idle = shared;
        int r = sd_event_add_time_relative(l->event, &l->pool_timer, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_timer, l);
        return r < 0 ? log_error_errno(r, "cannot make a timer") : 0;
}

void pool_renew(Launcher *l) {
        l->generation++;
        pool_clean(l, clock_boot());
}

void pool_close(Launcher *l) {
        struct pollfd p[WORKERS_MAX];
        nfds_t n = 0;
        l->pool_timer = sd_event_source_disable_unref(l->pool_timer);
        LIST_FOREACH(i, &l->workers) {
                Worker *w = CONTAINER_OF(i, Worker, link);
                if (atomic_load(w->idle) && n < ARRAY_SIZE(p)) {
                        (void) shutdown(w->sock, SHUT_WR);
                        p[n++] = (struct pollfd) { .fd = w->sock };
                }
        }
        /* They have nothing to do but to end: a stop of the daemon is to leave no process behind. */
        usec_t until = clock_boot() + GOODBYE_MS * USEC_PER_MSEC;
        for (nfds_t gone = 0; gone < n && clock_boot() < until;) {
                if (poll(p, n, 10) <= 0)
                        continue;
                for (nfds_t i = 0; i < n; i++)
                        if (p[i].fd >= 0 && (p[i].revents & POLLHUP)) {
                                p[i].fd = -1;
                                gone++;
                        }
        }
        LIST_FOREACH(i, &l->workers)
                worker_free(CONTAINER_OF(i, Worker, link));
}

void pool_close_fds(Launcher *l) {
        LIST_FOREACH(i, &l->workers)
                fd_close(CONTAINER_OF(i, Worker, link)->sock);
}

/* What a worker is sent. */
typedef struct Order {
        LauncherRequest request;
        uint32_t spare;
} Order;

bool pool_hand_over(Launcher *l, const LauncherRequest *q, uint32_t spare, int parameters_fd, int channel_fd) {
        const Order order = { .request = *q, .spare = spare };
        const int fds[] = { parameters_fd, channel_fd, l->lock_fd };
        LIST_FOREACH(i, &l->workers) {
                Worker *w = CONTAINER_OF(i, Worker, link);
                if (!atomic_load(w->idle) || w->generation != l->generation)
                        continue;
                atomic_store(w->idle, false);   /* before it can say so again */
                if (fd_send(w->sock, &order, sizeof order, fds, ARRAY_SIZE(fds), MSG_DONTWAIT) < 0) {
                        worker_free(w);         /* somebody killed it */
                        continue;
                }
                /* In front: the one whose memory is warm is the next to work, and those not needed grow old. */
                w->unused_since = 0;
                link_remove(&w->link);
                list_append(l->workers.next, &w->link);
                return true;
        }
        return false;
}

/* A byte that no worker has. */
static _Atomic bool *idle_find(Launcher *l) {
        bool used[WORKERS_MAX] = {};
        LIST_FOREACH(i, &l->workers)
                used[CONTAINER_OF(i, Worker, link)->idle - l->idle] = true;
        for (size_t i = 0; i < WORKERS_MAX; i++)
                if (!used[i])
                        return l->idle + i;
        return NULL;
}

int pool_add(Launcher *l, _Atomic bool **ret_idle) {
        int pair[2];
        _Atomic bool *idle = idle_find(l);
        if (!idle || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -1;
        Worker *w = calloc(1, sizeof *w);
        if (!w) {
                close(pair[0]);
                close(pair[1]);
                return -1;
        }
        atomic_store(idle, false);
        *w = (Worker) { .launcher = l, .sock = pair[0], .idle = idle, .generation = l->generation };
        list_append(l->workers.next, &w->link);
        l->n_workers++;
        *ret_idle = idle;
        return pair[1];
}

void pool_forked(Launcher *l, int child_sock, bool success) {
        if (child_sock < 0)
                return;
        fd_close(child_sock);
        Worker *w = CONTAINER_OF(l->workers.next, Worker, link);        /* pool_add put it there */
        if (!success || sd_event_add_io(l->event, &w->io, w->sock, EPOLLIN, on_worker, w) < 0) {
                worker_free(w);
                return;
        }
        int enabled;
        if (sd_event_source_get_enabled(l->pool_timer, &enabled) >= 0 && enabled == SD_EVENT_OFF) {
                (void) sd_event_source_set_time_relative(l->pool_timer, RETIRE_AFTER);
                (void) sd_event_source_set_enabled(l->pool_timer, SD_EVENT_ONESHOT);
        }
}

void pool_work(Launcher *l, int sock, _Atomic bool *idle, CgroupKeep *cgroup_keep, AttemptKeep *dir_keep) {
        for (;;) {
                Order order;
                _cleanup_free_ char *sentence = NULL;
                int fds[FD_PASS_MAX];
                size_t n_fds = 0;
                Job job;

                ssize_t n = fd_recv(sock, &order, sizeof order, fds, &n_fds, 0);
                if (n != sizeof order || n_fds != 3)
                        return;
                /* The launcher has checked it against the same definitions. */
                Definition *d = definition_set_get_hash(l->definitions, order.request.definition_hash);
                if (!d || launcher_job(l, &order.request, false, d, fds[0], fds[1], fds[2], &job, &sentence) < 0)
                        return;
                job.spare = order.spare;
                job.idle = idle;
                job.cgroup_keep = cgroup_keep;
                job.dir_keep = dir_keep;
                if (!supervisor_run(&job))
                        return;
        }
}
