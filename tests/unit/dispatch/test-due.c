/* Times: what a client asked for follows the wall clock, delays follow a clock that nobody can set. */
#include <sys/timerfd.h>

#include "fixture.h"

#define MINUTE (60 * USEC_PER_SEC)

static void run_at(void **state) {
        Fixture *f = *state;
        Ulid id, past;
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + 60 * MINUTE }, &id), 0);
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = 1000 }, &past), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        assert_int_equal(status_of(f, &past), TASK_STARTED);
        clock_shift(61 * MINUTE, 0);            /* a forward step of the wall clock alone */
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static Ulid failed_once(Fixture *f) {
        Ulid id = submit(f, "later", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &id, 75);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        return id;
}

static void retry_delay_passes(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(59 * USEC_PER_SEC, 59 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static void forward_step(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(600 * MINUTE, 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static void backward_step(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(-600 * (int64_t) MINUTE, 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(-600 * (int64_t) MINUTE + 61 * (int64_t) USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
        _cleanup_task_ Task t = {};
        finish(f, &id, 0);
        task_of(f, &id, &t);
        assert_true(t.retried_at >= t.started_at && t.completed_at >= t.retried_at);
}

static void step_while_down(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        engine_stop(f);
        clock_shift(600 * MINUTE, 0);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

/* The step is taken back with its turn when the disk is full, and made again with the next one. */
static void step_rolled_back(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(600 * MINUTE, 0);
        (void) engine_spoil(f->engine, -ENOSPC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

/* A daemon that is killed right after the commit of a step has not lost what it was: the next one does not make it again. */
static void step_made_once(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(600 * MINUTE, 0);
        assert_int_equal(run(f), 0);
        _cleanup_close_ int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void) unlinkat(dir, "boot-clock", 0);          /* no file beside the database decides about it */
        engine_stop(f);
        engine_start(f, true);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(600 * MINUTE + 61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

/* The timer that tells of a step never expires by itself, not in 2038 either. */
static void watch_never_expires(void **state) {
        Fixture *f = *state;
        struct itimerspec left;
        assert_int_equal(timerfd_gettime(f->engine->clock_fd, &left), 0);
        assert_true(sizeof(time_t) == 4 || left.it_value.tv_sec > 100LL * 365 * 24 * 3600);
}

/* Where a shifted clock is behind, the timer of the loop, which goes by the real one, is always due, and rest never comes. */
static void some_turns(Fixture *f) {
        for (int i = 0; i < 8; i++) {
                (void) launcher_read(f);
                for (unsigned k = 0; k < 64 && sd_event_run(f->event, 0) > 0; k++)
                        ;
                assert_int_equal(engine_turn(f->engine), 0);
        }
}

/* The end of an attempt and a step of the clock in one turn: the delay begins with the end, whatever the clock says. */
static void step_beside_an_end(Fixture *f, int64_t step) {
        ExitRecord failed = exited(75);
        Ulid id = submit(f, "later", NULL);
        assert_int_equal(run(f), 0);
        attempt_finish(f, seen_of(f, &id), &failed);
        clock_shift(step, 0);
        some_turns(f);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(step + 59 * (int64_t) USEC_PER_SEC, 59 * USEC_PER_SEC);
        some_turns(f);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(step + 61 * (int64_t) USEC_PER_SEC, 61 * USEC_PER_SEC);
        some_turns(f);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

static void forward_step_beside_an_end(void **state) {
        step_beside_an_end(*state, 30 * MINUTE);
}

static void backward_step_beside_an_end(void **state) {
        step_beside_an_end(*state, -30 * (int64_t) MINUTE);
}

/* A daemon that starts after a boot of the host. */
static void boot(Fixture *f) {
        assert_int_equal(damage(f, "UPDATE meta SET value = '00000000000000000000000000000000 5' WHERE name = 'clock'"), 1);
}

/* A host without a battery begins years back, and corrects its clock a moment later: the retry is not years away. */
static void wrong_clock_at_boot(void **state) {
        Fixture *f = *state;
        int64_t years = -2 * 365 * 24 * 60 * (int64_t) MINUTE;
        Ulid id = failed_once(f);
        clock_shift(years, 0);
        boot(f);
        some_turns(f);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(0, 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(62 * USEC_PER_SEC, 62 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

/* After an ordinary boot the time that the host was off counts. */
static void right_clock_at_boot(void **state) {
        Fixture *f = *state;
        Ulid id = failed_once(f);
        clock_shift(40 * USEC_PER_SEC, 40 * USEC_PER_SEC);
        boot(f);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(62 * USEC_PER_SEC, 62 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_STARTED);
}

/* One start an hour is one start an hour, also when the clock is set and the daemon started anew. */
static void rates_follow_the_clock(void **state) {
        Fixture *f = *state;
        QueueConfig q;
        Ulid ids[2];
        queue_config_init(&q, "default");
        q.rate_numerator = q.rate_denominator = 1;
        q.rate_period = RATE_HOUR;
        assert_int_equal(engine_queue_put(f->engine, &q, NULL), 0);
        for (size_t i = 0; i < 2; i++)
                ids[i] = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &ids[0], 0);
        for (int i = 0; i < 2; i++) {           /* set while no daemon runs, and while one runs */
                if (i == 0)
                        engine_stop(f);
                clock_shift((i + 1) * 120 * MINUTE, 0);
                if (i == 1) {
                        assert_int_equal(run(f), 0);
                        engine_stop(f);
                }
                engine_start(f, true);
                assert_int_equal(run(f), 0);
                assert_int_equal(status_of(f, &ids[1]), TASK_SUBMITTED);
        }
        clock_shift(301 * MINUTE, 61 * MINUTE);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &ids[1]), TASK_STARTED);
}

/* A due row that cannot be read stays where it is; it stops nobody, and is not looked at all the time. */
static void unreadable(void **state) {
        Fixture *f = *state;
        Ulid bad, good;
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + MINUTE }, &bad), 0);
        assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + 2 * MINUTE }, &good), 0);
        assert_int_equal(run(f), 0);
        assert_int_equal(damage(f, "UPDATE tasks SET id = x'00' WHERE seq = (SELECT min(seq) FROM tasks)"), 1);
        assert_int_equal(run(f), 0);
        clock_shift(90 * (int64_t) USEC_PER_SEC, 90 * (int64_t) USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(f->engine->due_unreadable, 1);
        assert_true(f->engine->next_due > clock_wall());
        clock_shift(121 * (int64_t) USEC_PER_SEC, 121 * (int64_t) USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &good), TASK_STARTED);
        assert_int_equal(f->engine->next_due, USEC_INFINITY);
}

static void many_at_once(void **state) {
        Fixture *f = *state;
        for (unsigned i = 0; i < 1500; i++)
                assert_int_equal(submit_full(f, &(Submission) { .name = "many", .version = 1, .run_at = clock_wall() + MINUTE }, NULL), 0);
        assert_int_equal(run(f), 0);
        clock_shift(2 * MINUTE, 2 * MINUTE);
        assert_int_equal(run(f), 0);
        TaskFilter filter = { .version = -1, .status = TASK_SCHEDULED, .limit = 1 };
        int64_t n = -1;
        assert_int_equal(store_task_count(f->store, &filter, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(f->n_seen, 4);
}

static int last_end(void *userdata, const Attempt *a) {
        *(usec_t *) userdata = a->ended_at;
        return 0;
}

/* The last attempt ended while the clock was an hour ahead; the end of it is what this returns. */
static usec_t finish_ahead(Fixture *f, const Ulid *id, int status) {
        ExitRecord r = exited(status);
        _cleanup_task_ Task t = {};
        usec_t ended = 0;
        r.ended_at = clock_wall() + 60 * MINUTE;
        attempt_finish(f, seen_of(f, id), &r);
        assert_int_equal(run(f), 0);
        task_of(f, id, &t);
        assert_int_equal(store_attempt_list(f->store, t.seq, last_end, &ended), 0);
        assert_true(ended == r.ended_at);
        return ended;
}

static void times_do_not_go_back(void **state) {
        Fixture *f = *state;
        Ulid id = submit(f, "later", NULL);
        assert_int_equal(run(f), 0);
        usec_t ended = finish_ahead(f, &id, 75);
        assert_int_equal(status_of(f, &id), TASK_SCHEDULED);
        clock_shift(61 * USEC_PER_SEC, 61 * USEC_PER_SEC);
        assert_int_equal(run(f), 0);
        _cleanup_task_ Task again = {};
        task_of(f, &id, &again);
        assert_int_equal(again.status, TASK_STARTED);
        assert_true(again.retried_at >= ended && again.heartbeat_at >= ended);

        clock_shift(121 * MINUTE, 61 * USEC_PER_SEC);
        ended = finish_ahead(f, &id, 0);
        _cleanup_task_ Task over = {};
        task_of(f, &id, &over);
        assert_int_equal(over.status, TASK_COMPLETED);
        assert_true(over.completed_at >= ended);

        _cleanup_task_ Task copy = {}, third = {};
        const char *sentence = NULL;
        assert_int_equal(engine_resubmit(f->engine, &id, true, &copy, &sentence), 0);
        assert_int_equal(run(f), 0);
        task_of(f, &id, &third);
        assert_int_equal(third.status, TASK_STARTED);
        assert_true(third.retried_at >= ended);
}

static void expiry(void **state) {
        Fixture *f = *state;
        _cleanup_task_ Task t = {};
        f->settings.completed_task_age = 10 * MINUTE;
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &id, 0);
        clock_shift(5 * MINUTE, 5 * MINUTE);
        assert_int_equal(run(f), 0);
        assert_int_equal(status_of(f, &id), TASK_COMPLETED);
        clock_shift(20 * MINUTE, 20 * MINUTE);
        assert_int_equal(run(f), 0);
        assert_int_equal(store_task_get(f->store, &id, false, &t), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(run_at), TEST(retry_delay_passes), TEST(forward_step), TEST(backward_step), TEST(step_while_down), TEST(step_rolled_back),
                TEST(step_made_once), TEST(forward_step_beside_an_end), TEST(backward_step_beside_an_end),
                TEST(wrong_clock_at_boot), TEST(right_clock_at_boot), TEST(rates_follow_the_clock),
                TEST(watch_never_expires), TEST(unreadable), TEST(many_at_once),
                TEST(times_do_not_go_back), TEST(expiry),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
