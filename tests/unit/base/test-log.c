/* test-log.c: what lands on stderr, and the fields that reach the journal, whose socket the test plays in a /run of its own. */
#include "base/log.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"

/* stderr is a SEQPACKET socket while something is logged: each write is one packet, so two writes would show. */
static int saved_stderr, reader;

static void capture(void) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fflush(stderr);
        saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_true(saved_stderr >= 0);
        assert_int_equal(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
        fd_close(pair[1]);
        reader = pair[0];
}

/* What was written in the meantime, "" for nothing; fails if it were more than so many pieces. */
static const char *captured_in(unsigned pieces) {
        static char buf[131072];
        size_t len = 0;
        ssize_t n;

        assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
        saved_stderr = fd_close(saved_stderr);
        for (unsigned i = 0; (n = recv(reader, buf + len, sizeof buf - 1 - len, MSG_DONTWAIT)) > 0; i++) {
                assert_true(i < pieces);
                len += (size_t) n;
        }
        reader = fd_close(reader);
        buf[len] = 0;
        return buf;
}

static const char *captured(void) {
        return captured_in(1);
}

static int setup(void **state) {
        unsetenv("JOURNAL_STREAM");
        log_init("jobbersd");
        log_set_level(LOG_INFO);
        return 0;
}

static void one_line(void **state) {
        unsigned lines = log_lines();
        capture();
        log_info("ready on %s:%d", "127.0.0.1", 8000);
        assert_string_equal(captured(), "jobbersd: ready on 127.0.0.1:8000\n");
        assert_int_equal(log_lines(), lines + 1);
        log_debug("nobody wants to know");
        assert_int_equal(log_lines(), lines + 1);
}

static void with_error(void **state) {
        int r, s;

        capture();
        errno = 4711;
        r = log_error_errno(-ENOENT, "cannot read \"%s\"", "a.task");
        assert_int_equal(errno, 4711);
        assert_string_equal(captured(), "jobbersd: cannot read \"a.task\": No such file or directory\n");
        assert_int_equal(r, -ENOENT);

        capture();
        s = log_warning_errno(EACCES, "x");
        assert_string_equal(captured(), "jobbersd: x: Permission denied\n");
        assert_int_equal(s, -EACCES);

        capture();
        r = log_oom();
        assert_string_equal(captured(), "jobbersd: not enough memory: Cannot allocate memory\n");
        assert_int_equal(r, -ENOMEM);
}

static void levels(void **state) {
        static const char *const names[] = { "err", "warning", "notice", "info", "debug" };
        int level = 4711, r;

        capture();
        log_debug("not seen");
        r = log_full(LOG_DEBUG, EIO, "not seen");
        assert_string_equal(captured(), "");
        assert_int_equal(r, -EIO);              /* the error travels on all the same */

        log_set_level(LOG_DEBUG);
        assert_int_equal(log_level(), LOG_DEBUG);
        capture();
        log_debug("seen");
        assert_string_equal(captured(), "jobbersd: seen\n");

        log_set_level(LOG_ERR);
        capture();
        log_warning("not seen");
        assert_string_equal(captured(), "");

        for (int i = 0; i < (int) ARRAY_SIZE(names); i++) {
                assert_int_equal(log_level_parse(names[i], &level), 0);
                assert_int_equal(level, LOG_ERR + i);
        }
        level = 4711;
        assert_int_equal(log_level_parse("", &level), -EINVAL);
        assert_int_equal(log_level_parse("Info", &level), -EINVAL);
        assert_int_equal(log_level_parse("errors", &level), -EINVAL);
        assert_int_equal(level, 4711);
}

static void gathered(void **state) {
        log_gather(true);
        capture();
        log_info("one");
        log_notice("two");
        assert_string_equal(captured(), "");
        capture();
        log_flush();
        assert_string_equal(captured(), "jobbersd: one\njobbersd: two\n");
        capture();
        log_flush();
        assert_string_equal(captured(), "");

        log_info("three");
        capture();
        log_warning("four");                    /* at once, and the order stays */
        assert_string_equal(captured_in(2), "jobbersd: three\njobbersd: four\n");

        log_info("five");
        capture();
        log_gather(false);
        assert_string_equal(captured(), "jobbersd: five\n");
        capture();
        log_info("six");
        assert_string_equal(captured(), "jobbersd: six\n");
}

static void gathered_at_debug(void **state) {
        log_gather(true);
        log_set_level(LOG_DEBUG);
        capture();
        log_info("where it hangs");
        assert_string_equal(captured(), "jobbersd: where it hangs\n");
        log_gather(false);
}

/* More than fits waits for nothing, and nothing is lost. */
static void gathered_much(void **state) {
        char line[1000];
        size_t lines = 100;

        memset(line, 'x', sizeof line - 1);
        line[sizeof line - 1] = '\0';
        log_gather(true);
        capture();
        for (size_t i = 0; i < lines; i++)
                log_info("%s", line);
        log_gather(false);
        assert_int_equal(strlen(captured_in(4)), lines * (strlen("jobbersd: \n") + strlen(line)));
}

static void about_a_task(void **state) {
        Ulid id;
        LogTask task = { .id = &id, .attempt = 2, .name = "send_email", .queue = "default" };
        int r;

        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", &id), 0);
        capture();
        r = log_task(&task, LOG_NOTICE, -EIO, "started %s completed", "→");
        assert_string_equal(captured(), "jobbersd: task 01ARZ3NDEKTSV4RRFFQ69G5FAV: started → completed: Input/output error\n");
        assert_int_equal(r, -EIO);
        log_set_level(LOG_WARNING);
        capture();
        r = log_task(&task, LOG_NOTICE, 0, "not seen");
        assert_string_equal(captured(), "");
        assert_int_equal(r, 0);
}

static void one_message_is_one_line(void **state) {
        capture();
        log_error("a\nb\r\tc\033[2Jd\177e ä");
        assert_string_equal(captured(), "jobbersd: a b  c [2Jd e ä\n");
}

static void long_messages_are_cut(void **state) {
        static char text[9000];

        /* Every length around the limit, with characters of two bytes, at even and at odd places. */
        for (size_t i = 0; i + 2 < sizeof text; i += 2)
                memcpy(text + i, "ä", 2);
        for (int n = 4000; n < 4200; n++)
                for (unsigned odd = 0; odd < 2; odd++) {
                        size_t len, bytes = (size_t) n / 2 * 2;
                        const char *s;

                        capture();
                        log_error("%s%.*s", odd ? "x" : "", (int) bytes, text);
                        s = captured();
                        len = strlen(s);
                        assert_true(len < 4200);
                        assert_int_equal(s[len - 1], '\n');
                        s += strlen("jobbersd: ") + odd;
                        len -= strlen("jobbersd: ") + odd + 1;
                        if (len == bytes && memcmp(s, text, bytes) == 0)
                                continue;
                        assert_true(len > 3 && memcmp(s + len - 3, "…", 3) == 0);
                        assert_int_equal((len - 3) % 2, 0);             /* no half characters */
                        assert_memory_equal(s, text, len - 3);
                        assert_true(n > 4050);
                }
        capture();
        log_full(LOG_ERR, ENOENT, "%s", text);
        assert_non_null(strstr(captured(), "ä…\n"));
}

static void without_stderr(void **state) {
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), r;

        assert_true(saved >= 0);
        close(STDERR_FILENO);
        errno = 4711;
        r = log_error_errno(EIO, "nobody reads this");
        assert_int_equal(errno, 4711);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        fd_close(saved);
        assert_int_equal(r, -EIO);
}

static void other_journal_streams_do_not_count(void **state) {
        static const char *const not_ours[] = { "", "1:1", "8:", "x", "1:2:3", "99999999:99999999" };

        /* stderr was redirected after systemd had named its socket: text it is. */
        for (size_t i = 0; i < ARRAY_SIZE(not_ours); i++) {
                capture();
                setenv("JOURNAL_STREAM", not_ours[i], 1);
                log_init("jobbersd");
                log_error("text");
                assert_string_equal(captured(), "jobbersd: text\n");
        }
        unsetenv("JOURNAL_STREAM");
}

/* JOURNAL_STREAM says that this very stderr is the journal's. */
static void pretend_journal(void) {
        char stream[64];
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long) st.st_dev, (unsigned long long) st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_init("jobbersd");
        unsetenv("JOURNAL_STREAM");
}

/* Puts an empty /run before this process, for good: so these tests are the last ones. */
static void hide_run(void) {
        if (unshare(CLONE_NEWNS) < 0)
                skip();         /* no right to do so here */
        assert_int_equal(mount("none", "/", "none", MS_REC | MS_PRIVATE, ""), 0);
        assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, ""), 0);
}

static void journal_without_journald(void **state) {
        hide_run();
        capture();
        pretend_journal();
        log_error("not lost");
        assert_string_equal(captured(), "jobbersd: not lost\n");
}

static void journal_fields(void **state) {
        _cleanup_close_ int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char buf[4096] = "";
        Ulid id;
        LogTask task = { .id = &id, .attempt = 2, .name = "send_email", .queue = "default",
                         .message_id = "0123456789abcdef0123456789abcdef" };
        static const char *const lines[] = {
                "\nPRIORITY=4\n", "\nSYSLOG_IDENTIFIER=jobbersd\n", "\nERRNO=2\n", "\nJOBBERS_TASK_ID=01ARZ3NDEKTSV4RRFFQ69G5FAV\n",
                "\nJOBBERS_ATTEMPT=2\n", "\nJOBBERS_TASK_NAME=send_email\n", "\nJOBBERS_QUEUE=default\n",
                "\nMESSAGE_ID=0123456789abcdef0123456789abcdef\n",
                "\nMESSAGE=task 01ARZ3NDEKTSV4RRFFQ69G5FAV: gone: No such file or directory\n",
        };
        ssize_t n;

        hide_run();
        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", &id), 0);
        assert_int_equal(fd_mkdirs("/run/systemd/journal", 0755), 0);
        assert_int_equal(fd_bind_unix(journal, "/run/systemd/journal/socket"), 0);

        capture();
        pretend_journal();
        log_task(&task, LOG_WARNING, ENOENT, "gone");
        log_info("plain");
        assert_string_equal(captured(), "");
        buf[0] = '\n';
        n = recv(journal, buf + 1, sizeof buf - 2, MSG_DONTWAIT);
        assert_true(n > 0);
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                if (!strstr(buf, lines[i]))
                        fail_msg("no%sin:%s", lines[i], buf);

        memset(buf, 0, sizeof buf);
        n = recv(journal, buf, sizeof buf - 1, MSG_DONTWAIT);
        assert_true(n > 0);
        assert_non_null(strstr(buf, "MESSAGE=plain\n"));
        assert_null(strstr(buf, "JOBBERS_"));
        assert_null(strstr(buf, "ERRNO"));
        log_init("jobbersd");
}

static void plain_is_for_stderr(void **state) {
        capture();
        pretend_journal();
        log_init_plain("jobbersctl");
        log_error("text");
        assert_string_equal(captured(), "jobbersctl: text\n");
}

/* One wait for all of it; and stderr, which is journald's as well, is no place to wait in either. */
static void journal_that_does_not_read(void **state) {
        _cleanup_close_ int journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        char buf[4096] = "";
        unsigned n = 0, first_as_text = 0;

        hide_run();
        assert_int_equal(fd_mkdirs("/run/systemd/journal", 0755), 0);
        assert_int_equal(fd_bind_unix(journal, "/run/systemd/journal/socket"), 0);
        capture();
        pretend_journal();
        usec_t begin = clock_boot();
        for (unsigned i = 0; i < 5000; i++)
                log_info("number %u of many lines that are all a little longer than they need be", i);
        usec_t took = clock_boot() - begin;
        const char *text = captured_in(5000);
        assert_int_equal(sscanf(text, "jobbersd: number %u of", &first_as_text), 1);
        for (; recv(journal, buf, sizeof buf - 1, MSG_DONTWAIT) > 0; n++)
                ;
        assert_int_equal(n, first_as_text);             /* none between them is missing */
        assert_true(took >= 900 * USEC_PER_MSEC && took < 10 * USEC_PER_SEC);

        capture();
        log_info("it reads again");
        assert_string_equal(captured(), "");
        assert_true(recv(journal, buf, sizeof buf - 1, MSG_DONTWAIT) > 0);
        assert_non_null(strstr(buf, "MESSAGE=it reads again\n"));
        log_init("jobbersd");
}

#define TEST(t) cmocka_unit_test_setup(t, setup)
int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(one_line), TEST(with_error), TEST(levels), TEST(gathered), TEST(gathered_at_debug), TEST(gathered_much), TEST(about_a_task), TEST(one_message_is_one_line),
                TEST(long_messages_are_cut), TEST(without_stderr), TEST(other_journal_streams_do_not_count),
                TEST(plain_is_for_stderr), TEST(journal_without_journald), TEST(journal_fields), TEST(journal_that_does_not_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
