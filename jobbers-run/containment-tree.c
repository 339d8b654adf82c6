/* containment-tree.c: attempts held by nothing but descent: the supervisor is a subreaper, so that whatever a task forks off remains a
 * descendant of it. Holds as long as the supervisor lives; the main process is tied to that life, its children are not. */
#include "jobbers-run/containment.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "base/str.h"
#include "launch/wire.h"

#define PASSES 16
#define DEPTH_MAX 100000        /* no chain of parents is longer: pid numbers might be recycled into a ring while we walk */

static bool tree_has(void *userdata, pid_t pid) {
        pid_t self = getpid();
        for (unsigned depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
                if (pid == self)
                        return depth > 0;
                pid = process_parent(pid);
        }
        return false;
}

static bool tree_holds(Containment *c, pid_t pid) {
        return tree_has(NULL, pid);
}

/* How many were held that were not seen before; `done` is a bitmap by pid, so that each gets it once. */
static size_t signal_pass(bool (*holds)(void *userdata, pid_t pid), void *userdata, int signal, uint8_t *done, size_t done_bits) {
        DIR *dir = opendir("/proc");
        size_t n = 0;
        if (!dir)
                return 1;       /* who knows */
        for (struct dirent *e; (e = readdir(dir));) {
                uint64_t number;
                if (parse_u64(e->d_name, &number) < 0 || number == 0 || number >= done_bits || (done[number / 8] & (1 << (number % 8))))
                        continue;
                pid_t pid = (pid_t) number;
                /* The pidfd first: what is verified after that cannot become somebody else. */
                _cleanup_close_ int pidfd = pidfd_open(pid, 0);
                if (pidfd < 0 || !holds(userdata, pid) || (pidfd_send_signal(pidfd, signal, NULL, 0) < 0 && errno == ESRCH))
                        continue;
                done[number / 8] |= (uint8_t) (1 << (number % 8));
                n++;
        }
        closedir(dir);
        return n;
}

size_t containment_tree_signal(bool (*holds)(void *userdata, pid_t pid), void *userdata, int signal) {
        const size_t bits = 1U << 22;           /* PID_MAX_LIMIT */
        _cleanup_free_ uint8_t *done = calloc(1, bits / 8);
        size_t all = 0, n = 1;
        for (unsigned i = 0; done && i < PASSES && n > 0; i++)
                all += n = signal_pass(holds, userdata, signal, done, bits);
        return done ? all : SIZE_MAX;
}

static void tree_signal_all(Containment *c, int signal) {
        if (containment_tree_signal(tree_has, NULL, signal) == SIZE_MAX && c->main_pid > 0)
                (void) kill(c->main_pid, signal);
}

/* Stopped first: nobody forks while the others are being killed. */
static void tree_kill_all(Containment *c) {
        tree_signal_all(c, SIGSTOP);
        tree_signal_all(c, SIGKILL);
}

static int tree_prepare(Containment *c, AttemptDir *dir, char **ret_sentence) {
        return 0;
}

static pid_t tree_spawn(Containment *c, ChildPlan *plan) {
        plan->die_with_parent = true;
        return child_spawn(plan, 0);
}

static bool tree_reaped(Containment *c, pid_t pid) {
        return false;
}

/* Every descendant is or becomes our child. */
static int tree_is_empty(Containment *c, bool no_children) {
        return no_children;
}

static int tree_watch(Containment *c, short *ret_events) {
        return -1;
}

static void tree_account(Containment *c, ExitRecord *record) {
}

static void tree_cleanup(Containment *c) {
}

const ContainmentDriver containment_tree = {
        .name = "tree",
        .flag = LAUNCHER_HOLDS_TREE,
        .prepare = tree_prepare,
        .spawn = tree_spawn,
        .signal_all = tree_signal_all,
        .kill_all = tree_kill_all,
        .reaped = tree_reaped,
        .is_empty = tree_is_empty,
        .watch = tree_watch,
        .holds = tree_holds,
        .account = tree_account,
        .cleanup = tree_cleanup,
};
