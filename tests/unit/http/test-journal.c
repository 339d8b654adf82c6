/* Reading an attempt's output from a journalctl child: a played one, which prints its arguments and what a file holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "http/log-journal.h"
#include "tests/unit/pidfd.h"

typedef struct World {
        char dir[40], program[64], journal[64], arguments[64];
        sd_event *event;
        Ulid id;
} World;

static void write_text(const char *path, const char *text, int flags, mode_t mode) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static int set_up(void **state) {
        World *w = calloc(1, sizeof *w);
        char script[512];

        strcpy(w->dir, "/tmp/jobbers-journal-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        snprintf(w->program, sizeof w->program, "%s/journalctl", w->dir);
        snprintf(w->journal, sizeof w->journal, "%s/journal", w->dir);
        snprintf(w->arguments, sizeof w->arguments, "%s/arguments", w->dir);
        snprintf(script, sizeof script, "#!/bin/sh\necho \"$*\" >%s\ncase \"$*\" in *--follow*) exec tail -n +1 -f %s;; *) exec cat %s;; esac\n",
                 w->arguments, w->journal, w->journal);
        write_text(w->program, script, O_TRUNC, 0755);
        write_text(w->journal, "", O_TRUNC, 0644);
        assert_int_equal(setenv("JOBBERS_JOURNALCTL", w->program, 1), 0);
        assert_true(sd_event_new(&w->event) >= 0);
        ulid_parse("01JBKR2E5F3G4H5J6K718M9N0P", &w->id);
        *state = w;
        return 0;
}

static int tear_down(void **state) {
        World *w = *state;

        /* the children are collected by the loop */
        while (waitpid(-1, NULL, WNOHANG) == 0 || sd_event_run(w->event, 0) > 0)
                assert_true(sd_event_run(w->event, 100000) >= 0);
        sd_event_unref(w->event);
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_remove_tree_at(tmp, w->dir + strlen("/tmp/")), 0);
        free(w);
        return 0;
}

static int on_readable(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        *(bool *) userdata = true;
        return 0;
}

/* Reads until `want` is there, or the child's end (want NULL). */
static void expect(World *w, LogJournal *j, const char *want, const char *all) {
        char buf[1024];
        size_t n = 0;

        for (;;) {
                bool ready = false;
                assert_true(log_journal_watch(j, w->event, on_readable, &ready) >= 0);
                ssize_t k = log_journal_read(j, buf + n, 5);
                if (k == -ENODATA) {
                        assert_null(want);
                        break;
                }
                assert_true(k >= 0);
                n += (size_t) k;
                buf[n] = '\0';
                if (want && strstr(buf, want))
                        break;
                while (k == 0 && !ready)
                        assert_true(sd_event_run(w->event, 5 * USEC_PER_SEC) > 0);
        }
        buf[n] = '\0';
        assert_string_equal(buf, all);
}

/* valgrind 3.19 does not know them. */
static void need_pidfds(void) {
        _cleanup_close_ int fd = pidfd_open(getpid(), 0);
        if (fd < 0 && errno == ENOSYS)
                skip();
}

static void to_the_end(void **state) {
        need_pidfds();
        World *w = *state;
        LogJournal j = LOG_JOURNAL_INIT;
        _cleanup_free_ char *arguments = NULL;

        write_text(w->journal, "one\ntwo\n", O_TRUNC, 0644);
        assert_int_equal(log_journal_open(&j, &w->id, 3, "a-task", false), 0);
        expect(w, &j, NULL, "one\ntwo\n");
        log_journal_close(&j, w->event);
        assert_int_equal(fd_read_file_at(AT_FDCWD, w->arguments, 4096, &arguments, NULL), 0);
        /* Whatever others write into the journal about the task, it is not its output. */
        _cleanup_free_ char *expected = str_new("SYSLOG_IDENTIFIER=a-task JOBBERS_TASK_ID=01JBKR2E5F3G4H5J6K718M9N0P JOBBERS_ATTEMPT=3 _UID=0 _UID=%u + "
                                                "SYSLOG_IDENTIFIER=a-task _SYSTEMD_UNIT=jobbers-task-01JBKR2E5F3G4H5J6K718M9N0P-3.scope + "
                                                "SYSLOG_IDENTIFIER=a-task _SYSTEMD_USER_UNIT=jobbers-task-01JBKR2E5F3G4H5J6K718M9N0P-3.scope _UID=%u",
                                                (unsigned) geteuid(), (unsigned) geteuid());
        assert_non_null(strstr(arguments, expected));
        assert_null(strstr(arguments, "--follow"));
}

static void taken_over_where_it_was(void **state) {
        need_pidfds();
        World *w = *state;
        LogJournal j = LOG_JOURNAL_INIT;

        write_text(w->journal, "one\n", O_TRUNC, 0644);
        assert_int_equal(log_journal_open(&j, &w->id, 1, "a-task", true), 0);
        expect(w, &j, "one\n", "one\n");
        write_text(w->journal, "two\n", O_APPEND, 0644);
        expect(w, &j, "two\n", "two\n");
        log_journal_close(&j, w->event);                /* the attempt is over; more came meanwhile */
        write_text(w->journal, "three\n", O_APPEND, 0644);
        assert_int_equal(log_journal_open(&j, &w->id, 1, "a-task", false), 0);
        expect(w, &j, NULL, "three\n");
        log_journal_close(&j, w->event);
}

static void no_journalctl(void **state) {
        World *w = *state;
        LogJournal j = LOG_JOURNAL_INIT;

        assert_int_equal(setenv("JOBBERS_JOURNALCTL", "/nowhere/journalctl", 1), 0);
        assert_int_equal(log_journal_open(&j, &w->id, 1, "a-task", false), -ENOENT);
        assert_int_equal(j.fd, -1);
        log_journal_close(&j, w->event);
}

int main(void) {
        if (!have_pidfds())
                return EXIT_SKIPPED;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(to_the_end, set_up, tear_down),
                cmocka_unit_test_setup_teardown(taken_over_where_it_was, set_up, tear_down),
                cmocka_unit_test_setup_teardown(no_journalctl, set_up, tear_down),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
