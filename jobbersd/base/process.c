/* process.c: see process.h. */
#include "base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* A number of the stat file by its field, 0 when there is no such process. Fields are counted from the name's closing bracket (field 2):
 * the name itself may hold anything, brackets and spaces included. */
static unsigned long long stat_field(pid_t pid, unsigned wanted) {
        char path[32] = "/proc/self/stat", buf[1024];

        if (pid > 0)
                snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
        if (n <= 0)
                return 0;
        buf[n] = '\0';
        char *at = strrchr(buf, ')');
        for (unsigned field = 2; at && field < wanted; field++)
                at = strchr(at + 1, ' ');
        return at ? strtoull(at + 1, NULL, 10) : 0;
}

unsigned long long process_start_time(pid_t pid) {
        return stat_field(pid, 22);
}

pid_t process_parent(pid_t pid) {
        return (pid_t) stat_field(pid, 4);
}
