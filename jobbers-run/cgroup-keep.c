/* cgroup-keep.c: named after its supervisor (keep-name.h): a `kill` that comes late finds nothing, and not somebody else's attempt. */
#include "jobbers-run/cgroup-keep.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int cgroup_keep_take(CgroupKeep *k, const CgroupBase *base) {
        if (k->fd >= 0)
                return 0;
        /* A used up one that could not be removed: what is born into a cgroup that was killed is killed at once, so it is not taken again. */
        cgroup_keep_done(k, base);
        if (k->name[0])
                return -EBUSY;
        int r = keep_name_make(k->name);
        if (r < 0)
                return r;
        if (mkdirat(base->fd, k->name, 0755) < 0) {
                r = -errno;
                k->name[0] = '\0';
                return r;
        }
        k->fd = openat(base->fd, k->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        r = k->fd < 0 ? -errno : cgroup_open_events(k->fd);
        if (r < 0) {
                cgroup_keep_done(k, base);
                return r;
        }
        k->events_fd = r;
        return 0;
}

void cgroup_keep_done(CgroupKeep *k, const CgroupBase *base) {
        k->events_fd = fd_close(k->events_fd);
        k->fd = fd_close(k->fd);
        if (k->name[0] && cgroup_remove(base->fd, k->name) >= 0)
                k->name[0] = '\0';
}
