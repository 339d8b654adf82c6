/* Supervisors that wait for another attempt: the start goes down their channel, and what that may run into. */
#include "fixture.h"

/* A first attempt, whose supervisor the test plays from now on. */
static int supervisor_new(Fixture *f) {
        LauncherRequest q;
        int parameters = -1, channel = -1;
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        channel_expect(channel, "GO=1\n");
        fd_close(parameters);
        return channel;
}

static void record_text(Fixture *f, int exit_status, Str *ret) {
        ExitRecord r = { .task_id = f->id, .attempt = 1, .started_at = clock_wall(), .ended_at = clock_wall(), .end_reason = END_EXIT,
                         .exit_status = exit_status, .progress = -1, .cpu_usec = -1, .memory_peak = -1, .io_read = -1, .io_write = -1,
                         .oom_kills = -1, .pids_peak = -1 };
        assert_true(str_append(ret, CHANNEL_END) >= 0);
        snprintf(r.boot_id, sizeof r.boot_id, "%s", clock_boot_id());
        assert_int_equal(exit_record_encode(&r, ret), 0);
}

static void say_end(Fixture *f, int channel, int exit_status) {
        _cleanup_str_ Str text = {};
        unsigned before = f->n_ended;
        record_text(f, exit_status, &text);
        channel_say(channel, text.s);
        UNTIL(f, f->n_ended == before + 1);
}

/* One that waits for another attempt, whose id will be f->id. */
static int supervisor_idle(Fixture *f) {
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        say_end(f, channel, 0);
        assert_true(ulid_new(&f->id) >= 0);
        return channel;
}

/* The next start, as its supervisor reads it. */
static void order_expect(Fixture *f, int channel) {
        LauncherRequest q;
        int fds[FD_PASS_MAX];
        size_t n_fds = 0;
        char text[64] = "";
        assert_int_equal(fd_recv(channel, &q, sizeof q, fds, &n_fds, MSG_DONTWAIT), sizeof q);
        assert_int_equal(n_fds, 1);
        assert_int_equal(q.verb, LAUNCHER_START);
        assert_memory_equal(&q.task_id, &f->id, sizeof f->id);
        assert_string_equal(q.name, "say_hello");
        assert_string_equal(q.queue, "mail");
        assert_true(q.definition_hash == 0x1234567890abcdef);
        assert_int_equal(pread(fds[0], text, sizeof text, 0), 16);
        assert_string_equal(text, "{\"who\": \"world\"}");
        fd_close(fds[0]);
}

/* The launcher is asked, and nobody else. */
static void launcher_expect(Fixture *f) {
        LauncherRequest q;
        int parameters = -1, channel = -1;
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        assert_int_equal(q.verb, LAUNCHER_START);
        fd_close(parameters);
        fd_close(channel);
}
static void forget_expect(Fixture *f, const Ulid *id) {
        LauncherRequest q;
        int parameters = -1, channel = -1;
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        assert_int_equal(q.verb, LAUNCHER_FORGET);
        assert_memory_equal(&q.task_id, id, sizeof *id);
}
static void launcher_expect_nothing(Fixture *f) {
        LauncherRequest q;
        int parameters = -1, channel = -1;
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), -EAGAIN);
}

static void next_start_goes_down_the_channel(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        for (int i = 3; i < 6; i++) {
                say_end(f, channel, i);
                assert_int_equal(f->end, LAUNCH_END_RECORD);
                assert_int_equal(f->record.exit_status, i);
                assert_true(ulid_new(&f->id) >= 0);
                start(f);
                order_expect(f, channel);
                channel_expect(channel, "GO=1\n");
        }
        launcher_expect_nothing(f);
        /* What it says belongs to the new attempt. */
        channel_say(channel, "BEAT=7\n");
        UNTIL(f, f->n_notes == 1);
        assert_int_equal(f->beat, 7);
        fd_close(channel);
}

/* A long one is only on disk; one that is damaged on its way, or is another's, is read there as well. */
static void record_on_disk(void **state) {
        Fixture *f = *state;
        const char *ends[] = { CHANNEL_END, CHANNEL_END "JOBBERS_EXIT_RECORD=1\nEXIT" };
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
                write_record(f, 40 + (int) i);
                channel_say(channel, ends[i]);
                UNTIL(f, f->n_ended == i + 1);
                assert_int_equal(f->end, LAUNCH_END_RECORD);
                assert_int_equal(f->record.exit_status, 40 + i);
                assert_true(ulid_new(&f->id) >= 0);
                start(f);
                order_expect(f, channel);
                channel_expect(channel, "GO=1\n");
        }
        Ulid mine = f->id;
        assert_true(ulid_new(&f->id) >= 0);
        _cleanup_str_ Str text = {};
        record_text(f, 9, &text);
        f->id = mine;
        write_record(f, 50);
        channel_say(channel, text.s);
        UNTIL(f, f->n_ended == 3);
        assert_int_equal(f->record.exit_status, 50);
        fd_close(channel);
}

/* Nobody knows how the nth ended: the launcher is asked for the proof that nothing is left of it. */
static void lost_expect(Fixture *f, unsigned n) {
        LauncherRequest k;
        int parameters = -1, channel = -1;
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == n);
        assert_int_equal(f->end, LAUNCH_END_LOST);
}

/* No record anywhere: what the supervisor says is not enough. */
static void end_without_a_record_is_lost(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        write_started(f);
        channel_say(channel, CHANNEL_END);
        lost_expect(f, 1);
        fd_close(channel);
}

/* Not a word but its end, and the record is gone: it ran, and is not started again by the launcher. */
static void end_of_one_that_took_an_order(void **state) {
        Fixture *f = *state;
        int channel = supervisor_idle(f);
        start(f);
        order_expect(f, channel);
        channel_expect(channel, "GO=1\n");
        channel_say(channel, CHANNEL_END);
        lost_expect(f, 2);
        fd_close(channel);
}

/* Before the gate nothing can have ended. */
static void end_before_the_gate_is_none(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;
        _cleanup_str_ Str text = {};
        peer_hello(f, LAUNCHER_HOLDS_SCOPE);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        record_text(f, 0, &text);
        channel_say(channel, text.s);
        settle(f);
        assert_int_equal(f->n_ended, 0);
        fd_close(parameters);
        fd_close(channel);
}

static void one_that_left_is_not_asked(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        say_end(f, channel, 0);
        fd_close(channel);
        start(f);               /* before the loop could see it */
        launcher_expect(f);
}

/* It left without taking the order, or was killed: the launcher has the last word, after it removed what may be left of that. */
static void one_that_leaves_with_an_order(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, own = -1;
        int channel = supervisor_idle(f);
        start(f);
        order_expect(f, channel);
        fd_close(channel);
        UNTIL(f, peer_receive(f, &q, &parameters, &own) == 0);
        assert_int_equal(q.verb, LAUNCHER_FORGET);
        assert_memory_equal(&q.task_id, &f->id, sizeof f->id);
        assert_int_equal(peer_receive(f, &q, &parameters, &own), 0);
        assert_int_equal(q.verb, LAUNCHER_START);
        assert_memory_equal(&q.task_id, &f->id, sizeof f->id);
        channel_expect(own, "GO=1\n");
        peer_reply(f, LAUNCHER_START, q.cookie, -EPERM, "its executable is somebody else's");
        settle(f);
        fd_close(parameters);
        fd_close(own);
        UNTIL(f, f->n_ended == 2);
        assert_int_equal(f->end, LAUNCH_END_REFUSED);
        assert_int_equal(f->error, -EPERM);
        assert_string_equal(f->sentence, "its executable is somebody else's");
}

/* Who spoke has taken it. */
static void one_that_spoke_is_not_asked_for_again(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, own = -1;
        int channel = supervisor_idle(f);
        start(f);
        channel_say(channel, "BEAT=7\n");
        fd_close(channel);
        UNTIL(f, peer_receive(f, &q, &parameters, &own) == 0);
        assert_int_equal(q.verb, LAUNCHER_KILL);
}

/* Nor is one that was to be stopped meanwhile. */
static void one_that_leaves_after_a_stop(void **state) {
        Fixture *f = *state;
        int channel = supervisor_idle(f);
        stop(f, start(f), STOP_CANCELLED);
        fd_close(channel);
        UNTIL(f, f->n_ended == 2);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
        launcher_expect_nothing(f);
}

/* Through the launcher the two would keep their order. */
static void an_attempt_that_is_being_forgotten(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, own = -1;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int first = supervisor_new(f), second = supervisor_new(f);
        say_end(f, first, 0);
        say_end(f, second, 0);
        assert_int_equal(launch_forget(f->launch, &f->id, 1, true), 0);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &own), 0);
        assert_int_equal(q.verb, LAUNCHER_FORGET);
        launcher_expect(f);
        peer_reply(f, LAUNCHER_FORGET, q.cookie, 0, "");
        UNTIL(f, !launch_forget_is_under_way(f->launch, &f->id, 1));
        start(f);
        order_expect(f, second);
        launcher_expect_nothing(f);
        fd_close(first);
        fd_close(second);
}

/* The record of the attempt before is committed when the next one gets GO: it is the supervisor's. */
static void record_is_used_up(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        say_end(f, channel, 0);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(launch_forget(f->launch, &f->id, 1, false), 0);
                launcher_expect_nothing(f);
                assert_true(ulid_new(&f->id) >= 0);
                start(f);
                launch_forget_the_rest(f->launch);
                order_expect(f, channel);
                channel_expect(channel, "TAKEN=1\nGO=1\n");
                say_end(f, channel, 0);
        }
        launcher_expect_nothing(f);
        /* No start came. */
        Ulid last = f->id;
        assert_int_equal(launch_forget(f->launch, &last, 1, false), 0);
        launch_forget_the_rest(f->launch);
        forget_expect(f, &last);
        launch_forget_the_rest(f->launch);
        launcher_expect_nothing(f);
        /* Nor was it taken when the next start came: not a word of it. */
        assert_true(ulid_new(&f->id) >= 0);
        start(f);
        order_expect(f, channel);
        channel_expect(channel, "GO=1\n");
        fd_close(channel);
}

/* Who knows whether it was used up? Not a supervisor that is gone. */
static void record_of_one_that_left(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, own = -1;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int channel = supervisor_new(f);
        say_end(f, channel, 0);
        Ulid first = f->id;
        assert_int_equal(launch_forget(f->launch, &first, 1, false), 0);
        assert_true(ulid_new(&f->id) >= 0);
        start(f);
        launch_forget_the_rest(f->launch);
        order_expect(f, channel);
        fd_close(channel);
        /* What may be left of the record before, of the start, and the start for the launcher. */
        UNTIL(f, peer_receive(f, &q, &parameters, &own) == 0);
        assert_int_equal(q.verb, LAUNCHER_FORGET);
        assert_memory_equal(&q.task_id, &first, sizeof first);
        forget_expect(f, &f->id);
        launcher_expect(f);
}

static void cancelled_before_its_gate(void **state) {
        Fixture *f = *state;
        static char *argv[] = { (char *) "/bin/true", NULL };
        Definition d = { .name = (char *) "say_hello", .version = 7, .hash = 0x1234567890abcdef, .argv = argv };
        LaunchAttempt *a = NULL;
        int channel = supervisor_idle(f);
        assert_int_equal(launch_start(f->launch, &(LaunchStart) { .task_id = &f->id, .attempt = 1, .queue = "mail", .definition = &d,
                                                                  .parameters = "{\"who\": \"world\"}" }, f, &a), 0);
        order_expect(f, channel);
        stop(f, a, STOP_CANCELLED);
        channel_expect(channel, "");
        fd_close(channel);
        UNTIL(f, f->n_ended == 2);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
}

static void channel_is_closed(int channel) {
        char c;
        assert_int_equal(recv(channel, &c, 1, MSG_DONTWAIT), 0);
}

/* They know older definitions: those who wait, and those who are at work. */
static void a_reload_lets_them_go(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, other = -1;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int idle = supervisor_new(f), busy = supervisor_new(f);
        say_end(f, idle, 0);
        assert_int_equal(launch_reload(f->launch), 0);
        channel_is_closed(idle);
        assert_int_equal(peer_receive(f, &q, &parameters, &other), 0);
        assert_int_equal(q.verb, LAUNCHER_RELOAD);
        say_end(f, busy, 0);
        channel_is_closed(busy);
        start(f);
        launcher_expect(f);
        fd_close(idle);
        fd_close(busy);
}

static void scopes_are_the_launchers(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_SCOPES);
        int channel = supervisor_new(f);
        say_end(f, channel, 0);
        start_in(f, LAUNCHER_SCOPE);
        launcher_expect(f);
        channel_expect_nothing(channel);
        fd_close(channel);
}

static void nobody_waits_when_the_launcher_is_gone(void **state) {
        Fixture *f = *state;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        int idle = supervisor_new(f), busy = supervisor_new(f);
        say_end(f, idle, 0);
        f->peer = fd_close(f->peer);
        UNTIL(f, f->n_dead == 1);
        channel_is_closed(idle);
        say_end(f, busy, 0);
        channel_is_closed(busy);
        fd_close(idle);
        fd_close(busy);
}

static void not_more_than_are_of_use(void **state) {
        Fixture *f = *state;
        enum { N = 70 };
        int channels[N];
        size_t open = 0;
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        for (size_t i = 0; i < N; i++)
                channels[i] = supervisor_new(f);
        for (size_t i = 0; i < N; i++)
                say_end(f, channels[i], 0);
        for (size_t i = 0; i < N; i++) {
                char c;
                open += recv(channels[i], &c, 1, MSG_DONTWAIT) < 0;
        }
        assert_int_equal(open, 64);
        /* And no longer: nothing was to be done for a while. */
        usec_t until = clock_boot() + 2 * WAIT_MAX + 2 * USEC_PER_SEC;
        while (f->launch->n_idle > 0) {
                assert_true(clock_boot() < until);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
        for (size_t i = 0; i < N; i++)
                fd_close(channels[i]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(next_start_goes_down_the_channel), T(record_on_disk), T(end_without_a_record_is_lost), T(end_of_one_that_took_an_order),
                T(end_before_the_gate_is_none),
                T(one_that_left_is_not_asked), T(one_that_leaves_with_an_order), T(one_that_spoke_is_not_asked_for_again),
                T(one_that_leaves_after_a_stop), T(an_attempt_that_is_being_forgotten), T(record_is_used_up), T(record_of_one_that_left),
                T(cancelled_before_its_gate), T(a_reload_lets_them_go),
                T(scopes_are_the_launchers), T(nobody_waits_when_the_launcher_is_gone), T(not_more_than_are_of_use),
        };
        log_init("test-channel");
        log_set_level(-1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
