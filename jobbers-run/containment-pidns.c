/* containment-pidns.c: attempts held by a PID namespace, where no cgroup can be made. Its first process is a small init of ours; the task's
 * main process is the second, and a child of the supervisor like everywhere else. When the init goes, the kernel ends all that is in
 * the namespace before it reports that end: that is the proof of emptiness.
 *
 * An ordinary user gets a user namespace with it, in which only the own ids exist. */
#include "jobbers-run/containment.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/coverage.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/str.h"
#include "launch/wire.h"

/* What the supervisor says to the init. */
#define SAY_SIGNAL 'S'          /* and the signal's number */
#define SAY_LEAVE 'L'           /* main is gone: end as soon as nobody else is left */

static void on_child(int signal) {
}

/* PID 1 of the namespace. Its parent's end is the end of everything in here. */
static _Noreturn void init_main(int fd) {
        bool leaving = false;
        sigset_t mask;

        (void) dup2(fd, 3);
        (void) syscall(SYS_close_range, 4U, ~0U, 0U);
        (void) prctl(PR_SET_NAME, "jobbers-init");
        (void) sigaction(SIGCHLD, &(struct sigaction) { .sa_handler = on_child }, NULL);
        sigfillset(&mask);
        sigdelset(&mask, SIGCHLD);
        for (;;) {
                uint8_t say[2];
                while (waitpid(-1, NULL, WNOHANG) > 0)
                        ;
                if (leaving && kill(-1, 0) < 0 && errno == ESRCH)
                        process_leave(0);
                struct pollfd p = { .fd = 3, .events = POLLIN };
                /* Others than our own children end without a signal to us; while leaving, look again now and then. */
                if (ppoll(&p, 1, leaving ? &(struct timespec) { .tv_nsec = 20000000 } : NULL, &mask) <= 0)
                        continue;
                ssize_t n = recv(3, say, sizeof say, MSG_DONTWAIT);
                if (n == 0)
                        process_leave(0);
                if (n == 2 && say[0] == SAY_SIGNAL)
                        (void) kill(-1, say[1]);
                else if (n >= 1 && say[0] == SAY_LEAVE)
                        leaving = true;
        }
}

static int file_put(const char *path, const char *text) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* A process goes in once only. So what fails on the way for want of memory or descriptors goes on from there when it is tried again. */
static enum { OUTSIDE, GROUPS, UID, GID, INSIDE } at;
static int outer_fd = -1;

static int namespace_enter(void) {
        static uid_t uid;       /* inside it is another until the map is written */
        static gid_t gid;
        char map[64];
        int r = 0;
        if (at == OUTSIDE) {
                uid = geteuid();
                gid = getegid();
                if (outer_fd < 0 && (outer_fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC)) < 0)
                        return -errno;
                if (unshare(uid == 0 ? CLONE_NEWPID : CLONE_NEWUSER | CLONE_NEWPID) < 0)
                        return -errno;
                at = uid == 0 ? INSIDE : GROUPS;
        }
        for (; r >= 0 && at < INSIDE; at += r >= 0) {
                snprintf(map, sizeof map, "%u %u 1", at == UID ? uid : gid, at == UID ? uid : gid);
                r = at == GROUPS ? file_put("/proc/self/setgroups", "deny") : file_put(at == UID ? "/proc/self/uid_map" : "/proc/self/gid_map", map);
        }
        return r;
}

/* The first process could not be made. The kernel may have given up the namespace with it: then each further fork in there is short of memory.
 * Root leaves it for another; an ordinary user cannot. */
static int namespace_failed(int error) {
        static bool before;
        if (setns(outer_fd, CLONE_NEWPID) >= 0)
                at = OUTSIDE;
        else if (before && error == -ENOMEM)
                return -ESRCH;
        before = true;
        return error;
}

static int init_start(Containment *c) {
        int pair[2];
        int r = namespace_enter();
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        pid_t pid = fork();
        if (pid == 0)
                init_main(pair[1]);
        r = pid < 0 ? namespace_failed(-errno) : 0;
        close(pair[1]);
        if (r < 0) {
                close(pair[0]);
                return r;
        }
        outer_fd = fd_close(outer_fd);
        c->init_pid = pid;
        c->init_fd = pair[0];
        return 0;
}

/* Tried again, the init is there already; where somebody has ended it meanwhile, nothing can be started in there any more. */
static int pidns_prepare(Containment *c, AttemptDir *dir, char **ret_sentence) {
        int r = c->init_pid == 0 ? init_start(c) : 0;
        if (r >= 0 && waitpid(c->init_pid, NULL, WNOHANG) != 0) {
                c->init_pid = 0;
                r = -ESRCH;
        }
        if (r >= 0)     /* so that the launcher can end it, and see it ended, when we are killed */
                r = attempt_dir_set_init(dir, c->init_pid, process_start_time(c->init_pid));
        if (r < 0)
                *ret_sentence = str_new("cannot make a PID namespace for it: %s", strerror(-r));
        return r;
}

static pid_t pidns_spawn(Containment *c, ChildPlan *plan) {
        return child_spawn(plan, 0);
}

static void pidns_signal_all(Containment *c, int signal) {
        const uint8_t say[2] = { SAY_SIGNAL, (uint8_t) signal };
        if (c->init_pid > 0)
                (void) send(c->init_fd, say, sizeof say, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void pidns_kill_all(Containment *c) {
        if (c->init_pid > 0)
                (void) kill(c->init_pid, SIGKILL);
}

static bool pidns_reaped(Containment *c, pid_t pid) {
        if (pid != c->init_pid)
                return false;
        c->init_pid = 0;
        return true;
}

static int pidns_is_empty(Containment *c, bool no_children) {
        const uint8_t say = SAY_LEAVE;
        if (c->init_pid == 0)
                return no_children;
        if (!c->init_leaving)
                c->init_leaving = send(c->init_fd, &say, 1, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
        return 0;
}

static int pidns_watch(Containment *c, short *ret_events) {
        return -1;
}

static bool pidns_holds(Containment *c, pid_t pid) {
        char path[64], own[64], theirs[64];
        if (c->init_pid == 0)
                return false;
        snprintf(path, sizeof path, "/proc/%d/ns/pid", (int) c->init_pid);
        ssize_t n = readlink(path, own, sizeof own);
        snprintf(path, sizeof path, "/proc/%d/ns/pid", (int) pid);
        ssize_t k = readlink(path, theirs, sizeof theirs);
        return n > 0 && n == k && memcmp(own, theirs, (size_t) n) == 0;
}

static void pidns_account(Containment *c, ExitRecord *record) {
}

static void pidns_cleanup(Containment *c) {
        c->init_fd = fd_close(c->init_fd);      /* without a main process, this is what ends the init */
}

const ContainmentDriver containment_pidns = {
        .name = "PID namespace",
        .flag = LAUNCHER_HOLDS_PIDNS,
        .lasting = true,
        .prepare = pidns_prepare,
        .spawn = pidns_spawn,
        .signal_all = pidns_signal_all,
        .kill_all = pidns_kill_all,
        .reaped = pidns_reaped,
        .is_empty = pidns_is_empty,
        .watch = pidns_watch,
        .holds = pidns_holds,
        .account = pidns_account,
        .cleanup = pidns_cleanup,
};

bool containment_pidns_works(void) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
                /* Both steps: making it, and a process in it. */
                if (namespace_enter() < 0)
                        process_leave(1);
                pid_t inner = fork();
                if (inner == 0)
                        process_leave(getpid() == 1 ? 0 : 1);
                if (inner < 0 || waitpid(inner, &status, 0) < 0)
                        process_leave(1);
                process_leave(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
        }
        return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
