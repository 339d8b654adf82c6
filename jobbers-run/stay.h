/* stay.h: what a supervisor keeps from one attempt for its next, where its containment allows that. */
#pragma once

#include "jobbers-run/attempt-dir.h"
#include "jobbers-run/cgroup-keep.h"
#include "jobbers-run/record.h"

typedef struct Stay {
        int channel_fd, lock_fd;        /* while it waits: where the next attempt comes from, and a shared lock (wire.h, ORDER); else -1 */
        int orders_fd;                  /* in scopes: where it comes from instead; else -1 */
        _Atomic uint32_t *rest;         /* in scopes: a word shared with the launcher (launcher-rest.c); else NULL */
        CgroupKeep cgroup;
        AttemptKeep dir;
        RecordKeep record;
} Stay;

#define STAY_INIT ((Stay) { .channel_fd = -1, .lock_fd = -1, .orders_fd = -1, .cgroup = CGROUP_KEEP_INIT, .dir = ATTEMPT_KEEP_INIT, .record = RECORD_KEEP_INIT })
