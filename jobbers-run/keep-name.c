#include "jobbers-run/keep-name.h"

#include <stdio.h>
#include <unistd.h>

#include "base/process.h"

int keep_name_make(char name[static KEEP_NAME_MAX]) {
        unsigned long long start_time = process_start_time(0);
        if (start_time == 0)
                return -EAGAIN;
        snprintf(name, KEEP_NAME_MAX, "s%d-%llu", (int) getpid(), start_time);
        return 0;
}

int keep_name_is_used(const char *name) {
        unsigned long long start_time;
        int pid, end = 0;
        if (sscanf(name, "s%d-%llu%n", &pid, &start_time, &end) != 2 || name[end] != '\0')
                return -EINVAL;
        return process_start_time((pid_t) pid) == start_time;
}
