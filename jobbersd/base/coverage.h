/* coverage.h: the end of a forked process that never returns to main(): _exit() alone would lose what gcov has counted in it. */
#pragma once

#include <unistd.h>

#ifdef JOBBERS_COVERAGE
void __gcov_dump(void);
#define coverage_dump() __gcov_dump()
#else
#define coverage_dump() ((void) 0)
#endif

static inline __attribute__((noreturn)) void process_leave(int status) {
        coverage_dump();
        _exit(status);
}
