/* Verbs on tasks, and that nothing leaves the daemon before its commit. */
#include <sys/mman.h>

#include "fixture.h"

typedef struct Told {
        EngineWait wait;
        EngineWatch watch;
        Fixture *f;
        int result;
        unsigned n;
        bool staged_then;
} Told;

static void told_commit(EngineWait *w, int result) {
        Told *t = CONTAINER_OF(w, Told, wait);
        t->result = result;
        t->n++;
        t->staged_then = store_staged(t->f->store);
}

static void told_final(EngineWatch *w) {
        Told *t = CONTAINER_OF(w, Told, watch);
        t->n++;
        t->staged_then = store_staged(t->f->store);
}

static void submit_to_completion(void **state) {
        Fixture *f = *state;
        Told commit = { .f = f, .wait.fn = told_commit }, final = { .f = f, .watch.fn = told_final };
        _cleanup_task_ Task t = {};

        link_init(&commit.wait.link);
        link_init(&final.watch.link);
        Ulid id = submit(f, "many", NULL);
        engine_on_commit(f->engine, &commit.wait);
        final.watch.id = id;
        engine_watch(f->engine, &final.watch);
        assert_false(launcher_read(f));         /* staged only: nobody has heard of it */
        assert_int_equal(commit.n, 0);

        assert_int_equal(run(f), 0);
        assert_int_equal(commit.n, 1);
        assert_int_equal(commit.result, 0);
        assert_false(commit.staged_then);
        assert_int_equal(f->n_seen, 1);
        assert_string_equal(f->seen[0].request.name, "many");
        assert_int_equal(f->seen[0].request.attempt, 1);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
        assert_int_equal(final.n, 0);

        ExitRecord r = exited(0);
        r.result = (char *) "{\"n\": 1}";
        r.result_len = strlen(r.result);
        attempt_finish(f, seen_of(f, &id), &r);
        assert_int_equal(run(f), 0);
        assert_int_equal(final.n, 1);
        assert_false(final.staged_then);
        assert_int_equal(f->n_forgotten, 1);
        task_of(f, &id, &t);
        assert_int_equal(t.status, TASK_COMPLETED);
        assert_non_null(strstr(t.results, "\"n\""));
        assert_true(t.completed_at >= t.started_at && t.started_at >= t.submitted_at);
        assert_int_equal(engine_running(f->engine), 0);
}

static void same_id(void **state) {
        Fixture *f = *state;
        Submission s = { .has_id = true, .name = "many", .version = 1, .parameters = json_pack("{s:i}", "a", 1) };

        assert_int_equal(ulid_new(&s.id), 0);
        assert_int_equal(submit_full(f, &s, NULL), 0);
        assert_int_equal(submit_full(f, &s, NULL), 1);
        assert_int_equal(run(f), 0);
        finish(f, &s.id, 0);
        assert_int_equal(submit_full(f, &s, NULL), 1);          /* also when it is done: never run again by that */
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 1);
        json_object_set_new(s.parameters, "a", json_integer(2));
        assert_int_equal(submit_full(f, &s, NULL), -EEXIST);
        json_object_set_new(s.parameters, "a", json_integer(1));
        s.priority = 1;
        assert_int_equal(submit_full(f, &s, NULL), -EEXIST);
        json_decref(s.parameters);
}

static void refusals(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        const char *s;
        json_t *p = json_pack("{s:s}", "n", "x");
        _cleanup_free_ char *large = calloc(1, 3000);

        assert_int_equal(engine_submit(f->engine, &(Submission) { .name = "many", .version = 3 }, &t, &s), -EINVAL);
        assert_string_equal(s, "unknown task \"many\" version 3 (there is version 1)");
        assert_int_equal(engine_submit(f->engine, &(Submission) { .name = "mani", .version = 1 }, &t, &s), -EINVAL);
        assert_non_null(strstr(s, "\"many\" version 1"));
        assert_int_equal(engine_submit(f->engine, &(Submission) { .name = "many", .version = 1, .queue = "none" }, &t, &s), -EINVAL);
        assert_string_equal(s, "unknown queue \"none\": create it with POST /queues");
        assert_int_equal(engine_submit(f->engine, &(Submission) { .name = "typed", .version = 1 }, &t, &s), -EINVAL);
        assert_non_null(strstr(s, "n"));
        assert_int_equal(engine_submit(f->engine, &(Submission) { .name = "typed", .version = 1, .parameters = p }, &t, &s), -EINVAL);
        json_decref(p);
        memset(large, 'x', 2999);
        p = json_pack("{s:s}", "n", large);
        assert_int_equal(engine_submit(f->engine, &(Submission) { .name = "many", .version = 1, .parameters = p }, &t, &s), -E2BIG);
        json_decref(p);
        assert_false(store_staged(f->store));   /* a refusal costs nothing */
        assert_int_equal(engine_cancel(f->engine, &(Ulid) {}, &t, &s), -ENOENT);
        assert_int_equal(engine_resubmit(f->engine, &(Ulid) {}, true, &t, &s), -ENOENT);
}

static void cancel_waiting(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        const char *s;

        engine_drain(f->engine, true);
        Ulid a = submit(f, "many", NULL), b;
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + 3600 * USEC_PER_SEC }, &b), 0);
        assert_int_equal(status_of(f, &b), TASK_SCHEDULED);
        assert_int_equal(engine_cancel(f->engine, &a, &t, &s), 0);
        assert_int_equal(t.status, TASK_CANCELLED);
        task_done(&t);
        assert_int_equal(engine_cancel(f->engine, &b, &t, &s), 0);
        task_done(&t);
        assert_int_equal(engine_cancel(f->engine, &a, &t, &s), -EPERM);
        engine_drain(f->engine, false);
        clock_shift(7200 * USEC_PER_SEC, 7200 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 0);
        assert_int_equal(status_of(f, &a), TASK_CANCELLED);
        assert_int_equal(status_of(f, &b), TASK_CANCELLED);
}

static void expect_channel(Fixture *f, const Ulid *id, const char *wanted) {
        char text[512] = "";
        size_t at = 0;
        for (ssize_t n; at < sizeof text - 1 && (n = recv(seen_of(f, id)->channel, text + at, sizeof text - 1 - at, MSG_DONTWAIT)) > 0;)
                at += (size_t) n;
        if (wanted)
                assert_non_null(strstr(text, wanted));
        else
                assert_null(strstr(text, "STOP="));
}

static void cancel_running(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {}, u = {};
        const char *s;

        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(engine_cancel(f->engine, &id, &t, &s), 0);
        expect_channel(f, &id, NULL);           /* the reason is committed before any signal */
        assert_int_equal(run(f), 0);
        expect_channel(f, &id, "STOP=cancelled");
        task_of(f, &id, &u);
        assert_int_equal(u.stop_reason, STOP_CANCELLED);
        task_done(&t);
        assert_int_equal(engine_cancel(f->engine, &id, &t, &s), 0);
        finish(f, &id, 0);                      /* exit 0 all the same */
        assert_int_equal(status_of(f, &id), TASK_CANCELLED);
        task_done(&t);
        assert_int_equal(engine_cancel(f->engine, &id, &t, &s), -EPERM);
        assert_int_equal(engine_resubmit(f->engine, &id, true, &t, &s), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 2);
        assert_int_equal(seen_of(f, &id)->request.attempt, 2);
        finish(f, &id, 0);
        assert_int_equal(status_of(f, &id), TASK_COMPLETED);
}

/* A cancel in the very turn of the start must neither be lost nor overtake it. */
static void cancel_at_start(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        const char *s;

        Ulid id = submit(f, "many", NULL);
        assert_int_equal(engine_turn(f->engine), 0);
        for (unsigned k = 0; k < 8; k++)
                (void) sd_event_run(f->event, 0);
        assert_int_equal(dispatch_run(f->engine), 0);
        assert_int_equal(engine_cancel(f->engine, &id, &t, &s), 0);
        assert_int_equal(run(f), 0);
        if (f->n_seen > 0) {
                expect_channel(f, &id, "STOP=cancelled");
                finish(f, &id, 0);
        }
        assert_int_equal(status_of(f, &id), TASK_CANCELLED);
}

/* Cancelled while its start was on its way, which then came to nothing: there was no attempt, and none is told of. */
static int count_attempt(void *userdata, const Attempt *a) {
        ++*(unsigned *) userdata;
        return 0;
}

static void cancelled_before_it_ran(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {}, then = {};
        const char *s;
        unsigned n = 0;

        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        Seen *seen = seen_of(f, &id);
        assert_non_null(seen);
        assert_int_equal(engine_cancel(f->engine, &id, &t, &s), 0);
        assert_int_equal(run(f), 0);
        seen->channel = fd_close(seen->channel);
        seen->over = true;
        assert_int_equal(run(f), 0);
        task_of(f, &id, &then);
        assert_int_equal(then.status, TASK_CANCELLED);
        assert_int_equal(then.attempts, 0);
        assert_int_equal(then.started_at, 0);
        assert_int_equal(store_attempt_list(f->store, then.seq, count_attempt, &n), 0);
        assert_int_equal(n, 0);
}

static void retry_now_then_dead(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {}, u = {}, v = {};
        const char *s;

        Ulid id = submit(f, "again", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &id, 75);
        assert_int_equal(f->n_seen, 2);
        task_of(f, &id, &t);
        assert_int_equal(t.status, TASK_STARTED);
        assert_int_equal(t.retry_attempt, 1);
        finish(f, &id, 75);
        task_of(f, &id, &u);
        assert_int_equal(u.status, TASK_FAILED);
        assert_true(u.dead_at > 0);
        assert_non_null(u.last_error);
        assert_int_equal(engine_resubmit(f->engine, &id, true, &v, &s), 0);
        assert_int_equal(v.retry_attempt, 0);
        assert_int_equal(v.dead_at, 0);
        assert_int_equal(run(f), 0);
        finish(f, &id, 1);
        assert_int_equal(status_of(f, &id), TASK_FAILED);
        assert_int_equal(engine_bury_remove(f->engine, &id), 0);
        assert_int_equal(engine_bury_remove(f->engine, &id), -ENOENT);
        assert_int_equal(run(f), 0);
}

static void notes(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};

        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        char beat[128];
        int n = snprintf(beat, sizeof beat, "BEAT=%llu\nSTATUS=half way\nPROGRESS=50\n", (unsigned long long) clock_wall() + 5);
        assert_int_equal(send(seen_of(f, &id)->channel, beat, n, MSG_NOSIGNAL), n);
        assert_int_equal(run(f), 0);
        task_of(f, &id, &t);
        assert_int_equal(t.progress, 50);
        assert_string_equal(t.status_text, "half way");
        /* The next one within the second is kept back, and stored when it is over. */
        assert_int_equal(send(seen_of(f, &id)->channel, "PROGRESS=60\n", 12, MSG_NOSIGNAL), 12);
        assert_int_equal(run(f), 0);
        task_done(&t);
        task_of(f, &id, &t);
        assert_int_equal(t.progress, 50);
        clock_shift(2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        task_done(&t);
        task_of(f, &id, &t);
        assert_int_equal(t.progress, 60);
        finish(f, &id, 0);
}

/* What stderr is given while the engine comes to rest. */
static char *said_until_rest(Fixture *f) {
        int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), fd = memfd_create("stderr", MFD_CLOEXEC);
        char *text = NULL;

        assert_true(saved >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
        int level = log_level();
        log_set_level(LOG_NOTICE);
        int r = run(f);
        log_set_level(level);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        close(saved);
        assert_int_equal(r, 0);
        assert_true(lseek(fd, 0, SEEK_SET) == 0);
        assert_int_equal(fd_read_all(fd, 65536, &text, NULL), 0);
        close(fd);
        return text;
}

#define assert_said(f, expected) \
        do { \
                _cleanup_free_ char *said_ = said_until_rest(f); \
                assert_string_equal(said_, expected); \
        } while (0)

/* What people change is in the log, once, with what was before; not what is put again as it is; and not what was rolled back. */
static void changes_are_said(void **state) {
        Fixture *f = *state;
        Engine *e = f->engine;
        QueueConfig q;
        char *both[] = { (char *) "reports", (char *) "default", NULL };

        assert_int_equal(run(f), 0);
        queue_config_init(&q, "reports");
        assert_int_equal(engine_queue_put(e, &q, NULL), 0);
        assert_said(f, "test: queue reports: created\n");
        assert_int_equal(engine_queue_put(e, &q, NULL), 0);
        assert_said(f, "");

        q.max_concurrent = 3;
        q.rate_numerator = 5;
        q.rate_denominator = 1;
        q.rate_period = RATE_MINUTE;
        q.memory_max = 1 << 20;
        assert_int_equal(engine_queue_put(e, &q, NULL), 0);
        assert_said(f, "test: queue reports: max_concurrent 10 → 3, rate none → 5 per 1 minute, memory_max none → 1048576\n");
        q.paused = true;
        assert_int_equal(engine_queue_put(e, &q, NULL), 0);
        assert_said(f, "test: queue reports: paused, no more of its tasks are started\n");
        q.paused = false;
        q.max_concurrent = 0;
        q.rate_numerator = 0;
        assert_int_equal(engine_queue_put(e, &q, NULL), 0);
        assert_said(f, "test: queue reports: max_concurrent 3 → none, rate 5 per 1 minute → none\n"
                       "test: queue reports: no longer paused\n");

        assert_int_equal(engine_role_put(e, "default", both, NULL), 0);
        assert_said(f, "test: role default: serves default, reports\n");
        assert_int_equal(engine_role_put(e, "default", both, NULL), 0);
        assert_said(f, "");
        assert_int_equal(engine_role_put(e, "heavy", (char *[]) { NULL }, NULL), 0);
        assert_said(f, "test: role heavy: serves no queue\n");
        assert_int_equal(engine_role_remove(e, "heavy", NULL), 0);
        assert_said(f, "test: role heavy: deleted\n");

        q.paused = true;
        assert_int_equal(engine_queue_put(e, &q, NULL), 0);
        (void) engine_spoil(e, -ENOSPC);
        _cleanup_free_ char *full = said_until_rest(f);
        assert_non_null(strstr(full, "cannot write to"));
        assert_null(strstr(full, "reports"));
        clock_shift(2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_false(engine_queue_get(e, "reports")->paused);

        assert_int_equal(engine_queue_remove(e, "reports", true, NULL), 0);
        _cleanup_free_ char *deleted = said_until_rest(f);
        assert_non_null(strstr(deleted, "test: queue reports: deleted, its tasks are cancelled\n"));
}

/* A deleted queue leaves no limits on its slice, which a later queue of its name would get. */
static void limits_go_with_their_queue(void **state) {
        Fixture *f = *state;
        QueueConfig q;

        queue_config_init(&q, "heavy");
        assert_int_equal(engine_queue_put(f->engine, &q, NULL), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_slices, 0);
        q.memory_max = 64 << 20;
        assert_int_equal(engine_queue_put(f->engine, &q, NULL), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_slices, 1);
        assert_int_equal(f->slice.memory_max, 64 << 20);
        assert_int_equal(engine_queue_remove(f->engine, "heavy", false, NULL), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_slices, 2);
        assert_string_equal(f->slice.queue, "heavy");
        assert_true(f->slice.memory_max == UINT64_MAX);
        queue_config_init(&q, "heavy");
        assert_int_equal(engine_queue_put(f->engine, &q, NULL), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_slices, 2);

        /* Deleted and made again in one turn. */
        q.tasks_max = 5;
        assert_int_equal(engine_queue_put(f->engine, &q, NULL), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(engine_queue_remove(f->engine, "heavy", false, NULL), 0);
        queue_config_init(&q, "heavy");
        assert_int_equal(engine_queue_put(f->engine, &q, NULL), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_slices, 4);
        assert_true(f->slice.tasks_max == UINT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(submit_to_completion), TEST(same_id), TEST(refusals), TEST(cancel_waiting), TEST(cancel_running),
                TEST(cancel_at_start), TEST(cancelled_before_it_ran), TEST(retry_now_then_dead), TEST(notes),
                TEST(changes_are_said), TEST(limits_go_with_their_queue),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
