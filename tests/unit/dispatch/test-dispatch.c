/* Who runs next: limits, fairness, order, and that what is blocked blocks nothing else. */
#include "fixture.h"

static unsigned started_of(Fixture *f, const char *queue, size_t from) {
        unsigned n = 0;
        for (size_t i = from; i < f->n_seen; i++)
                n += STREQ(f->seen[i].request.queue, queue);
        return n;
}

static void finish_oldest(Fixture *f) {
        for (size_t i = 0; i < f->n_seen; i++)
                if (!f->seen[i].over) {
                        ExitRecord r = exited(0);
                        attempt_finish(f, &f->seen[i], &r);
                        assert_int_equal(run(f), 0);
                        return;
                }
        fail_msg("nothing runs");
}

static void slots(void **state) {
        Fixture *f = *state;
        for (unsigned i = 0; i < 7; i++)
                (void) submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 4);
        assert_int_equal(engine_running(f->engine), 4);
        finish_oldest(f);
        assert_int_equal(f->n_seen, 5);
        RoleStatus r;
        assert_int_equal(engine_role_get(f->engine, "default", &r), 0);
        assert_int_equal(r.running, 4);
        assert_int_equal(r.slots, 4);
}

static void queue_limit_live(void **state) {
        Fixture *f = *state;
        queue_put(f, "a", 1);
        serve(f, "a", NULL, NULL);
        for (unsigned i = 0; i < 4; i++)
                (void) submit(f, "many", "a");
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 1);
        queue_put(f, "a", 3);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 3);
}

/* `one` runs one at a time; those behind it in the queue pass. */
static void definition_limit(void **state) {
        Fixture *f = *state;
        Ulid a = submit(f, "one", NULL), b = submit(f, "one", NULL), c = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 2);
        assert_non_null(seen_of(f, &a));
        assert_null(seen_of(f, &b));
        assert_non_null(seen_of(f, &c));
        finish(f, &a, 0);
        assert_non_null(seen_of(f, &b));
}

static void priorities(void **state) {
        Fixture *f = *state;
        Ulid low, high, first, second;
        engine_drain(f->engine, true);
        assert_int_equal(submit_full(f, &(Submission) { .name = "one", .version = 1, .priority = -5 }, &low), 0);
        first = submit(f, "one", NULL);
        second = submit(f, "one", NULL);
        assert_int_equal(submit_full(f, &(Submission) { .name = "one", .version = 1, .priority = 9 }, &high), 0);
        engine_drain(f->engine, false);
        const Ulid order[] = { high, first, second, low };
        assert_int_equal(run(f), 0);
        for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
                assert_int_equal(f->n_seen, i + 1);
                assert_true(ulid_cmp(&f->seen[i].request.task_id, &order[i]) == 0);
                finish(f, &order[i], 0);
        }
}

/* Three queues of very different length: starts differ by at most one, at every moment that all three wait. */
static void round_robin(void **state) {
        Fixture *f = *state;
        queue_put(f, "a", 0);
        queue_put(f, "b", 0);
        queue_put(f, "c", 0);
        serve(f, "a", "b", "c");
        engine_drain(f->engine, true);
        for (unsigned i = 0; i < 60; i++)
                (void) submit(f, "many", "a");
        for (unsigned i = 0; i < 20; i++)
                (void) submit(f, "many", "b");
        for (unsigned i = 0; i < 20; i++)
                (void) submit(f, "many", "c");
        assert_int_equal(run(f), 0);
        engine_drain(f->engine, false);
        assert_int_equal(run(f), 0);
        for (unsigned i = 0; i < 40; i++) {
                unsigned a = started_of(f, "a", 0), b = started_of(f, "b", 0), c = started_of(f, "c", 0);
                assert_true(MAX(a, MAX(b, c)) - MIN(a, MIN(b, c)) <= 1);
                finish_oldest(f);
        }
}

static void paused_and_unserved(void **state) {
        Fixture *f = *state;
        QueueConfig q;
        const char *s;
        queue_put(f, "a", 0);
        queue_put(f, "elsewhere", 0);
        serve(f, "a", NULL, NULL);
        queue_config_init(&q, "a");
        q.paused = true;
        assert_int_equal(engine_queue_put(f->engine, &q, &s), 0);
        Ulid a = submit(f, "many", "a"), b = submit(f, "many", "elsewhere"), c = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 1);
        assert_non_null(seen_of(f, &c));
        q.paused = false;
        assert_int_equal(engine_queue_put(f->engine, &q, &s), 0);
        assert_int_equal(run(f), 0);
        assert_non_null(seen_of(f, &a));
        serve(f, "a", "elsewhere", NULL);
        assert_int_equal(run(f), 0);
        assert_non_null(seen_of(f, &b));
}

/* Two starts a minute, truly sliding, over a restart too. */
static void rate(void **state) {
        Fixture *f = *state;
        QueueConfig q;
        const char *s;
        queue_config_init(&q, "slow");
        q.rate_numerator = 2;
        q.rate_denominator = 1;
        q.rate_period = RATE_MINUTE;
        assert_int_equal(engine_queue_put(f->engine, &q, &s), 0);
        serve(f, "slow", NULL, NULL);
        Ulid ids[4];
        for (unsigned i = 0; i < 4; i++)
                ids[i] = submit(f, "many", "slow");
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 2);
        finish(f, &ids[0], 0);
        finish(f, &ids[1], 0);
        assert_int_equal(f->n_seen, 2);

        engine_stop(f);
        clock_shift(30 * USEC_PER_SEC, 30 * USEC_PER_SEC);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 0);
        clock_shift(61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 2);
}

static void unknown_definitions(void **state) {
        Fixture *f = *state;
        engine_drain(f->engine, true);
        Ulid gone = submit(f, "one", NULL), broken = submit(f, "again", NULL), fine = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        engine_stop(f);

        /* A fresh daemon has no last good version of a broken file. */
        char path[128];
        snprintf(path, sizeof path, "%s/one.task", f->tasks_dir);
        assert_int_equal(unlink(path), 0);
        define(f, "again", "[Task]\nName=again\nVersion=1\nExecStart=/bin/true\nMaxRetries=lots\n");
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &gone), TASK_DROPPED);
        assert_int_equal(status_of(f, &broken), TASK_SUBMITTED);
        assert_int_equal(status_of(f, &fine), TASK_STARTED);
        define(f, "again", "[Task]\nName=again\nVersion=1\nExecStart=/bin/true\n");
        assert_int_equal(engine_reload(f->engine), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &broken), TASK_STARTED);
}

/* Rows that cannot be read, more of them than a lane's window holds: those behind them are dropped, or started, all the same. */
static void unreadable_rows(void **state) {
        Fixture *f = *state;
        Ulid dropped, started, late;
        char path[128];

        engine_drain(f->engine, true);
        for (unsigned i = 0; i < LANE_WINDOW + 8; i++) {
                (void) submit(f, "one", NULL);
                (void) submit(f, "many", NULL);
        }
        dropped = submit(f, "one", NULL);
        started = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        snprintf(path, sizeof path, "%s/one.task", f->tasks_dir);
        assert_int_equal(unlink(path), 0);
        damage(f, "UPDATE tasks SET stop_reason = 99 WHERE seq < (SELECT max(seq) - 1 FROM tasks)");
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &dropped), TASK_DROPPED);
        assert_int_equal(status_of(f, &started), TASK_STARTED);
        late = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &late), TASK_STARTED);

        /* They still wait, each known for what it is; also after a rollback, which makes the lanes anew. */
        for (unsigned round = 0; round < 2; round++) {
                Queue *q = queue_find(f->engine, "default");
                assert_int_equal(q->waiting, 2 * (LANE_WINDOW + 8));
                LIST_FOREACH(l, &q->lanes) {
                        Lane *lane = CONTAINER_OF(l, Lane, link);
                        assert_int_equal(lane->count, LANE_WINDOW + 8);
                        assert_int_equal(lane->n_passed, LANE_WINDOW + 8);
                }
                (void) engine_spoil(f->engine, -ENOSPC);
                assert_int_equal(run(f), 0);
                clock_shift(2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
                assert_int_equal(run(f), 0);
        }
}

/* A launch refused for a passing reason is tried again, at no cost, and not at once. */
static void refused_for_now(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {}, u = {};
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        Seen *seen = seen_of(f, &id);
        LauncherReply r = { .verb = LAUNCHER_START, .cookie = seen->request.cookie, .result = -EAGAIN, .text = "no more processes" };
        assert_int_equal(send(f->peer, &r, sizeof r, MSG_NOSIGNAL), sizeof r);
        seen->channel = fd_close(seen->channel);
        seen->over = true;
        assert_int_equal(run(f), 0);
        task_of(f, &id, &t);
        assert_int_equal(t.status, TASK_SUBMITTED);
        assert_int_equal(t.attempts, 0);
        assert_int_equal(t.started_at, 0);
        assert_int_equal(f->n_seen, 1);
        clock_shift(2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->n_seen, 2);
        assert_int_equal(seen_of(f, &id)->request.attempt, 1);
        finish(f, &id, 0);
        task_of(f, &id, &u);
        assert_int_equal(u.status, TASK_COMPLETED);
        assert_int_equal(u.attempts, 1);
}

static void refused_for_good(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        Seen *seen = seen_of(f, &id);
        LauncherReply r = { .verb = LAUNCHER_START, .cookie = seen->request.cookie, .result = -ENOENT, .text = "/bin/nowhere is missing" };
        assert_int_equal(send(f->peer, &r, sizeof r, MSG_NOSIGNAL), sizeof r);
        seen->channel = fd_close(seen->channel);
        seen->over = true;
        assert_int_equal(run(f), 0);
        task_of(f, &id, &t);
        assert_int_equal(t.status, TASK_FAILED);
        assert_string_equal(t.last_error, "/bin/nowhere is missing");
}

static void delete_queue(void **state) {
        Fixture *f = *state;
        const char *s;
        queue_put(f, "a", 1);
        serve(f, "a", NULL, NULL);
        Ulid running = submit(f, "many", "a"), waiting = submit(f, "many", "a");
        assert_int_equal(run(f), 0);
        assert_int_equal(engine_queue_remove(f->engine, "a", false, &s), -EBUSY);
        assert_int_equal(engine_queue_remove(f->engine, "default", true, &s), -EPERM);
        assert_int_equal(engine_queue_remove(f->engine, "a", true, &s), 0);
        assert_int_equal(run(f), 0);
        assert_null(engine_queue_get(f->engine, "a"));
        assert_int_equal(status_of(f, &waiting), TASK_CANCELLED);
        assert_int_equal(status_of(f, &running), TASK_STARTED);
        finish(f, &running, 0);
        assert_int_equal(status_of(f, &running), TASK_CANCELLED);
}

static void roles(void **state) {
        Fixture *f = *state;
        const char *s;
        char *const none[] = { (char *) "nowhere", NULL }, *const twice[] = { (char *) "b", (char *) "a", (char *) "b", NULL };
        RoleStatus r;
        Ulid tag;
        assert_int_equal(engine_role_put(f->engine, "x", none, &s), -EINVAL);
        assert_non_null(strstr(s, "nowhere"));
        queue_put(f, "a", 1);
        queue_put(f, "b", 1);
        assert_int_equal(engine_role_put(f->engine, "x", twice, &s), 0);
        assert_int_equal(engine_role_get(f->engine, "x", &r), 0);
        assert_string_equal(r.queues[0], "a");
        assert_string_equal(r.queues[1], "b");
        assert_null(r.queues[2]);
        assert_false(r.served);
        Ulid before = r.refresh_tag;
        assert_int_equal(engine_role_refresh(f->engine, "x", &tag), 0);
        assert_int_not_equal(ulid_cmp(&before, &tag), 0);
        assert_int_equal(engine_role_count(f->engine), 2);
        assert_int_equal(run(f), 0);

        /* The same after a restart; a queue that goes leaves the role. */
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(engine_role_get(f->engine, "x", &r), 0);
        assert_int_equal(ulid_cmp(&r.refresh_tag, &tag), 0);
        assert_int_equal(engine_queue_remove(f->engine, "a", false, &s), 0);
        assert_int_equal(engine_role_get(f->engine, "x", &r), 0);
        assert_string_equal(r.queues[0], "b");
        assert_null(r.queues[1]);
        assert_int_equal(engine_role_remove(f->engine, "x", &s), 0);
        assert_int_equal(engine_role_remove(f->engine, "x", &s), -ENOENT);
        assert_int_equal(engine_role_remove(f->engine, "default", &s), -EPERM);
        assert_int_equal(run(f), 0);
}

/* The database of yesterday with the epoch file of today: nothing starts before somebody says so. */
static void restored(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *from = str_new("%s", f->settings.database), *text = NULL;
        size_t n;
        engine_drain(f->engine, true);
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        engine_stop(f);
        assert_int_equal(fd_read_file_at(AT_FDCWD, from, 64 << 20, &text, &n), 0);
        engine_start(f, true);
        engine_stop(f);
        assert_int_equal(fd_write_file_at(AT_FDCWD, from, text, n, 0600, false), 0);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_true(engine_draining(f->engine));
        assert_int_equal(f->n_seen, 0);
        engine_drain(f->engine, false);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
        engine_stop(f);
        engine_start(f, true);
        assert_false(engine_draining(f->engine));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(slots), TEST(queue_limit_live), TEST(definition_limit), TEST(priorities), TEST(round_robin), TEST(paused_and_unserved),
                TEST(rate), TEST(unknown_definitions), TEST(unreadable_rows), TEST(refused_for_now), TEST(refused_for_good), TEST(delete_queue), TEST(roles), TEST(restored),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
