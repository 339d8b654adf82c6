/* log-mark.c: see log-mark.h. */
#include "model/log-mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_MARK_BEFORE "-- jobbers: the oldest "
#define LOG_MARK_AFTER " bytes of this log were cut --"

size_t log_mark_format(char ret[static LOG_MARK_MAX], uint64_t cut) {
        return (size_t) snprintf(ret, LOG_MARK_MAX, LOG_MARK_BEFORE "%" PRIu64 LOG_MARK_AFTER "\n", cut);
}

uint64_t log_mark_read(int fd, uint64_t *ret_len) {
        char line[LOG_MARK_MAX];
        uint64_t cut;

        *ret_len = 0;
        ssize_t n = pread(fd, line, sizeof line - 1, 0);
        if (n <= 0)
                return 0;
        line[n] = '\0';
        char *end = strchr(line, '\n');
        if (!end || sscanf(line, LOG_MARK_BEFORE "%" SCNu64 LOG_MARK_AFTER, &cut) != 1)
                return 0;
        *ret_len = (uint64_t) (end + 1 - line);
        return cut;
}
