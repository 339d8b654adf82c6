/* inherited.c: see inherited.h. */
#include "jobbers-run/inherited.h"

#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

/* The number in a small file; false when it has none. */
static bool number_read(const char *path, long long *ret) {
        _cleanup_free_ char *text = NULL;
        char *end;
        size_t len;
        if (fd_read_file_at(AT_FDCWD, path, 64, &text, &len) < 0)
                return false;
        *ret = strtoll(text, &end, 10);
        return end != text;
}

/* Of processes and of pending signals, as the kernel works it out for the first process. */
static rlim_t processes_default(void) {
        long long threads;
        return number_read("/proc/sys/kernel/threads-max", &threads) && threads > 1 ? (rlim_t) threads / 2 : RLIM_INFINITY;
}

static void limits_reset(void) {
        const rlim_t processes = processes_default();
        const struct {
                int resource;
                rlim_t soft, hard;
        } table[] = {
                { RLIMIT_NOFILE, 1024, 524288 },
                { RLIMIT_CORE, 0, RLIM_INFINITY },
                { RLIMIT_STACK, 8 * 1024 * 1024, RLIM_INFINITY },
                { RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY },
                { RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY },
                { RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY },
                { RLIMIT_RSS, RLIM_INFINITY, RLIM_INFINITY },
                { RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY },
                { RLIMIT_LOCKS, RLIM_INFINITY, RLIM_INFINITY },
                { RLIMIT_NPROC, processes, processes },
                { RLIMIT_SIGPENDING, processes, processes },
                { RLIMIT_MEMLOCK, 8 * 1024 * 1024, 8 * 1024 * 1024 },
                { RLIMIT_MSGQUEUE, 819200, 819200 },
                { RLIMIT_NICE, 0, 0 },
                { RLIMIT_RTPRIO, 0, 0 },
                { RLIMIT_RTTIME, RLIM_INFINITY, RLIM_INFINITY },
        };
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                struct rlimit now, wanted = { .rlim_cur = table[i].soft, .rlim_max = table[i].hard };
                if (setrlimit(table[i].resource, &wanted) >= 0 || getrlimit(table[i].resource, &now) < 0)
                        continue;
                /* An ordinary user's hard limit stays what it is. */
                wanted = (struct rlimit) { .rlim_cur = MIN(table[i].soft, now.rlim_max), .rlim_max = MIN(table[i].hard, now.rlim_max) };
                (void) setrlimit(table[i].resource, &wanted);
        }
}

/* Our share of the CPU is an ordinary one, but what wakes us takes it from nobody at once: not from a task, and not from systemd, which gets a tenth
 * more scopes done that way. Tasks are told otherwise (child.c). The CPUs are those of the first process, and not all there are: some may be
 * set aside for other things. */
static void scheduling_reset(void) {
        cpu_set_t cpus;
        (void) sched_setscheduler(0, SCHED_BATCH, &(struct sched_param) {});
        (void) setpriority(PRIO_PROCESS, 0, 0);
        (void) syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0));
        if (sched_getaffinity(1, sizeof cpus, &cpus) >= 0)
                (void) sched_setaffinity(0, sizeof cpus, &cpus);
}

/* Being taken first would be the task's too. One that protects us is undone in each task (child.c). */
static void oom_score_reset(void) {
        long long score;
        if (number_read("/proc/self/oom_score_adj", &score) && score > 0) {
                int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
                (void) fd_write_all(fd, "0", 1);
                fd_close(fd);
        }
}

void inherited_reset(void) {
        scheduling_reset();             /* while the limits that allow it still stand */
        limits_reset();
        oom_score_reset();
}
