/* cgroup.h: cgroup v2 by hand: where ours may be made, and reading, signalling, killing and removing one.
 *
 * Used by the containment of attempts and by the launcher, who ends what a killed supervisor left behind. */
#pragma once

#include "base/macro.h"

/* The controllers that we have a use for. */
typedef enum CgroupControllers {
        CGROUP_MEMORY = 1U << 0,
        CGROUP_CPU = 1U << 1,
        CGROUP_IO = 1U << 2,
        CGROUP_PIDS = 1U << 3,
} CgroupControllers;

typedef struct CgroupBase {
        int fd;                 /* the directory that holds the attempts' cgroups, -1 without one */
        char *path;             /* its file system path */
        char *name;             /* the same as /proc/PID/cgroup shows it */
        CgroupControllers controllers;  /* that the attempts' cgroups have */
} CgroupBase;

#define CGROUP_BASE_INIT ((CgroupBase) { .fd = -1 })

/* Finds a v2 hierarchy in which we may make cgroups below our own, makes BASE/<instance> and tries it out: creating a process in a new
 * cgroup, cgroup.kill. In a subtree that systemd delegated to us our own process moves to a leaf and controllers are turned on.
 * -EOPNOTSUPP when there is none. */
int cgroup_base_open(CgroupBase *b, const char *instance);
/* The same in the subtree of a unit that is there for this: its path below the root, "/a.slice/b.service". -EOPNOTSUPP unless it is delegated. */
int cgroup_base_open_in(CgroupBase *b, const char *unit, const char *instance);
void cgroup_base_close(CgroupBase *b);
bool cgroup_base_is_there(const CgroupBase *b);         /* false once somebody has removed it */
/* When it is empty but for what nobody uses any more: cgroups of no attempt that has a directory in attempts_fd. */
void cgroup_base_remove(const CgroupBase *b, int attempts_fd);

/* The own (pid 0) or another's v2 path, "/…"; -errno. Caller frees. */
int cgroup_of_pid(pid_t pid, char **ret);
/* The lines of /proc/self/cgroup about hierarchies of cgroup v1; "" where there are none. -errno. Caller frees. */
int cgroup_v1_of_self(char **ret);
/* The mount point of the v2 hierarchy, looked for once in the life of a process and its forks; -ENOENT. Not to be freed. */
int cgroup_mount_point(const char **ret);
/* True when `name` is `of` or below it. */
bool cgroup_name_within(const char *name, const char *of);

/* Those of ours that the file (cgroup.controllers, cgroup.subtree_control) lists; -errno. */
int cgroup_controllers(int dir_fd, const char *file, CgroupControllers *ret);
/* Turns on for the children what there is, and says what is on. Each by itself: one that cannot be had does not cost the others. -errno. */
int cgroup_controllers_enable(int dir_fd, CgroupControllers *ret);
int cgroup_write(int dir_fd, const char *file, const char *value);
/* A file with one number; "max" is UINT64_MAX. */
int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret);
/* "key value" lines; the sum over lines of "key=value" pairs (io.stat) when `pairs`. -ENOENT when the key is not there. */
int cgroup_read_key(int dir_fd, const char *file, const char *key, uint64_t *ret);
int cgroup_read_pairs(int dir_fd, const char *file, const char *key, uint64_t *ret);
/* 1, 0 or -errno; events_fd is an open cgroup.events. */
int cgroup_populated(int events_fd);
int cgroup_open_events(int dir_fd);
/* A signal to every process in it and below, by pidfds that were checked to be still members. Returns how many got it, or -errno. */
int cgroup_signal(int dir_fd, int signal);
int cgroup_kill(int dir_fd);
/* Removes an empty cgroup and empty ones below it. -EBUSY while it is populated. */
int cgroup_remove(int parent_fd, const char *name);
