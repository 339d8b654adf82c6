/* strike.c: at the Nth system call of a process, kills it or makes the call fail.
 *
 *   strike (-k | -e ERRNO) -n N [-c] -p PID        attaches; with -c the target is the first process that PID forks from then on
 *   strike (-k | -e ERRNO) -n N -- COMMAND…        from its first instruction on
 *
 * Counted are all calls with -k, with -e those that can fail so. The call does not happen: what is killed is killed before it. N 0 only counts.
 * Says on standard output: "pid PID" of a command, "ready" once attached, "struck NAME" (a number where the name is not known), "count N" at the
 * end, which is the target's or a SIGTERM to us. strace(1) could do most of it, but not aim at one child of a process that goes on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(name) { SYS_##name, #name }
typedef struct Call {
        long nr;
        const char *name;
} Call;

static const Call no_space[] = {
        CALL(write), CALL(pwrite64), CALL(writev), CALL(ftruncate), CALL(fallocate), CALL(openat), CALL(mkdirat), CALL(mkdir), CALL(rename),
        CALL(renameat), CALL(renameat2), CALL(symlinkat), CALL(bind), CALL(sendfile), CALL(fsync), CALL(fdatasync), CALL(open), {},
};
static const Call io_error[] = {
        CALL(read), CALL(pread64), CALL(write), CALL(pwrite64), CALL(writev), CALL(ftruncate), CALL(fsync), CALL(fdatasync), CALL(openat),
        CALL(getdents64), CALL(readlinkat), CALL(renameat), CALL(renameat2), CALL(unlinkat), CALL(unlink), CALL(mkdirat), CALL(open), {},
};
static const Call no_files[] = {
        CALL(openat), CALL(open), CALL(socket), CALL(socketpair), CALL(accept4), CALL(accept), CALL(epoll_create1), CALL(timerfd_create),
        CALL(signalfd4), CALL(eventfd2), CALL(pidfd_open), CALL(memfd_create), CALL(inotify_init1), CALL(pipe2), CALL(dup), CALL(fcntl), {},
};
static const Call no_memory[] = {
        CALL(mmap), CALL(brk), CALL(mremap), CALL(clone), CALL(clone3), CALL(fork), CALL(socket), CALL(socketpair), CALL(sendmsg), CALL(sendto),
        CALL(recvmsg), CALL(epoll_ctl), CALL(openat), CALL(accept4), CALL(memfd_create), CALL(pidfd_open), {},
};
/* Others that are worth a name in the report. */
static const Call named[] = {
        CALL(epoll_wait), CALL(recvfrom), CALL(close), CALL(unlinkat), CALL(exit_group), CALL(wait4), CALL(waitid), CALL(poll), CALL(futex),
        CALL(newfstatat), CALL(fstat), CALL(clock_gettime), CALL(getpid), CALL(flock), CALL(connect), CALL(listen), CALL(setsockopt),
        CALL(getsockopt), CALL(rt_sigprocmask), CALL(timerfd_settime), CALL(lseek), CALL(munmap), CALL(execve), CALL(prctl), CALL(kill), {},
};
static const Call *const all[] = { no_space, io_error, no_files, no_memory, named };

static const struct {
        const char *name;
        int error;
        const Call *calls;
} errors[] = {
        { "ENOSPC", ENOSPC, no_space }, { "EIO", EIO, io_error }, { "EMFILE", EMFILE, no_files }, { "ENOMEM", ENOMEM, no_memory },
};

static volatile sig_atomic_t enough;

static void on_term(int sig) {
        enough = 1;
}

static void die(const char *what) {
        fprintf(stderr, "strike: %s: %s\n", what, strerror(errno));
        exit(2);
}

static bool contains(const Call *calls, long nr, const char **ret) {
        for (; calls->name; calls++)
                if (calls->nr == nr) {
                        *ret = calls->name;
                        return true;
                }
        return false;
}

/* A call that can fail so with these arguments. */
static bool applies(const Call *calls, const struct user_regs_struct *regs, int error) {
        long nr = (long) regs->orig_rax;
        const char *name;
        if (!calls)
                return true;
        if (!contains(calls, nr, &name))
                return false;
        if (error == ENOSPC && (nr == SYS_openat || nr == SYS_open))
                return (nr == SYS_openat ? regs->rdx : regs->rsi) & O_CREAT;
        if (nr == SYS_epoll_ctl)
                return regs->rsi == EPOLL_CTL_ADD;
        if (nr == SYS_fcntl)
                return regs->rsi == F_DUPFD || regs->rsi == F_DUPFD_CLOEXEC;
        return true;
}

static void say_struck(long nr) {
        const char *name = NULL;
        for (size_t i = 0; i < sizeof all / sizeof *all && !name; i++)
                (void) contains(all[i], nr, &name);
        if (name)
                printf("struck %s\n", name);
        else
                printf("struck %ld\n", nr);
}

static struct user_regs_struct registers(pid_t pid) {
        struct user_regs_struct regs = {};
        if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0 && errno != ESRCH)
                die("PTRACE_GETREGS");
        return regs;
}

static pid_t command_start(char **argv) {
        pid_t pid = fork();
        if (pid < 0)
                die("fork");
        if (pid == 0) {
                (void) raise(SIGSTOP);
                execvp(*argv, argv);
                die(*argv);
        }
        int status;
        if (waitpid(pid, &status, WUNTRACED) < 0)
                die("waitpid");
        printf("pid %d\n", (int) pid);
        return pid;
}

int main(int argc, char **argv) {
        bool killing = false, children = false, fresh = false;
        const Call *calls = NULL;
        pid_t root = 0, target = 0;
        int error = 0, option;
        long n = 0, count = 0;

        while ((option = getopt(argc, argv, "+kce:n:p:")) != -1)
                switch (option) {
                case 'k': killing = true; break;
                case 'c': children = true; break;
                case 'n': n = atol(optarg); break;
                case 'p': root = (pid_t) atol(optarg); break;
                case 'e':
                        for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
                                if (strcmp(optarg, errors[i].name) == 0) {
                                        error = errors[i].error;
                                        calls = errors[i].calls;
                                }
                        break;
                default: return 2;
                }
        if (killing == (error != 0) || (root == 0) == (optind == argc)) {
                fprintf(stderr, "usage: strike (-k | -e ENOSPC|EIO|EMFILE|ENOMEM) -n N ([-c] -p PID | -- COMMAND...)\n");
                return 2;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        struct sigaction term = { .sa_handler = on_term };      /* no SA_RESTART: waitpid is to see it */
        sigaction(SIGTERM, &term, NULL);
        if (root == 0) {
                fresh = true;
                root = command_start(argv + optind);
        }

        long options = PTRACE_O_TRACESYSGOOD | (children ? PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE : 0);
        if (ptrace(PTRACE_SEIZE, root, NULL, options) < 0 || ptrace(PTRACE_INTERRUPT, root, NULL, NULL) < 0)
                die("PTRACE_SEIZE");
        if (!children)
                target = root;
        if (fresh)
                kill(root, SIGCONT);

        bool ready = false, entering = true, failing = false, done = false;
        while (!enough || failing) {            /* a call that was taken away must get its error, and not ENOSYS */
                int status;
                pid_t pid = waitpid(-1, &status, __WALL);
                if (pid < 0 && errno == EINTR)
                        continue;
                if (pid < 0)
                        break;
                if (WIFEXITED(status) || WIFSIGNALED(status)) {
                        if (pid == target || pid == root)
                                break;
                        continue;
                }
                int sig = WSTOPSIG(status), event = status >> 16;
                if (!ready) {
                        ready = true;
                        printf("ready\n");
                }
                if (pid != root && children && target == 0)
                        target = pid;
                if (pid != root && pid != target) {             /* a child of the target, or a later one */
                        (void) ptrace(PTRACE_DETACH, pid, NULL, NULL);
                        continue;
                }
                if (pid != target || done) {
                        (void) ptrace(PTRACE_CONT, pid, NULL, event ? 0 : sig);
                        continue;
                }
                if (sig == (SIGTRAP | 0x80)) {
                        struct user_regs_struct regs = registers(pid);
                        long nr = (long) regs.orig_rax;
                        if (entering && applies(calls, &regs, error) && ++count == n) {
                                say_struck(nr);
                                if (killing)
                                        kill(pid, SIGKILL);
                                else {
                                        failing = true;
                                        regs.orig_rax = (unsigned long long) -1;
                                        (void) ptrace(PTRACE_SETREGS, pid, NULL, &regs);
                                }
                        } else if (!entering && failing) {
                                regs.rax = (unsigned long long) -error;
                                (void) ptrace(PTRACE_SETREGS, pid, NULL, &regs);
                                failing = false;
                                done = true;
                        }
                        entering = !entering;
                        sig = 0;
                } else if (event)
                        sig = 0;
                (void) ptrace(done ? PTRACE_CONT : PTRACE_SYSCALL, pid, NULL, sig);
        }
        printf("count %ld\n", count);
        return 0;       /* what still is traced goes on when we end */
}
