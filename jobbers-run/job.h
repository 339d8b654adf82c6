/* job.h: all that a supervisor needs to know of its attempt, collected by the launcher (or the terminal mode) before the fork. */
#pragma once

#include "base/str.h"
#include "base/ulid.h"
#include "jobbers-run/place.h"
#include "jobbers-run/user.h"
#include "model/definition.h"

struct ContainmentDriver;
struct CgroupBase;
struct Stay;

typedef enum OutputKind {
        OUTPUT_FILE,            /* log_dir/ID.log, capped */
        OUTPUT_JOURNAL_STREAM,  /* sent as the task's own: in a scope, whose name marks the lines, and as root, whose word on that counts */
        OUTPUT_JOURNAL_RELAY,   /* sent as ours, with the task's fields */
        OUTPUT_DESCRIPTOR,      /* terminal mode: to one of our own descriptors, which the task itself gets only where it is of our user */
} OutputKind;

typedef struct Job {
        const Settings *settings;
        const Place *place;
        const Definition *definition;
        const RunUser *user;
        const struct ContainmentDriver *driver;
        const struct CgroupBase *cgroup_base;   /* NULL without one */
        struct Stay *stay;                      /* where the supervisor may take another attempt; borrowed, NULL without */
        Ulid task_id;
        unsigned attempt, retry_attempt;
        char queue[NAME_LEN_MAX + 1];
        int parameters_fd, channel_fd;          /* owned by the supervisor */
        int lock_fd;                            /* wire.h, ORDER; -1 without */
        bool reset_oom_score;                   /* our own is not for tasks */
        OutputKind output;
        int output_fd;                          /* with OUTPUT_DESCRIPTOR */
} Job;
