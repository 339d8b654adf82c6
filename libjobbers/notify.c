/* notify.c: what a task says while it runs: datagrams of sd_notify(3) to the socket that NOTIFY_SOCKET names. Written out here because
 * libsystemd's own function waits when nobody reads, which a heartbeat must never do, and would make a socket for each. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "libjobbers/task.h"

#define BEAT_DISTANCE (100 * USEC_PER_MSEC)     /* between heartbeats that are really sent */
#define PATIENCE_MSEC 1000                      /* with a full socket, for anything but a heartbeat */

/* The connected socket, made at first use. The lock is held. 0: nobody listens. */
static int notify_open(JobbersTask *t) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        if (!t->notify_address)
                return 0;
        if (t->notify_fd >= 0)
                return 1;
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (*t->notify_address == '@') {
                size_t n = strlen(t->notify_address);
                if (n > sizeof address.sun_path)
                        return -EINVAL;
                memcpy(address.sun_path + 1, t->notify_address + 1, n - 1);
                if (connect(fd, (struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n)) < 0)
                        return -errno;
        } else {
                int r = fd_connect_unix(fd, t->notify_address);
                if (r < 0)
                        return r;
        }
        t->notify_fd = TAKE_FD(fd);
        return 1;
}

/* 1 when it was sent, 0 when nobody listens. `patience`: milliseconds to wait for space, for what should not be lost. */
static int notify_send(JobbersTask *t, const char *text, int patience) {
        int r = notify_open(t);
        if (r <= 0)
                return r;
        for (;; patience = 0) {
                if (send(t->notify_fd, text, strlen(text), MSG_NOSIGNAL) >= 0)
                        return 1;
                if (errno != EAGAIN || patience == 0)
                        return -errno;
                struct pollfd p = { .fd = t->notify_fd, .events = POLLOUT };
                (void) poll(&p, 1, patience);
        }
}

static int answer(JobbersTask *t, int r) {
        return r < 0 ? task_fail(t, r, "cannot tell %s anything: %s", t->notify_address, strerror(-r)) : 0;
}

int jobbers_task_heartbeat(JobbersTask *t) {
        int r = 0;
        pthread_mutex_lock(&t->lock);
        usec_t now = clock_boot();
        /* Where they are asked for at shorter intervals than usual, more are sent. */
        if (t->beat_at == 0 || now - t->beat_at >= MIN(BEAT_DISTANCE, t->heartbeat_interval / 4)) {
                r = notify_send(t, "WATCHDOG=1", 0);
                if (r >= 0)
                        t->beat_at = now;
        }
        pthread_mutex_unlock(&t->lock);
        return answer(t, r);
}

uint64_t jobbers_task_heartbeat_interval(const JobbersTask *t) {
        return t->heartbeat_interval;
}

/* A status is one line: what would end it is a blank. */
static char *status_clean(const char *status) {
        char *s = strdup(status);
        for (char *p = s; p && *p; p++)
                if (*p == '\n' || *p == '\r')
                        *p = ' ';
        return s;
}

/* Only what is new is sent; a heartbeat with it where `progress` is given (-1: not). */
static int tell(JobbersTask *t, int progress, const char *status) {
        _cleanup_str_ Str text = {};
        char *line = status ? status_clean(status) : NULL;
        if (status && !line)
                return -ENOMEM;

        pthread_mutex_lock(&t->lock);
        bool new_progress = progress >= 0 && progress != t->progress, new_status = line && (!t->status || !STREQ(line, t->status));
        int r = 0;
        if (new_progress || new_status) {
                if (progress >= 0)
                        str_printf(&text, "WATCHDOG=1\nX_JOBBERS_PROGRESS=%d\n", progress);
                if (new_status)
                        str_printf(&text, "STATUS=%s\n", line);
                r = text.failed ? -ENOMEM : notify_send(t, text.s, PATIENCE_MSEC);
        }
        if (r >= 0 && new_progress) {
                t->progress = progress;
                t->beat_at = clock_boot();
        }
        if (r >= 0 && new_status) {
                char *former = t->status;
                t->status = TAKE_PTR(line);
                free(former);
        }
        pthread_mutex_unlock(&t->lock);
        free(line);
        if (r == 0 && progress >= 0 && !new_progress && !new_status)
                return jobbers_task_heartbeat(t);
        return answer(t, r);
}

int jobbers_task_progress(JobbersTask *t, int percent, const char *status) {
        return tell(t, percent < 0 ? 0 : MIN(percent, 100), status);
}

int jobbers_task_status(JobbersTask *t, const char *status) {
        return status ? tell(t, -1, status) : task_fail(t, -EINVAL, "the status text is missing");
}

int jobbers_task_extend_timeout(JobbersTask *t, uint64_t usec) {
        char text[64];
        snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long) usec);
        pthread_mutex_lock(&t->lock);
        int r = notify_send(t, text, PATIENCE_MSEC);
        pthread_mutex_unlock(&t->lock);
        return answer(t, r);
}

/* A descriptor is sent along, which the other side closes once it has read everything before it. */
int jobbers_task_flush(JobbersTask *t, uint64_t usec) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0)
                return answer(t, -errno);
        _cleanup_close_ int ours = ends[0], theirs = ends[1];
        usec_t start = clock_boot(), deadline = usec > USEC_INFINITY - start ? USEC_INFINITY : start + usec;
        bool sent = false;
        for (;;) {
                pthread_mutex_lock(&t->lock);
                int r = sent ? 1 : notify_open(t);
                if (r > 0 && !sent)
                        r = fd_send(t->notify_fd, "BARRIER=1", strlen("BARRIER=1"), &theirs, 1, 0);
                struct pollfd p = { .fd = sent || r >= 0 ? ours : t->notify_fd, .events = r == -EAGAIN ? POLLOUT : 0 };
                bool listens = t->notify_address != NULL;
                pthread_mutex_unlock(&t->lock);
                if (!listens)
                        return 0;
                if (r < 0 && r != -EAGAIN)
                        return answer(t, r);
                if (r >= 0 && !sent) {
                        sent = true;
                        theirs = fd_close(theirs);
                }
                usec_t now = clock_boot();
                if (now >= deadline)
                        return answer(t, -ETIMEDOUT);
                int ms = deadline == USEC_INFINITY ? -1 : (int) MIN((deadline - now) / USEC_PER_MSEC + 1, (usec_t) INT32_MAX);
                int n = poll(&p, 1, ms);
                if (n < 0 && errno != EINTR)
                        return answer(t, -errno);
                if (n > 0 && sent && p.revents & (POLLHUP | POLLIN | POLLERR))
                        return 0;
        }
}
