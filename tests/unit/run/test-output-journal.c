/* Output that goes to the journal: against a journald that is played, in a /run of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "jobbers-run/journal.h"
#include "jobbers-run/output.h"

#define EXIT_SKIPPED 77
#define DIR "/run/systemd/journal"

static pid_t journald;
static Settings settings = { .max_log = 8192 };
static Definition definition = { .name = (char *) "thing" };
static Place place;
static RunUser user = { .uid = 4321, .gid = 8765 };
static Job job;

static int listen_on(const char *path, int type) {
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
        (void) unlink(path);
        assert_int_equal(fd_bind_unix(fd, path), 0);
        if (type == SOCK_STREAM)
                assert_int_equal(listen(fd, 8), 0);
        return fd;
}

/* What came, and who is said to have sent it. */
static ssize_t hear(int fd, char *buf, size_t max, struct ucred *ret_who) {
        char control[CMSG_SPACE(sizeof *ret_who)];
        struct iovec iov = { buf, max };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
        ssize_t k = recvmsg(fd, &m, MSG_DONTWAIT);
        struct cmsghdr *c = k > 0 ? CMSG_FIRSTHDR(&m) : NULL;
        *ret_who = (struct ucred) {};
        if (c && c->cmsg_type == SCM_CREDENTIALS)
                memcpy(ret_who, CMSG_DATA(c), sizeof *ret_who);
        return k;
}

/* Writes down all that it is sent, and before what came through a stream from whom it is. */
static _Noreturn void journald_main(int streams, int messages) {
        struct pollfd p[16] = { { .fd = streams, .events = POLLIN }, { .fd = messages, .events = POLLIN } };
        nfds_t n = 2;
        int stream_file = open("/run/stream", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        int message_file = open("/run/messages", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (poll(p, n, -1) > 0) {
                char buf[65536];
                ssize_t k;
                if (p[0].revents && n < 16) {
                        int on = 1;
                        p[n] = (struct pollfd) { .fd = accept4(streams, NULL, NULL, SOCK_CLOEXEC), .events = POLLIN };
                        (void) setsockopt(p[n++].fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
                }
                if (p[1].revents && (k = recv(messages, buf, sizeof buf, 0)) > 0 && write(message_file, buf, (size_t) k) != k)
                        _exit(1);
                for (nfds_t i = 2; i < n; i++)
                        if (p[i].fd >= 0 && p[i].revents) {
                                struct ucred who;
                                k = hear(p[i].fd, buf, sizeof buf, &who);
                                if (k > 0 && (dprintf(stream_file, "[%d %d %d]", (int) who.pid, (int) who.uid, (int) who.gid) < 0 ||
                                              write(stream_file, buf, (size_t) k) != k))
                                        _exit(1);
                                if (k == 0)
                                        p[i].fd = fd_close(p[i].fd);
                        }
        }
        _exit(0);
}

static void journald_begin(void) {
        int streams = listen_on(DIR "/stdout", SOCK_STREAM), messages = listen_on(DIR "/socket", SOCK_DGRAM);
        (void) unlink("/run/stream");
        (void) unlink("/run/messages");
        journald = fork();
        if (journald == 0)
                journald_main(streams, messages);
        close(streams);
        close(messages);
}

static void journald_end(void) {
        (void) kill(journald, SIGKILL);
        (void) waitpid(journald, NULL, 0);
}

static char *written(const char *path) {
        char *text = NULL;
        size_t len;
        return fd_read_file_at(AT_FDCWD, path, 1 << 20, &text, &len) < 0 ? strdup("") : text;
}

static int setup(void **state) {
        job = (Job) { .settings = &settings, .place = &place, .definition = &definition, .user = &user, .attempt = 2, .queue = "mail" };
        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", &job.task_id), 0);
        journald_begin();
        return 0;
}

static int teardown(void **state) {
        journald_end();
        return 0;
}

/* They stand wherever a chunk begins. */
static void without_senders(char *text) {
        char *to = text;
        for (const char *s = text; *s; s++)
                if (*s != '[')
                        *to++ = *s;
                else
                        s = strchr(s, ']');
        *to = '\0';
}

static void begin(Output *o) {
        job.output = OUTPUT_JOURNAL_STREAM;
        assert_int_equal(output_open(o, &job), 0);
        assert_int_equal(o->kind, OUTPUT_JOURNAL_STREAM);
}

/* A main process that has said that, and has ended. */
static pid_t main_says(Output *o, const char *text) {
        siginfo_t end;
        pid_t pid = fork();
        if (pid == 0)
                _exit(write(o->task_fd, text, strlen(text)) == (ssize_t) strlen(text) ? 0 : 1);
        output_started(o, pid);
        assert_int_equal(waitid(P_PID, (id_t) pid, &end, WEXITED | WNOWAIT), 0);
        assert_int_equal(end.si_status, 0);
        return pid;
}

static void main_ends(Output *o, pid_t pid) {
        output_main_ends(o);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* All is read when the output is finished: nobody waits here. */
static void test_stream(void **state) {
        Output o;
        char wanted[64];
        begin(&o);
        pid_t pid = main_says(&o, "one\ntwo");
        main_ends(&o, pid);
        output_finish(&o);
        assert_int_equal(o.dropped, 0);
        assert_false(o.in_our_name);
        _cleanup_free_ char *text = written("/run/stream");
        assert_non_null(strstr(text, "thing\njobbers-task-01ARZ3NDEKTSV4RRFFQ69G5FAV-2.scope\n6\n0\n0\n0\n0\n"));
        snprintf(wanted, sizeof wanted, "[%d 4321 8765]one\n", (int) pid);
        char *at = strstr(text, wanted);
        assert_non_null(at);
        snprintf(wanted, sizeof wanted, "[%d ", (int) getpid());
        assert_null(strstr(at, wanted));
        assert_non_null(strstr(at, "two[1 0 0]\n"));
        without_senders(at);
        assert_string_equal(at, "one\ntwo\n\n");
}

/* What says nothing costs journald nothing. */
static void test_silence(void **state) {
        Output o;
        struct stat st;
        begin(&o);
        main_ends(&o, main_says(&o, ""));
        output_finish(&o);
        assert_false(o.said);
        assert_int_equal(journal_messages_settle(20 * USEC_PER_SEC), 0);        /* journald has seen all there is to see */
        assert_int_equal(stat("/run/stream", &st), 0);
        assert_int_equal(st.st_size, 0);
}

/* Main is gone; what it left behind goes on. */
static void test_stream_after_main(void **state) {
        Output o;
        char wanted[64];
        begin(&o);
        _cleanup_close_ int left = fcntl(o.task_fd, F_DUPFD_CLOEXEC, 3);
        main_ends(&o, main_says(&o, "main\n"));
        assert_false(o.in_our_name);
        assert_int_equal(write(left, "left\n", 5), 5);
        assert_int_equal(output_pump(&o), 1);
        output_finish(&o);
        assert_true(o.in_our_name);
        _cleanup_free_ char *text = written("/run/stream");
        snprintf(wanted, sizeof wanted, "[%d 4321 8765]left\n", (int) getpid());
        assert_non_null(strstr(text, wanted));
}

/* Its number means nobody any more. */
static void test_stream_for_nobody(void **state) {
        Output o;
        begin(&o);
        pid_t pid = main_says(&o, "too late\n");
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        output_finish(&o);
        assert_true(o.in_our_name);
        _cleanup_free_ char *text = written("/run/stream");
        without_senders(text);
        assert_non_null(strstr(text, "\ntoo late\n"));
}

static void test_relay(void **state) {
        static char line[60000];
        Output o;
        job.output = OUTPUT_JOURNAL_RELAY;
        assert_int_equal(output_open(&o, &job), 0);
        assert_int_equal(write(o.task_fd, "one\n\ntwo\nrest", 13), 13);
        while (output_pump(&o))
                ;
        memset(line, 'x', sizeof line);                 /* in two messages, as journald does it */
        for (size_t at = 0; at < sizeof line; at += 4000) {
                assert_int_equal(write(o.task_fd, line, 4000), 4000);
                while (output_pump(&o))
                        ;
        }
        output_started(&o, 0);
        output_finish(&o);
        assert_true(o.in_our_name);
        _cleanup_free_ char *text = written("/run/messages");
        assert_non_null(strstr(text, "MESSAGE=one\n"));
        assert_non_null(strstr(text, "MESSAGE=two\n"));
        assert_non_null(strstr(text, "MESSAGE=restxxx"));
        assert_non_null(strstr(text, "JOBBERS_TASK_ID=01ARZ3NDEKTSV4RRFFQ69G5FAV\n"));
        assert_non_null(strstr(text, "JOBBERS_ATTEMPT=2\n"));
        assert_non_null(strstr(text, "JOBBERS_QUEUE=mail\n"));
        assert_non_null(strstr(text, "SYSLOG_IDENTIFIER=thing\n"));
        assert_null(strstr(text, "MESSAGE=\n"));
        size_t n = 0;
        for (const char *s = text; *s; s++)
                n += *s == 'x';
        assert_true(n >= sizeof line);
}

/* journald is being restarted: its stream refuses, its datagram socket is kept by PID 1. */
static void test_stream_falls_back(void **state) {
        Output o;
        assert_int_equal(unlink(DIR "/stdout"), 0);
        begin(&o);
        main_ends(&o, main_says(&o, "all the same\n"));
        assert_int_equal(o.kind, OUTPUT_JOURNAL_RELAY);
        output_finish(&o);
        assert_true(o.in_our_name);
        _cleanup_free_ char *text = written("/run/messages");
        assert_non_null(strstr(text, "MESSAGE=all the same\n"));
}

/* One that had a stream is gone, and so is what it had not read. */
static void test_stream_breaks(void **state) {
        Output o;
        begin(&o);
        assert_int_equal(write(o.task_fd, "one\n", 4), 4);
        assert_int_equal(output_pump(&o), 1);
        assert_int_equal(o.kind, OUTPUT_JOURNAL_STREAM);
        journald_end();
        journald_begin();
        assert_int_equal(write(o.task_fd, "two\n", 4), 4);
        assert_int_equal(output_pump(&o), 1);
        assert_int_equal(o.kind, OUTPUT_JOURNAL_RELAY);
        output_finish(&o);
        assert_int_equal(o.dropped, 0);
        _cleanup_free_ char *text = written("/run/messages");
        assert_non_null(strstr(text, "MESSAGE=two\n"));
}

static void test_journald_that_hangs(void **state) {
        _cleanup_close_ int fd = journal_stream_open("thing", "x.scope");
        assert_true(fd >= 0);
        assert_int_equal(journal_stream_settle(fd, NULL, 20 * USEC_PER_SEC), 0);
        assert_int_equal(journal_messages_settle(20 * USEC_PER_SEC), 0);
        assert_int_equal(kill(journald, SIGSTOP), 0);
        assert_int_equal(waitpid(journald, NULL, WUNTRACED), journald);
        assert_int_equal(journal_stream_settle(fd, NULL, 20 * USEC_PER_MSEC), -ETIMEDOUT);
        assert_int_equal(journal_messages_settle(20 * USEC_PER_MSEC), -ETIMEDOUT);
        /* Also when nothing more fits. */
        static const char block[65536];
        while (send(fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
                ;
        assert_int_equal(journal_stream_settle(fd, NULL, 20 * USEC_PER_MSEC), -ETIMEDOUT);
        for (int i = 0; i < 600; i++)                   /* more than net.unix.max_dgram_qlen */
                (void) journal_messages_settle(0);
        assert_int_equal(journal_messages_settle(20 * USEC_PER_MSEC), -ETIMEDOUT);
        assert_int_equal(kill(journald, SIGKILL), 0);
        assert_int_equal(waitpid(journald, NULL, 0), journald);
        assert_true(journal_stream_settle(fd, NULL, 20 * USEC_PER_MSEC) < 0);
        assert_true(journal_messages_settle(20 * USEC_PER_MSEC) < 0);
        assert_true(journal_stream_open("thing", "x.scope") < 0);
        journald_begin();
}

static void stopped(bool yes) {
        assert_int_equal(kill(journald, yes ? SIGSTOP : SIGCONT), 0);
        assert_int_equal(waitpid(journald, NULL, yes ? WUNTRACED : WCONTINUED), journald);
}

/* It hangs, and as many wait for it to accept them as may. */
static void test_stream_that_is_not_accepted(void **state) {
        Output o;
        int fds[64], n = 0;
        stopped(true);
        while (n < 64 && (fds[n] = journal_stream_open("thing", "x.scope")) >= 0)
                n++;
        assert_true(n > 0 && n < 64);
        assert_int_equal(fds[n], -EAGAIN);
        begin(&o);
        assert_int_equal(write(o.task_fd, "all the same\n", 13), 13);
        assert_int_equal(output_pump(&o), 1);
        assert_int_equal(o.kind, OUTPUT_JOURNAL_RELAY);
        output_started(&o, 0);
        output_finish(&o);
        while (n > 0)
                close(fds[--n]);
}

/* What stands in the loop's poll, and what the task's end of the pipe still takes. */
static int watched(const Output *o, short want, int wait_ms) {
        struct pollfd p = output_poll(o);
        assert_int_equal(p.events, want);
        return poll(&p, 1, wait_ms);
}

/* Until the task would have to wait; how many lines that were. */
static unsigned write_until_full(Output *o, unsigned from) {
        char line[64];
        for (unsigned i = from;; i++) {
                int n = snprintf(line, sizeof line, "line %u.\n", i);
                if (write(o->task_fd, line, (size_t) n) != n) {
                        assert_int_equal(errno, EAGAIN);
                        return i;
                }
                while (output_poll(o).events == POLLIN && output_pump(o))
                        ;
        }
}

/* A journald that does not read holds up the task, at its pipe, and not us; nothing is lost when it reads again. */
static void waits(OutputKind kind, const char *file, const char *before) {
        Output o;
        job.output = kind;
        assert_int_equal(output_open(&o, &job), 0);
        assert_int_equal(fcntl(o.task_fd, F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(watched(&o, POLLIN, 0), 0);
        stopped(true);
        unsigned n = write_until_full(&o, 0);
        assert_true(n > 1000);
        assert_int_equal(watched(&o, POLLOUT, 50), 0);          /* the loop sleeps */
        assert_int_equal(output_pump(&o), 0);
        stopped(false);
        assert_int_equal(watched(&o, POLLOUT, 20000), 1);
        for (int i = 0; i < 100 && output_pump(&o); i++)
                ;
        output_started(&o, 0);
        output_finish(&o);
        assert_int_equal(o.dropped, 0);

        _cleanup_free_ char *text = NULL;
        size_t len;
        char line[64];
        assert_int_equal(fd_read_file_at(AT_FDCWD, file, 16 << 20, &text, &len), 0);
        without_senders(text);
        const char *at = text;
        for (unsigned i = 0; i < n; i++) {
                snprintf(line, sizeof line, "%sline %u.\n", before, i);
                at = strstr(at, line);
                if (!at)
                        fail_msg("of %u lines, number %u is missing", n, i);
        }
}

static void test_relay_waits(void **state) {
        waits(OUTPUT_JOURNAL_RELAY, "/run/messages", "MESSAGE=");
}

static void test_stream_waits(void **state) {
        waits(OUTPUT_JOURNAL_STREAM, "/run/stream", "");
}

/* As stdio does it: a block ends within a line. */
static void write_blocks_until_full(Output *o) {
        char block[4096];
        for (size_t at = 0;; at += sizeof block) {
                for (size_t i = 0; i < sizeof block; i++)
                        block[i] = "line of the task\n"[(at + i) % 17];
                if (write(o->task_fd, block, sizeof block) < 0)
                        return;
                while (output_poll(o).events == POLLIN && output_pump(o))
                        ;
        }
}

/* The end of the main process is seen at once, whatever journald does; what it had no room for comes later, and is ours to say then. */
static void test_main_ends_unheard(void **state) {
        Output o;
        begin(&o);
        assert_int_equal(fcntl(o.task_fd, F_SETFL, O_NONBLOCK), 0);
        pid_t pid = main_says(&o, "first\n");
        stopped(true);
        write_blocks_until_full(&o);
        assert_false(o.in_our_name);
        usec_t before = clock_boot();
        main_ends(&o, pid);
        assert_true(clock_boot() - before < USEC_PER_SEC);      /* five are what it would wait for */
        assert_true(o.rest_len > 0);
        stopped(false);
        output_finish(&o);
        assert_int_equal(o.dropped, 0);
        assert_true(o.in_our_name);
        /* To journald a line ends where the name changes. */
        _cleanup_free_ char *text = NULL;
        char ours[64];
        size_t len;
        assert_int_equal(fd_read_file_at(AT_FDCWD, "/run/stream", 16 << 20, &text, &len), 0);
        snprintf(ours, sizeof ours, "[%d 4321 8765]", (int) getpid());
        char *change = strstr(text, ours);
        assert_non_null(change);
        assert_int_equal(change[-1], '\n');
        assert_memory_equal(change + strlen(ours), "line of the task\n", 17);
}

/* Nothing tells when one who writes on and on would end: main's end is seen all the same. */
static void test_main_ends_while_others_write(void **state) {
        Output o;
        begin(&o);
        pid_t pid = main_says(&o, "main\n"), other = fork();
        if (other == 0)
                while (write(o.task_fd, "other other other\n", 18) > 0)
                        ;
        main_ends(&o, pid);
        assert_int_equal(kill(other, SIGKILL), 0);
        assert_int_equal(waitpid(other, NULL, 0), other);
        output_finish(&o);
        assert_int_equal(o.dropped, 0);
}

/* Without the privilege to speak for others. */
static void test_stream_without_privilege(void **state) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct before[2], without[2];
        Output o;
        char wanted[64];
        begin(&o);
        assert_int_equal(syscall(SYS_capget, &header, before), 0);
        memcpy(without, before, sizeof without);
        without[0].effective &= ~(1U << CAP_SYS_ADMIN);
        assert_int_equal(syscall(SYS_capset, &header, without), 0);
        main_ends(&o, main_says(&o, "main\n"));
        output_finish(&o);
        assert_int_equal(syscall(SYS_capset, &header, before), 0);
        assert_int_equal(o.kind, OUTPUT_JOURNAL_STREAM);
        assert_true(o.in_our_name);
        _cleanup_free_ char *text = written("/run/stream");
        snprintf(wanted, sizeof wanted, "[%d 4321 8765]main\n", (int) getpid());
        assert_non_null(strstr(text, wanted));
}

/* A relay whose journald has stopped reading, and whose task would have to wait. */
static void relay_stuck(Output *o) {
        job.output = OUTPUT_JOURNAL_RELAY;
        assert_int_equal(output_open(o, &job), 0);
        assert_int_equal(fcntl(o->task_fd, F_SETFL, O_NONBLOCK), 0);
        stopped(true);
        (void) write_until_full(o, 0);
}

/* Its socket goes while it is waited for, and another one comes. */
static void test_relay_finds_another_journald(void **state) {
        Output o;
        relay_stuck(&o);
        journald_end();
        assert_int_equal(watched(&o, POLLOUT, 20000), 1);
        journald_begin();
        while (output_poll(&o).events == POLLOUT)
                (void) output_pump(&o);
        output_started(&o, 0);
        output_finish(&o);
        assert_int_equal(o.dropped, 0);
        _cleanup_free_ char *text = written("/run/messages");
        assert_non_null(strstr(text, "MESSAGE=line "));
}

/* It still does not read when the attempt is over. */
static void test_relay_gives_up(void **state) {
        Output o;
        relay_stuck(&o);
        usec_t begin = clock_boot();
        output_started(&o, 0);
        output_finish(&o);
        usec_t took = clock_boot() - begin;
        assert_true(took >= 5 * USEC_PER_SEC && took < 8 * USEC_PER_SEC);
        assert_true(o.dropped > 60000);                         /* a pipe full, and what had been read */
}

int main(void) {
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
            mount("tmpfs", "/run", "tmpfs", 0, "size=16m") < 0 || fd_mkdirs(DIR, 0755) < 0)
                return EXIT_SKIPPED;
        log_init("test");
        log_set_level(LOG_CRIT);
        place = PLACE_INIT;
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = { T(test_stream), T(test_silence), T(test_stream_after_main), T(test_stream_for_nobody), T(test_stream_breaks),
                                             T(test_stream_waits), T(test_main_ends_unheard), T(test_main_ends_while_others_write),
                                             T(test_stream_without_privilege),
                                             T(test_relay), T(test_stream_falls_back), T(test_journald_that_hangs),
                                             T(test_relay_waits), T(test_relay_finds_another_journald), T(test_relay_gives_up),
                                             T(test_stream_that_is_not_accepted) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
