/* fixture.h: an engine with a real store and a real launch side, whose launcher is played by the test: it sees the requests as they would
 * reach jobbers-run, and writes exit records where a supervisor would. Nothing sleeps; clocks are shifted. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/fd.h"
#include "dispatch/internal.h"

int launch_new_connected(Launch **ret, const Settings *settings, int sock);

#define ROUNDS_MAX 200
#define SEEN_MAX 256

typedef struct Seen {           /* a start that reached the launcher */
        LauncherRequest request;
        int channel;
        bool over;
} Seen;

typedef struct Fixture {
        char dir[64];
        char *tasks_dir;
        Settings settings;
        RoleSlots role;
        char *task_dirs[2];
        sd_event *event;
        Store *store;
        Launch *launch;
        Engine *engine;
        int peer;
        Seen seen[SEEN_MAX];
        size_t n_seen;
        unsigned n_forgotten;
        LauncherRequest slice;  /* the last one about the limits of a queue, and how many there were */
        unsigned n_slices;
        bool down;
        uint32_t launcher_flags;        /* more of them, for the next engine_start */
} Fixture;

static inline void define(Fixture *f, const char *file, const char *text) {
        _cleanup_free_ char *path = str_new("%s/%s.task", f->tasks_dir, file);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static inline void engine_start(Fixture *f, bool recover) {
        _cleanup_free_ char *sentence = NULL;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(launch_new_connected(&f->launch, &f->settings, pair[0]), 0);
        f->peer = pair[1];
        assert_true(sd_event_new(&f->event) >= 0);
        int r = store_open(&f->store, f->settings.database, &sentence);
        if (r < 0)
                print_error("%s\n", sentence ? sentence : "?");
        assert_int_equal(r, 0);
        assert_int_equal(engine_new(&f->engine, f->event, &f->settings, f->store, f->launch), 0);
        if (recover)
                assert_int_equal(engine_recover(f->engine), 0);
        LauncherReply hello = { .verb = LAUNCHER_HELLO, .version = WIRE_VERSION, .pid = getpid(),
                                .flags = LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_SCOPES | f->launcher_flags };
        assert_int_equal(send(f->peer, &hello, sizeof hello, MSG_NOSIGNAL), sizeof hello);
}

/* As a kill -9 would leave it, but for what is in memory. */
static inline void engine_stop(Fixture *f) {
        engine_free(f->engine);
        launch_free(f->launch);
        store_close(f->store);
        sd_event_unref(f->event);
        f->peer = fd_close(f->peer);
        for (size_t i = 0; i < f->n_seen; i++)
                if (!f->seen[i].over)
                        fd_close(f->seen[i].channel);
        f->n_seen = 0;
        f->engine = NULL;
        f->launch = NULL;
        f->store = NULL;
        f->event = NULL;
}

/* A daemon that starts with a database in which is what no verb would write. Returns how many rows the statement changed, one at least. */
static inline int damage(Fixture *f, const char *sql) {
        sqlite3 *db;
        engine_stop(f);
        assert_int_equal(sqlite3_open(f->settings.database, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        int changes = sqlite3_changes(db);
        assert_true(changes > 0);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        engine_start(f, true);
        return changes;
}

/* Takes what the daemon said to the launcher. true: there was something. */
static inline bool launcher_read(Fixture *f) {
        LauncherRequest q;
        int fds[FD_PASS_MAX];
        size_t n_fds;
        bool any = false;

        while (f->peer >= 0 && fd_recv(f->peer, &q, sizeof q, fds, &n_fds, MSG_DONTWAIT) == sizeof q) {
                any = true;
                if (q.verb == LAUNCHER_START) {
                        assert_true(f->n_seen < SEEN_MAX);
                        assert_int_equal(n_fds, 2);
                        close(fds[0]);
                        f->seen[f->n_seen++] = (Seen) { .request = q, .channel = fds[1] };
                        continue;
                }
                if (q.verb == LAUNCHER_FORGET)
                        f->n_forgotten++;
                if (q.verb == LAUNCHER_SLICE) {
                        f->slice = q;
                        f->n_slices++;
                }
                LauncherReply reply = { .verb = q.verb, .cookie = q.cookie };
                assert_int_equal(send(f->peer, &reply, sizeof reply, MSG_NOSIGNAL), sizeof reply);
        }
        return any;
}

/* Events and turns until nothing moves any more. */
static inline int run(Fixture *f) {
        for (unsigned i = 0; i < ROUNDS_MAX; i++) {
                bool any = launcher_read(f);
                for (unsigned k = 0; k < 64 && sd_event_run(f->event, 0) > 0; k++)
                        any = true;
                int r = engine_turn(f->engine);
                if (r < 0)
                        return r;
                if (!any && !store_staged(f->store) && !launcher_read(f))
                        return 0;
        }
        fail_msg("the engine does not come to rest");
        return 0;
}

static inline Seen *seen_of(Fixture *f, const Ulid *id) {
        for (size_t i = f->n_seen; i > 0; i--)
                if (ulid_cmp(&f->seen[i - 1].request.task_id, id) == 0)
                        return &f->seen[i - 1];
        return NULL;
}

/* The supervisor's end: its record, then the end of the stream. */
static inline void attempt_finish(Fixture *f, Seen *s, const ExitRecord *how) {
        _cleanup_str_ Str text = {};
        char name[64], id[ULID_STR_MAX];
        ExitRecord r = *how;
        _cleanup_close_ int dir = open(f->settings.record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(dir >= 0);
        r.task_id = s->request.task_id;
        r.attempt = s->request.attempt;
        snprintf(r.boot_id, sizeof r.boot_id, "%s", clock_boot_id());
        r.started_at = r.started_at ? r.started_at : clock_wall();
        r.ended_at = r.ended_at ? r.ended_at : clock_wall();
        assert_int_equal(exit_record_encode(&r, &text), 0);
        snprintf(name, sizeof name, "%s.%u", ulid_format(&r.task_id, id), r.attempt);
        assert_int_equal(fd_write_file_at(dir, name, text.s, text.len, 0644, false), 0);
        s->channel = fd_close(s->channel);
        s->over = true;
}

static inline ExitRecord exited(int status) {
        return (ExitRecord) { .end_reason = END_EXIT, .exit_status = status, .progress = -1, .cpu_usec = -1, .memory_peak = -1,
                              .io_read = -1, .io_write = -1, .oom_kills = -1, .pids_peak = -1 };
}

static inline void finish(Fixture *f, const Ulid *id, int status) {
        ExitRecord r = exited(status);
        Seen *s = seen_of(f, id);
        assert_non_null(s);
        assert_false(s->over);
        attempt_finish(f, s, &r);
        assert_int_equal(run(f), 0);
}

static inline int submit_full(Fixture *f, const Submission *s, Ulid *ret_id) {
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;
        int r = engine_submit(f->engine, s, &t, &sentence);
        if (r >= 0 && ret_id)
                *ret_id = t.id;
        return r;
}

static inline Ulid submit(Fixture *f, const char *name, const char *queue) {
        Ulid id = {};
        assert_int_equal(submit_full(f, &(Submission) { .name = name, .version = 1, .queue = queue }, &id), 0);
        return id;
}

static inline TaskStatus status_of(Fixture *f, const Ulid *id) {
        _cleanup_task_ Task t = {};
        assert_int_equal(store_task_get(f->store, id, false, &t), 0);
        return t.status;
}

static inline void task_of(Fixture *f, const Ulid *id, Task *ret) {
        assert_int_equal(store_task_get(f->store, id, true, ret), 0);
}

static inline void queue_put(Fixture *f, const char *name, unsigned max_concurrent) {
        QueueConfig q;
        const char *sentence;
        queue_config_init(&q, name);
        q.max_concurrent = max_concurrent;
        assert_int_equal(engine_queue_put(f->engine, &q, &sentence), 0);
}

static inline void serve(Fixture *f, const char *a, const char *b, const char *c) {
        char *const queues[] = { (char *) "default", (char *) a, (char *) b, (char *) c, NULL };
        const char *sentence;
        assert_int_equal(engine_role_put(f->engine, "default", queues, &sentence), 0);
}

static inline void fixture_base(Fixture *f, const char *dir) {
        strcpy(f->dir, dir);
        assert_int_equal(chmod(f->dir, 0755), 0);
        f->role = (RoleSlots) { .name = (char *) "default", .slots = 0 };
        f->tasks_dir = str_new("%s/tasks", f->dir);
        f->task_dirs[0] = f->tasks_dir;
        f->settings = (Settings) {
                .user_mode = true,
                .state_dir = f->dir,
                .task_dirs = f->task_dirs,
                .libexec_dir = (char *) "/bin",
                .default_user = (char *) "root",
                .roles = &f->role,
                .n_roles = 1,
                .slots = 4,
                .max_parameters = 1024,
                .max_result = 1024,
                .shutdown_timeout = 90 * USEC_PER_SEC,
                .record_dir = str_new("%s/records", f->dir),
                .saved_dir = str_new("%s/saved", f->dir),
                .attempt_dir = str_new("%s/attempts", f->dir),
                .log_dir = str_new("%s/logs", f->dir),
                .database = str_new("%s/jobbers.db", f->dir),
                .launcher_socket = str_new("%s/launcher.sock", f->dir),
        };
        assert_int_equal(mkdir(f->tasks_dir, 0755), 0);
        assert_int_equal(mkdir(f->settings.record_dir, 0755), 0);
        assert_int_equal(mkdir(f->settings.saved_dir, 0755), 0);
        _cleanup_close_ int records = open(f->settings.record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_write_file_at(records, RECORDS_BIRTH, "0123456789abcdef", RECORDS_BIRTH_LEN, 0640, false), 0);
        assert_int_equal(mkdir(f->settings.attempt_dir, 0755), 0);
        assert_int_equal(mkdir(f->settings.log_dir, 0755), 0);
        define(f, "one", "[Task]\nName=one\nVersion=1\nExecStart=/bin/true\nMaxConcurrent=1\n");
        define(f, "many", "[Task]\nName=many\nVersion=1\nExecStart=/bin/true\nMaxConcurrent=infinity\n");
        define(f, "again", "[Task]\nName=again\nVersion=1\nExecStart=/bin/true\nMaxRetries=1\nDeadLetterPolicy=save\n");
        define(f, "later", "[Task]\nName=later\nVersion=1\nExecStart=/bin/true\nRetryDelaySec=60\nBackoffStrategy=constant\nMaxConcurrent=0\n");
        define(f, "resubmit", "[Task]\nName=resubmit\nVersion=1\nExecStart=/bin/true\nOnShutdown=resubmit\nMaxConcurrent=0\n");
        define(f, "continue", "[Task]\nName=continue\nVersion=1\nExecStart=/bin/true\nOnShutdown=continue\nMaxConcurrent=0\n");
        define(f, "typed", "[Task]\nName=typed\nVersion=1\nExecStart=/bin/true\n[Parameters]\nn = integer, required\n");
}

static inline int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        char dir[] = "/tmp/jobbers-dispatch-XXXXXX";

        log_init("test");
        log_set_level(LOG_CRIT);
        clock_shift(0, 0);
        assert_non_null(mkdtemp(dir));
        fixture_base(f, dir);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        *state = f;
        return 0;
}

static inline void fixture_done(Fixture *f) {
        if (f->engine)
                engine_stop(f);
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void) fd_remove_tree_at(tmp, f->dir + strlen("/tmp/"));
        free(f->tasks_dir);
        free(f->settings.record_dir);
        free(f->settings.saved_dir);
        free(f->settings.attempt_dir);
        free(f->settings.log_dir);
        free(f->settings.database);
        free(f->settings.launcher_socket);
        free(f);
        clock_shift(0, 0);
}

static inline int fixture_teardown(void **state) {
        fixture_done(*state);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
