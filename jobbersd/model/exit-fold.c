/* exit-fold.c: all facts about an attempt's end become one event of the life table (SPEC 2, 3). What was committed first counts first: a
 * cancel beats everything; other stops are what the record says they came to, since a task may have ended by itself in the last moment. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/exit.h"
#include "model/result.h"
#include "model/retry-on.h"

void outcome_done(Outcome *o) {
        free(o->error);
        free(o->error_type);
        free(o->results);
        *o = (Outcome) {};
}

/* What the fold goes by. */
typedef struct Facts {
        const ExitRecord *record;       /* NULL: lost */
        const Definition *definition;   /* NULL: its text was lost */
        unsigned retry_attempt;
        uint64_t max_result, random;
} Facts;

static int error_set(Outcome *o, char *sentence) {
        free(o->error);
        o->error = sentence;
        return sentence ? 0 : -ENOMEM;
}

static char *timeout_sentence(const ExitRecord *r, const Definition *d) {
        char span[CLOCK_STR_MAX], more[CLOCK_STR_MAX];
        if (!d || d->timeout == USEC_INFINITY)
                return strdup("timed out");
        clock_format_span(d->timeout, span);
        if (r->allowed <= d->timeout)
                return str_new("timed out after %s", span);
        return str_new("timed out after %s (TimeoutSec=%s and the time it had asked for)", clock_format_span(r->allowed, more), span);
}

/* The limit is the scope's, in which the supervisor is as well, and memory is given in batches. */
#define OOM_MARGIN (4U << 20)

/* What became of a failure, where only we have words for it. */
static char *default_sentence(const Facts *f, EndReason reason) {
        const ExitRecord *r = f->record;
        const Definition *d = f->definition;
        char span[CLOCK_STR_MAX];

        switch (reason) {
        case END_TIMEOUT:
                return timeout_sentence(r, d);
        case END_STALLED:
                return d && d->max_heartbeat_interval != USEC_INFINITY
                               ? str_new("stalled: no heartbeat for %s", clock_format_span(d->max_heartbeat_interval, span))
                               : strdup("stalled: no heartbeat");
        case END_OOM:
                if (d && d->memory_max != UINT64_MAX && r->memory_peak >= 0 && (uint64_t) r->memory_peak + MAX(d->memory_max / 8, OOM_MARGIN) < d->memory_max)
                        return strdup("out of memory: killed by the kernel below its own MemoryMax=, so its queue or the host had none left");
                if (d && d->memory_max != UINT64_MAX)
                        return str_new("out of memory: it needed more than MemoryMax=, which is %.4g MiB", (double) d->memory_max / (1024 * 1024));
                return strdup("out of memory: killed by the kernel");
        case END_CANCELLED:
                return strdup("cancelled");
        case END_SHUTDOWN:
                return strdup("stopped because the daemon was stopped");
        default:
                break;
        }
        if (r->term_signal > 0)
                return str_new("killed by %s", signal_name(r->term_signal));
        if (r->exit_status < 0)
                return strdup("it could not be started");
        const char *name = exit_status_name(r->exit_status);
        return name ? str_new("exit status %d (%s)", r->exit_status, name) : str_new("exit status %d", r->exit_status);
}

/* The supervisor's own sentence where it has one ("cannot run …"); but what it says about the result of an attempt that was stopped is
 * beside the point. */
static int error_default(const Facts *f, Outcome *o, EndReason reason) {
        bool own = f->record->error && (reason == END_EXIT || reason == END_SIGNAL);
        return error_set(o, own ? strdup(f->record->error) : default_sentence(f, reason));
}

static bool failure_expected(const Facts *f, const Outcome *o) {
        const RetryOn *on = f->definition ? &f->definition->retry_on : NULL;

        if (!on)
                return false;
        if (o->end_reason == END_TIMEOUT || retry_on_has_type(on, o->error_type))
                return true;
        if (o->end_reason == END_OOM && on->oom)
                return true;
        /* Out of memory too: it may have lost one process of many, and known what to say of it ("try again later"). */
        if (f->record->term_signal > 0)
                return retry_on_has_signal(on, f->record->term_signal);
        return retry_on_has_status(on, f->record->exit_status);
}

static int fold_failure(const Facts *f, Outcome *o) {
        const Definition *d = f->definition;
        _cleanup_free_ char *message = NULL;

        int r = result_read_error(f->record->result, f->record->result_len, f->max_result, &o->error_type, &message);
        if (r < 0)
                return r;
        bool expected = failure_expected(f, o);
        bool again = expected && f->retry_attempt < d->max_retries;

        o->event = !again ? LIFE_FAIL : d->retry_delay == USEC_INFINITY ? LIFE_RETRY : LIFE_RETRY_LATER;
        if (o->event == LIFE_RETRY_LATER)
                o->delay = retry_delay(d->backoff, d->retry_delay, d->max_retry_delay, f->retry_attempt + 1, f->random);
        if (message)
                return error_set(o, TAKE_PTR(message));
        r = error_default(f, o, o->end_reason);
        if (r >= 0 && expected && !again && d->max_retries > 0 && !f->record->error) {
                char *longer = d->max_retries == 1 ? str_new("%s, and its one retry is used up", o->error)
                                                   : str_new("%s, and its %u retries are used up", o->error, d->max_retries);
                return error_set(o, longer);
        }
        return r;
}

static int fold_success(const Facts *f, Outcome *o) {
        const ExitRecord *record = f->record;
        char *sentence = NULL;

        o->event = LIFE_FAIL;
        /* It could not be taken: too large, not a file, not the task's. */
        if (record->error)
                return error_set(o, strdup(record->error));
        int r = result_read(record->result, record->result_len, f->max_result, &o->results, &sentence);
        if (r == -EINVAL)
                return error_set(o, sentence);
        if (r >= 0)
                o->event = LIFE_COMPLETE;
        return r;
}

/* The daemon's own stop, and hosts that went down: as the definition wants it; no attempt that ended so can `continue`. */
static LifeEvent policy_event(const Definition *d) {
        return d && d->on_shutdown == ON_SHUTDOWN_RESUBMIT ? LIFE_REQUEUE : LIFE_STALL;
}

/* Nobody will ever know how it ended. What had been decided about it before still holds. */
static int fold_lost(const Facts *f, const char *lost_why, StopReason stop, Outcome *o) {
        const Definition *d = f->definition;

        o->end_reason = END_HOST_LOST;
        o->event = stop == STOP_CANCELLED ? LIFE_CANCELLED : stop == STOP_STALLED ? LIFE_STALL : policy_event(d);
        return error_set(o, strdup(lost_why ?: "its supervisor is gone and left no exit record"));
}

static int fold_record(const Facts *f, StopReason stop, Outcome *o) {
        const ExitRecord *record = f->record;

        o->end_reason = record->end_reason;
        if (stop == STOP_CANCELLED || record->end_reason == END_CANCELLED) {
                o->event = LIFE_CANCELLED;
                return error_default(f, o, END_CANCELLED);
        }
        switch (record->end_reason) {
        case END_SHUTDOWN:
                o->event = policy_event(f->definition);
                return error_default(f, o, END_SHUTDOWN);
        case END_STALLED:
                o->event = LIFE_STALL;
                return error_default(f, o, END_STALLED);
        case END_EXIT:
                return record->exit_status == 0 ? fold_success(f, o) : fold_failure(f, o);
        case END_SIGNAL:
        case END_OOM:
        case END_TIMEOUT:
                return fold_failure(f, o);
        default:
                return fold_lost(f, record->error, stop, o);
        }
}

int exit_fold(const ExitRecord *record, const char *lost_why, const Definition *definition, StopReason stop, unsigned retry_attempt,
              uint64_t max_result, uint64_t random, Outcome *ret) {
        const Facts f = { .record = record, .definition = definition, .retry_attempt = retry_attempt, .max_result = max_result, .random = random };
        _cleanup_outcome_ Outcome o = {};

        int r = record ? fold_record(&f, stop, &o) : fold_lost(&f, lost_why, stop, &o);
        if (r < 0)
                return r;
        *ret = o;
        o = (Outcome) {};
        return 0;
}
