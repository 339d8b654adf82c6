/* Notifications: parsing, and receiving with sender and descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/notify.h"
#include "jobbers-run/passed.h"
#include "tests/unit/pidfd.h"

static NotifyMessage parse(const char *text) {
        NotifyMessage m;
        notify_parse(text, strlen(text), &m);
        return m;
}

static void test_nothing(void **state) {
        NotifyMessage m = parse("");
        assert_false(m.watchdog || m.has_status);
        assert_int_equal(m.progress, -1);
        assert_int_equal(m.extend, 0);
        m = parse("READY=1\nWATCHDOG=0\nWATCHDOG=11\nSTATUS\nX_JOBBERS_PROGRESS=\n");
        assert_false(m.watchdog || m.has_status);
        assert_int_equal(m.progress, -1);
}

static void test_all(void **state) {
        NotifyMessage m = parse("STATUS=working: 3/4\nWATCHDOG=1\nX_JOBBERS_PROGRESS=75\nEXTEND_TIMEOUT_USEC=5000000");
        assert_true(m.watchdog);
        assert_string_equal(m.status, "working: 3/4");
        assert_int_equal(m.progress, 75);
        assert_int_equal(m.extend, 5000000);
}

static void test_progress_bounds(void **state) {
        static const struct {
                const char *text;
                int progress;
        } cases[] = { { "0", 0 }, { "100", 100 }, { "101", -1 }, { "-1", -1 }, { "1.5", -1 }, { " 5", -1 }, { "5 ", -1 }, { "99999999999999999999999", -1 } };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char text[64];
                snprintf(text, sizeof text, "X_JOBBERS_PROGRESS=%s\n", cases[i].text);
                assert_int_equal(parse(text).progress, cases[i].progress);
        }
}

static void test_status_is_text(void **state) {
        assert_string_equal(parse("STATUS=a\tb\x7f" "c").status, "a b c");
        assert_string_equal(parse("STATUS=a\xc2\x9b" "31mb\xc2\xa0").status, "a 31mb\xc2\xa0");
        assert_string_equal(parse("STATUS=\xff|\xc3\xa4|\xc3|\xed\xa0\x80").status, "?|\xc3\xa4|?|???");
        assert_true(parse("STATUS=").has_status);
        assert_string_equal(parse("STATUS=").status, "");
        /* Cut before a character that would not fit whole: 1024 is not a multiple of 3. */
        char text[3 * 1000 + 8] = "STATUS=";
        for (size_t i = 0; i < 1000; i++)
                memcpy(text + 7 + 3 * i, "\xe2\x82\xac", 3);
        assert_int_equal(strlen(parse(text).status), 1023);
}

static void test_zero_bytes(void **state) {
        static const char data[] = "STATUS=a\0b\nWATCHDOG=1";
        NotifyMessage m;
        notify_parse(data, sizeof data - 1, &m);
        assert_string_equal(m.status, "a b");
        assert_true(m.watchdog);
}

/* ── receiving ── */

static void pair_make(int pair[2]) {
        const int on = 1;
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
}

static void test_receive(void **state) {
        static NotifyDatagram d;
        int pair[2];
        pair_make(pair);
        assert_int_equal(notify_receive(pair[0], &d), 0);
        assert_int_equal(send(pair[1], "WATCHDOG=1", 10, 0), 10);
        assert_int_equal(notify_receive(pair[0], &d), 1);
        assert_int_equal(d.sender, getpid());
        assert_int_equal(d.len, 10);
        assert_int_equal(d.n_fds, 0);
        assert_int_equal(notify_receive(pair[0], &d), 0);
        close(pair[0]);
        close(pair[1]);
}

static void send_fds(int sock, int fd, size_t n) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(64 * sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = (char *) "BARRIER=1", .iov_len = 9 };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        for (size_t i = 0; i < n; i++)
                memcpy(CMSG_DATA(c) + i * sizeof fd, &fd, sizeof fd);
        assert_int_equal(sendmsg(sock, &m, 0), 9);
}

/* A barrier is the other end of a pipe: closed when all copies are. */
static void test_descriptors_are_closed(void **state) {
        static NotifyDatagram d;
        int pair[2], pipes[2];
        char byte;
        pair_make(pair);
        for (size_t n = 1; n <= 40; n += 13) {
                assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
                send_fds(pair[1], pipes[1], n);
                close(pipes[1]);
                assert_int_equal(notify_receive(pair[0], &d), 1);
                assert_true(d.n_fds >= 1 && d.n_fds <= NOTIFY_FDS_MAX);
                assert_int_equal(read(pipes[0], &byte, 1), -1);
                notify_datagram_close(&d);
                assert_int_equal(read(pipes[0], &byte, 1), 0);
                close(pipes[0]);
        }
        close(pair[0]);
        close(pair[1]);
}

/* A connection on this host whose other end reads nothing: *ret_fd has more to send than fits, and its last close waits for an hour. */
static void linger_make(int *ret_fd, int *ret_other) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct linger hour = { .l_onoff = 1, .l_linger = 3600 };
        socklen_t len = sizeof address;
        static const char data[65536];
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(listener, (struct sockaddr *) &address, len), 0);
        assert_int_equal(listen(listener, 1), 0);
        assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &len), 0);
        *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(*ret_fd, (struct sockaddr *) &address, len), 0);
        *ret_other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(*ret_other >= 0);
        close(listener);
        while (send(*ret_fd, data, sizeof data, MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_LINGER, &hour, sizeof hour), 0);
}

static void test_nobody_waits_for_a_close(void **state) {
        static NotifyDatagram d;
        struct pollfd p = { .events = POLLIN };
        int pair[2], fd, other;

        if (!have_pidfds())             /* valgrind has no clone() either */
                skip();
        pair_make(pair);
        linger_make(&fd, &other);
        send_fds(pair[1], fd, 1);
        close(fd);
        assert_int_equal(send(pair[1], "WATCHDOG=1", 10, 0), 10);
        assert_int_equal(notify_receive(pair[0], &d), 1);
        alarm(60);                              /* a close in this process would wait for an hour */
        notify_datagram_close(&d);
        p.fd = passed_busy();
        assert_true(p.fd >= 0);
        assert_int_equal(poll(&p, 1, 0), 0);
        assert_int_equal(notify_receive(pair[0], &d), 0);
        close(other);                           /* resets the connection: the close is over */
        assert_int_equal(poll(&p, 1, 60000), 1);
        assert_int_equal(notify_receive(pair[0], &d), 1);
        assert_int_equal(d.len, 10);
        assert_int_equal(passed_busy(), -1);
        alarm(0);
        close(pair[0]);
        close(pair[1]);
}

/* In a process of its own, since it gives up for good. */
static void test_end_does_not_wait_either(void **state) {
        static NotifyDatagram d;
        int pair[2], fd, other, status;

        if (!have_pidfds())             /* valgrind has no clone() either */
                skip();
        pair_make(pair);
        linger_make(&fd, &other);
        send_fds(pair[1], fd, 1);
        close(fd);
        pid_t pid = fork();
        if (pid == 0) {
                alarm(60);
                close(pair[1]);
                if (!passed_finish())
                        _exit(1);
                _exit(notify_finish(pair[0]) || passed_finish() || notify_receive(pair[0], &d) != 0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(other);
        close(pair[0]);
        close(pair[1]);
}

static void test_end_takes_what_is_left(void **state) {
        int pair[2], ends[2];
        char byte;

        if (!have_pidfds())             /* valgrind has no clone() either */
                skip();
        pair_make(pair);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        for (int i = 0; i < 3; i++)
                send_fds(pair[1], ends[1], 2);
        send_fds(pair[1], pair[1], 1);          /* no pipe */
        close(ends[1]);
        assert_true(notify_finish(pair[0]));
        assert_int_equal(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        close(pair[0]);
        close(pair[1]);
}

static void test_too_long_says_nothing(void **state) {
        static NotifyDatagram d;
        static char text[NOTIFY_SIZE_MAX + 100] = "WATCHDOG=1\nSTATUS=";
        int pair[2];
        pair_make(pair);
        memset(text + strlen(text), 'x', 1000);
        assert_int_equal(send(pair[1], text, sizeof text, 0), sizeof text);
        assert_int_equal(notify_receive(pair[0], &d), 1);
        assert_int_equal(d.len, 0);
        close(pair[0]);
        close(pair[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_progress_bounds),
                cmocka_unit_test(test_status_is_text),
                cmocka_unit_test(test_zero_bytes),
                cmocka_unit_test(test_receive),
                cmocka_unit_test(test_descriptors_are_closed),
                cmocka_unit_test(test_nobody_waits_for_a_close),
                cmocka_unit_test(test_end_does_not_wait_either),
                cmocka_unit_test(test_end_takes_what_is_left),
                cmocka_unit_test(test_too_long_says_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
