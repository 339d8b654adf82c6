/* launcher-worker.c: what a supervisor does after its attempt, if that left nothing in it (supervisor.h): it waits for another, which the daemon
 * sends down the channel of the last one. A fork costs as much as all else that a supervisor does for a tiny task, and the launcher need not be
 * woken. It checks a start as the launcher would, and leaves when there is anything to say about it: the daemon then asks the launcher.
 *
 * One that was in a scope rests for a moment, and gets its order from the launcher (launcher-rest.c).
 *
 * It knows the definitions of its birth. So the launcher holds the writing end of a pipe, which all who wait look at first: when the definitions
 * are read again, or the launcher ends, they leave. A daemon lets go those whom it has no use for by the end of their channels. */
#include "jobbers-run/launcher-private.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "jobbers-run/supervisor.h"

#define GOODBYE_MS 4000         /* a host under load gives them no CPU for a while */
#define REST_MAX USEC_PER_SEC   /* after an attempt in a scope: more than it takes a busy daemon to send the next one */

/* ── in the launcher ── */

void workers_dismiss(Launcher *l) {
        l->stay_fd = fd_close(l->stay_fd);
        l->stay_read_fd = fd_close(l->stay_read_fd);
        rests_dismiss(l->rests);
        int pair[2];
        if (pipe2(pair, O_CLOEXEC) < 0) {
                log_warning_errno(-errno, "cannot make a pipe: supervisors are not used again");
                return;
        }
        l->stay_read_fd = pair[0];
        l->stay_fd = pair[1];
}

void workers_close_fds(Launcher *l) {
        l->stay_fd = fd_close(l->stay_fd);
        rests_close_fds(l->rests);
}

/* They have nothing to do but to end: a stop of the daemon is to leave no process behind. Each has a shared lock. */
int workers_close(Launcher *l) {
        l->stay_fd = fd_close(l->stay_fd);
        l->stay_read_fd = fd_close(l->stay_read_fd);
        l->lock_fd = fd_close(l->lock_fd);
        _cleanup_close_ int lock = place_lock_open(&l->place);
        usec_t until = clock_boot() + GOODBYE_MS * USEC_PER_MSEC;
        while (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK && clock_boot() < until)
                (void) poll(NULL, 0, 2);
        return TAKE_FD(lock);
}

/* ── in the fork ── */

/* 1: with as many descriptors, which are in fds; 0: there was something else; -errno: leave. */
static int order_read(int fd, int flags, size_t wanted, LauncherRequest *ret, int fds[static FD_PASS_MAX]) {
        size_t n_fds = 0;
        ssize_t n = fd_recv(fd, ret, sizeof *ret, fds, &n_fds, flags);
        if (n == sizeof *ret && n_fds == wanted)
                return 1;
        for (size_t i = 0; i < n_fds; i++)
                fd_close(fds[i]);
        /* No word is as long as that: its descriptor was lost on the way. */
        if (n == sizeof *ret)
                return -EPROTO;
        if (n <= 0 && n != -EAGAIN && n != -ECONNRESET && n != -EMSGSIZE)
                return n < 0 ? (int) n : -EPIPE;
        return 0;
}

/* Without a scope: the daemon's next order; what else comes was meant for the attempt before. -errno: leave. */
static int order_wait(const Launcher *l, int channel, LauncherRequest *ret, int *ret_parameters) {
        int fds[FD_PASS_MAX], r = 0;
        while (r == 0) {
                struct pollfd p[2] = { { .fd = channel, .events = POLLIN }, { .fd = l->stay_read_fd } };
                if (poll(p, 2, -1) < 0 && errno != EINTR)
                        return -errno;
                if (p[1].revents)
                        return -ESTALE;
                if (p[0].revents)
                        r = order_read(channel, MSG_DONTWAIT, 1, ret, fds);
        }
        if (r > 0)
                *ret_parameters = fds[0];
        return r;
}

/* After one in a scope: the launcher's, which keeps its word when it has taken ours. */
static int order_wait_resting(const Launcher *l, Stay *stay, LauncherRequest *ret, int *ret_parameters) {
        struct pollfd p[2] = { { .fd = stay->orders_fd, .events = POLLIN }, { .fd = l->stay_read_fd } };
        usec_t until = clock_boot() + REST_MAX;
        int fds[FD_PASS_MAX];
        if (!rest_lie_down(l->rests, stay))
                return -EPERM;
        do {
                usec_t now = clock_boot();
                if (poll(p, 2, now < until ? (int) ((until - now) / USEC_PER_MSEC) + 1 : 0) < 0 && errno != EINTR)
                        return -errno;
        } while (!p[0].revents && !p[1].revents && clock_boot() < until);
        if (!p[0].revents && rest_get_up(stay))
                return -ESTALE;
        rest_ordered(l->rests);
        int r = order_read(stay->orders_fd, 0, 2, ret, fds);
        if (r <= 0)
                return r < 0 ? r : -EPROTO;
        *ret_parameters = fds[0];
        stay->channel_fd = fds[1];
        return 0;
}

void worker_run(Launcher *l, Stay *stay) {
        for (;;) {
                _cleanup_close_ int parameters = -1;
                _cleanup_free_ char *sentence = NULL;
                LauncherRequest q;
                const char *why;
                Start start;
                Job job;

                /* The lock stays with us to the last: that it is free is the news that we are gone. */
                int r = stay->rest ? order_wait_resting(l, stay, &q, &parameters) : order_wait(l, stay->channel_fd, &q, &parameters);
                if (r < 0 || q.verb != LAUNCHER_START || !launcher_request_is_valid(&q) ||
                    launcher_check_start(l, &q, parameters, true, &start, &why, &sentence) < 0 || start.scope != (stay->rest != NULL))
                        return;
                launcher_job(l, &q, &start, TAKE_FD(parameters), TAKE_FD(stay->channel_fd), TAKE_FD(stay->lock_fd), &job);
                job.stay = stay;
                if (!supervisor_run(&job))
                        return;
        }
}
