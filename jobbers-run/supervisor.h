/* supervisor.h: one attempt, from gate to exit record (docs/ARCHITECTURE.md). */
#pragma once

#include "jobbers-run/job.h"

/* Runs in a process of its own, forked for this, all signals blocked; keeps nothing but what the job names. Takes the job's channel and
 * parameters descriptors. Returns the status to _exit() with: 0 also when the gate was closed. */
int supervisor_run(const Job *job);
