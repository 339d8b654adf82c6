/* shortfall.c: see shortfall.h. */
#include "launch/shortfall.h"

#include "launch/wire.h"

static const struct {
        uint32_t any, none;             /* said when one of `any` is set (0: whatever is set), and none of `none` */
        const char *sentence;
} table[] = {
        { LAUNCHER_HOLDS_TREE, 0,
          "without cgroups and PID namespaces, processes that changed their environment live on if their supervisor is killed after a restart of the "
          "daemon, and the next attempt of their task may run beside them" },
        { LAUNCHER_OWN_IDS_ONLY, 0,
          "without cgroups, tasks of an ordinary user run in user namespaces: files of other users, root's too, appear to belong to uid 65534 (nobody), and "
          "setuid programs such as sudo cannot work" },
        { 0, LAUNCHER_HAS_LIMITS, "without cgroup controllers, the limits of [Resources] on memory, CPU, I/O and tasks are not enforced" },
        { LAUNCHER_HAS_LIMITS, LAUNCHER_HAS_MEMORY, "without the cgroup controller memory, MemoryMax= and MemoryHigh= are not enforced" },
        { LAUNCHER_HAS_LIMITS, LAUNCHER_HAS_CPU, "without the cgroup controller cpu, CPUQuota= and CPUWeight= are not enforced" },
        { LAUNCHER_HAS_LIMITS, LAUNCHER_HAS_IO, "without the cgroup controller io, IOWeight= is not enforced" },
        { LAUNCHER_HAS_LIMITS, LAUNCHER_HAS_PIDS, "without the cgroup controller pids, TasksMax= is not enforced" },
};

const char *launch_shortfall(uint32_t flags, size_t *cursor) {
        while (flags != 0 && *cursor < ARRAY_SIZE(table)) {
                size_t i = (*cursor)++;
                if ((table[i].any == 0 || flags & table[i].any) && !(flags & table[i].none))
                        return table[i].sentence;
        }
        return NULL;
}
