/* The lines of ours in a log file: written, found again, wherever a read happens to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/log-mark.h"

static void attempts(void **state) {
        char mark[LOG_MARK_MAX];
        unsigned attempt = 0;

        size_t n = log_mark_format_attempt(mark, UINT32_MAX);
        assert_int_equal(log_mark_attempt(mark, n, &attempt), n);
        assert_int_equal(attempt, UINT32_MAX);
        assert_int_equal(log_mark_attempt(mark, n - 1, &attempt), 0);

        static const char *const others[] = {
                "", "\n", "-- jobbers: attempt  --\n", "-- jobbers: attempt 0 --\n", "-- jobbers: attempt 4294967296 --\n",
                "-- jobbers: attempt 99999999999 --\n", "-- jobbers: attempt 2 -- \n", "-- jobbers: attempt x --\n", " -- jobbers: attempt 2 --\n",
        };
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                assert_int_equal(log_mark_attempt(others[i], strlen(others[i]), &attempt), 0);
}

static void cuts(void **state) {
        char mark[LOG_MARK_MAX], name[] = "/tmp/jobbers-mark-XXXXXX";
        uint64_t len;
        int fd = mkstemp(name);

        assert_true(fd >= 0);
        assert_int_equal(unlink(name), 0);
        assert_int_equal(log_mark_read(fd, &len), 0);
        size_t n = log_mark_format(mark, UINT64_MAX);
        assert_int_equal(write(fd, mark, n), n);
        assert_true(log_mark_read(fd, &len) == UINT64_MAX && len == n);
        close(fd);
}

/* Read in pieces of every size, the text without its marks is what was printed, and each byte is of the right attempt. */
static void in_pieces(void **state) {
        static const char text[] = "one\n\n-- jobbers: attempt 2 --\n-- jobbers: attempt 3 --\nthree\n-- jobbers: at\n-- jobbers: attempt x --\n"
                                   "-- jobbers: attempt 40 --\nlast, -- jobbers: attempt 5 --\n-- job";
        static const char want[] = "1one\n1\n3three\n3-- jobbers: at\n3-- jobbers: attempt x --\n40last, -- jobbers: attempt 5 --\n40-- job";

        for (size_t max = strlen("-- jobbers: attempt 4294967295 --\n"); max <= sizeof text; max++) {
                char got[sizeof want + 64] = "";
                unsigned attempt = 1;
                bool line_start = true;
                for (size_t at = 0, n; at < strlen(text); at += n) {
                        n = MIN(max, strlen(text) - at);
                        size_t mark = line_start ? log_mark_attempt(text + at, n, &attempt) : 0;
                        if (mark > 0) {
                                n = mark;
                                continue;
                        }
                        n = log_mark_before(text + at, n);
                        assert_true(n > 0);
                        for (size_t i = at; i < at + n; i++) {
                                size_t len = strlen(got);
                                snprintf(got + len, sizeof got - len, line_start ? "%u%c" : "%.0u%c", line_start ? attempt : 0, text[i]);
                                line_start = text[i] == '\n';
                        }
                }
                assert_string_equal(got, want);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(attempts), cmocka_unit_test(cuts), cmocka_unit_test(in_pieces) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
