/* containment-cgroup.c: attempts held by a cgroup v2 of their own: BASE/<instance>/ID.n in subprocess mode, the leaf `task` of a transient
 * scope otherwise, where the supervisor sits in the leaf `supervisor` beside it if there are controllers, so that they count the task alone. */
#include "jobbers-run/containment.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/stay.h"
#include "launch/wire.h"
#include "model/task.h"

#define SCOPE_LEAF "supervisor"

/* ── limits ── */

static int limit_write(int fd, const char *file, const char *format, uint64_t value, const char *setting, char **ret_sentence) {
        char text[64];
        /* Formats are ours: one number each. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, format, (unsigned long long) value);
#pragma GCC diagnostic pop
        int r = cgroup_write(fd, file, text);
        if (r < 0)
                *ret_sentence = str_new("cannot apply %s=: %s", setting, strerror(-r));
        return r;
}

static int limits_apply(Containment *c, char **ret_sentence) {
        const Definition *d = c->job->definition;
        int fd = c->cgroup_fd, r = 0;
        if (c->controllers & CGROUP_MEMORY) {
                /* One process is killed for want of memory, not all: the task decides what that means for it. */
                if (d->memory_max != UINT64_MAX) {
                        r = limit_write(fd, "memory.max", "%llu", d->memory_max, "MemoryMax", ret_sentence);
                        (void) cgroup_write(fd, "memory.oom.group", "0");
                }
                if (r >= 0 && d->memory_high != UINT64_MAX)
                        r = limit_write(fd, "memory.high", "%llu", d->memory_high, "MemoryHigh", ret_sentence);
        }
        if (r >= 0 && c->controllers & CGROUP_CPU) {
                if (d->cpu_quota > 0)
                        r = limit_write(fd, "cpu.max", "%llu 100000", d->cpu_quota * 10, "CPUQuota", ret_sentence);
                if (r >= 0 && d->cpu_weight == CPU_WEIGHT_IDLE)
                        r = limit_write(fd, "cpu.idle", "%llu", 1, "CPUWeight", ret_sentence);
                else if (r >= 0 && d->cpu_weight > 0)
                        r = limit_write(fd, "cpu.weight", "%llu", d->cpu_weight, "CPUWeight", ret_sentence);
        }
        /* Not every disk scheduler has weights. */
        if (r >= 0 && c->controllers & CGROUP_IO && d->io_weight > 0) {
                char text[32];
                snprintf(text, sizeof text, "default %llu", (unsigned long long) d->io_weight);
                (void) cgroup_write(fd, "io.weight", text);
        }
        if (r >= 0 && c->controllers & CGROUP_PIDS && d->tasks_max != UINT64_MAX)
                r = limit_write(fd, "pids.max", "%llu", d->tasks_max, "TasksMax", ret_sentence);
        return r;
}

/* ── making it ── */

static int leaf_make(Containment *c, char **ret_sentence) {
        int r = 0;
        if (mkdirat(c->parent_fd, c->key, 0755) < 0) {
                r = -errno;
                /* Left by a supervisor that was killed before it could begin. */
                if (r == -EEXIST)
                        r = cgroup_remove(c->parent_fd, c->key);
                if (r >= 0 && mkdirat(c->parent_fd, c->key, 0755) < 0)
                        r = -errno;
        }
        if (r >= 0) {
                c->cgroup_fd = openat(c->parent_fd, c->key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (c->cgroup_fd < 0)
                        r = -errno;
        }
        if (r < 0)
                *ret_sentence = str_new("cannot make a cgroup for it: %s", strerror(-r));
        return r;
}

/* One that is not measured, of a task that could not make anything in it, says nothing about its last attempt. */
static bool cgroup_may_be_kept(const Job *job) {
        const CgroupBase *base = job->cgroup_base;
        return job->stay && job->place->privileged && job->user->uid != 0 && base->controllers == 0;
}

static int cgroup_prepare(Containment *c, AttemptDir *dir, char **ret_sentence) {
        const CgroupBase *base = c->job->cgroup_base;
        int r;

        c->parent_fd = base->fd;
        if (cgroup_may_be_kept(c->job) && cgroup_keep_take(&c->job->stay->cgroup, base) >= 0) {
                c->keep = &c->job->stay->cgroup;
                c->cgroup_fd = c->keep->fd;
                c->events_fd = c->keep->events_fd;
                snprintf(c->key, sizeof c->key, "%s", c->keep->name);
        } else {
                snprintf(c->key, sizeof c->key, "%s", dir->key);
                r = leaf_make(c, ret_sentence);
                if (r < 0)
                        return r;
        }
        _cleanup_free_ char *path = str_new("%s/%s", base->path, c->key);
        c->cgroup_name = str_new("%s/%s", base->name, c->key);
        if (!path || !c->cgroup_name)
                return -ENOMEM;
        c->controllers = base->controllers;
        r = limits_apply(c, ret_sentence);
        if (r < 0)
                return r;
        return attempt_dir_set_cgroup(dir, path);
}

/* With controllers for its children a cgroup holds no processes; without any, moving would only make every fork on the host wait. */
static int scope_divide(Containment *c) {
        int r = cgroup_controllers(c->parent_fd, "cgroup.controllers", &c->controllers);
        if (r < 0 || c->controllers == 0)
                return r;
        if (mkdirat(c->parent_fd, SCOPE_LEAF, 0755) < 0 && errno != EEXIST)
                return -errno;
        r = cgroup_write(c->parent_fd, SCOPE_LEAF "/cgroup.procs", "0");
        return r < 0 ? r : cgroup_controllers_enable(c->parent_fd, &c->controllers);
}

/* We were put into our scope while we waited at the gate. The limits are the scope's own, set by systemd. */
static int scope_prepare(Containment *c, AttemptDir *dir, char **ret_sentence) {
        _cleanup_free_ char *own = NULL, *path = NULL;
        const char *mount;
        char unit[1 + SCOPE_NAME_MAX] = "/";
        int r;

        c->scope = true;
        task_scope_name(&c->job->task_id, c->job->attempt, unit + 1);
        r = cgroup_mount_point(&mount);
        if (r >= 0)
                r = cgroup_of_pid(0, &own);
        if (r < 0)
                return r;
        char *leaf = strrchr(own, '/');
        if (leaf && STREQ(leaf, "/" SCOPE_LEAF))        /* it is not the first time: the disk was full, say */
                *leaf = '\0';
        size_t len = strlen(own), unit_len = strlen(unit);
        if (len < unit_len || !STREQ(own + len - unit_len, unit)) {
                *ret_sentence = str_new("the supervisor is in %s and not in its scope", own);
                return -EXDEV;
        }
        path = str_new("%s%s", mount, own);
        c->cgroup_name = str_new("%s/task", own);
        if (!path || !c->cgroup_name)
                return -ENOMEM;
        c->parent_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = c->parent_fd < 0 ? -errno : scope_divide(c);
        if (r < 0) {
                *ret_sentence = str_new("cannot move to a leaf of its scope: %s", strerror(-r));
                return r;
        }
        snprintf(c->key, sizeof c->key, "task");
        r = leaf_make(c, ret_sentence);
        if (r < 0)
                return r;
        return attempt_dir_set_cgroup(dir, path);
}

static pid_t cgroup_spawn(Containment *c, ChildPlan *plan) {
        plan->cgroup_fd = c->cgroup_fd;
        pid_t pid = child_spawn(plan, 0);
        if (!c->keep || (pid != -ENOENT && pid != -ENODEV))
                return pid;
        /* A kept one was empty for a while, and somebody has tidied up. It gets the same name again. */
        cgroup_keep_done(c->keep, c->job->cgroup_base);
        c->cgroup_fd = c->events_fd = -1;
        int r = cgroup_keep_take(c->keep, c->job->cgroup_base);
        if (r < 0)
                return r;
        plan->cgroup_fd = c->cgroup_fd = c->keep->fd;
        c->events_fd = c->keep->events_fd;
        return child_spawn(plan, 0);
}

/* ── while it lives ── */

static void cgroup_signal_all(Containment *c, int signal) {
        (void) cgroup_signal(c->cgroup_fd, signal);
}

static void cgroup_kill_all(Containment *c) {
        c->used_up = true;
        (void) cgroup_kill(c->cgroup_fd);
}

static bool cgroup_reaped(Containment *c, pid_t pid) {
        return false;
}

static bool cgroup_holds(Containment *c, pid_t pid) {
        _cleanup_free_ char *of = NULL;
        return cgroup_of_pid(pid, &of) >= 0 && cgroup_name_within(of, c->cgroup_name);
}

static int cgroup_is_empty(Containment *c, bool no_children) {
        if (c->cgroup_fd < 0)
                return 1;
        /* Where nothing is measured in it, removing it is the quickest question: it is refused while somebody is in it. */
        if (c->events_fd < 0 && c->controllers == 0 &&
            unlinkat(c->parent_fd, c->key, AT_REMOVEDIR) >= 0) {
                c->cgroup_fd = fd_close(c->cgroup_fd);
                return 1;
        }
        if (c->events_fd < 0) {
                int fd = cgroup_open_events(c->cgroup_fd);
                if (fd < 0)
                        return fd;
                c->events_fd = fd;
        }
        int r = cgroup_populated(c->events_fd);
        c->proven_empty = r == 0;
        return r < 0 ? r : r == 0;
}

static int cgroup_watch(Containment *c, short *ret_events) {
        *ret_events = POLLPRI;
        return c->events_fd;
}

/* ── its end ── */

static void take(int64_t *to, int r, uint64_t value) {
        if (r >= 0 && value <= INT64_MAX)
                *to = (int64_t) value;
}

static void cgroup_account(Containment *c, ExitRecord *record) {
        uint64_t value = 0;
        int r;
        if (c->cgroup_fd < 0)
                return;
        if (c->controllers & CGROUP_MEMORY) {
                r = cgroup_read_u64(c->cgroup_fd, "memory.peak", &value);       /* since Linux 5.19 */
                take(&record->memory_peak, r, value);
                r = cgroup_read_key(c->cgroup_fd, "memory.events", "oom_kill", &value);
                take(&record->oom_kills, r, value);
        }
        if (c->controllers & CGROUP_CPU) {
                r = cgroup_read_key(c->cgroup_fd, "cpu.stat", "usage_usec", &value);
                take(&record->cpu_usec, r, value);
        }
        if (c->controllers & CGROUP_IO) {
                r = cgroup_read_pairs(c->cgroup_fd, "io.stat", "rbytes", &value);
                take(&record->io_read, r, value);
                r = cgroup_read_pairs(c->cgroup_fd, "io.stat", "wbytes", &value);
                take(&record->io_write, r, value);
        }
        if (c->controllers & CGROUP_PIDS) {
                r = cgroup_read_u64(c->cgroup_fd, "pids.peak", &value);         /* since Linux 6.1 */
                take(&record->pids_peak, r, value);
        }
}

static void cgroup_cleanup(Containment *c) {
        if (c->keep) {
                c->cgroup_fd = c->events_fd = -1;
                if (c->used_up || (!c->proven_empty && cgroup_populated(c->keep->events_fd) != 0))
                        cgroup_keep_done(c->keep, c->job->cgroup_base);
                c->keep = NULL;
        }
        c->events_fd = fd_close(c->events_fd);
        if (c->cgroup_fd >= 0) {
                int r = cgroup_remove(c->parent_fd, c->key);
                if (r < 0)
                        log_full(LOG_DEBUG, r, "cannot remove the cgroup %s", c->cgroup_name);
                c->cgroup_fd = fd_close(c->cgroup_fd);
        }
        /* The scope itself is systemd's: it goes when the supervisor has left it. */
        if (c->scope)
                c->parent_fd = fd_close(c->parent_fd);
        free(TAKE_PTR(c->cgroup_name));
}

const ContainmentDriver containment_cgroup = {
        .name = "cgroup",
        .flag = LAUNCHER_HOLDS_CGROUP,
        .reusable = true,
        .prepare = cgroup_prepare,
        .spawn = cgroup_spawn,
        .signal_all = cgroup_signal_all,
        .kill_all = cgroup_kill_all,
        .reaped = cgroup_reaped,
        .is_empty = cgroup_is_empty,
        .watch = cgroup_watch,
        .holds = cgroup_holds,
        .account = cgroup_account,
        .cleanup = cgroup_cleanup,
};

const ContainmentDriver containment_scope = {
        .name = "scope",
        .flag = LAUNCHER_HOLDS_SCOPE,
        .reusable = true,
        .prepare = scope_prepare,
        .spawn = cgroup_spawn,
        .signal_all = cgroup_signal_all,
        .kill_all = cgroup_kill_all,
        .reaped = cgroup_reaped,
        .is_empty = cgroup_is_empty,
        .watch = cgroup_watch,
        .holds = cgroup_holds,
        .account = cgroup_account,
        .cleanup = cgroup_cleanup,
};
