/* life-apply.c: the one place where a task changes its state. The table (model/life.h) says what is possible and what follows; here that
 * is done: to the record, to the store, to the lanes and counts, and to the list of what goes out after the commit. */
#include "dispatch/internal.h"

#include "base/message-id.h"

static const char *const message_ids[_LIFE_EVENT_MAX] = {
        [LIFE_SUBMIT] = MESSAGE_TASK_SUBMITTED,
        [LIFE_SCHEDULE] = MESSAGE_TASK_SUBMITTED,
        [LIFE_DUE] = MESSAGE_TASK_SUBMITTED,
        [LIFE_LAUNCH] = MESSAGE_TASK_STARTED,
        [LIFE_DROP] = MESSAGE_TASK_DROPPED,
        [LIFE_NOT_STARTED] = MESSAGE_TASK_AGAIN,
        [LIFE_COMPLETE] = MESSAGE_TASK_COMPLETED,
        [LIFE_RETRY] = MESSAGE_TASK_RETRY,
        [LIFE_RETRY_LATER] = MESSAGE_TASK_RETRY,
        [LIFE_FAIL] = MESSAGE_TASK_FAILED,
        [LIFE_STALL] = MESSAGE_TASK_STALLED,
        [LIFE_REQUEUE] = MESSAGE_TASK_AGAIN,
        [LIFE_CANCEL] = MESSAGE_TASK_CANCELLED,
        [LIFE_CANCELLED] = MESSAGE_TASK_CANCELLED,
        [LIFE_RESUBMIT] = MESSAGE_TASK_RESUBMITTED,
};

usec_t task_now(const Task *t) {
        usec_t now = clock_wall();
        now = MAX(now, t->submitted_at);
        now = MAX(now, t->started_at);
        now = MAX(now, t->retried_at);
        now = MAX(now, t->heartbeat_at);
        return MAX(now, t->completed_at);
}

int task_note(Engine *e, const Task *t) {
        return engine_spoil(e, store_task_note(e->store, t));
}

static void life_log(const Task *t, TaskStatus from, LifeEvent event) {
        LogTask about = {
                .id = &t->id, .attempt = t->attempts, .name = t->name, .queue = t->queue, .message_id = message_ids[event],
        };
        if (t->status == from) {        /* it runs, and is asked to end */
                about.message_id = MESSAGE_TASK_CANCEL;
                log_task(&about, LOG_INFO, 0, "to be cancelled");
                return;
        }
        bool bad = t->status == TASK_FAILED || t->status == TASK_STALLED || t->status == TASK_DROPPED;
        const char *why = t->last_error && (bad || event == LIFE_RETRY || event == LIFE_RETRY_LATER || event == LIFE_REQUEUE)
                                  ? t->last_error : NULL;
        if (why && t->status == TASK_STALLED && strncmp(why, "stalled: ", 9) == 0)
                why += 9;               /* that it is, is said already */
        log_task(&about, bad ? LOG_WARNING : LOG_INFO, 0, "%s → %s%s%s",
                 from == TASK_UNSUBMITTED ? "new" : task_status_to_string(from), task_status_to_string(t->status), why ? ": " : "",
                 why ? why : "");
}

static int life_final(Engine *e, const Task *t) {
        FinalTask *f = malloc(sizeof *f);
        if (!f)
                return -ENOMEM;
        f->id = t->id;
        link_init(&f->link);
        list_append(&e->finals, &f->link);
        expire_note(e);

        CounterSeries *c = counters_get(&e->counters, t->queue, t->name, t->version);
        if (c) {
                counters_note(&e->counters, &c->processed[t->status]);
                if (t->completed_at > t->submitted_at)
                        counters_note_value(&e->counters, &c->latency, t->completed_at - t->submitted_at);
        }
        return 0;
}

/* The fields of the record that an arrow changes by itself. */
static void life_change(Task *t, Run *run, unsigned fx, usec_t now, usec_t due) {
        if (fx & LIFE_FX_SPEND_RETRY)
                t->retry_attempt++;
        if (fx & LIFE_FX_UNDO_START && run)
                run_undo_start(run);
        if (fx & LIFE_FX_SPAWN) {
                t->attempts++;
                if (t->started_at == 0)
                        t->started_at = now;
                else
                        t->retried_at = now;
                t->heartbeat_at = now;  /* a start counts as the first one */
                t->stop_reason = STOP_NONE;
                t->progress = -1;
                free(TAKE_PTR(t->status_text));
        }
        if (fx & LIFE_FX_FREE_SLOT)
                t->stop_reason = STOP_NONE;
        if (fx & LIFE_FX_TIMER)
                t->scheduled_at = due;
        if (fx & LIFE_FX_FINAL)
                t->completed_at = now;
        if (fx & LIFE_FX_BURY && run && run->definition && run->definition->dead_letter_save)
                t->dead_at = now;
        if (fx & LIFE_FX_UNBURY)
                t->dead_at = 0;
}

int life_apply(Engine *e, Task *t, Run *run, LifeEvent event, usec_t due) {
        const LifeArrow *arrow = life_arrow(t->status, event);
        if (!arrow)
                return -EPERM;

        TaskStatus from = t->status;
        unsigned fx = arrow->effects;
        Queue *q = queue_husk(e, t->queue);
        if (!q)
                return engine_spoil(e, -ENOMEM);

        if (fx & LIFE_FX_UNREADY)
                dispatch_unready(e, q, t);      /* by its old place */

        t->status = arrow->to;
        usec_t ended = run ? run->attempt.ended_at : 0;
        life_change(t, run, fx, MAX(task_now(t), ended), due);
        /* It will start again, and not before this, should the clock be set back meanwhile: task_now() goes by what the record holds. */
        if (ended && !(fx & LIFE_FX_FINAL))
                t->heartbeat_at = MAX(t->heartbeat_at, ended);
        if (event == LIFE_RESUBMIT && t->attempts > 0)
                t->heartbeat_at = MAX(t->heartbeat_at, t->completed_at);
        if (event == LIFE_RESUBMIT) {
                t->completed_at = 0;
                t->stop_reason = STOP_NONE;
                t->progress = -1;
                free(TAKE_PTR(t->status_text));
                free(TAKE_PTR(t->results));
        }
        if (fx & LIFE_FX_READY) {
                t->position = store_next_position(e->store);
                if (t->position < 0)
                        return engine_spoil(e, (int) t->position);
        }

        int r;
        if (from == TASK_UNSUBMITTED)
                r = store_task_add(e->store, t);
        else if (from == t->status)
                r = store_task_note(e->store, t);
        else
                r = store_task_move(e->store, t, from);
        if (r == -ENOSPC && !store_staged(e->store))
                return r;       /* nothing was staged: this one is refused, everything else goes on */
        if (r == -ESTALE) {
                LogTask about = { .id = &t->id, .attempt = t->attempts, .name = t->name, .queue = t->queue };
                log_task(&about, LOG_ERR, 0, "its state differs between memory and database (on event \"%s\"); exiting to reread the database",
                         life_event_to_string(event));
        }
        if (r < 0)
                return engine_spoil(e, r);

        if (fx & LIFE_FX_SPAWN && run) {
                run->attempt.task_seq = t->seq;
                run->attempt.attempt = t->attempts;
                run->attempt.retry_attempt = t->retry_attempt;
                run->attempt.started_at = t->retried_at ? t->retried_at : t->started_at;
                run->attempt.outcome = TASK_STARTED;
                r = store_attempt_add(e->store, &run->attempt);
                if (r < 0)
                        return engine_spoil(e, r);
                list_append(&e->launching, &run->link);
        }
        if (fx & (LIFE_FX_READY | LIFE_FX_READY_AGAIN))
                dispatch_ready(e, q, t);
        if (fx & LIFE_FX_TIMER)
                due_note(e, t->scheduled_at);
        if (fx & LIFE_FX_FREE_SLOT && run) {
                run_uncount(run);
                e->dirty = true;
        }
        if (fx & LIFE_FX_SIGNAL && run && !link_linked(&run->stop_link))
                list_append(&e->stopping, &run->stop_link);
        if (fx & LIFE_FX_FINAL) {
                r = life_final(e, t);
                if (r < 0)
                        return engine_spoil(e, r);
        }
        if (t->status != from || event == LIFE_CANCEL)
                life_log(t, from, event);
        return 0;
}
