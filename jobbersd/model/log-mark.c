/* log-mark.c: see log-mark.h. A task may print the same lines: that misleads nobody but the readers of its own log. */
#include "model/log-mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CUT_BEFORE "-- jobbers: the oldest "
#define CUT_AFTER " bytes of this log were cut --"
#define ATTEMPT_BEFORE "-- jobbers: attempt "
#define ATTEMPT_AFTER " --\n"
#define ATTEMPT_MAX (strlen(ATTEMPT_BEFORE "4294967295" ATTEMPT_AFTER))

size_t log_mark_format(char ret[static LOG_MARK_MAX], uint64_t cut) {
        return (size_t) snprintf(ret, LOG_MARK_MAX, CUT_BEFORE "%" PRIu64 CUT_AFTER "\n", cut);
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
        if (!end || sscanf(line, CUT_BEFORE "%" SCNu64 CUT_AFTER, &cut) != 1)
                return 0;
        *ret_len = (uint64_t) (end + 1 - line);
        return cut;
}

size_t log_mark_format_attempt(char ret[static LOG_MARK_MAX], unsigned attempt) {
        return (size_t) snprintf(ret, LOG_MARK_MAX, ATTEMPT_BEFORE "%u" ATTEMPT_AFTER, attempt);
}

size_t log_mark_attempt(const char *text, size_t n, unsigned *ret_attempt) {
        size_t i = strlen(ATTEMPT_BEFORE), digits = i;
        uint64_t attempt = 0;

        if (n < i || memcmp(text, ATTEMPT_BEFORE, i) != 0)
                return 0;
        for (; i < n && i < digits + 10 && text[i] >= '0' && text[i] <= '9'; i++)
                attempt = attempt * 10 + (uint64_t) (text[i] - '0');
        if (i == digits || attempt == 0 || attempt > UINT32_MAX || n - i < strlen(ATTEMPT_AFTER) ||
            memcmp(text + i, ATTEMPT_AFTER, strlen(ATTEMPT_AFTER)) != 0)
                return 0;
        *ret_attempt = (unsigned) attempt;
        return i + strlen(ATTEMPT_AFTER);
}

size_t log_mark_before(const char *text, size_t n) {
        const char *end = text + n;
        unsigned attempt;

        for (const char *line = text; (line = memchr(line, '\n', (size_t) (end - line)));) {
                size_t rest = (size_t) (end - ++line);
                if (rest == 0 || memcmp(line, ATTEMPT_BEFORE, MIN(rest, strlen(ATTEMPT_BEFORE))) != 0)
                        continue;
                if (log_mark_attempt(line, rest, &attempt) > 0 || (rest < ATTEMPT_MAX && !memchr(line, '\n', rest)))
                        return (size_t) (line - text);
        }
        return n;
}
