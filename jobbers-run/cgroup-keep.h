/* cgroup-keep.h: a cgroup that goes from one attempt of a supervisor to its next. Making and removing one costs more than all else that is done
 * to start a tiny task. It is still each attempt's own: it changes hands only when it is proven empty and nobody but us can have done
 * anything to it. */
#pragma once

#include "jobbers-run/cgroup.h"
#include "jobbers-run/keep-name.h"

typedef struct CgroupKeep {
        int fd, events_fd;              /* -1: there is none */
        char name[KEEP_NAME_MAX];
} CgroupKeep;

#define CGROUP_KEEP_INIT ((CgroupKeep) { .fd = -1, .events_fd = -1 })

/* Makes it unless it is there already; -errno. */
int cgroup_keep_take(CgroupKeep *k, const CgroupBase *base);
/* Removes it; what cannot be removed now is tried again at the next take or done. */
void cgroup_keep_done(CgroupKeep *k, const CgroupBase *base);
