/* run.c: attempts of this daemon, from `started` to the commit of their outcome. What the launcher reports about an attempt is kept in its
 * Run and staged by the turn (run_settle_all), so that a full disk only means: the same again in a second. */
#include "dispatch/internal.h"

#include "base/message-id.h"

Run *run_find(Engine *e, const Ulid *id) {
        return map_get(e->runs, id->b, sizeof id->b);
}

static int run_map(Engine *e, Run *run) {
        int r = map_put(e->runs, run->task.id.b, sizeof run->task.id.b, run);
        run->mapped = r >= 0;
        return r;
}

static void run_unmap(Engine *e, Run *run) {
        if (run->mapped)
                map_remove(e->runs, run->task.id.b, sizeof run->task.id.b);
        run->mapped = false;
}

static void run_unrate(Run *run) {
        if (run->rated_at)
                rate_window_undo(&run->queue->window, run->rated_at);
        run->rated_at = 0;
}

void run_count(Run *run) {
        if (run->counted)
                return;
        run->counted = true;
        run->queue->running++;
        run->kind->running++;
        if (run->role)
                run->role->running++;
}

void run_uncount(Run *run) {
        if (!run->counted)
                return;
        run->counted = false;
        run->queue->running--;
        run->kind->running--;
        if (run->role)
                run->role->running--;
}

Run *run_new(Engine *e, Task *t, Queue *q, Role *role, Kind *kind, Definition *d) {
        Run *run = calloc(1, sizeof *run);
        if (!run)
                return NULL;
        link_init(&run->link);
        link_init(&run->stop_link);
        link_init(&run->note_link);
        run->task = *t;
        if (run_map(e, run) < 0) {
                free(run);
                return NULL;
        }
        *t = (Task) {};
        run->queue = q;
        run->role = role;
        run->kind = kind;
        run->definition = d ? definition_ref(d) : NULL;
        run->before_started = run->task.started_at;
        run->before_retried = run->task.retried_at;
        run->before_heartbeat = run->task.heartbeat_at;
        run->attempt.exit_status = -1;
        run->attempt.cpu_usec = run->attempt.memory_peak = run->attempt.io_read = run->attempt.io_write = -1;
        run->attempt.oom_kills = run->attempt.pids_peak = -1;
        snprintf(run->attempt.evidence, sizeof run->attempt.evidence, "%s", launch_evidence(e->launch));
        run_count(run);
        return run;
}

void run_undo_start(Run *run) {
        Task *t = &run->task;
        if (t->attempts > 0)
                t->attempts--;
        t->started_at = run->before_started;
        t->retried_at = run->before_retried;
        t->heartbeat_at = run->before_heartbeat;
}

void run_free(Engine *e, Run *run) {
        if (!run)
                return;
        run_uncount(run);
        run_unmap(e, run);
        link_remove(&run->link);
        link_remove(&run->stop_link);
        link_remove(&run->note_link);
        definition_unref(run->definition);
        attempt_done(&run->attempt);
        exit_record_done(&run->record);
        free(run->end_sentence);
        task_done(&run->task);
        free(run);
}

int run_ask_stop(Engine *e, Run *run, StopReason reason) {
        run->task.stop_reason = reason;
        int r = task_note(e, &run->task);
        if (r < 0)
                return r;
        if (!link_linked(&run->stop_link))
                list_append(&e->stopping, &run->stop_link);
        return 0;
}

/* ── what the launcher reports; only noted down here, the turn does the rest ── */

static void run_on_note(void *userdata, void *data, usec_t beat, const char *status, int progress) {
        Engine *e = userdata;
        Run *run = data;

        if (beat > run->task.heartbeat_at)
                run->task.heartbeat_at = beat;
        if (status) {
                char *copy = strdup(status);
                if (copy) {
                        free(run->task.status_text);
                        run->task.status_text = copy;
                }
        }
        if (progress >= 0)
                run->task.progress = progress;
        if (!link_linked(&run->note_link))
                list_append(&e->noted, &run->note_link);
}

static void run_on_stopping(void *userdata, void *data, StopReason reason) {
        Engine *e = userdata;
        Run *run = data;

        if (run->task.stop_reason != STOP_NONE)
                return;
        run->task.stop_reason = reason;
        run->noted_at = 0;
        if (!link_linked(&run->note_link))
                list_append(&e->noted, &run->note_link);
}

void run_ended(Engine *e, Run *run, LaunchEnd end, int error, const char *sentence, ExitRecord *record) {
        run->launch = NULL;
        run->state = RUN_ENDED;
        run->end = end;
        run->end_error = error;
        free(run->end_sentence);
        run->end_sentence = sentence ? strdup(sentence) : NULL;
        exit_record_done(&run->record);
        if (end == LAUNCH_END_RECORD && record) {
                run->record = *record;
                *record = (ExitRecord) { .exit_status = -1, .progress = -1 };
        }
        link_remove(&run->link);
        link_remove(&run->stop_link);
        link_remove(&run->note_link);
        list_append(&e->ended, &run->link);
}

static void run_on_ended(void *userdata, void *data, LaunchEnd end, int error, const char *sentence, ExitRecord *record) {
        run_ended(userdata, data, end, error, sentence, record);
}

static void run_on_adopted(void *userdata, void *data) {
        const Run *run = data;
        LogTask about = { .id = &run->task.id, .attempt = run->attempt.attempt, .name = run->task.name, .queue = run->task.queue,
                          .message_id = MESSAGE_ATTEMPT_ADOPTED };
        log_task(&about, LOG_INFO, 0, "still running, adopted");
}

static void run_on_ready(void *userdata) {
        Engine *e = userdata;
        e->dirty = e->sweep = true;
        queues_slices_all(e);
        engine_again(e);
}

static void run_on_reloaded(void *userdata) {
        Engine *e = userdata;
        LIST_FOREACH(l, &e->reload_waits) {
                link_remove(l);
                list_append(&e->waits, l);
        }
        engine_again(e);
}

static void run_on_launcher_dead(void *userdata) {
        Engine *e = userdata;
        log_error("the launcher has ended; jobbersd cannot go on without it");
        sd_event_exit(e->event, -ECHILD);
}

const LaunchCallbacks run_callbacks = {
        .on_adopted = run_on_adopted,
        .on_note = run_on_note,
        .on_stopping = run_on_stopping,
        .on_ended = run_on_ended,
        .on_ready = run_on_ready,
        .on_reloaded = run_on_reloaded,
        .on_launcher_dead = run_on_launcher_dead,
};

int run_flush_notes(Engine *e) {
        usec_t now = clock_boot();
        LIST_FOREACH(l, &e->noted) {
                Run *run = CONTAINER_OF(l, Run, note_link);
                if (run->noted_at != 0 && run->noted_at + NOTE_INTERVAL_USEC > now)
                        continue;
                link_remove(l);
                run->noted_at = now;
                int r = task_note(e, &run->task);
                if (r < 0)
                        return r;
        }
        return 0;
}

usec_t run_notes_wake(Engine *e) {
        usec_t wake = USEC_INFINITY;
        LIST_FOREACH(l, &e->noted)
                wake = MIN(wake, CONTAINER_OF(l, Run, note_link)->noted_at + NOTE_INTERVAL_USEC);
        return wake;
}

/* ── outcomes ── */

/* Reasons that pass: the host is short of something just now. */
static bool error_passes(int error) {
        switch (-abs(error)) {
        case -ESTALE: case -ENOMEM: case -EMFILE: case -ENFILE: case -EAGAIN: case -EBUSY: case -ENOSPC: case -EDQUOT: case -EINTR:
        case -ETIMEDOUT: case -ECONNRESET: case -EPIPE: case -ENOTCONN: case -ECONNREFUSED:
                return true;
        }
        return false;
}

/* The launch came to nothing: the lane waits a moment, so that a lasting refusal does not spin. */
static void run_hold_lane(Engine *e, Run *run) {
        usec_t until = clock_boot() + HOLD_USEC;
        LIST_FOREACH(l, &run->queue->lanes) {
                Lane *lane = CONTAINER_OF(l, Lane, link);
                if (lane->kind == run->kind)
                        lane->hold_until = until;
        }
        run_unrate(run);
        CounterSeries *c = counters_get(&e->counters, run->task.queue, run->task.name, run->task.version);
        if (c)
                counters_note(&e->counters, &c->not_started);
}

static int run_settle_not_started(Engine *e, Run *run) {
        bool cancelled = run->task.stop_reason == STOP_CANCELLED;
        unsigned attempt = run->task.attempts;
        int r;

        if (run->end == LAUNCH_END_REFUSED) {
                LogTask about = { .id = &run->task.id, .attempt = attempt, .name = run->task.name, .queue = run->task.queue };
                log_task(&about, LOG_NOTICE, 0, cancelled ? "could not be started, and was cancelled meanwhile: %s"
                                                    : "could not be started, will be tried again in a moment (no retry is spent): %s",
                         run->end_sentence ? run->end_sentence : strerror(abs(run->end_error)));
                counters_note(&e->counters, &e->counters.launches_refused);
        }
        if (cancelled)
                run_undo_start(run);    /* the other arrow does so by itself */
        r = life_apply(e, &run->task, run, cancelled ? LIFE_CANCELLED : LIFE_NOT_STARTED, 0);
        if (r < 0)
                return r;
        run_hold_lane(e, run);
        run->forget = run->restarts = true;
        return engine_spoil(e, store_attempt_remove(e->store, run->task.seq, attempt));
}

static void run_take_record(Run *run) {
        const ExitRecord *x = &run->record;
        Attempt *a = &run->attempt;

        if (run->end != LAUNCH_END_RECORD)
                return;
        if (x->started_at)
                a->started_at = MAX(a->started_at, x->started_at);
        a->exit_status = x->exit_status;
        a->term_signal = x->term_signal;
        a->cpu_usec = x->cpu_usec;
        a->memory_peak = x->memory_peak;
        a->io_read = x->io_read;
        a->io_write = x->io_write;
        a->oom_kills = x->oom_kills;
        a->pids_peak = x->pids_peak;
        run->task.heartbeat_at = MAX(run->task.heartbeat_at, x->heartbeat_at);
        if (x->progress >= 0)
                run->task.progress = x->progress;
        if (x->status_text) {
                char *copy = strdup(x->status_text);
                if (copy) {
                        free(run->task.status_text);
                        run->task.status_text = copy;
                }
        }
}

/* An end that the launcher knows the reason of, and that trying again would not change: the executable is missing, no such user. */
static int outcome_of_refusal(const Run *run, Outcome *ret) {
        *ret = (Outcome) {
                .event = run->task.stop_reason == STOP_CANCELLED ? LIFE_CANCELLED : LIFE_FAIL,
                .end_reason = run->task.stop_reason == STOP_CANCELLED ? END_CANCELLED : END_EXIT,
                .error = run->end_sentence ? strdup(run->end_sentence) : str_new("it cannot be started: %s", strerror(abs(run->end_error))),
        };
        return ret->error ? 0 : -ENOMEM;
}

static void run_counters(Engine *e, Run *run, LifeEvent event) {
        CounterSeries *c = counters_get(&e->counters, run->task.queue, run->task.name, run->task.version);
        if (!c)
                return;
        if (event == LIFE_RETRY || event == LIFE_RETRY_LATER)
                counters_note(&e->counters, &c->retried);
        if (run->task.dead_at && task_status_is_final(run->task.status))
                counters_note(&e->counters, &c->dead_lettered);
        if (run->attempt.ended_at >= run->attempt.started_at)
                counters_note_value(&e->counters, &c->execution, run->attempt.ended_at - run->attempt.started_at);
}

static LogTask run_about(const Run *run) {
        return (LogTask) { .id = &run->task.id, .attempt = run->attempt.attempt, .name = run->task.name, .queue = run->task.queue };
}

static int run_settle(Engine *e, Run *run) {
        _cleanup_outcome_ Outcome o = {};
        int r;

        if (run->end == LAUNCH_END_NOT_STARTED || (run->end == LAUNCH_END_REFUSED && error_passes(run->end_error))) {
                /* the launcher reads other definitions than we did; not more often than once a second */
                if (abs(run->end_error) == ESTALE && clock_boot() >= e->reloaded_at + HOLD_USEC)
                        (void) engine_reload(e);
                return run_settle_not_started(e, run);
        }

        if (run->end == LAUNCH_END_REFUSED)
                r = outcome_of_refusal(run, &o);
        else
                r = exit_fold(run->end == LAUNCH_END_RECORD ? &run->record : NULL,
                              run->end_sentence ? run->end_sentence : "its supervisor is gone and left no exit record", run->definition,
                              run->task.stop_reason, run->task.retry_attempt, e->settings->max_result, engine_random(), &o);
        if (r < 0)
                return engine_spoil(e, r);

        run_take_record(run);
        usec_t ended = run->end == LAUNCH_END_RECORD && run->record.ended_at ? run->record.ended_at : clock_wall();
        run->attempt.ended_at = MAX(ended, run->attempt.started_at);
        run->attempt.end_reason = o.end_reason;

        if (o.error) {
                free(run->task.last_error);
                run->task.last_error = strdup(o.error);
        }
        if (o.event == LIFE_COMPLETE) {
                free(run->task.results);
                run->task.results = TAKE_PTR(o.results);
        }
        r = life_apply(e, &run->task, run, o.event, o.event == LIFE_RETRY_LATER ? due_wall(e, clock_boot()) + o.delay : 0);
        if (r == -EPERM) {
                LogTask about = run_about(run);
                log_task(&about, LOG_ERR, 0, "internal error: a task in state %s cannot take event \"%s\"; its state is left unchanged",
                         task_status_to_string(run->task.status), life_event_to_string(o.event));
                return 0;
        }
        if (r < 0)
                return r;

        run->attempt.outcome = run->task.status;
        free(run->attempt.error);
        free(run->attempt.error_type);
        run->attempt.error = TAKE_PTR(o.error);
        run->attempt.error_type = TAKE_PTR(o.error_type);
        r = store_attempt_end(e->store, &run->attempt);
        if (r < 0)
                return engine_spoil(e, r);
        run_counters(e, run, o.event);
        run->forget = true;
        return 0;
}

int run_settle_all(Engine *e) {
        LIST_FOREACH(l, &e->ended) {
                Run *run = CONTAINER_OF(l, Run, link);
                int r = run_settle(e, run);
                if (r < 0)
                        return r;
                run->state = RUN_SETTLED;
                link_remove(l);
                list_append(&e->settled, l);
                run_unmap(e, run);      /* its task may start again in this very turn */
        }
        return 0;
}

/* ── launches ── */

static int run_start(Engine *e, Run *run, bool committed) {
        LaunchStart start = {
                .committed = committed,
                .task_id = &run->task.id,
                .attempt = run->task.attempts,
                .retry_attempt = run->task.retry_attempt,
                .queue = run->task.queue,
                .definition = run->definition,
                .parameters = run->task.parameters ? run->task.parameters : "{}",
        };
        int r = launch_start(e->launch, &start, run, &run->launch);
        if (r >= 0)
                free(TAKE_PTR(run->task.parameters));
        return r;
}

/* Before the commit. On an idle host the disk is what a task waits for, and its supervisor comes up meanwhile; on a busy one a supervisor that
 * finds its gate open spares the CPU another wake-up. */
void run_prepare_launches(Engine *e) {
        size_t n = 0;
        LIST_FOREACH(l, &e->launching)
                n++;
        if (n < map_size(e->runs))
                return;
        LIST_FOREACH(l, &e->launching)
                (void) run_start(e, CONTAINER_OF(l, Run, link), false); /* what fails is tried once more after the commit */
}

/* ── after the commit ── */

void run_effects_launch(Engine *e) {
        LIST_FOREACH(l, &e->launching) {
                Run *run = CONTAINER_OF(l, Run, link);
                link_remove(l);
                CounterSeries *c = counters_get(&e->counters, run->task.queue, run->task.name, run->task.version);
                if (c) {
                        c->selected++;
                        if (run->task.attempts == 1)
                                histogram_add(&c->waiting, run->waited);
                }
                run->state = RUN_ALIVE;
                if (run->launch) {
                        launch_go(run->launch);
                        continue;
                }
                int r = run_start(e, run, true);
                if (r < 0) {
                        run_ended(e, run, LAUNCH_END_REFUSED, -EAGAIN, strerror(-r), NULL);
                        e->hold_until = clock_boot() + HOLD_USEC;
                }
        }
        launch_forget_the_rest(e->launch);
}

void run_effects_stop(Engine *e) {
        LIST_FOREACH(l, &e->stopping) {
                Run *run = CONTAINER_OF(l, Run, stop_link);
                link_remove(l);
                if (run->state != RUN_ALIVE || !run->launch)
                        continue;
                int r = launch_stop(run->launch, run->task.stop_reason);
                if (r < 0) {
                        LogTask about = run_about(run);
                        log_task(&about, LOG_WARNING, r, "cannot ask the attempt to stop");
                }
        }
}

void run_effects_settled(Engine *e) {
        LIST_FOREACH(l, &e->settled) {
                Run *run = CONTAINER_OF(l, Run, link);
                if (run->forget) {
                        int r = launch_forget(e->launch, &run->task.id, run->attempt.attempt, run->restarts);
                        if (r < 0 && r != -ENOENT) {
                                LogTask about = run_about(run);
                                log_task(&about, LOG_WARNING, r, "cannot have the attempt's exit record removed");
                        }
                }
                run_free(e, run);
        }
}

/* ── after a rollback ── */

int run_rollback(Engine *e) {
        LIST_FOREACH(l, &e->launching) {
                Run *run = CONTAINER_OF(l, Run, link);
                run_unrate(run);
                if (run->launch)
                        run->launch = launch_abandon(run->launch);
                run_free(e, run);
        }
        LIST_FOREACH(l, &e->settled) {
                Run *run = CONTAINER_OF(l, Run, link);
                run->state = RUN_ENDED;
                run->forget = run->restarts = false;
                link_remove(l);
                list_append(&e->ended, l);
                int r = run_map(e, run);
                if (r < 0)
                        return r;
        }
        LIST_FOREACH(l, &e->stopping)
                link_remove(l);

        size_t cursor = 0;
        void *v;
        while (map_next(e->runs, &cursor, &v)) {
                Run *run = v;
                _cleanup_task_ Task t = {};
                int r = store_task_get(e->store, &run->task.id, false, &t);
                if (r < 0)
                        return r;
                if (t.status != TASK_STARTED)
                        return -ESTALE;
                /* the id is the key of the map: its bytes stay where they are */
                t.heartbeat_at = MAX(t.heartbeat_at, run->task.heartbeat_at);
                Task old = run->task;
                run->task = t;
                t = old;
                run_count(run);
        }
        return 0;
}
