/* passed.c: closing what a stranger chose. The last close of a socket may linger for as long as its owner said, and one of a file on a file
 * system that the task serves itself (FUSE) ends when the task likes: a supervisor that waits there enforces no timeout any more. Only a
 * pipe, which is what BARRIER=1 is about, never makes anybody wait. Everything else is closed by a clone that shares our table of
 * descriptors and nothing else.
 *
 * One at a time: while it waits, its task is not listened to. So there is never more than one of them, nor more descriptors than one message
 * holds, and who does this on purpose harms himself. */
#include "jobbers-run/passed.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define FINISH_MS 200

/* One process, one attempt at a time. */
static int closer = -1;

static void close_all(const int *fds, size_t n) {
        for (size_t i = 0; i < n; i++)
                fd_close(fds[i]);
}

int passed_busy(void) {
        siginfo_t info = {};
        if (closer < 0)
                return -1;
        /* No signal tells of its end, so that only those who ask for clones see it. */
        if (waitid(P_PIDFD, (id_t) closer, &info, WEXITED | WNOHANG | __WCLONE) >= 0 && info.si_pid == 0)
                return closer;
        closer = fd_close(closer);
        return -1;
}

void passed_close(const int *fds, size_t n) {
        size_t pipes = 0;
        while (pipes < n && fcntl(fds[pipes], F_GETPIPE_SZ) >= 0)
                fd_close(fds[pipes++]);
        fds += pipes;
        n -= pipes;
        if (n == 0)
                return;
        int pidfd = -1;
        pid_t pid = (pid_t) syscall(SYS_clone, (unsigned long) (CLONE_FILES | CLONE_PIDFD), NULL, &pidfd, NULL, NULL);
        if (pid == 0) {
                close_all(fds, n);
                _exit(0);
        }
        if (pid < 0)
                close_all(fds, n);              /* no process to be had: better to wait than to run out of descriptors */
        else
                closer = pidfd;
}

bool passed_finish(void) {
        static bool given_up;
        struct pollfd p = { .fd = passed_busy(), .events = POLLIN };
        if (given_up || p.fd < 0)
                return !given_up;
        (void) poll(&p, 1, FINISH_MS);
        if (passed_busy() < 0)
                return true;
        /* What it has not come to is still open here, and goes with this process. */
        given_up = true;
        (void) pidfd_send_signal(p.fd, SIGKILL, NULL, 0);
        return false;
}
