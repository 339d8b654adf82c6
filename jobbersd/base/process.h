/* process.h: what /proc/PID/stat tells of a process: its parent, and what tells it from a later one of the same number. */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

/* When it was started, in clock ticks since boot (field 22); 0 when there is no such process. pid 0: we. */
unsigned long long process_start_time(pid_t pid);

/* Its parent (field 4); 0 when there is no such process. */
pid_t process_parent(pid_t pid);
