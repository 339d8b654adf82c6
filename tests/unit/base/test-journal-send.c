/* test-journal-send.c: the bytes of an entry, and a journald that is full, gone, and there again; its socket is played in a /run of our own. */
#include "base/journal-send.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

#define FIELD(s) { (char *) (s), sizeof (s) - 1 }

static int fd = -1, journald = -1;

static void journald_begin(void) {
        (void) unlink(JOURNAL_SOCKET);
        journald = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(fd_bind_unix(journald, JOURNAL_SOCKET), 0);
}

static int setup(void **state) {
        journald_begin();
        return 0;
}

static int teardown(void **state) {
        fd = fd_close(fd);
        journald = fd_close(journald);
        return 0;
}

static void the_bytes(void **state) {
        static const struct iovec fields[] = { FIELD("MESSAGE=a=b"), FIELD("TWO=first\nsecond"), FIELD("NUL=x\0y"), FIELD("EMPTY=") };
        static const char want[] = "MESSAGE=a=b\nTWO\n\14\0\0\0\0\0\0\0first\nsecond\nNUL=x\0y\nEMPTY=\n";
        char buf[256];

        assert_int_equal(journal_send(&fd, fields, ARRAY_SIZE(fields)), 0);
        assert_int_equal(recv(journald, buf, sizeof buf, MSG_DONTWAIT), sizeof want - 1);
        assert_memory_equal(buf, want, sizeof want - 1);
}

static void no_fields(void **state) {
        static const struct iovec none[] = { FIELD("MESSAGE") };
        struct iovec many[JOURNAL_FIELDS_MAX + 1];

        for (size_t i = 0; i < ARRAY_SIZE(many); i++)
                many[i] = (struct iovec) FIELD("A=1");
        assert_int_equal(journal_send(&fd, none, 1), -EINVAL);
        assert_int_equal(journal_send(&fd, many, ARRAY_SIZE(many)), -EINVAL);
        assert_int_equal(journal_send(&fd, many, JOURNAL_FIELDS_MAX), 0);
}

/* The longest line of a task, and twice that. */
static void long_values(void **state) {
        static char text[100000] = "MESSAGE=", buf[sizeof text + 8];
        struct iovec field = { text, sizeof text };

        memset(text + 8, 'x', sizeof text - 8);
        assert_int_equal(journal_send(&fd, &field, 1), 0);
        assert_int_equal(recv(journald, buf, sizeof buf, MSG_DONTWAIT), sizeof text + 1);
}

static unsigned fill(const struct iovec *field) {
        unsigned n = 0;
        int r;

        while ((r = journal_send(&fd, field, 1)) >= 0)
                n++;
        assert_int_equal(r, -EAGAIN);
        return n;
}

static void full(void **state) {
        static const struct iovec field = FIELD("MESSAGE=one of many");
        char buf[64];

        assert_true(fill(&field) > 0);
        usec_t begin = clock_boot();
        assert_int_equal(journal_wait(fd, begin + 50 * USEC_PER_MSEC), -ETIMEDOUT);
        assert_true(clock_boot() >= begin + 50 * USEC_PER_MSEC);
        assert_int_equal(journal_wait(fd, 0), -ETIMEDOUT);
        while (recv(journald, buf, sizeof buf, MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(journal_wait(fd, clock_boot() + 20 * USEC_PER_SEC), 0);
        assert_int_equal(journal_send(&fd, &field, 1), 0);
}

/* Somebody else has filled the queue: that it has room again is told all the same. */
static void full_of_others(void **state) {
        static const struct iovec field = FIELD("MESSAGE=one of many");
        int other = -1;
        char buf[64];

        assert_int_equal(journal_send(&fd, &field, 1), 0);
        while (journal_send(&other, &field, 1) >= 0)
                ;
        assert_int_equal(journal_send(&fd, &field, 1), -EAGAIN);
        assert_int_equal(journal_wait(fd, clock_boot() + 20 * USEC_PER_MSEC), -ETIMEDOUT);
        while (recv(journald, buf, sizeof buf, MSG_DONTWAIT) > 0)
                ;
        assert_int_equal(journal_wait(fd, clock_boot() + 20 * USEC_PER_SEC), 0);
        assert_int_equal(journal_send(&fd, &field, 1), 0);
        fd_close(other);
}

static void gone_and_back(void **state) {
        static const struct iovec field = FIELD("MESSAGE=x");
        char buf[64];

        (void) fill(&field);
        journald = fd_close(journald);
        assert_int_equal(journal_wait(fd, clock_boot() + 20 * USEC_PER_SEC), 0);
        assert_int_equal(journal_send(&fd, &field, 1), -ECONNREFUSED);          /* the path is still there */
        assert_int_equal(fd, -1);
        assert_int_equal(unlink(JOURNAL_SOCKET), 0);
        assert_int_equal(journal_send(&fd, &field, 1), -ENOENT);
        journald_begin();
        assert_int_equal(journal_send(&fd, &field, 1), 0);
        fd_close(journald);
        journald_begin();
        assert_int_equal(journal_send(&fd, &field, 1), 0);                      /* nobody noticed */
        assert_int_equal(recv(journald, buf, sizeof buf, MSG_DONTWAIT), 10);
}

int main(void) {
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, "size=1m") < 0 || fd_mkdirs("/run/systemd/journal", 0755) < 0)
                return 77;
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = { T(the_bytes), T(no_fields), T(long_values), T(full), T(full_of_others), T(gone_and_back) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
