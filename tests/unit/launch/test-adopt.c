/* Adoption: against real processes that listen where a supervisor would. */
#include "fixture.h"
#include "tests/unit/pidfd.h"

#include <signal.h>
#include <sys/prctl.h>

#include <signal.h>

typedef enum Play {
        PLAY_HONEST,            /* answers as it should; on STOP writes a record and ends */
        PLAY_OTHER_START_TIME,
        PLAY_OTHER_TASK,
        PLAY_SPEAKS_FIRST,      /* a note with a misleading text before the answer */
        PLAY_CLOSES_EARLY,      /* answers, closes its sockets, and ends with a record only when told by the pipe */
        PLAY_LEAVES,            /* takes the connection and ends without a word or a record */
} Play;

typedef struct Supervisor {
        pid_t pid;
        int tell, hear;         /* our ends of two pipes */
} Supervisor;

static uint64_t own_start_time(void) {
        char text[1024];
        _cleanup_close_ int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, text, sizeof text - 1);
        text[n > 0 ? n : 0] = '\0';
        char *at = strrchr(text, ')') + 1;
        unsigned long long value = 0;
        sscanf(at, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &value);
        return value;
}

static void supervisor_main(Fixture *f, Play play, int hear, int tell) {
        char name[ATTEMPT_NAME_MAX], id_str[ULID_STR_MAX], text[512];
        _cleanup_free_ char *dir = str_new("%s/%s", f->attempt_dir, attempt_file_name(&f->id, 1, "", name));
        _cleanup_free_ char *path = str_new("%s/control", dir);

        if (mkdir(dir, 0777) < 0)
                _exit(20);
        int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd_bind_unix(listener, path) < 0 || listen(listener, 4) < 0)
                _exit(21);
        if (write(tell, "L", 1) != 1)
                _exit(22);
        int c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        ssize_t n = recv(c, text, sizeof text, 0);
        if (n != 8 || memcmp(text, "HELLO=1\n", 8) != 0)
                _exit(23);
        if (play == PLAY_LEAVES)
                _exit(0);
        if (play == PLAY_SPEAKS_FIRST)
                channel_say(c, "STATUS=STATE=running PID=1 TASK=nobody\n");
        Ulid other = f->id;
        other.b[15] ^= 1;
        snprintf(text, sizeof text, "STATE=running\nTASK=%s\nATTEMPT=1\nPID=%d\nSTARTTIME=%llu\nBOOT_ID=%s\n",
                 ulid_format(play == PLAY_OTHER_TASK ? &other : &f->id, id_str), (int) getpid(),
                 (unsigned long long) own_start_time() + (play == PLAY_OTHER_START_TIME), clock_boot_id());
        channel_say(c, text);
        if (play == PLAY_CLOSES_EARLY) {
                close(listener);
                close(c);
                if (read(hear, text, 1) != 0)
                        _exit(24);
                write_record(f, 0);
                _exit(0);
        }
        for (;;) {
                n = recv(c, text, sizeof text - 1, 0);
                if (n <= 0)
                        break;
                text[n] = '\0';
                if (write(tell, strncmp(text, "STOP=", 5) == 0 ? "S" : "?", 1) != 1)
                        _exit(25);
                if (STREQ(text, "STOP=cancelled\n")) {
                        write_record(f, 9);
                        _exit(0);
                }
        }
        /* The daemon left; a supervisor goes on alone until it is told to end. */
        (void) !read(hear, text, 1);
        _exit(0);
}

static Supervisor play(Fixture *f, Play p) {
        int down[2], up[2];
        char c;
        assert_int_equal(pipe2(down, O_CLOEXEC), 0);
        assert_int_equal(pipe2(up, O_CLOEXEC), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);        /* a test that fails, or never connects, leaves nobody behind */
                close(down[1]);
                close(up[0]);
                supervisor_main(f, p, down[0], up[1]);
        }
        close(down[0]);
        close(up[1]);
        assert_int_equal(read(up[0], &c, 1), 1);        /* it listens */
        assert_int_equal(c, 'L');
        return (Supervisor) { pid, down[1], up[0] };
}

/* Lets it go; the text of what it heard besides HELLO. */
static void supervisor_end(Supervisor *s, const char *heard) {
        char text[16] = "";
        int status;
        s->tell = fd_close(s->tell);
        ssize_t n = read(s->hear, text, sizeof text - 1);
        assert_true(n >= 0);
        text[n] = '\0';
        assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_string_equal(text, heard);
        s->hear = fd_close(s->hear);
}

static LaunchAttempt *adopt(Fixture *f, bool expect) {
        LaunchAttempt *a = NULL;
        bool adopted = !expect;
        f->in_verb = true;
        assert_int_equal(launch_adopt(f->launch, &f->id, 1, f, &adopted, &a), 0);
        f->in_verb = false;
        assert_int_equal(adopted, expect);
        return a;
}

static void living(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);

        /* Even before the launcher's hello. A stop waits until it is known who is there. */
        LaunchAttempt *a = adopt(f, true);
        assert_int_equal(launch_attempt_pid(a), s.pid);
        stop(f, a, STOP_CANCELLED);
        assert_int_equal(a->state, ATTEMPT_HELLO);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        assert_int_equal(f->record.exit_status, 9);
        supervisor_end(&s, "S");
}

static void stopped_later(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_SPEAKS_FIRST);
        LaunchAttempt *a = adopt(f, true);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        assert_int_equal(f->n_notes, 1);
        assert_string_equal(f->status, "STATE=running PID=1 TASK=nobody");
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        supervisor_end(&s, "S");
}

/* The daemon may go again: the supervisor stays. */
static void daemon_leaves(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_HONEST);
        LaunchAttempt *a = adopt(f, true);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        launch_free(f->launch);
        f->launch = NULL;
        assert_int_equal(kill(s.pid, 0), 0);
        supervisor_end(&s, "");
}

static void impostor(Fixture *f, Play p) {
        LauncherRequest k;
        Supervisor s = play(f, p);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        LaunchAttempt *a = adopt(f, true);
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
        supervisor_end(&s, "");                 /* it was told nothing, and it was not signalled */
}
static void other_start_time(void **state) {
        impostor(*state, PLAY_OTHER_START_TIME);
}
static void other_task(void **state) {
        impostor(*state, PLAY_OTHER_TASK);
}

static void closed_but_not_ended(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_CLOSES_EARLY);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        LaunchAttempt *a = adopt(f, true);
        UNTIL(f, a->state == ATTEMPT_LEAVING);
        settle(f);
        assert_int_equal(f->n_ended, 0);        /* the process lives, so a record can still appear */
        supervisor_end(&s, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
}

static void leaves_without_a_word(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        Supervisor s = play(f, PLAY_LEAVES);
        adopt(f, true);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
        supervisor_end(&s, "");
}

static void ended_meanwhile(void **state) {
        Fixture *f = *state;
        write_record(f, 4);
        adopt(f, false);
        assert_int_equal(f->n_ended, 0);
        UNTIL(f, f->n_ended == 1);              /* no launcher is needed for that */
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        assert_int_equal(f->record.exit_status, 4);
}

static void nothing_counts_after_hello_only(void **state) {
        Fixture *f = *state;
        adopt(f, false);
        settle(f);
        assert_int_equal(f->n_ended, 0);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
}

/* A start of the earlier daemon was still on its way when the new one first looked. */
static void late_start_is_found(void **state) {
        Fixture *f = *state;
        LaunchAttempt *a = adopt(f, false);
        settle(f);
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        assert_int_equal(f->n_ended, 0);
        assert_int_equal(launch_attempt_pid(a), s.pid);
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        supervisor_end(&s, "S");
}

static void late_start_cancelled_before_hello(void **state) {
        Fixture *f = *state;
        LaunchAttempt *a = adopt(f, false);
        stop(f, a, STOP_CANCELLED);
        Supervisor s = play(f, PLAY_HONEST);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        supervisor_end(&s, "S");
}

static void killed_supervisor(void **state) {
        Fixture *f = *state;
        LauncherRequest k;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        LaunchAttempt *a = adopt(f, true);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        assert_int_equal(kill(s.pid, SIGKILL), 0);
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
}

/* The socket file of a supervisor that is gone: connection refused. */
static void only_started_is_left(void **state) {
        Fixture *f = *state;
        LauncherRequest k;
        Supervisor s = play(f, PLAY_HONEST);
        assert_int_equal(kill(s.pid, SIGKILL), 0);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
        write_started(f);
        adopt(f, false);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

/* Two of one attempt: ours left because it found the other's mark; the other lives and is taken. */
static void the_other_one_won(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        Supervisor s = play(f, PLAY_HONEST);    /* forked before there is a channel that it would keep open */
        LaunchAttempt *a = start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        write_started(f);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        assert_int_equal(f->n_ended, 0);
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        supervisor_end(&s, "S");
}

static void record_of_an_earlier_boot(void **state) {
        Fixture *f = *state;
        _cleanup_exit_record_ ExitRecord r = {};
        assert_int_equal(launch_read_record(f->launch, &f->id, 1, &r), -ENOENT);
        write_record(f, 5);
        assert_int_equal(launch_read_record(f->launch, &f->id, 1, &r), 0);
        assert_int_equal(r.exit_status, 5);
        assert_int_equal(launch_read_record(f->launch, &f->id, 2, &(ExitRecord) {}), -ENOENT);
}

int main(void) {
        if (!have_pidfds())
                return EXIT_SKIPPED;
        log_init("test-adopt");
        log_set_level(LOG_CRIT);
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                T(living),
                T(stopped_later),
                T(daemon_leaves),
                T(other_start_time),
                T(other_task),
                T(closed_but_not_ended),
                T(leaves_without_a_word),
                T(ended_meanwhile),
                T(nothing_counts_after_hello_only),
                T(late_start_is_found),
                T(late_start_cancelled_before_hello),
                T(killed_supervisor),
                T(only_started_is_left),
                T(the_other_one_won),
                T(record_of_an_earlier_boot),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
