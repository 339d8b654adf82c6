/* shutdown.c: the daemon's own end, by each attempt's OnShutdown= policy. `stop` and `resubmit` are asked to end now (what becomes of their
 * tasks is exit_fold's, by the committed reason). `continue` runs on in a scope, where the next daemon adopts it; as a subprocess it is
 * waited for, up to --shutdown-timeout=, and then treated as `stop`. */
#include "dispatch/internal.h"

/* After the last kill sequence is due to be over: for the outcomes to come in. */
#define LAST_WORDS_USEC (5 * USEC_PER_SEC)

static bool run_continues(const Run *run) {
        return run->definition && run->definition->on_shutdown == ON_SHUTDOWN_CONTINUE;
}

/* Attempts that are left to the next daemon. */
static bool run_stays(const Run *run) {
        return run_continues(run) && run->attempt.scope[0] != '\0' && run->task.stop_reason == STOP_NONE && run->state == RUN_ALIVE;
}

void engine_shutdown(Engine *e, void (*on_done)(void *userdata), void *userdata) {
        char span[CLOCK_STR_MAX];

        if (e->stopping_down) {
                if (!e->hurry)
                        log_notice("asked a second time to stop: no longer waiting for OnShutdown=continue attempts");
                e->hurry = true;
                engine_again(e);
                return;
        }
        e->stopping_down = true;
        e->on_down = on_done;
        e->on_down_data = userdata;
        e->shutdown_deadline = clock_boot() + e->settings->shutdown_timeout;
        e->shutdown_end = USEC_INFINITY;
        if (map_size(e->runs) > 0)
                log_notice("stopping; %zu %s running, waiting up to %s", map_size(e->runs), map_size(e->runs) == 1 ? "attempt is" : "attempts are",
                           clock_format_span(e->settings->shutdown_timeout, span));
        engine_again(e);
}

/* Stages the reason for all that are to stop now; called by every turn, so that it survives a full disk. */
int shutdown_run(Engine *e) {
        size_t cursor = 0;
        void *v;

        if (!e->stopping_down)
                return 0;
        usec_t now = clock_boot(), grace = 0;
        bool over = e->hurry || now >= e->shutdown_deadline;
        while (map_next(e->runs, &cursor, &v)) {
                Run *run = v;

                if (run->definition)
                        grace = MAX(grace, MIN(run->definition->kill_grace, 3600 * USEC_PER_SEC));
                if (run->state != RUN_ALIVE || run->task.stop_reason != STOP_NONE || run_stays(run))
                        continue;
                if (run_continues(run) && !over)
                        continue;
                int r = run_ask_stop(e, run, STOP_SHUTDOWN);
                if (r < 0)
                        return r;
        }
        if (over && e->shutdown_end == USEC_INFINITY)
                e->shutdown_end = now + grace + LAST_WORDS_USEC;
        return 0;
}

bool shutdown_over(Engine *e) {
        size_t cursor = 0, left = 0;
        void *v;

        if (!list_empty(&e->settled))
                return false;
        while (map_next(e->runs, &cursor, &v))
                left += !run_stays(v);
        if (left == 0)
                return true;
        if (e->shutdown_end == USEC_INFINITY || clock_boot() < e->shutdown_end)
                return false;
        log_warning("%zu attempts were told to stop and are still running; the next jobbersd will take them over or record how they ended", left);
        return true;
}

usec_t shutdown_wake(const Engine *e) {
        if (!e->stopping_down || !e->on_down)
                return USEC_INFINITY;
        return e->shutdown_end == USEC_INFINITY ? e->shutdown_deadline : e->shutdown_end;
}
