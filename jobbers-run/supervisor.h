/* supervisor.h: one attempt, from gate to exit record (docs/ARCHITECTURE.md). */
#pragma once

#include <signal.h>

#include "jobbers-run/job.h"

/* By which systemd stops an attempt's scope. All that is in it gets this, so it is one that others ignore unless they asked for it. */
#define SCOPE_STOP_SIGNAL SIGURG

/* Once in a process forked for this, all signals blocked: a session of its own, reaper of its descendants. */
void supervisor_prepare(void);
bool supervisor_has_launcher(void);             /* the process that made the fork is still there */
/* One attempt. Takes the job's descriptors: channel, parameters, lock. The end of the channel, the last thing that happens, is the news that all
 * is over. True when the process goes on to another attempt (job->stay): nothing of this one is left in it, and nobody outside has learned to
 * know it by this one. The daemon was told so then (END in wire.h), and the channel and a lock of its own are in job->stay. In a scope the launcher
 * was told instead (launcher-rest.c), and the channel has ended. */
bool supervisor_run(const Job *job);
/* Between two attempts: what somebody sent to the scope of the first, or to us where we rest, is not for the second. */
bool supervisor_has_signals(void);
void supervisor_forget_signals(void);
