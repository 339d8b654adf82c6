/* pidfd.h: for test programs whose subject needs pidfds. Debian 12's valgrind knows no pidfd_open(2): there they are skipped, and
 * their leaks are LeakSanitizer's to find (`make check-san`). */
#pragma once

#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_SKIPPED 77

static inline bool have_pidfds(void) {
        int fd = (int) syscall(SYS_pidfd_open, getpid(), 0);
        if (fd < 0)
                return false;
        close(fd);
        return true;
}
