/* What a new daemon makes of started tasks, what the end of the daemon makes of running ones, and a full disk. */
#include "fixture.h"
#include "../store/shim.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

/* A started task of another boot, as the store would have it. */
static Ulid started_with(Fixture *f, const char *name, uint64_t hash) {
        Ulid id = submit(f, name, NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
        _cleanup_task_ Task t = {};
        task_of(f, &id, &t);
        assert_int_equal(store_attempt_remove(f->store, t.seq, 1), 0);
        Attempt a = { .task_seq = t.seq, .attempt = 1, .definition_hash = hash, .started_at = t.started_at, .outcome = TASK_STARTED,
                      .exit_status = -1, .evidence = "00000000000000000000000000000001" };
        assert_int_equal(store_attempt_add(f->store, &a), 0);
        assert_int_equal(store_commit(f->store), 0);
        return id;
}

static Ulid started_elsewhere(Fixture *f, const char *name) {
        return started_with(f, name, definition_set_get(engine_definitions(f->engine), name, 1)->hash);
}

static void rebooted(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task a = {}, b = {};
        Ulid stop = started_elsewhere(f, "many"), again = started_elsewhere(f, "resubmit"), went_on = started_elsewhere(f, "continue"),
             done = started_elsewhere(f, "many");
        ExitRecord r = exited(0);
        attempt_finish(f, seen_of(f, &done), &r);       /* its record reached the disk before the power went */
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        task_of(f, &stop, &a);
        assert_int_equal(a.status, TASK_STALLED);
        assert_string_equal(a.last_error, "the host rebooted while the task ran");
        task_of(f, &again, &b);
        assert_int_equal(b.status, TASK_STARTED);
        assert_int_equal(b.attempts, 2);
        assert_int_equal(b.retry_attempt, 0);
        assert_int_equal(status_of(f, &went_on), TASK_STALLED);
        assert_int_equal(status_of(f, &done), TASK_COMPLETED);
}

static void same_boot(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        Ulid never = submit(f, "many", NULL), done = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        ExitRecord r = exited(0);
        attempt_finish(f, seen_of(f, &done), &r);
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &done), TASK_COMPLETED);
        /* Neither a supervisor nor a trace: the same attempt again, after the pause for what came to nothing. */
        clock_shift(2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        task_of(f, &never, &t);
        assert_int_equal(t.status, TASK_STARTED);
        assert_int_equal(t.attempts, 1);
        assert_int_equal(seen_of(f, &never)->request.attempt, 1);
}

/* Killed, and no record: the launcher proves its cgroup empty, then the policy decides. */
static void supervisor_lost(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        char path[128], id[ULID_STR_MAX];
        Ulid task = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        snprintf(path, sizeof path, "%s/%s.1.started", f->settings.record_dir, ulid_format(&task, id));
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        task_of(f, &task, &t);
        assert_int_equal(t.status, TASK_STALLED);
        assert_non_null(t.last_error);
}

static void cancel_survives(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        const char *s;
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(engine_cancel(f->engine, &id, &t, &s), 0);
        assert_int_equal(run(f), 0);
        ExitRecord r = exited(0);
        attempt_finish(f, seen_of(f, &id), &r);
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_CANCELLED);
}

/* A record that is no record does not count, and says so in the log only; the definition's text was lost: its policy is the default. */
static void damaged_evidence(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        char name[64], id[ULID_STR_MAX];
        Ulid garbage = started_elsewhere(f, "many"), unknown = started_with(f, "resubmit", 12345);
        _cleanup_close_ int dir = open(f->settings.record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        snprintf(name, sizeof name, "%s.1", ulid_format(&garbage, id));
        assert_int_equal(fd_write_file_at(dir, name, "nonsense", 8, 0644, false), 0);
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        task_of(f, &garbage, &t);
        assert_int_equal(t.status, TASK_STALLED);
        assert_string_equal(t.last_error, "the host rebooted while the task ran");
        assert_int_equal(status_of(f, &unknown), TASK_STALLED);
}

/* A started task whose attempt the store does not know: it is looked for all the same. One that left a record ends by it, one that left
 * only its mark is proven dead first. */
static void attempt_without_a_row(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {}, lost = {};
        char path[128], id[ULID_STR_MAX];
        Ulid ids[2] = { submit(f, "many", NULL), submit(f, "many", NULL) };
        assert_int_equal(run(f), 0);
        for (size_t i = 0; i < 2; i++) {
                _cleanup_task_ Task started = {};
                task_of(f, &ids[i], &started);
                assert_int_equal(store_attempt_remove(f->store, started.seq, 1), 0);
        }
        assert_int_equal(store_commit(f->store), 0);
        ExitRecord r = exited(0);
        attempt_finish(f, seen_of(f, &ids[0]), &r);
        snprintf(path, sizeof path, "%s/%s.1.started", f->settings.record_dir, ulid_format(&ids[1], id));
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        task_of(f, &ids[0], &t);
        assert_int_equal(t.status, TASK_COMPLETED);
        task_of(f, &ids[1], &lost);
        assert_int_equal(lost.status, TASK_STALLED);
        assert_string_equal(lost.last_error, "its supervisor was killed and left no exit record");
}

/* The same where the record is there and cannot be read; the outcome mends it. */
static int see_end(void *userdata, const Attempt *a) {
        *(EndReason *) userdata = a->end_reason;
        return 0;
}

static void damaged_attempt(void **state) {
        Fixture *f = *state;
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        ExitRecord r = exited(0);
        attempt_finish(f, seen_of(f, &id), &r);
        damage(f, "UPDATE attempts SET end_reason = 99");
        assert_int_equal(run(f), 0);
        _cleanup_task_ Task t = {};
        task_of(f, &id, &t);
        assert_int_equal(t.status, TASK_COMPLETED);
        EndReason end = END_NONE;
        assert_int_equal(store_attempt_list(f->store, t.seq, see_end, &end), 0);
        assert_int_equal(end, END_EXIT);
}

/* ── shutdown ── */

static void is_down(void *userdata) {
        ((Fixture *) userdata)->down = true;
}

static bool channel_has(Fixture *f, const Ulid *id, const char *wanted) {
        char text[512] = "";
        size_t at = 0;
        for (ssize_t n; at < sizeof text - 1 && (n = recv(seen_of(f, id)->channel, text + at, sizeof text - 1 - at, MSG_DONTWAIT)) > 0;)
                at += (size_t) n;
        return strstr(text, wanted) != NULL;
}

static void shutdown_policies(void **state) {
        Fixture *f = *state;
        Ulid stop = submit(f, "many", NULL), again = submit(f, "resubmit", NULL), on = submit(f, "continue", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 3);
        engine_shutdown(f->engine, is_down, f);
        Ulid late = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_false(f->down);
        assert_true(channel_has(f, &stop, "STOP=shutdown"));
        assert_true(channel_has(f, &again, "STOP=shutdown"));
        assert_false(channel_has(f, &on, "STOP="));
        ExitRecord r = exited(-1);
        r.end_reason = END_SHUTDOWN;
        r.term_signal = 15;
        attempt_finish(f, seen_of(f, &stop), &r);
        attempt_finish(f, seen_of(f, &again), &r);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &stop), TASK_STALLED);
        assert_int_equal(status_of(f, &again), TASK_SUBMITTED);
        assert_int_equal(status_of(f, &late), TASK_SUBMITTED);
        assert_false(f->down);
        /* As a subprocess `continue` is waited for, and then treated as `stop`. */
        clock_shift(91 * USEC_PER_SEC, 91 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_true(channel_has(f, &on, "STOP=shutdown"));
        attempt_finish(f, seen_of(f, &on), &r);
        assert_int_equal(run(f), 0);
        assert_true(f->down);
        assert_int_equal(status_of(f, &on), TASK_STALLED);
}

static void shutdown_hurry(void **state) {
        Fixture *f = *state;
        Ulid on = submit(f, "continue", NULL);
        assert_int_equal(run(f), 0);
        engine_shutdown(f->engine, is_down, f);
        assert_int_equal(run(f), 0);
        assert_false(channel_has(f, &on, "STOP="));
        engine_shutdown(f->engine, is_down, f);
        assert_int_equal(run(f), 0);
        assert_true(channel_has(f, &on, "STOP=shutdown"));
        /* One that does not die is given up in the end. */
        clock_shift(60 * USEC_PER_SEC, 60 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_true(f->down);
}

static void shutdown_idle(void **state) {
        Fixture *f = *state;
        engine_shutdown(f->engine, is_down, f);
        assert_int_equal(run(f), 0);
        assert_true(f->down);
}

/* ── a commit of unknown outcome ── */

static void result_of(EngineWait *w, int result);
typedef struct Result {
        EngineWait wait;
        int result;
        bool told;
} Result;
static void result_of(EngineWait *w, int result) {
        Result *r = CONTAINER_OF(w, Result, wait);
        r->result = result;
        r->told = true;
}

/* Its sync failed: the daemon has to end, nothing of the turn left it, and the next one rereads. */
static void unknown_commit(void **state) {
        Fixture *f = *state;
        Result w = { .wait.fn = result_of };
        Ulid id;

        link_init(&w.wait.link);
        engine_stop(f);
        shim_install();
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        shim.fault = FAULT_SYNC_EIO;
        shim.countdown = 1;
        shim.for_ever = true;
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1 }, &id), 0);
        engine_on_commit(f->engine, &w.wait);
        assert_int_equal(run(f), -EIO);
        assert_true(shim.hits > 0);
        assert_true(w.told);
        assert_int_equal(w.result, -EIO);
        /* A supervisor may have come up meanwhile, but its gate was not opened and never will be. */
        char c;
        (void) launcher_read(f);
        assert_int_equal(f->n_seen, 1);
        _cleanup_close_ int gate = dup(f->seen[0].channel);
        assert_int_equal(recv(gate, &c, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        engine_stop(f);
        shim_remove();
        assert_int_equal(recv(gate, &c, 1, MSG_DONTWAIT), 0);

        engine_start(f, true);
        assert_int_equal(run(f), 0);
        clock_shift(2 * (int64_t) USEC_PER_SEC, 2 * (int64_t) USEC_PER_SEC);    /* a start that came to nothing is not tried again at once */
        assert_int_equal(run(f), 0);
        _cleanup_task_ Task t = {};
        int r = store_task_get(f->store, &id, false, &t);
        assert_true(r == 0 || r == -ENOENT);
        assert_int_equal(f->n_seen, r == 0 ? 1 : 0);
        if (r == 0)
                assert_int_equal(t.status, TASK_STARTED);
}

/* Where something runs already, a start does not even leave the daemon before its commit. */
static void unknown_commit_of_a_busy_daemon(void **state) {
        Fixture *f = *state;
        Ulid running, id;

        engine_stop(f);
        shim_install();
        engine_start(f, true);
        running = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &running), TASK_STARTED);
        assert_int_equal(f->n_seen, 1);
        shim.fault = FAULT_SYNC_EIO;
        shim.countdown = 1;
        shim.for_ever = true;
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1 }, &id), 0);
        assert_int_equal(run(f), -EIO);
        (void) launcher_read(f);
        assert_int_equal(f->n_seen, 1);
        engine_stop(f);
        shim_remove();
        engine_start(f, true);
        assert_int_equal(run(f), 0);
}

/* ── a full disk ── */

static void fill(Fixture *f) {
        static char block[4096];
        _cleanup_free_ char *path = str_new("%s/filler", f->dir);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        while (write(fd, block, sizeof block) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

/* Full but for so many bytes. */
static void leave(Fixture *f, off_t bytes) {
        _cleanup_free_ char *path = str_new("%s/filler", f->dir);
        struct stat st;
        fill(f);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size > bytes);
        assert_int_equal(truncate(path, st.st_size - bytes), 0);
}

static void full_disk(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        char dir[] = "/tmp/jobbers-dispatch-XXXXXX";

        log_set_level(LOG_CRIT);
        clock_shift(0, 0);
        assert_non_null(mkdtemp(dir));
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, "") < 0 ||
            mount("tmpfs", dir, "tmpfs", 0, "size=4m") < 0) {
                (void) rmdir(dir);
                free(f);
                if (getenv("STRICT"))
                        fail_msg("a small file system cannot be mounted here");
                skip();
        }
        fixture_base(f, dir);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        Ulid running = submit(f, "many", NULL);
        engine_drain(f->engine, false);
        assert_int_equal(run(f), 0);
        ExitRecord r = exited(0);

        /* Submissions until the disk is full. What was answered is there, the others are not. */
        f->settings.max_parameters = 1 << 20;
        engine_drain(f->engine, true);
        unsigned good = 0, refused = 0;
        Ulid last = {};
        char *text = calloc(1, 50000);
        memset(text, 'x', 49999);
        json_t *p = json_pack("{s:s}", "text", text);
        free(text);
        for (unsigned i = 0; i < 200 && refused < 3; i++) {
                Result w = { .wait.fn = result_of };
                Ulid id;
                link_init(&w.wait.link);
                int e = submit_full(f, &(Submission) { .name = "many", .version = 1, .parameters = p }, &id);
                if (e == 0) {
                        engine_on_commit(f->engine, &w.wait);
                        assert_int_equal(run(f), 0);
                        assert_true(w.told);
                        e = w.result;
                }
                _cleanup_task_ Task t = {};
                if (e == 0) {
                        good++;
                        last = id;
                        assert_int_equal(store_task_get(f->store, &id, false, &t), 0);
                } else {
                        assert_int_equal(e, -ENOSPC);
                        refused++;
                        clock_shift((int64_t) i * 2 * USEC_PER_SEC, (int64_t) i * 2 * USEC_PER_SEC);
                }
        }
        json_decref(p);
        assert_true(good > 5);
        assert_int_equal(refused, 3);

        /* What is decided beside a refused submission is written all the same: there is some space left, though not for new tasks. */
        QueueConfig beside;
        Ulid none;
        clock_shift(1000 * USEC_PER_SEC, 1000 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        leave(f, 512 * 1024);
        queue_config_init(&beside, "kept");
        assert_int_equal(engine_queue_put(f->engine, &beside, NULL), 0);
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1 }, &none), -ENOSPC);
        assert_int_equal(f->engine->spoiled, 0);
        assert_int_equal(run(f), 0);
        assert_false(f->engine->full);
        assert_non_null(engine_queue_get(f->engine, "kept"));
        _cleanup_free_ char *filler = str_new("%s/filler", f->dir);
        assert_int_equal(unlink(filler), 0);

        /* The outcome of what ran is recorded all the same, or kept until it can be. */
        attempt_finish(f, seen_of(f, &running), &r);
        fill(f);
        assert_int_equal(run(f), 0);
        assert_int_equal(unlink(filler), 0);
        for (unsigned i = 0; i < 5; i++) {
                clock_shift(2000 * (int64_t) USEC_PER_SEC + i * 2 * (int64_t) USEC_PER_SEC,
                            2000 * (int64_t) USEC_PER_SEC + i * 2 * (int64_t) USEC_PER_SEC);
                assert_int_equal(run(f), 0);
        }
        assert_int_equal(status_of(f, &running), TASK_COMPLETED);
        assert_int_equal(status_of(f, &last), TASK_SUBMITTED);
        QueueStatus q;
        engine_queue_at(f->engine, 0, &q);
        assert_int_equal(q.waiting, good);
        assert_int_equal(q.running, 0);
        /* What was rolled back and decided again counts once. */
        const CounterSeries *c = counters_get((EngineCounters *) engine_counters(f->engine), "default", "many", 1);
        assert_non_null(c);
        assert_int_equal(c->submitted, good + 1);
        assert_int_equal(c->processed[TASK_COMPLETED], 1);
        assert_int_equal(c->latency.count, 1);
        engine_drain(f->engine, false);
        assert_int_equal(run(f), 0);
        assert_int_equal(engine_running(f->engine), 4);
        fixture_done(f);
        (void) umount2(dir, MNT_DETACH);
        (void) rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(rebooted), TEST(same_boot), TEST(supervisor_lost), TEST(damaged_evidence), TEST(attempt_without_a_row), TEST(damaged_attempt), TEST(cancel_survives), TEST(shutdown_policies), TEST(shutdown_hurry),
                TEST(shutdown_idle), TEST(unknown_commit), TEST(unknown_commit_of_a_busy_daemon), cmocka_unit_test(full_disk),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
