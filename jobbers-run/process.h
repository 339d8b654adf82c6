/* process.h: what tells a process from a later one of the same number. */
#pragma once

#include "base/macro.h"

/* When it was started, in clock ticks since boot (field 22 of /proc/PID/stat); 0 when there is no such process. pid 0: we. */
unsigned long long process_start_time(pid_t pid);
