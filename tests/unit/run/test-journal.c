/* A stream counts as settled when its reader has taken everything, and not before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/macro.h"
#include "jobbers-run/journal.h"

typedef struct Pair {
        int task, journald;
} Pair;

static Pair pair_open(void) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        return (Pair) { fds[0], fds[1] };
}

static void pair_close(Pair *p) {
        close(p->task);
        if (p->journald >= 0)
                close(p->journald);
}

static void test_nobody_reads(void **state) {
        Pair p = pair_open();
        usec_t before = clock_boot();
        assert_int_equal(journal_stream_settle(p.task, NULL, 50 * USEC_PER_MSEC), -ETIMEDOUT);
        assert_true(clock_boot() - before >= 50 * USEC_PER_MSEC);
        pair_close(&p);
}

/* The reader is a process of its own: what it has taken when we go on, it took before. */
static void test_all_is_read_first(void **state) {
        Pair p = pair_open();
        static const char text[] = "one\ntwo, unfinished";
        int counts[2];
        size_t total = 0;
        char byte;

        assert_int_equal(pipe(counts), 0);
        assert_int_equal(write(p.task, text, sizeof text - 1), sizeof text - 1);
        pid_t reader = fork();
        assert_true(reader >= 0);
        if (reader == 0) {
                close(p.task);
                while (read(p.journald, &byte, 1) == 1)
                        if (write(counts[1], &byte, 1) != 1)
                                _exit(1);
                _exit(0);
        }
        close(p.journald);
        p.journald = -1;
        assert_int_equal(journal_stream_settle(p.task, NULL, 20 * USEC_PER_SEC), 0);
        /* It has all but maybe the second of the two ends of lines behind it, which says nothing. */
        int counted;
        assert_int_equal(ioctl(counts[0], FIONREAD, &counted), 0);
        assert_true(counted >= (int) sizeof text - 1 + 1);
        pair_close(&p);
        assert_int_equal(waitpid(reader, NULL, 0), reader);
        close(counts[1]);
        while (read(counts[0], &byte, 1) == 1)
                total++;
        assert_int_equal(total, sizeof text - 1 + 2);
        close(counts[0]);
}

/* A full socket: the newline waits for room. */
static void test_full(void **state) {
        Pair p = pair_open();
        char block[4096] = {}, buf[65536];
        ssize_t n;
        size_t wrote = 0, got = 0;

        while ((n = send(p.task, block, sizeof block, MSG_DONTWAIT)) > 0)
                wrote += (size_t) n;
        assert_int_equal(journal_stream_settle(p.task, NULL, 20 * USEC_PER_MSEC), -ETIMEDOUT);
        pid_t reader = fork();
        assert_true(reader >= 0);
        if (reader == 0) {
                close(p.task);
                while ((n = read(p.journald, buf, sizeof buf)) > 0)
                        got += (size_t) n;
                _exit(got == wrote + 2 ? 0 : 1);
        }
        close(p.journald);
        p.journald = -1;
        assert_int_equal(journal_stream_settle(p.task, NULL, 20 * USEC_PER_SEC), 0);
        pair_close(&p);
        int status;
        assert_int_equal(waitpid(reader, &status, 0), reader);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* journald has gone: there is nothing to wait for. */
static void test_reader_left(void **state) {
        Pair p = pair_open();
        assert_int_equal(write(p.task, "x", 1), 1);
        close(p.journald);
        p.journald = -1;
        int r = journal_stream_settle(p.task, NULL, 20 * USEC_PER_SEC);
        assert_true(r == -EPIPE || r == -ECONNRESET);
        pair_close(&p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_reads),
                cmocka_unit_test(test_all_is_read_first),
                cmocka_unit_test(test_full),
                cmocka_unit_test(test_reader_left),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
