/* Adoption: against real processes that listen where a supervisor would. */
#include "players.h"
#include "tests/unit/pidfd.h"

static void living(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);

        /* Even before the launcher's hello. A stop waits until it is known who is there. */
        LaunchAttempt *a = adopt(f, true);
        assert_int_equal(launch_attempt_pid(a), s.pid);
        stop(f, a, STOP_CANCELLED);
        assert_int_equal(a->state, ATTEMPT_HELLO);
        assert_int_equal(f->n_adopted, 0);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->n_adopted, 1);
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
        assert_int_equal(f->n_adopted, 1);
        assert_string_equal(f->status, "STATE=running PID=1 TASK=nobody");
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        supervisor_end(&s, "S");
}

/* Nor is a stop lost that comes before anybody has looked. */
static void stopped_unseen(void **state) {
        Fixture *f = *state;
        LaunchAttempt *a = NULL;
        Supervisor s = play(f, PLAY_HONEST);
        write_started(f);
        assert_int_equal(launch_adopt(f->launch, &f->id, 1, f->evidence, f, &a), 0);
        stop(f, a, STOP_CANCELLED);
        assert_int_equal(a->state, ATTEMPT_UNSEEN);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->n_adopted, 1);
        supervisor_end(&s, "S");
}

/* The launcher's hello makes the daemon ready: it does not wait until all are found. */
static void hello_comes_first(void **state) {
        Fixture *f = *state;
        LaunchAttempt *a[20];
        for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
                assert_int_equal(launch_adopt(f->launch, &f->id, i + 1, f->evidence, f, &a[i]), 0);
        peer_say_hello(f, LAUNCHER_HOLDS_CGROUP);
        UNTIL(f, launch_is_ready(f->launch));
        assert_int_equal(a[ARRAY_SIZE(a) - 1]->state, ATTEMPT_UNSEEN);
        UNTIL(f, f->n_ended == ARRAY_SIZE(a));
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
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
        assert_int_equal(f->n_adopted, 0);
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
static void kill_is_asked_for(Fixture *f) {
        LauncherRequest k;
        UNTIL(f, peer_receive(f, &k, NULL, NULL) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
}

static void only_started_is_left(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_HONEST);
        assert_int_equal(kill(s.pid, SIGKILL), 0);
        assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
        fd_close(s.tell);
        fd_close(s.hear);
        write_started(f);
        adopt(f, false);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        kill_is_asked_for(f);
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

static void words_without_meaning(void **state) {
        Fixture *f = *state;
        Supervisor s = play(f, PLAY_MUMBLES);
        LaunchAttempt *a = adopt(f, true);
        UNTIL(f, a->state == ATTEMPT_LIVING);
        stop(f, a, STOP_CANCELLED);
        UNTIL(f, f->n_ended == 1);
        supervisor_end(&s, "S");
}

/* It has ended already when we see the end of its stream. */
static void left_before_we_looked(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        Supervisor s = play(f, PLAY_LEAVES);
        LaunchAttempt *a = adopt(f, true);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t) s.pid, &info, WEXITED | WNOWAIT), 0);
        UNTIL(f, a->state == ATTEMPT_WAIT_RETRY || f->n_ended == 1);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
        supervisor_end(&s, "");
}

/* What it left was in memory, and that memory is gone: nobody knows whether it ran, so it may have. */
static void records_are_others(void **state) {
        Fixture *f = *state;
        write_birth(f, "fedcba9876543210");
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        adopt(f, false);
        kill_is_asked_for(f);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

static void no_records_at_all(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int dir = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_remove_tree_at(dir, "records"), 0);
        assert_int_equal(launch_read_record(f->launch, &f->id, 1, &(ExitRecord) {}), -ENOENT);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        adopt(f, false);
        kill_is_asked_for(f);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

/* It ended while no daemon was there; the memory may be gone, with the host's boot or without. */
static void record_is_saved(void **state) {
        Fixture *f = *state;
        write_record_in(f, f->saved_dir, 3);
        write_birth(f, "fedcba9876543210");
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        adopt(f, false);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        assert_int_equal(f->record.exit_status, 3);
}

/* A directory that others can write may be anybody's: nothing in it counts. */
static void records_that_others_can_write(void **state) {
        Fixture *f = *state;
        _cleanup_exit_record_ ExitRecord r = {};
        write_record(f, 0);
        assert_int_equal(chmod(f->record_dir, 0777), 0);
        assert_int_equal(launch_read_record(f->launch, &f->id, 1, &r), -ENOENT);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        adopt(f, false);
        kill_is_asked_for(f);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

/* Two that cannot be known are not the same. */
static void records_without_a_name(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int dir = open(f->record_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(unlinkat(dir, RECORDS_BIRTH, 0), 0);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        UNTIL(f, launch_is_ready(f->launch));
        snprintf(f->evidence, sizeof f->evidence, "%s", launch_evidence(f->launch));
        adopt(f, false);
        kill_is_asked_for(f);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

/* The one that can be read counts. */
static void record_is_damaged_in_memory(void **state) {
        Fixture *f = *state;
        _cleanup_exit_record_ ExitRecord r = {};
        write_record_text(f, "JOBBERS_EXIT", 12);
        assert_int_equal(launch_read_record(f->launch, &f->id, 1, &r), -EBADMSG);
        write_record_in(f, f->saved_dir, 3);
        assert_int_equal(launch_read_record(f->launch, &f->id, 1, &r), 0);
        assert_int_equal(r.exit_status, 3);
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
                T(stopped_unseen),
                T(hello_comes_first),
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
                T(words_without_meaning),
                T(left_before_we_looked),
                T(records_are_others),
                T(no_records_at_all),
                T(record_is_saved),
                T(records_that_others_can_write),
                T(records_without_a_name),
                T(record_is_damaged_in_memory),
                T(record_of_an_earlier_boot),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
