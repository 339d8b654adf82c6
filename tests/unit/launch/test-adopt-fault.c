/* Adoption when system calls fail: whatever cannot be found out now is looked at again, and nobody is ever taken for gone by mistake. */
#include "tests/unit/inject.h"

#include "players.h"
#include "tests/unit/pidfd.h"

static int setup(void **state) {
        inject_nothing();
        return fixture_setup(state);
}

static int teardown(void **state) {
        inject_nothing();
        return fixture_teardown(state);
}

/* One failure on the way to a supervisor that lives: it is found at the second look. */
static void found_later(Fixture *f, Injection *where, unsigned nth, int error) {
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        *where = (Injection) { nth, error };
        LaunchAttempt *a = adopt(f, false);
        assert_int_equal(where->nth, 0);
        assert_int_equal(a->state, ATTEMPT_WAIT_RETRY);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        assert_int_equal(launch_attempt_pid(a), s.pid);
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        supervisor_end(&s, "S");
}

static void no_memory_for_the_path(void **state) {
        if (!inject_works())
                skip();
        /* The handle is the first that is allocated, the path the second. */
        found_later(*state, &injected.memory, 2, ENOMEM);
}

static void no_socket(void **state) {
        found_later(*state, &injected.socket, 1, EMFILE);
}

static void no_credentials(void **state) {
        found_later(*state, &injected.getsockopt, 1, ENOMEM);
}

static void no_pidfd(void **state) {
        found_later(*state, &injected.pidfd_open, 1, EMFILE);
}

/* Connecting worked, watching does not: the listener sees a connection come and go. */
static void cannot_be_watched(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        injected.add_io = (Injection) { 1, ENOMEM };
        LaunchAttempt *a = adopt(f, false);
        assert_int_equal(a->state, ATTEMPT_WAIT_RETRY);
        assert_null(a->channel);
        assert_int_equal(a->pidfd, -1);
        (void) kill(s.pid, SIGKILL);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
}

/* Somebody of another uid is nobody to talk to, and not the proof that nobody is there. */
static void listener_of_another_uid(void **state) {
        Fixture *f = *state;
        LauncherRequest k;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        injected.strangers = true;
        adopt(f, false);
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
        (void) kill(s.pid, SIGKILL);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
}

/* It ended between the connection and the pidfd, or before HELLO: the files decide. */
static void ended_on_the_way(Fixture *f, Injection *where, int error) {
        Supervisor s = play(f, PLAY_HONEST);
        write_record(f, 3);
        *where = (Injection) { 1, error };
        adopt(f, false);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        assert_int_equal(f->record.exit_status, 3);
        (void) kill(s.pid, SIGKILL);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
}

static void ended_before_the_pidfd(void **state) {
        ended_on_the_way(*state, &injected.pidfd_open, ESRCH);
}

static void ended_before_hello(void **state) {
        ended_on_the_way(*state, &injected.send, EPIPE);
}

static void hello_does_not_fit(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        injected.send = (Injection) { 1, EAGAIN };
        LaunchAttempt *a = adopt(f, false);
        assert_int_equal(a->state, ATTEMPT_WAIT_RETRY);
        (void) kill(s.pid, SIGKILL);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
}

/* The record is there and cannot be opened just now: it is not taken for missing. */
static void record_cannot_be_opened(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        write_record(f, 6);
        injected.openat = (Injection) { 1, EMFILE };
        LaunchAttempt *a = adopt(f, false);
        assert_int_equal(injected.openat.nth, 0);
        assert_int_equal(a->state, ATTEMPT_WAIT_RETRY);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        assert_int_equal(f->record.exit_status, 6);
}

/* After the end of its channel there may be another supervisor of it, whom we cannot ask at this moment. */
static void the_other_one_cannot_be_asked(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        Supervisor s = play(f, PLAY_HONEST);
        LaunchAttempt *a = start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        write_started(f);
        injected.socket = (Injection) { 1, EMFILE };
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        assert_int_equal(injected.socket.nth, 0);
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        supervisor_end(&s, "S");
}

/* Its end cannot be watched: it is taken as over when its stream is, and the files are asked. */
static void end_cannot_be_watched(void **state) {
        Fixture *f = *state;
        LauncherRequest k;
        Supervisor s = play(f, PLAY_CLOSES_EARLY);
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        injected.add_io = (Injection) { 2, ENOMEM };    /* after the one of its channel */
        adopt(f, true);
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);        /* which proves that it is over */
        supervisor_end(&s, "");
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
}

static void no_memory_for_a_request(void **state) {
        Fixture *f = *state;
        LauncherRequest k;
        if (!inject_works())
                skip();
        write_started(f);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        injected.memory_size = sizeof(Request);
        injected.memory = (Injection) { 1, ENOMEM };
        LaunchAttempt *a = adopt(f, false);
        assert_int_equal(injected.memory.nth, 0);
        assert_int_equal(a->state, ATTEMPT_KILLING);
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

static void no_memory_to_adopt(void **state) {
        Fixture *f = *state;
        LaunchAttempt *a = NULL;
        if (!inject_works())
                skip();
        injected.memory_size = sizeof(LaunchAttempt);
        injected.memory = (Injection) { 1, ENOMEM };
        assert_int_equal(launch_adopt(f->launch, &f->id, 1, f->evidence, f, &a), -ENOMEM);
}

int main(void) {
        if (!have_pidfds())
                return EXIT_SKIPPED;
        log_init("test-adopt-fault");
        log_set_level(LOG_CRIT);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(no_memory_for_the_path),
                T(no_socket),
                T(no_credentials),
                T(no_pidfd),
                T(cannot_be_watched),
                T(listener_of_another_uid),
                T(ended_before_the_pidfd),
                T(ended_before_hello),
                T(hello_does_not_fit),
                T(record_cannot_be_opened),
                T(the_other_one_cannot_be_asked),
                T(end_cannot_be_watched),
                T(no_memory_for_a_request),
                T(no_memory_to_adopt),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
