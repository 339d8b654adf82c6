/* The verbs of the store, one by one, against a real file. */
#include "fixture.h"

static void task_round_trip(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = task_make("mail", "send", 7, 42);
        free(t.parameters);
        t.parameters = strdup("{\"to\": \"ä\\\"b\"}");
        t.priority = -100;
        t.status = TASK_SCHEDULED;
        t.retry_attempt = 3;
        t.attempts = 4;
        t.stop_reason = STOP_STALLED;
        t.submitted_at = 11;
        t.started_at = 12;
        t.retried_at = 13;
        t.heartbeat_at = 14;
        t.completed_at = 15;
        t.scheduled_at = 16;
        t.run_at = 17;
        t.dead_at = 18;
        t.progress = 100;
        t.status_text = strdup("");
        t.last_error = strdup("it's broken");
        t.results = strdup("{}");
        assert_false(store_staged(f->store));
        assert_int_equal(store_task_add(f->store, &t), 0);
        assert_true(t.seq > 0);
        assert_true(store_staged(f->store));
        assert_true(store_staged_writes(f->store) > 0);
        assert_int_equal(store_commit(f->store), 0);
        assert_false(store_staged(f->store));
        assert_int_equal(store_staged_writes(f->store), 0);
        fixture_reopen(f);

        _cleanup_task_ Task g = { 0 };
        assert_int_equal(store_task_get(f->store, &t.id, true, &g), 0);
        assert_int_equal(g.seq, t.seq);
        assert_memory_equal(&g.id, &t.id, sizeof g.id);
        assert_string_equal(g.name, "send");
        assert_string_equal(g.queue, "mail");
        assert_int_equal(g.version, 7);
        assert_int_equal(g.priority, -100);
        assert_int_equal(g.status, TASK_SCHEDULED);
        assert_int_equal(g.position, 42);
        assert_int_equal(g.retry_attempt, 3);
        assert_int_equal(g.attempts, 4);
        assert_int_equal(g.stop_reason, STOP_STALLED);
        assert_int_equal(g.submitted_at, 11);
        assert_int_equal(g.started_at, 12);
        assert_int_equal(g.retried_at, 13);
        assert_int_equal(g.heartbeat_at, 14);
        assert_int_equal(g.completed_at, 15);
        assert_int_equal(g.scheduled_at, 16);
        assert_int_equal(g.run_at, 17);
        assert_int_equal(g.dead_at, 18);
        assert_int_equal(g.progress, 100);
        assert_string_equal(g.status_text, "");
        assert_string_equal(g.last_error, "it's broken");
        assert_string_equal(g.results, "{}");
        assert_string_equal(g.parameters, "{\"to\": \"ä\\\"b\"}");

        _cleanup_task_ Task h = { 0 };
        assert_int_equal(store_task_get_seq(f->store, t.seq, false, &h), 0);
        assert_null(h.parameters);
        Ulid other;
        assert_int_equal(ulid_new(&other), 0);
        _cleanup_task_ Task none = { 0 };
        assert_int_equal(store_task_get(f->store, &other, true, &none), -ENOENT);
        assert_int_equal(store_task_get_seq(f->store, 999999, true, &none), -ENOENT);
}

/* Not found out at once, as the row waits for others: it costs the turn, and nothing of it stays. */
static void same_id_twice(void **state) {
        Fixture *f = *state;
        TaskFilter all = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 10 };
        int64_t n, before = task_put(f->store, "q", "a", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        for (unsigned found_by = 0; found_by < 2; found_by++) {
                _cleanup_task_ Task t = task_make("q", "a", 0, 1), u = task_make("q2", "b", 0, 2), v = task_make("q", "a", 0, 3), none = { 0 };
                u.id = t.id;
                assert_int_equal(store_task_add(f->store, &t), 0);
                assert_int_equal(store_task_add(f->store, &v), 0);
                assert_int_equal(store_task_add(f->store, &u), 0);
                if (found_by == 1) {
                        assert_int_equal(store_task_get_seq(f->store, before, false, &none), -EEXIST);
                        assert_int_equal(store_task_add(f->store, &v), -EEXIST);
                }
                assert_int_equal(store_commit(f->store), -EEXIST);
                assert_false(store_staged(f->store));
                assert_int_equal(store_task_count(f->store, &all, &n), 0);
                assert_int_equal(n, 1);
                assert_int_equal(store_task_get(f->store, &t.id, false, &none), -ENOENT);
        }
        /* One with long parameters does not wait: it is refused alone. */
        _cleanup_task_ Task t = task_make("q", "a", 0, 1), u = task_make("q2", "b", 0, 2);
        u.id = t.id;
        free(u.parameters);
        u.parameters = malloc(5001);
        memset(u.parameters, ' ', 5000);
        u.parameters[5000] = 0;
        assert_int_equal(store_task_add(f->store, &t), 0);
        assert_int_equal(store_task_add(f->store, &u), -EEXIST);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);
        assert_int_equal(store_task_count(f->store, &all, &n), 0);
        assert_int_equal(n, 2);
}

/* However many wait, and whatever comes between them: what is read, kept and undone is as if each had been written at once. */
static void new_tasks_wait_unseen(void **state) {
        Fixture *f = *state;
        TaskFilter all = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 200 };
        int64_t there = 0, n;
        for (unsigned batch = 1; batch <= 50; batch += batch < 4 ? 1 : 7) {
                Ulid ids[50];
                for (int outcome = 0; outcome < 2; outcome++) {
                        for (unsigned i = 0; i < batch; i++) {
                                _cleanup_task_ Task t = task_make(i % 3 ? "q" : "other", "a", (int) i % 5, i);
                                free(t.parameters);
                                t.parameters = str_new("{\"n\": \"%u of %u%*s\"}", i, batch, i % 7 == 6 ? 2000 : (int) i * 30, "");
                                ids[i] = t.id;
                                assert_int_equal(store_task_add(f->store, &t), 0);
                                memset(&t.id, 0xff, sizeof t.id);                       /* nothing of it is pointed to any more */
                                memset(t.parameters, '?', strlen(t.parameters));
                                if (i % 19 == 18) {
                                        _cleanup_task_ Task g = { 0 };
                                        assert_int_equal(store_task_get(f->store, &ids[i], false, &g), 0);
                                }
                        }
                        assert_true(store_staged_writes(f->store) >= batch);
                        if (outcome == 0)
                                store_rollback(f->store);
                        else
                                there += batch;
                        assert_int_equal(store_commit(f->store), 0);
                        assert_int_equal(store_task_count(f->store, &all, &n), 0);
                        assert_int_equal(n, there);
                }
                fixture_reopen(f);
                for (unsigned i = 0; i < batch; i++) {
                        _cleanup_task_ Task g = { 0 };
                        _cleanup_free_ char *want = str_new("{\"n\": \"%u of %u%*s\"}", i, batch, i % 7 == 6 ? 2000 : (int) i * 30, "");
                        assert_int_equal(store_task_get(f->store, &ids[i], true, &g), 0);
                        assert_string_equal(g.parameters, want);
                        assert_string_equal(g.queue, i % 3 ? "q" : "other");
                        assert_int_equal(g.version, i % 5);
                        assert_int_equal(g.position, i);
                        assert_true(!g.status_text && !g.last_error && !g.results);
                }
                assert_int_equal(store_task_count(f->store, &all, &n), 0);
                assert_int_equal(n, there);
        }
}

static void large_parameters(void **state) {
        Fixture *f = *state;
        static const size_t sizes[] = { 1022, 1023, 1024, 1025, 300000 };
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_task_ Task t = task_make("q", "a", 0, 1);
                free(t.parameters);
                t.parameters = malloc(sizes[i] + 1);
                memset(t.parameters, 'x', sizes[i]);
                t.parameters[sizes[i]] = 0;
                assert_int_equal(store_task_add(f->store, &t), 0);
                task_to(f->store, t.seq, TASK_STARTED);
                _cleanup_task_ Task g = { 0 };
                assert_int_equal(store_task_get(f->store, &t.id, true, &g), 0);
                assert_string_equal(g.parameters, t.parameters);
        }
}

static void move_only_from(void **state) {
        Fixture *f = *state;
        int64_t seq = task_put(f->store, "q", "a", 0, 0);
        _cleanup_task_ Task t = { 0 };
        assert_int_equal(store_task_get_seq(f->store, seq, false, &t), 0);
        t.status = TASK_STARTED;
        t.attempts = 1;
        assert_int_equal(store_task_move(f->store, &t, TASK_SCHEDULED), -ESTALE);
        assert_int_equal(store_task_note(f->store, &t), -ESTALE);
        assert_int_equal(store_task_move(f->store, &t, TASK_SUBMITTED), 0);
        assert_int_equal(store_task_move(f->store, &t, TASK_SUBMITTED), -ESTALE);
        t.progress = 33;
        t.heartbeat_at = 99;
        t.stop_reason = STOP_CANCELLED;
        t.status_text = strdup("half way");
        assert_int_equal(store_task_note(f->store, &t), 0);
        _cleanup_task_ Task g = { 0 };
        assert_int_equal(store_task_get_seq(f->store, seq, true, &g), 0);
        assert_int_equal(g.status, TASK_STARTED);
        assert_int_equal(g.attempts, 1);
        assert_int_equal(g.progress, 33);
        assert_int_equal(g.heartbeat_at, 99);
        assert_int_equal(g.stop_reason, STOP_CANCELLED);
        assert_string_equal(g.status_text, "half way");
        assert_string_equal(g.parameters, "{\"n\": 1}");
        t.seq = 12345;
        assert_int_equal(store_task_move(f->store, &t, TASK_STARTED), -ESTALE);
}

static int64_t count_of(Store *s, const char *queue, TaskStatus status) {
        TaskFilter filter = { .queue = queue, .version = -1, .status = status, .limit = 1 };
        int64_t n = -1;
        assert_int_equal(store_task_count(s, &filter, &n), 0);
        return n;
}

static void rollback_takes_all_back(void **state) {
        Fixture *f = *state;
        int64_t kept = task_put(f->store, "q", "a", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        int64_t gone = task_put(f->store, "new-queue", "b", 0, 0);
        task_to(f->store, kept, TASK_STARTED);
        assert_int_equal(store_definition_put(f->store, 5, "text"), 0);
        assert_int_equal(count_of(f->store, "q", TASK_STARTED), 1);
        store_rollback(f->store);
        assert_false(store_staged(f->store));
        assert_int_equal(count_of(f->store, "q", TASK_STARTED), 0);
        assert_int_equal(count_of(f->store, "q", TASK_SUBMITTED), 1);
        assert_int_equal(count_of(f->store, "new-queue", TASK_SUBMITTED), 0);
        _cleanup_task_ Task t = { 0 };
        assert_int_equal(store_task_get_seq(f->store, gone, false, &t), -ENOENT);
        _cleanup_free_ char *text = NULL;
        assert_int_equal(store_definition_get(f->store, 5, &text), -ENOENT);
        /* The same lane and definition again: their rows must be written again. */
        task_put(f->store, "new-queue", "b", 0, 0);
        assert_int_equal(store_definition_put(f->store, 5, "text"), 0);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);
        assert_int_equal(count_of(f->store, "new-queue", TASK_SUBMITTED), 1);
        assert_int_equal(store_definition_get(f->store, 5, &text), 0);
        assert_string_equal(text, "text");
}

static void close_rolls_back(void **state) {
        Fixture *f = *state;
        int64_t seq = task_put(f->store, "q", "a", 0, 0);
        fixture_reopen(f);
        _cleanup_task_ Task t = { 0 };
        assert_int_equal(store_task_get_seq(f->store, seq, false, &t), -ENOENT);
        assert_int_equal(count_of(f->store, NULL, _TASK_STATUS_MAX), 0);
}

static void numbers_never_twice(void **state) {
        Fixture *f = *state;
        int64_t last_position = 0, last_seq = 0;
        for (int round = 0; round < 4; round++) {
                for (int i = 0; i < 3; i++) {
                        _cleanup_task_ Task t = task_make("q", "a", 0, store_next_position(f->store));
                        assert_true(t.position > last_position);
                        last_position = t.position;
                        assert_int_equal(store_task_add(f->store, &t), 0);
                        assert_true(t.seq > last_seq);
                        last_seq = t.seq;
                        t.status = TASK_COMPLETED;
                        t.completed_at = 1;
                        assert_int_equal(store_task_move(f->store, &t, TASK_SUBMITTED), 0);
                }
                /* Not even where the newest rows are removed. */
                assert_int_equal(store_expire_final(f->store, 2, 100, NULL, NULL), 3);
                assert_int_equal(store_commit(f->store), 0);
                fixture_reopen(f);
        }
}

typedef struct Seen {
        int64_t seqs[64];
        int priorities[64];
        int64_t positions[64];
        size_t n;
} Seen;

static int see_ready(void *userdata, int64_t seq, int priority, int64_t position) {
        Seen *s = userdata;
        s->seqs[s->n] = seq;
        s->priorities[s->n] = priority;
        s->positions[s->n++] = position;
        return 0;
}

static void ready_in_order(void **state) {
        Fixture *f = *state;
        int64_t a = task_put(f->store, "q", "n", 0, 0), b = task_put(f->store, "q", "n", 0, 100), c = task_put(f->store, "q", "n", 0, -100),
                d = task_put(f->store, "q", "n", 0, 0), e = task_put(f->store, "q", "n", 0, 100);
        task_put(f->store, "q", "n", 1, 100);
        task_put(f->store, "other", "n", 0, 100);
        task_put(f->store, "q", "other", 0, 100);
        int64_t started = task_put(f->store, "q", "n", 0, 50);
        task_to(f->store, started, TASK_STARTED);
        const int64_t want[] = { b, e, a, d, c };

        Seen s = { 0 };
        assert_int_equal(store_ready(f->store, "q", "n", 0, 101, INT64_MIN, 64, see_ready, &s), 0);
        assert_int_equal(s.n, 5);
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(s.seqs[i], want[i]);
        /* From anywhere, in steps of one. */
        int priority = INT32_MAX;
        int64_t position = INT64_MIN;
        for (size_t i = 0; i < 6; i++) {
                Seen one = { 0 };
                assert_int_equal(store_ready(f->store, "q", "n", 0, priority, position, 1, see_ready, &one), 0);
                assert_int_equal(one.n, i < 5);
                if (i < 5) {
                        assert_int_equal(one.seqs[0], want[i]);
                        priority = one.priorities[0];
                        position = one.positions[0];
                }
        }
        Seen none = { 0 };
        assert_int_equal(store_ready(f->store, "nowhere", "n", 0, 101, INT64_MIN, 64, see_ready, &none), 0);
        assert_int_equal(none.n, 0);
}

static int see_lane(void *userdata, const char *queue, const char *name, uint32_t version, int64_t count) {
        str_printf(userdata, "%s/%s/%u=%d ", queue, name, version, (int) count);
        return 0;
}

static void lanes_count(void **state) {
        Fixture *f = *state;
        for (int i = 0; i < 3; i++)
                task_put(f->store, "a", "x", 0, 0);
        task_put(f->store, "a", "x", UINT32_MAX, 0);
        task_to(f->store, task_put(f->store, "b", "x", 0, 0), TASK_STARTED);
        assert_int_equal(store_commit(f->store), 0);
        for (int i = 0; i < 2; i++) {
                _cleanup_str_ Str s = { 0 };
                assert_int_equal(store_lanes(f->store, see_lane, &s), 0);
                assert_string_equal(s.s, "a/x/0=3 a/x/4294967295=1 ");
                fixture_reopen(f);
        }
}

/* What no task uses any more is forgotten at the next open, and can come back. */
static void empty_lanes_go(void **state) {
        Fixture *f = *state;
        task_to(f->store, task_put(f->store, "a", "x", 0, 0), TASK_COMPLETED);
        task_put(f->store, "b", "x", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        assert_int_equal(store_expire_final(f->store, UINT64_MAX / 2, 10, NULL, NULL), 1);
        assert_int_equal(store_commit(f->store), 0);
        for (int i = 0; i < 2; i++) {
                fixture_reopen(f);
                assert_int_equal(count_of(f->store, "a", _TASK_STATUS_MAX), i);
                assert_int_equal(count_of(f->store, "b", _TASK_STATUS_MAX), 1);
                task_put(f->store, "a", "x", 0, 0);
                assert_int_equal(store_commit(f->store), 0);
        }
}

static int see_task(void *userdata, Task *t) {
        Seen *s = userdata;
        s->seqs[s->n++] = t->seq;
        assert_non_null(t->name);
        return 0;
}

typedef struct Mover {
        Store *store;
        size_t n;
} Mover;

/* A callback may write to the very rows it is shown. */
static int submit_it(void *userdata, Task *t) {
        Mover *m = userdata;
        t->status = TASK_SUBMITTED;
        m->n++;
        return store_task_move(m->store, t, TASK_SCHEDULED);
}

static void due_in_order(void **state) {
        Fixture *f = *state;
        usec_t next = 77;
        assert_int_equal(store_next_due(f->store, 0, &next), 0);
        assert_int_equal(next, 0);
        static const usec_t at[] = { 300, 100, 200, 400, 100 };
        int64_t seqs[5];
        for (size_t i = 0; i < 5; i++) {
                _cleanup_task_ Task t = task_make("q", "n", 0, (int64_t) i);
                t.status = TASK_SCHEDULED;
                t.scheduled_at = at[i];
                assert_int_equal(store_task_add(f->store, &t), 0);
                seqs[i] = t.seq;
        }
        Seen s = { 0 };
        unsigned unreadable = 9;
        assert_int_equal(store_due(f->store, 300, 10, see_task, &s, &unreadable), 0);
        assert_int_equal(unreadable, 0);
        assert_int_equal(s.n, 4);
        assert_int_equal(s.seqs[0], seqs[1]);
        assert_int_equal(s.seqs[1], seqs[4]);
        assert_int_equal(s.seqs[2], seqs[2]);
        assert_int_equal(s.seqs[3], seqs[0]);
        assert_int_equal(store_next_due(f->store, 0, &next), 0);
        assert_int_equal(next, 100);
        Mover m = { .store = f->store };
        assert_int_equal(store_due(f->store, 300, 3, submit_it, &m, &unreadable), 0);
        assert_int_equal(m.n, 3);
        assert_int_equal(store_next_due(f->store, 0, &next), 0);
        assert_int_equal(next, 300);
        assert_int_equal(store_due(f->store, 300, 3, submit_it, &m, &unreadable), 0);
        assert_int_equal(m.n, 4);
        assert_int_equal(store_next_due(f->store, 0, &next), 0);
        assert_int_equal(next, 400);
}

static void retries_follow_the_clock(void **state) {
        Fixture *f = *state;
        static const struct {
                usec_t scheduled, run, want;
        } tasks[] = { { 100, 0, 40 }, { 200, 200, 200 }, { 300, 10, 240 } };
        int64_t seqs[3];
        for (size_t i = 0; i < 3; i++) {
                _cleanup_task_ Task t = task_make("q", "n", 0, (int64_t) i);
                t.status = TASK_SCHEDULED;
                t.scheduled_at = tasks[i].scheduled;
                t.run_at = tasks[i].run;
                assert_int_equal(store_task_add(f->store, &t), 0);
                seqs[i] = t.seq;
        }
        assert_int_equal(store_shift_times(f->store, -60), 0);
        for (size_t i = 0; i < 3; i++) {
                _cleanup_task_ Task t = { 0 };
                assert_int_equal(store_task_get_seq(f->store, seqs[i], false, &t), 0);
                assert_int_equal(t.scheduled_at, tasks[i].want);
        }
        usec_t next;
        assert_int_equal(store_next_due(f->store, 0, &next), 0);
        assert_int_equal(next, 40);
}

static void started_ones(void **state) {
        Fixture *f = *state;
        int64_t a = task_put(f->store, "q", "n", 0, 0), b = task_put(f->store, "r", "m", 2, 0);
        task_put(f->store, "q", "n", 0, 0);
        task_to(f->store, a, TASK_STARTED);
        task_to(f->store, b, TASK_STARTED);
        Seen s = { 0 };
        assert_int_equal(store_started(f->store, see_task, &s), 0);
        assert_int_equal(s.n, 2);
        assert_true((s.seqs[0] == a && s.seqs[1] == b) || (s.seqs[0] == b && s.seqs[1] == a));
}

static int see_attempt(void *userdata, const Attempt *a) {
        str_printf(userdata, "%u/%u %s %lx %s %d-%d %s exit=%d sig=%d %s err=%s type=%s %d %d %d %d %d %d;", a->attempt, a->retry_attempt,
                   a->evidence, (unsigned long) a->definition_hash, a->scope, (int) a->started_at, (int) a->ended_at,
                   a->end_reason ? end_reason_to_string(a->end_reason) : "-", a->exit_status, a->term_signal,
                   task_status_to_string(a->outcome), a->error ? a->error : "-", a->error_type ? a->error_type : "-", (int) a->cpu_usec,
                   (int) a->memory_peak, (int) a->io_read, (int) a->io_write, (int) a->oom_kills, (int) a->pids_peak);
        return 0;
}

static void attempts(void **state) {
        Fixture *f = *state;
        int64_t seq = task_put(f->store, "q", "n", 0, 0);
        Attempt a = { .task_seq = seq, .attempt = 2, .retry_attempt = 1, .evidence = "b2", .definition_hash = 0xfedcba9876543210,
                      .started_at = 5, .exit_status = -1, .outcome = TASK_STARTED, .cpu_usec = -1, .memory_peak = -1, .io_read = -1,
                      .io_write = -1, .oom_kills = -1, .pids_peak = -1, .scope = "x.scope" };
        assert_int_equal(store_attempt_add(f->store, &a), 0);
        assert_int_equal(store_attempt_add(f->store, &a), -EEXIST);
        a.attempt = 1;
        a.scope[0] = 0;
        assert_int_equal(store_attempt_add(f->store, &a), 0);
        a.attempt = 3;
        assert_int_equal(store_attempt_end(f->store, &a), -ENOENT);
        a.attempt = 1;
        a.ended_at = 9;
        a.end_reason = END_HOST_LOST;
        a.exit_status = 0;
        a.term_signal = 9;
        a.outcome = TASK_FAILED;
        a.error = (char *) "e";
        a.error_type = (char *) "T";
        a.cpu_usec = 1, a.memory_peak = 2, a.io_read = 3, a.io_write = 4, a.oom_kills = 5, a.pids_peak = 6;
        assert_int_equal(store_attempt_end(f->store, &a), 0);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);
        _cleanup_str_ Str s = { 0 };
        assert_int_equal(store_attempt_list(f->store, seq, see_attempt, &s), 0);
        assert_string_equal(s.s, "1/1 b2 fedcba9876543210  5-9 host-lost exit=0 sig=9 failed err=e type=T 1 2 3 4 5 6;"
                                 "2/1 b2 fedcba9876543210 x.scope 5-0 - exit=-1 sig=0 started err=- type=- -1 -1 -1 -1 -1 -1;");
        assert_int_equal(store_attempt_remove(f->store, seq, 2), 0);
        str_reset(&s);
        assert_int_equal(store_attempt_list(f->store, seq, see_attempt, &s), 0);
        assert_null(strstr(s.s, "x.scope"));
}

static int see_queue(void *userdata, const QueueConfig *q) {
        str_printf(userdata, "%s %u %u/%u/%s %d %lu %lu %lu %lu;", q->name, q->max_concurrent, q->rate_numerator, q->rate_denominator,
                   q->rate_period ? rate_period_to_string(q->rate_period) : "-", q->paused, (unsigned long) q->memory_max,
                   (unsigned long) q->tasks_max, (unsigned long) q->cpu_quota_percent, (unsigned long) q->cpu_weight);
        return 0;
}

static int see_role(void *userdata, const char *name, char *const *queues, const Ulid *tag) {
        str_printf(userdata, "%s:%02x", name, tag->b[0]);
        for (; *queues; queues++)
                str_printf(userdata, ",%s", *queues);
        return str_append(userdata, ";");
}

static void queues_and_roles(void **state) {
        Fixture *f = *state;
        QueueConfig q = { .name = "b", .max_concurrent = 3, .rate_numerator = 5, .rate_denominator = 2, .rate_period = RATE_MINUTE, .paused = true,
                          .memory_max = UINT64_MAX, .tasks_max = 17, .cpu_quota_percent = 150, .cpu_weight = 0 };
        assert_int_equal(store_queue_put(f->store, &q), 0);
        queue_config_init(&q, "a");
        assert_int_equal(store_queue_put(f->store, &q), 0);
        q.max_concurrent = 0;
        assert_int_equal(store_queue_put(f->store, &q), 0);
        Ulid tag = { .b = { 0xab } };
        char *two[] = { (char *) "b", (char *) "a", NULL }, *none[] = { NULL };
        assert_int_equal(store_role_put(f->store, "r", two, &tag), 0);
        assert_int_equal(store_role_put(f->store, "empty", none, &tag), 0);
        assert_int_equal(store_start_add(f->store, "b", 1), 0);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);

        _cleanup_str_ Str s = { 0 };
        assert_int_equal(store_queue_list(f->store, see_queue, &s), 0);
        assert_string_equal(s.s, "a 0 0/1/- 0 18446744073709551615 18446744073709551615 0 0;"
                                 "b 3 5/2/minute 1 18446744073709551615 17 150 0;");
        str_reset(&s);
        assert_int_equal(store_role_list(f->store, see_role, &s), 0);
        assert_string_equal(s.s, "empty:ab;r:ab,a,b;");

        assert_int_equal(store_queue_remove(f->store, "b"), 0);
        assert_int_equal(store_queue_remove(f->store, "b"), -ENOENT);
        tag.b[0] = 1;
        char *one[] = { (char *) "a", NULL };
        assert_int_equal(store_role_put(f->store, "empty", one, &tag), 0);
        str_reset(&s);
        assert_int_equal(store_role_list(f->store, see_role, &s), 0);
        assert_string_equal(s.s, "empty:01,a;r:ab,a;");
        assert_int_equal(store_role_remove(f->store, "r"), 0);
        assert_int_equal(store_role_remove(f->store, "r"), -ENOENT);
        str_reset(&s);
        assert_int_equal(store_role_list(f->store, see_role, &s), 0);
        assert_string_equal(s.s, "empty:01,a;");
}

static int see_start(void *userdata, usec_t at) {
        return str_printf(userdata, "%d ", (int) at);
}

static void starts(void **state) {
        Fixture *f = *state;
        static const usec_t at[] = { 30, 10, 20, 20, 40 };
        for (size_t i = 0; i < ARRAY_SIZE(at); i++)
                assert_int_equal(store_start_add(f->store, "q", at[i]), 0);
        assert_int_equal(store_start_add(f->store, "other", 25), 0);
        _cleanup_str_ Str s = { 0 };
        assert_int_equal(store_start_list(f->store, "q", 20, see_start, &s), 0);
        assert_string_equal(s.s, "20 20 30 40 ");
        assert_int_equal(store_start_trim(f->store, "q", 30), 0);
        str_reset(&s);
        assert_int_equal(store_start_list(f->store, "q", 0, see_start, &s), 0);
        assert_string_equal(s.s, "30 40 ");
}

static void definitions(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *text = NULL;
        assert_int_equal(store_definition_put(f->store, UINT64_MAX, "one"), 0);
        assert_int_equal(store_definition_put(f->store, UINT64_MAX, "two"), 0);
        /* Shares the memo's place with the first. */
        assert_int_equal(store_definition_put(f->store, UINT64_MAX - 64, "three"), 0);
        assert_int_equal(store_definition_put(f->store, 0, "zero"), 0);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);
        assert_int_equal(store_definition_get(f->store, UINT64_MAX, &text), 0);
        assert_string_equal(text, "one");
        free(TAKE_PTR(text));
        assert_int_equal(store_definition_get(f->store, UINT64_MAX - 64, &text), 0);
        assert_string_equal(text, "three");
        free(TAKE_PTR(text));
        assert_int_equal(store_definition_get(f->store, 1, &text), -ENOENT);
        assert_int_equal(store_definition_get(f->store, 0, &text), 0);
        assert_string_equal(text, "zero");
}

static void count_gone(void *userdata, const Ulid *id) {
        assert_non_null(id);
        ++*(size_t *) userdata;
}

/* A row whose id is none goes when its time has come, like any other. */
static void retention_of_damaged_rows(void **state) {
        Fixture *f = *state;
        for (size_t i = 0; i < 3; i++)
                task_to(f->store, task_put(f->store, "q", "n", 0, 0), TASK_COMPLETED);
        assert_int_equal(store_commit(f->store), 0);
        fixture_damage(f, "UPDATE tasks SET id = x'00', stop_reason = 99 WHERE seq = (SELECT min(seq) FROM tasks)");
        size_t gone = 0;
        assert_int_equal(store_expire_final(f->store, UINT64_MAX / 2, 100, count_gone, &gone), 3);
        assert_int_equal(gone, 2);
        assert_int_equal(count_of(f->store, "q", _TASK_STATUS_MAX), 0);
}

static void retention(void **state) {
        Fixture *f = *state;
        int64_t seqs[10];
        for (size_t i = 0; i < 10; i++) {
                _cleanup_task_ Task t = task_make("q", "n", 0, (int64_t) i);
                if (i == 2) {   /* large parameters go with their task */
                        free(t.parameters);
                        t.parameters = calloc(1, 3000);
                        memset(t.parameters, ' ', 2999);
                }
                assert_int_equal(store_task_add(f->store, &t), 0);
                seqs[i] = t.seq;
                Attempt a = { .task_seq = t.seq, .attempt = 1, .outcome = TASK_STARTED };
                assert_int_equal(store_attempt_add(f->store, &a), 0);
                if (i == 9)
                        continue;       /* unfinished */
                t.status = i % 2 ? TASK_FAILED : TASK_COMPLETED;
                t.completed_at = 100 + i;
                t.dead_at = i % 2 ? 200 + i : 0;
                assert_int_equal(store_task_move(f->store, &t, TASK_SUBMITTED), 0);
        }
        size_t gone = 0;
        assert_int_equal(store_expire_final(f->store, 104, 1, count_gone, &gone), 1);
        assert_int_equal(store_expire_final(f->store, 104, 100, count_gone, &gone), 1);
        assert_int_equal(store_expire_final(f->store, 104, 100, count_gone, &gone), 0);
        assert_int_equal(gone, 2);
        assert_int_equal(store_expire_dead(f->store, 203, 100, count_gone, &gone), 1);
        assert_int_equal(gone, 3);
        static const bool there[] = { false, false, false, true, true, true, true, true, true, true };
        assert_int_equal(store_commit(f->store), 0);
        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < 10; i++) {
                        _cleanup_task_ Task t = { 0 };
                        assert_int_equal(store_task_get_seq(f->store, seqs[i], true, &t), there[i] ? 0 : -ENOENT);
                        _cleanup_str_ Str s = { 0 };
                        assert_int_equal(store_attempt_list(f->store, seqs[i], see_attempt, &s), 0);
                        assert_int_equal(s.len > 0, there[i]);
                }
                assert_int_equal(count_of(f->store, "q", _TASK_STATUS_MAX), 7);
                fixture_reopen(f);
        }
        assert_int_equal(store_expire_final(f->store, UINT64_MAX / 2, 100, NULL, NULL), 3);
        assert_int_equal(store_expire_dead(f->store, UINT64_MAX / 2, 100, NULL, NULL), 3);
        assert_int_equal(count_of(f->store, "q", _TASK_STATUS_MAX), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(task_round_trip), TEST(same_id_twice), TEST(new_tasks_wait_unseen), TEST(large_parameters), TEST(move_only_from), TEST(rollback_takes_all_back),
                TEST(close_rolls_back), TEST(numbers_never_twice), TEST(ready_in_order), TEST(lanes_count), TEST(empty_lanes_go), TEST(due_in_order),
                TEST(retries_follow_the_clock), TEST(started_ones), TEST(attempts), TEST(queues_and_roles), TEST(starts), TEST(definitions), TEST(retention),
                TEST(retention_of_damaged_rows),
        };
        return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
