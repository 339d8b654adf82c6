/* raw-spawn.c: the limit that everything is measured against: one process that keeps K posix_spawn()s of a program in flight, by pidfd and
 * epoll, N times in all. Prints starts per second.   raw-spawn [-n N] [-k IN_FLIGHT] [PROGRAM] */
#include <err.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void spawn_one(const char *program, int epoll_fd) {
        char *argv[] = { (char *) program, NULL }, *envp[] = { NULL };
        pid_t pid;
        if (posix_spawn(&pid, program, NULL, NULL, argv, envp) != 0)
                err(1, "cannot start %s", program);
        int fd = (int) syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event) { .events = EPOLLIN, .data.fd = fd }) < 0)
                err(1, "cannot watch process %d", pid);
}

int main(int argc, char **argv) {
        long n = 4000, k = 2;
        int c;
        while ((c = getopt(argc, argv, "n:k:")) != -1)
                if (c == 'n')
                        n = atol(optarg);
                else if (c == 'k')
                        k = atol(optarg);
                else
                        return 2;
        const char *program = optind < argc ? argv[optind] : "/bin/true";

        int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        long started = 0, ended = 0;
        while (ended < n) {
                for (; started < n && started - ended < k; started++)
                        spawn_one(program, epoll_fd);
                struct epoll_event events[64];
                int m = epoll_wait(epoll_fd, events, 64, -1);
                for (int i = 0; i < m; i++) {
                        siginfo_t info = { 0 };
                        if (waitid(P_PIDFD, (id_t) events[i].data.fd, &info, WEXITED) < 0)
                                err(1, "waitid");
                        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, events[i].data.fd, NULL);
                        close(events[i].data.fd);
                        ended++;
                }
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double s = (double) (b.tv_sec - a.tv_sec) + (double) (b.tv_nsec - a.tv_nsec) / 1e9;
        printf("%.0f\n", (double) n / s);
        return 0;
}
