/* child.h: from clone to exec: everything a task's main process does to itself before it becomes the task.
 *
 * The child mostly shares our memory until exec (vfork): that is what makes it cheap, and why child.c allocates nothing, calls nothing that locks
 * and takes all it needs, ready made, from the plan. */
#pragma once

#include "base/clock.h"
#include "jobbers-run/user.h"

/* Exit statuses of a child that could not become the task, systemd's. */
#define CHILD_EXIT_CHDIR 200
#define CHILD_EXIT_FDS 202
#define CHILD_EXIT_EXEC 203
#define CHILD_EXIT_LIMITS 205
#define CHILD_EXIT_SETSID 220
#define CHILD_EXIT_GROUP 216
#define CHILD_EXIT_USER 217
#define CHILD_EXIT_CGROUP 219
#define CHILD_EXIT_KEYRING 237

/* Written by the child, read by the supervisor: shared memory in every way of spawning. */
typedef struct ChildFailure {
        int status;             /* CHILD_EXIT_*, 0: none */
        int error;              /* errno */
        int step;               /* CHILD_EXIT_*: what it is at, where that may wait for others */
        bool late;              /* its parent waited for it as long as it may */
} ChildFailure;

typedef struct ChildPlan {
        const Definition *definition;
        const RunUser *user;
        char **envp;
        int stdin_fd, output_fd;        /* both above 2 */
        int cgroup_fd;                  /* -1: none */
        bool reset_oom_score;           /* ours is protected, the task's must not be */
        bool die_with_parent;
        usec_t patience;                /* so soon it must be the task */
        ChildFailure *failure;
} ChildPlan;

/* Creates the process (in plan->cgroup_fd if there is one) with the extra clone flags. The pid or -errno. plan->failure tells later
 * whether it became the task. All signals are expected to be blocked. */
pid_t child_spawn(ChildPlan *plan, uint64_t flags);
/* Did it end because it was not the task in time? The failure then says where it was. */
bool child_failure_is_late(ChildFailure *f, int wait_status);
/* One sentence for a failure; caller frees, NULL without memory. */
char *child_failure_sentence(const ChildFailure *f, const Definition *d, const RunUser *u);
/* Memory for a ChildFailure that is seen by a child made by fork, too: the same each time. NULL without memory. */
ChildFailure *child_failure_get(void);
