/* child.c: from clone to exec. Between the two there is only memory that the supervisor waits for and system calls: no allocation, no
 * locks, no library call that keeps state. The supervisor sleeps meanwhile (CLONE_VFORK), unless the working directory may hold it up. */
#include "jobbers-run/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

static _Noreturn void child_fail(ChildPlan *plan, int status) {
        plan->failure->status = status;
        plan->failure->error = errno;
        _exit(status);
}

static void oom_score_reset(void) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                (void) !write(fd, "0", 1);
                close(fd);
        }
}

/* A session keyring of its own, for root's attempts too: whoever has a keyring reaches all the keys in it, as whatever user. Still as root,
 * whose quota has room for a million. In a user namespace it is somebody else's and small, and keyrings of attempts that ended count for a
 * while: the attempt then goes without, since nothing can be put into the launcher's (main.c). EPERM is a container's filter. */
static void keyring_make(ChildPlan *plan) {
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM && errno != EDQUOT)
                child_fail(plan, CHILD_EXIT_KEYRING);
}

/* The raw calls: glibc's own would talk to the other threads of a process that shares our memory. */
static void user_change(ChildPlan *plan) {
        const RunUser *u = plan->user;
        if (syscall(SYS_setgroups, u->n_groups, u->groups) < 0 || syscall(SYS_setresgid, u->gid, u->gid, u->gid) < 0)
                child_fail(plan, CHILD_EXIT_GROUP);
        if (syscall(SYS_setresuid, u->uid, u->uid, u->uid) < 0)
                child_fail(plan, CHILD_EXIT_USER);
}

/* The program may lie on a file system that does not answer, and the working directory too; the supervisor may be asleep. So the kernel ends us in
 * time. It takes the timer away at exec. Set while we are still root, whose quota of signals nobody uses up. */
static void alarm_set(usec_t after) {
        struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
        struct itimerspec at = { .it_value = { .tv_sec = (time_t) (after / USEC_PER_SEC), .tv_nsec = (long) (after % USEC_PER_SEC) * 1000 + 1 } };
        int timer;
        if (syscall(SYS_timer_create, CLOCK_BOOTTIME, &event, &timer) >= 0)
                (void) syscall(SYS_timer_settime, timer, 0, &at, NULL);
}

static _Noreturn void child_main(ChildPlan *plan) {
        const Definition *d = plan->definition;
        sigset_t none;

        if (setsid() < 0)
                child_fail(plan, CHILD_EXIT_SETSID);
        (void) syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &(struct sched_param) {});       /* ours is another (inherited.c) */
        if (plan->reset_oom_score)
                oom_score_reset();
        if (dup2(plan->stdin_fd, 0) < 0 || dup2(plan->output_fd, 1) < 0 || dup2(plan->output_fd, 2) < 0)
                child_fail(plan, CHILD_EXIT_FDS);
        if (d->limit_nofile_soft != UINT64_MAX) {
                struct rlimit limit = { .rlim_cur = d->limit_nofile_soft, .rlim_max = d->limit_nofile_hard != UINT64_MAX ? d->limit_nofile_hard : d->limit_nofile_soft };
                if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                        child_fail(plan, CHILD_EXIT_LIMITS);
        }
        umask(d->umask);
        alarm_set(plan->patience);
        if (plan->user->change) {
                keyring_make(plan);
                user_change(plan);
        }
        if (plan->die_with_parent)
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        plan->failure->step = CHILD_EXIT_CHDIR;
        if (chdir(d->working_directory ?: "/") < 0)
                child_fail(plan, CHILD_EXIT_CHDIR);
        if (syscall(SYS_close_range, 3U, ~0U, 0U) < 0)
                child_fail(plan, CHILD_EXIT_FDS);
        /* Only what is ignored would stay so over exec, and main.c left nothing ignored. */
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        plan->failure->step = CHILD_EXIT_EXEC;
        /* Raw too: a coverage build has an execve() of its own, which writes files. */
        (void) syscall(SYS_execve, d->argv[0], d->argv, plan->envp);
        child_fail(plan, CHILD_EXIT_EXEC);
}

#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(SANITIZED)
#define HAVE_VFORK_CLONE3 1

/* On its way into a file system that its user serves (FUSE) not even SIGKILL ends a process. So the supervisor stays awake, at the price of a copy
 * of its memory, unless the directory is known already and on a disk, or where the root directory is. Asking that waits for nobody. */
static bool may_hang(const char *directory) {
        struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_CACHED };
        struct statx root, st;
        if (!directory)
                return false;
        _cleanup_close_ int fd = (int) syscall(SYS_openat2, AT_FDCWD, directory, &how, sizeof how);
        if (fd < 0 || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) < 0 || statx(AT_FDCWD, "/", AT_STATX_DONT_SYNC, 0, &root) < 0)
                return true;
        return st.stx_dev_major == 0 && (st.stx_dev_minor != root.stx_dev_minor || root.stx_dev_major != 0);
}

/* clone3 with the child on our own stack, as vfork does: legal because we sleep until it is gone from it, and because the child never
 * returns from the function that cloned. The kernel interface is used directly since no function may return twice. */
static __attribute__((noinline)) long clone3_share(struct clone_args *args, ChildPlan *plan) {
        long pid;
#if defined(__x86_64__)
        __asm__ volatile("syscall"
                         : "=a"(pid)
                         : "0"((long) SYS_clone3), "D"(args), "S"(sizeof *args)
                         : "rcx", "r11", "memory", "cc");
#else
        register long x8 __asm__("x8") = SYS_clone3;
        register long x0 __asm__("x0") = (long) args;
        register long x1 __asm__("x1") = sizeof *args;
        __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory", "cc");
        pid = x0;
#endif
        if (pid == 0)
                child_main(plan);
        return pid;
}
#endif

/* Without clone3 (seccomp, valgrind) or under a sanitizer: a plain fork, which moves itself into the cgroup. */
static pid_t spawn_by_fork(ChildPlan *plan, uint64_t flags) {
        /* A cgroup that is gone is the caller's to make again, as with clone3, and not an end of the child. */
        if (plan->cgroup_fd >= 0 && !fd_exists_at(plan->cgroup_fd, "cgroup.procs"))
                return -errno;
        pid_t pid = (pid_t) syscall(SYS_clone, (unsigned long) (flags | SIGCHLD), NULL, NULL, NULL, NULL);
        if (pid < 0)
                return -errno;
        if (pid > 0)
                return pid;
        if (plan->cgroup_fd >= 0) {
                int fd = openat(plan->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
                if (fd < 0 || write(fd, "0", 1) < 0)
                        child_fail(plan, CHILD_EXIT_CGROUP);
        }
        child_main(plan);
}

pid_t child_spawn(ChildPlan *plan, uint64_t flags) {
        *plan->failure = (ChildFailure) {};
#ifdef HAVE_VFORK_CLONE3
        bool asleep = !may_hang(plan->definition->working_directory);
        struct clone_args args = {
                .flags = flags | (asleep ? CLONE_VM | CLONE_VFORK : 0) | (plan->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
                .exit_signal = SIGCHLD,
                .cgroup = plan->cgroup_fd >= 0 ? (uint64_t) plan->cgroup_fd : 0,
        };
        usec_t begun = clock_boot();
        long pid = clone3_share(&args, plan);
        plan->failure->late = asleep && plan->failure->status == 0 && clock_boot() - begun >= plan->patience;
        if (pid != -ENOSYS && pid != -EPERM)
                return (pid_t) pid;
#endif
        return spawn_by_fork(plan, flags);
}

bool child_failure_is_late(ChildFailure *f, int wait_status) {
        if (!WIFSIGNALED(wait_status) || WTERMSIG(wait_status) != SIGKILL ||
            !(f->step == CHILD_EXIT_CHDIR || (f->step == CHILD_EXIT_EXEC && f->late)))
                return false;
        f->late = true;
        f->status = f->step;
        f->error = ETIMEDOUT;
        return true;
}

ChildFailure *child_failure_get(void) {
        static void *shared;            /* one process has one child at a time that may fail */
        if (!shared) {
                void *p = mmap(NULL, sizeof(ChildFailure), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                if (p != MAP_FAILED)
                        shared = p;
        }
        return shared;
}

char *child_failure_sentence(const ChildFailure *f, const Definition *d, const RunUser *u) {
        const char *why = strerror(f->error);
        switch (f->status) {
        case CHILD_EXIT_EXEC:
                return f->late ? str_new("its program %s does not answer", d->argv[0])
                               : str_new("cannot run %s: %s", d->argv[0], why);
        case CHILD_EXIT_CHDIR:
                return f->late ? str_new("its working directory %s does not answer", d->working_directory ?: "/")
                               : str_new("cannot enter the working directory %s: %s", d->working_directory ?: "/", why);
        case CHILD_EXIT_LIMITS:
                return str_new("cannot set LimitNOFILE=: %s", why);
        case CHILD_EXIT_GROUP:
        case CHILD_EXIT_USER:
                return str_new("cannot become user %s: %s", u->name, why);
        case CHILD_EXIT_KEYRING:
                return str_new("cannot make its session keyring: %s", why);
        case CHILD_EXIT_CGROUP:
                return str_new("cannot enter its cgroup: %s", why);
        default:
                return str_new("cannot start the task's process: %s", why);
        }
}
