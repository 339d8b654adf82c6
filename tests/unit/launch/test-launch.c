/* The connection to the launcher and a living attempt, against a launcher that the test plays itself. */
#include "fixture.h"

static void start_waits_for_hello(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;
        char text[64] = "";

        assert_false(launch_is_ready(f->launch));
        start(f);
        settle(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), -EAGAIN);

        peer_hello(f, LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_LIMITS);
        assert_true(launch_is_ready(f->launch));
        assert_int_equal(launch_flags(f->launch), LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_LIMITS);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        assert_int_equal(q.verb, LAUNCHER_START);
        assert_memory_equal(&q.task_id, &f->id, sizeof f->id);
        assert_int_equal(q.attempt, 1);
        assert_string_equal(q.name, "say_hello");
        assert_string_equal(q.queue, "mail");
        assert_int_equal(q.version, 7);
        assert_true(q.definition_hash == 0x1234567890abcdef);
        /* The parameters, whole, from the start, and unchangeable. */
        assert_int_equal(read(parameters, text, sizeof text), 16);
        assert_string_equal(text, "{\"who\": \"world\"}");
        assert_int_equal(pwrite(parameters, "x", 1, 0), -1);
        assert_int_equal(ftruncate(parameters, 0), -1);
        /* The gate is open already. */
        channel_expect(channel, "GO=1\n");
        fd_close(parameters);
        fd_close(channel);
}

static void scope_opens_the_gate_later(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_SCOPE);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        settle(f);
        channel_expect_nothing(channel);
        peer_reply(f, LAUNCHER_START, q.cookie, 0, "jobbers-task-X-1.scope");
        usec_t deadline = clock_boot() + WAIT_MAX;
        char c;
        while (recv(channel, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0) {
                assert_true(clock_boot() < deadline);
                assert_true(sd_event_run(f->event, USEC_PER_SEC) >= 0);
        }
        channel_expect(channel, "GO=1\n");
        fd_close(parameters);
        fd_close(channel);
}

static void scope_cancelled_before_the_gate(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_SCOPE);
        LaunchAttempt *a = start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        stop(f, a, STOP_CANCELLED);
        peer_reply(f, LAUNCHER_START, q.cookie, 0, "");
        settle(f);
        /* The supervisor sees the end of the stream at its gate, and the answer that comes too late opens nothing. */
        channel_expect(channel, "");
        assert_int_equal(f->n_ended, 0);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
}

/* What the definition says counts more than what the launcher does with others. */
static void definition_chooses_the_gate(void **state) {
        static const struct {
                uint32_t flags;
                LauncherKind wanted;
                bool waits;
        } cases[] = {
                { LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_SCOPES, LAUNCHER_SCOPE, true },
                { LAUNCHER_HOLDS_CGROUP, LAUNCHER_SCOPE, true },        /* refused, or systemd answers by now */
                { LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_SCOPES, LAUNCHER_AUTO, false },
                { LAUNCHER_HOLDS_SCOPE | LAUNCHER_HAS_SCOPES, LAUNCHER_SUBPROCESS, false },
        };
        Fixture *f = *state;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
                LauncherRequest q;
                int parameters = -1, channel = -1;
                f->launch->flags = cases[i].flags;
                start_in(f, cases[i].wanted);
                assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
                if (cases[i].waits) {
                        channel_expect_nothing(channel);
                        peer_reply(f, LAUNCHER_START, q.cookie, 0, "jobbers-task-x-1.scope");
                        settle(f);
                }
                channel_expect(channel, "GO=1\n");
                fd_close(parameters);
                fd_close(channel);
                UNTIL(f, f->n_ended == i + 1);
        }
}

static void refused(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        peer_reply(f, LAUNCHER_START, q.cookie, -ESTALE, "no definition of say_hello has that hash");
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_REFUSED);
        assert_int_equal(f->error, -ESTALE);
        assert_string_equal(f->sentence, "no definition of say_hello has that hash");
}

/* Both are there when the loop looks, and the channel may come first: the reason must not get lost by that. */
static void refusal_is_read_before_the_end_counts(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        LaunchAttempt *a = start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        assert_true(sd_event_source_set_priority(a->channel->io, SD_EVENT_PRIORITY_IMPORTANT) >= 0);
        peer_reply(f, LAUNCHER_START, q.cookie, -EACCES, "the executable is not root's");
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_REFUSED);
        assert_int_equal(f->error, -EACCES);
}

static void end_with_record(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        write_started(f);
        write_record(f, 3);
        settle(f);
        assert_int_equal(f->n_ended, 0);        /* the record alone is not the end */
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
        assert_int_equal(f->record.exit_status, 3);
        assert_string_equal(f->record.result, "{\"n\": 1}");
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), -EAGAIN);  /* nothing had to be killed */
}

static void end_without_record_is_proven_empty(void **state) {
        Fixture *f = *state;
        LauncherRequest q, k;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        write_started(f);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        assert_memory_equal(&k.task_id, &f->id, sizeof f->id);
        assert_int_equal(k.attempt, 1);
        assert_int_equal(f->n_ended, 0);
        /* Something cannot be killed: it is asked again, and nothing is said before the proof. */
        peer_reply(f, LAUNCHER_KILL, k.cookie, -EBUSY, "process 4711 does not end");
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        assert_int_equal(f->n_ended, 0);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
        assert_true(strlen(f->sentence) > 0);
}

static void record_that_appears_meanwhile_counts(void **state) {
        Fixture *f = *state;
        LauncherRequest q, k;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        write_started(f);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        write_record(f, 0);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
}

static void damaged_record_is_lost(void **state) {
        Fixture *f = *state;
        LauncherRequest q, k;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        write_record_text(f, "JOBBERS_EXIT_RECORD=1\nEXIT", 26);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        peer_reply(f, LAUNCHER_KILL, k.cookie, 0, "");
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_LOST);
        assert_non_null(strstr(f->sentence, "record"));
}

/* A record that is whole but somebody else's is no evidence. */
static void foreign_record_is_no_evidence(void **state) {
        Fixture *f = *state;
        LauncherRequest q, k;
        int parameters = -1, channel = -1;
        Ulid mine = f->id;
        char from[ATTEMPT_NAME_MAX], to[ATTEMPT_NAME_MAX];

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        assert_true(ulid_new(&f->id) >= 0);
        write_record(f, 0);
        _cleanup_close_ int dir = open(f->record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(renameat(dir, attempt_file_name(&f->id, 1, "", from), dir, attempt_file_name(&mine, 1, "", to)), 0);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        assert_int_equal(f->n_ended, 0);
}

static void end_without_any_trace(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
}

/* Its files vanished, but it spoke: it did run, so nothing may be started over it. */
static void who_spoke_did_run(void **state) {
        Fixture *f = *state;
        LauncherRequest q, k;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        channel_say(channel, "BEAT=5\n");
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, peer_receive(f, &k, &parameters, &channel) == 0);
        assert_int_equal(k.verb, LAUNCHER_KILL);
        assert_int_equal(f->n_notes, 1);
}

static void notes(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        channel_say(channel, "BEAT=1000\nSTATUS=first\n");
        channel_say(channel, "BEAT=2000\nPROGRESS=40\nUNKNOWN=1\nno equals sign\nSTATUS=a=b, second\n");
        channel_say(channel, "PROGRESS=101\nBEAT=x\nSTOPPING=cancelled\nSTOPPING=stalled\nSTATUS=cut off");
        UNTIL(f, f->n_notes > 0);
        assert_int_equal(f->n_notes, 1);
        assert_int_equal(f->beat, 2000);
        assert_int_equal(f->progress, 40);
        assert_string_equal(f->status, "a=b, second");
        assert_int_equal(f->n_stopping, 1);
        assert_int_equal(f->stopping, STOP_STALLED);
        channel_say(channel, "BEAT=3000\n");
        UNTIL(f, f->n_notes == 2);
        assert_int_equal(f->progress, -1);
        assert_string_equal(f->status, "");
        fd_close(parameters);
        fd_close(channel);
}

/* What a supervisor says last must be heard even if it never read what we said. */
static void last_words_after_a_reset(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);        /* GO lies unread in the channel */
        channel_say(channel, "STOPPING=timeout\n");
        write_record(f, 0);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->n_stopping, 1);
        assert_int_equal(f->stopping, STOP_TIMEOUT);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
}

static void stop_reaches_the_supervisor(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        LaunchAttempt *a = start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        channel_expect(channel, "GO=1\n");
        stop(f, a, STOP_SHUTDOWN);
        channel_expect(channel, "STOP=shutdown\n");
        stop(f, a, STOP_CANCELLED);
        channel_expect(channel, "STOP=cancelled\n");
        assert_int_equal(launch_stop(a, STOP_TIMEOUT), -EINVAL);
        fd_close(parameters);
        fd_close(channel);
}

static void stop_before_it_was_sent(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        LaunchAttempt *a = start(f);
        stop(f, a, STOP_CANCELLED);
        assert_int_equal(f->n_ended, 0);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        settle(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), -EAGAIN);
}

/* More than the socket holds: nothing blocks, nothing is lost, the order stays. */
static void full_socket(void **state) {
        Fixture *f = *state;
        enum { N = 2000 };
        LauncherRequest q;
        unsigned n = 0;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        for (unsigned i = 1; i <= N; i++)
                assert_int_equal(launch_forget(f->launch, &f->id, i, false), 0);
        assert_false(list_empty(&f->launch->queue));    /* it did fill up */
        while (n < N) {
                int r = peer_receive(f, &q, NULL, NULL);
                if (r == -EAGAIN) {
                        assert_true(sd_event_run(f->event, USEC_PER_SEC) > 0);
                        continue;
                }
                assert_int_equal(r, 0);
                assert_int_equal(q.verb, LAUNCHER_FORGET);
                assert_int_equal(q.attempt, ++n);
                assert_int_equal(q.cookie, 0);          /* and no answer is awaited */
        }
        assert_true(list_empty(&f->launch->sent));
        assert_true(list_empty(&f->launch->queue));
        assert_false(f->launch->wants_out);
}

static void reload_precedes_later_starts(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        start(f);
        assert_int_equal(launch_reload(f->launch), 0);          /* before the hello: at the front */
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.verb, LAUNCHER_RELOAD);
        assert_true(launch_is_reloading(f->launch));
        peer_reply(f, q.verb, q.cookie, 0, "");
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        assert_int_equal(q.verb, LAUNCHER_START);
        UNTIL(f, f->n_reloaded == 1);
        assert_false(launch_is_reloading(f->launch));

        /* Two under way: told when both are done. */
        uint32_t first;
        assert_int_equal(launch_reload(f->launch), 0);
        assert_int_equal(launch_reload(f->launch), 0);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.verb, LAUNCHER_RELOAD);
        first = q.cookie;
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        peer_reply(f, q.verb, first, 0, "");
        settle(f);
        assert_int_equal(f->n_reloaded, 1);
        peer_reply(f, q.verb, q.cookie, 0, "");
        UNTIL(f, f->n_reloaded == 2);

        /* Nobody waits for a launcher that is gone. */
        assert_int_equal(launch_reload(f->launch), 0);
        f->peer = fd_close(f->peer);
        UNTIL(f, f->n_reloaded == 3);
        assert_false(launch_is_reloading(f->launch));
        fd_close(parameters);
        fd_close(channel);
}

static void slices_only_with_scopes(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        QueueConfig c = { .name = "mail", .memory_max = 1 << 20, .tasks_max = UINT64_MAX, .cpu_quota_percent = 150, .cpu_weight = 0 };

        assert_int_equal(launch_slice(f->launch, &c), 0);       /* before it is known */
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        assert_int_equal(launch_slice(f->launch, &c), 0);
        settle(f);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), -EAGAIN);
        f->launch->flags = LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_SCOPES;  /* of the definitions that ask for one */
        assert_int_equal(launch_slice(f->launch, &c), 0);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.verb, LAUNCHER_SLICE);
        assert_string_equal(q.queue, "mail");
        assert_true(q.memory_max == 1 << 20 && q.tasks_max == UINT64_MAX && q.cpu_quota_percent == 150 && q.cpu_weight == 0);
}

static void death_of_the_launcher(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        f->peer = fd_close(f->peer);
        UNTIL(f, f->n_dead == 1);
        settle(f);
        assert_int_equal(f->n_dead, 1);
        assert_false(launch_is_ready(f->launch));
        assert_int_equal(launch_flags(f->launch), 0);
        /* The supervisor goes on, and its end is still noticed. */
        assert_int_equal(f->n_ended, 0);
        write_record(f, 0);
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_RECORD);
}

static void other_version(void **state) {
        Fixture *f = *state;
        LauncherReply r = { .verb = LAUNCHER_HELLO, .version = WIRE_VERSION + 1, .flags = LAUNCHER_HOLDS_CGROUP };
        assert_int_equal(send(f->peer, &r, sizeof r, 0), sizeof r);
        UNTIL(f, f->n_dead == 1);
        assert_int_equal(f->n_ready, 0);
}

/* ── the packaged service ── */

static int service_setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        fixture_dirs(f);
        f->settings.user_mode = false;
        if (geteuid() == 0)
                assert_int_equal(seteuid(65534), 0);
        assert_int_equal(launch_new(&f->launch, &f->settings, 0, NULL), 0);
        *state = f;
        return 0;
}
static int service_teardown(void **state) {
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        return fixture_teardown(state);
}

/* A service may have been there before us: it is told to read the files again, before all else, and answers. */
static void peer_expect_reload(Fixture *f) {
        LauncherRequest q;
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.verb, LAUNCHER_RELOAD);
        peer_reply(f, q.verb, q.cookie, 0, "");
        settle(f);
}

static int service_listen(Fixture *f) {
        int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(sock >= 0);
        assert_int_equal(fd_bind_unix(sock, f->launcher_socket), 0);
        assert_int_equal(listen(sock, 8), 0);
        return sock;
}
static void service_accept(Fixture *f, int listener) {
        fd_close(f->peer);
        UNTIL(f, (f->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
}

static void service_comes_and_goes(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        uint32_t cookie;
        int parameters = -1, channel = -1;

        /* Not there yet: tried again. */
        assert_int_equal(launch_attach(f->launch, f->event, &seen_callbacks, f), 0);
        assert_int_equal(launch_forget(f->launch, &f->id, 1, false), 0);
        _cleanup_close_ int listener = service_listen(f);
        service_accept(f, listener);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        peer_expect_reload(f);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.verb, LAUNCHER_FORGET);
        assert_int_equal(launch_forget(f->launch, &f->id, 2, false), 0);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(launch_reload(f->launch), 0);
        assert_int_equal(launch_reload(f->launch), 0);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.verb, LAUNCHER_RELOAD);
        cookie = q.cookie;

        /* Restarted without having answered: asked again, in order, but for what the sweep after the hello does anyway; a start that was lost in its
         * socket never ran. */
        start(f);
        service_accept(f, listener);            /* closes the old connection */
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
        assert_int_equal(f->n_dead, 0);
        peer_hello(f, LAUNCHER_HOLDS_CGROUP);
        assert_int_equal(f->n_ready, 2);
        peer_expect_reload(f);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.cookie, cookie);
        assert_int_equal(peer_receive(f, &q, NULL, NULL), 0);
        assert_int_equal(q.cookie, cookie + 1);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), -EAGAIN);
}

/* In scope mode a supervisor waits at its gate for a launcher that is gone: it must be let go. */
static void service_lost_before_the_gate(void **state) {
        Fixture *f = *state;
        LauncherRequest q;
        int parameters = -1, channel = -1;

        _cleanup_close_ int listener = service_listen(f);
        assert_int_equal(launch_attach(f->launch, f->event, &seen_callbacks, f), 0);
        service_accept(f, listener);
        peer_hello(f, LAUNCHER_HOLDS_SCOPE);
        peer_expect_reload(f);
        start(f);
        assert_int_equal(peer_receive(f, &q, &parameters, &channel), 0);
        f->peer = fd_close(f->peer);
        UNTIL(f, !launch_is_ready(f->launch));
        channel_expect(channel, "");            /* end of stream */
        fd_close(parameters);
        fd_close(channel);
        UNTIL(f, f->n_ended == 1);
        assert_int_equal(f->end, LAUNCH_END_NOT_STARTED);
}

int main(void) {
        log_init("test-launch");
        log_set_level(LOG_CRIT);
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
#define S(name) cmocka_unit_test_setup_teardown(name, service_setup, service_teardown)
        const struct CMUnitTest tests[] = {
                T(start_waits_for_hello),
                T(scope_opens_the_gate_later),
                T(scope_cancelled_before_the_gate),
                T(definition_chooses_the_gate),
                T(refused),
                T(refusal_is_read_before_the_end_counts),
                T(end_with_record),
                T(end_without_record_is_proven_empty),
                T(record_that_appears_meanwhile_counts),
                T(damaged_record_is_lost),
                T(foreign_record_is_no_evidence),
                T(end_without_any_trace),
                T(who_spoke_did_run),
                T(notes),
                T(last_words_after_a_reset),
                T(stop_reaches_the_supervisor),
                T(stop_before_it_was_sent),
                T(full_socket),
                T(reload_precedes_later_starts),
                T(slices_only_with_scopes),
                T(death_of_the_launcher),
                T(other_version),
                S(service_comes_and_goes),
                S(service_lost_before_the_gate),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
