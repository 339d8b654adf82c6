/* containment.h: what holds the processes of an attempt together, as a driver with three implementations:
 *
 *   cgroup   a cgroup v2 of the attempt's own, made by us or inside a transient scope: nothing escapes, with or without controllers
 *   pidns    a PID namespace: its end is the end of all in it; no limits
 *   tree     subreaper and /proc: whatever descends from the supervisor; when that is killed, from the launcher (launcher-tree.c)
 *
 * Common to all: the supervisor is a child subreaper and parent of the main process. */
#pragma once

#include "jobbers-run/attempt-dir.h"
#include "jobbers-run/cgroup.h"
#include "jobbers-run/child.h"
#include "jobbers-run/job.h"
#include "model/exit.h"

typedef struct Containment Containment;

typedef struct ContainmentDriver {
        const char *name;
        uint32_t flag;                          /* LAUNCHER_HOLDS_* */
        bool reusable;                          /* it leaves no mark on the supervisor's process */
        bool lasting;                           /* what prepare has made stays when it is tried again */
        /* After the gate, before the record: -errno and a sentence in *ret_sentence. */
        int (*prepare)(Containment *c, AttemptDir *dir, char **ret_sentence);
        /* Creates the main process. Its pid, or -errno. */
        pid_t (*spawn)(Containment *c, ChildPlan *plan);
        /* To every process of the attempt. */
        void (*signal_all)(Containment *c, int signal);
        void (*kill_all)(Containment *c);
        /* Tells what waitpid() gave; true if it was one of the driver's own and not of the task. */
        bool (*reaped)(Containment *c, pid_t pid);
        /* Main has ended: is everything gone? 1, 0 or -errno. `no_children`: waitpid() said ECHILD. */
        int (*is_empty)(Containment *c, bool no_children);
        /* A descriptor and poll events which say that is_empty() may have changed; -1: only SIGCHLD does. */
        int (*watch)(Containment *c, short *ret_events);
        /* True when the process belongs to the attempt. */
        bool (*holds)(Containment *c, pid_t pid);
        /* Fills in what is measured better than rusage does. Before cleanup. */
        void (*account)(Containment *c, ExitRecord *record);
        void (*cleanup)(Containment *c);
} ContainmentDriver;

struct Containment {
        const ContainmentDriver *driver;
        const Job *job;
        char key[PLACE_KEY_MAX];
        pid_t main_pid;                         /* 0 once reaped */
        /* cgroup */
        bool scope;
        int parent_fd;                          /* of the attempt's own cgroup: borrowed base, or the scope's */
        int cgroup_fd, events_fd;
        struct CgroupKeep *keep;                /* whose descriptors these are; NULL: our own */
        bool used_up, proven_empty;             /* it was killed: not for another attempt; nobody is in it any more */
        char *cgroup_name;                      /* as in /proc/PID/cgroup */
        CgroupControllers controllers;          /* that it has */
        /* pidns */
        pid_t init_pid;                         /* 0 once reaped */
        int init_fd;
        bool init_leaving;
};

#define CONTAINMENT_INIT ((Containment) { .parent_fd = -1, .cgroup_fd = -1, .events_fd = -1, .init_fd = -1 })

extern const ContainmentDriver containment_cgroup, containment_scope, containment_pidns, containment_tree;

/* Sends the signal to every process of which `holds` says so, those that are born meanwhile too. How many there were; SIZE_MAX: no memory. */
size_t containment_tree_signal(bool (*holds)(void *userdata, pid_t pid), void *userdata, int signal);

/* Can processes be held this way here? Tried once, at the launcher's start. */
bool containment_pidns_works(void);
