/* supervisor.h: one attempt, from gate to exit record (docs/ARCHITECTURE.md). */
#pragma once

#include "jobbers-run/job.h"

/* Once in a process forked for this, all signals blocked: a session of its own, reaper of its descendants. */
void supervisor_prepare(void);
/* One attempt. Takes the job's descriptors: channel, parameters, lock. The end of the channel, the last thing that happens, is the news that all
 * is over. True when the process may go on to another attempt: nothing of this one is left in it, and nobody outside has learned to know it by
 * this one; the job's `idle` was set then, just before that end, so that the next start finds this process idle. */
bool supervisor_run(const Job *job);
