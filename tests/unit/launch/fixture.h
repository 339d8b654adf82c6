/* fixture.h: a Launch in a loop of its own, with the launcher's end of the connection in the test's hand. Time is bounded, never slept
 * away: every wait is for an event and fails after five seconds. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "launch/launch-private.h"

#define WAIT_MAX (5 * USEC_PER_SEC)

typedef struct Fixture {
        char dir[64];
        char *record_dir, *saved_dir, *attempt_dir, *launcher_socket;
        char evidence[EVIDENCE_MAX];
        Settings settings;
        sd_event *event;
        Launch *launch;
        int peer;                       /* the launcher's end */
        Ulid id;
        bool in_verb;                   /* callbacks are forbidden now */
        /* what was told */
        unsigned n_ended, n_ready, n_reloaded, n_dead, n_adopted, n_notes, n_stopping;
        LaunchEnd end;
        int error;
        char sentence[256];
        ExitRecord record;
        usec_t beat;
        int progress;
        char status[256];
        StopReason stopping;
} Fixture;

static inline void seen_note(void *userdata, void *data, usec_t beat, const char *status, int progress) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        f->n_notes++;
        f->beat = beat;
        f->progress = progress;
        snprintf(f->status, sizeof f->status, "%s", status ? status : "");
}
static inline void seen_stopping(void *userdata, void *data, StopReason reason) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        f->n_stopping++;
        f->stopping = reason;
}
static inline void seen_ended(void *userdata, void *data, LaunchEnd end, int error, const char *sentence, ExitRecord *record) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        assert_ptr_equal(data, f);
        f->n_ended++;
        f->end = end;
        f->error = error;
        snprintf(f->sentence, sizeof f->sentence, "%s", sentence ? sentence : "");
        assert_true((record != NULL) == (end == LAUNCH_END_RECORD));
        if (record) {
                exit_record_done(&f->record);
                f->record = *record;
                *record = (ExitRecord) {};
        }
}
static inline void seen_adopted(void *userdata, void *data) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        assert_ptr_equal(data, f);
        f->n_adopted++;
}
static inline void seen_ready(void *userdata) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        f->n_ready++;
}
static inline void seen_reloaded(void *userdata) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        f->n_reloaded++;
}
static inline void seen_dead(void *userdata) {
        Fixture *f = userdata;
        assert_false(f->in_verb);
        f->n_dead++;
}
static const LaunchCallbacks seen_callbacks = { .on_adopted = seen_adopted, .on_note = seen_note, .on_stopping = seen_stopping, .on_ended = seen_ended,
                                               .on_ready = seen_ready, .on_reloaded = seen_reloaded, .on_launcher_dead = seen_dead };

/* Runs the loop until `condition` holds. */
#define UNTIL(f, condition) do {                                                        \
                usec_t _deadline = clock_boot() + WAIT_MAX;                             \
                while (!(condition)) {                                                  \
                        assert_true(clock_boot() < _deadline);                          \
                        assert_true(sd_event_run((f)->event, USEC_PER_SEC) >= 0);       \
                }                                                                       \
        } while (0)
/* Runs what is ready now, to show that something does not happen by it. */
static inline void settle(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

static inline void write_birth(Fixture *f, const char *birth) {
        _cleanup_close_ int dir = open(f->record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_write_file_at(dir, RECORDS_BIRTH, birth, strlen(birth), 0640, false), 0);
}

static inline void fixture_dirs(Fixture *f) {
        strcpy(f->dir, "/tmp/jobbers-launch-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_int_equal(chmod(f->dir, 0777), 0);
        f->settings = (Settings) {
                .user_mode = true,
                .max_result = 1024 * 1024,
                .record_dir = f->record_dir = str_new("%s/records", f->dir),
                .saved_dir = f->saved_dir = str_new("%s/saved", f->dir),
                .attempt_dir = f->attempt_dir = str_new("%s/attempts", f->dir),
                .launcher_socket = f->launcher_socket = str_new("%s/launcher.sock", f->dir),
        };
        assert_int_equal(mkdir(f->record_dir, 0755), 0);
        assert_int_equal(mkdir(f->saved_dir, 0755), 0);
        write_birth(f, "0123456789abcdef");
        snprintf(f->evidence, sizeof f->evidence, "%s.0123456789abcdef", clock_boot_id());
        assert_int_equal(mkdir(f->attempt_dir, 0777), 0);
        assert_true(ulid_new(&f->id) >= 0);
        assert_true(sd_event_new(&f->event) >= 0);
        f->peer = -1;
}

static inline int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        int pair[2];
        fixture_dirs(f);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(launch_new_connected(&f->launch, &f->settings, pair[0]), 0);
        f->peer = pair[1];
        assert_int_equal(launch_attach(f->launch, f->event, &seen_callbacks, f), 0);
        *state = f;
        return 0;
}

static inline int fixture_teardown(void **state) {
        Fixture *f = *state;
        launch_free(f->launch);
        fd_close(f->peer);
        sd_event_unref(f->event);
        exit_record_done(&f->record);
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void) fd_remove_tree_at(tmp, f->dir + strlen("/tmp/"));
        free(f->record_dir);
        free(f->saved_dir);
        free(f->attempt_dir);
        free(f->launcher_socket);
        free(f);
        return 0;
}

/* ── the launcher's side ── */

static inline void peer_reply(Fixture *f, uint32_t verb, uint32_t cookie, int result, const char *text) {
        LauncherReply r = { .verb = verb, .cookie = cookie, .result = result };
        snprintf(r.text, sizeof r.text, "%s", text);
        assert_int_equal(send(f->peer, &r, sizeof r, MSG_NOSIGNAL), sizeof r);
}

static inline void peer_say_hello(Fixture *f, uint32_t flags) {
        LauncherReply r = { .verb = LAUNCHER_HELLO, .version = WIRE_VERSION, .flags = flags, .pid = getpid() };
        assert_int_equal(send(f->peer, &r, sizeof r, MSG_NOSIGNAL), sizeof r);
}

static inline void peer_hello(Fixture *f, uint32_t flags) {
        unsigned before = f->n_ready;
        peer_say_hello(f, flags);
        UNTIL(f, f->n_ready > before);
}

/* The next request, -EAGAIN when there is none. */
static inline int peer_receive(Fixture *f, LauncherRequest *ret, int *ret_parameters, int *ret_channel) {
        int fds[FD_PASS_MAX];
        size_t n_fds;
        ssize_t n = fd_recv(f->peer, ret, sizeof *ret, fds, &n_fds, MSG_DONTWAIT);
        if (n < 0)
                return (int) n;
        assert_int_equal(n, sizeof *ret);
        assert_int_equal(n_fds, ret->verb == LAUNCHER_START ? 2 : 0);
        if (n_fds == 2) {
                *ret_parameters = fds[0];
                *ret_channel = fds[1];
        }
        return 0;
}

static inline void channel_expect(int channel, const char *expected) {
        char text[256] = "";
        ssize_t n = recv(channel, text, sizeof text - 1, MSG_DONTWAIT);
        assert_true(n >= 0);
        text[n] = '\0';
        assert_string_equal(text, expected);
}
static inline void channel_expect_nothing(int channel) {
        char c;
        assert_int_equal(recv(channel, &c, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
}
static inline void channel_say(int channel, const char *text) {
        assert_int_equal(send(channel, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline LaunchAttempt *start_in(Fixture *f, LauncherKind launcher) {
        static char *argv[] = { (char *) "/bin/true", NULL };
        Definition d = { .name = (char *) "say_hello", .version = 7, .hash = 0x1234567890abcdef, .argv = argv, .launcher = launcher };
        LaunchAttempt *a = NULL;
        f->in_verb = true;
        assert_int_equal(launch_start(f->launch, &(LaunchStart) { .task_id = &f->id, .attempt = 1, .retry_attempt = 0, .queue = "mail",
                                                                  .definition = &d, .parameters = "{\"who\": \"world\"}" }, f, &a), 0);
        assert_non_null(a);
        launch_go(a);
        f->in_verb = false;
        return a;
}
static inline LaunchAttempt *start(Fixture *f) {
        return start_in(f, LAUNCHER_AUTO);
}
static inline void stop(Fixture *f, LaunchAttempt *a, StopReason reason) {
        f->in_verb = true;
        assert_int_equal(launch_stop(a, reason), 0);
        f->in_verb = false;
}

/* ── what is on disk ── */

static inline void write_started(Fixture *f) {
        char name[ATTEMPT_NAME_MAX];
        _cleanup_free_ char *path = str_new("%s/%s", f->record_dir, attempt_file_name(&f->id, 1, ".started", name));
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
}
static inline void write_record_text_in(Fixture *f, const char *path, const char *text, size_t len) {
        char name[ATTEMPT_NAME_MAX];
        _cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(dir >= 0);
        assert_int_equal(fd_write_file_at(dir, attempt_file_name(&f->id, 1, "", name), text, len, 0644, false), 0);
}
static inline void write_record_text(Fixture *f, const char *text, size_t len) {
        write_record_text_in(f, f->record_dir, text, len);
}
static inline void write_record_in(Fixture *f, const char *path, int exit_status) {
        _cleanup_str_ Str s = {};
        ExitRecord r = { .task_id = f->id, .attempt = 1, .started_at = clock_wall(), .ended_at = clock_wall(), .end_reason = END_EXIT,
                         .exit_status = exit_status, .progress = -1, .cpu_usec = -1, .memory_peak = -1, .io_read = -1, .io_write = -1,
                         .oom_kills = -1, .pids_peak = -1, .result = (char *) "{\"n\": 1}", .result_len = 8 };
        snprintf(r.boot_id, sizeof r.boot_id, "%s", clock_boot_id());
        assert_int_equal(exit_record_encode(&r, &s), 0);
        write_record_text_in(f, path, s.s, s.len);
}
static inline void write_record(Fixture *f, int exit_status) {
        write_record_in(f, f->record_dir, exit_status);
}
