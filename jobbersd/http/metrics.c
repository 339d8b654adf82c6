/* metrics.c: /metrics in Prometheus' text format. The first block has the names of the system that jobbers descends from, as far as
 * Prometheus' conventions let them be (seconds, _total); what is ours is called jobbers_*. */
#include "dispatch/counters.h"
#include "http/api.h"
#include "http/json-text.h"

static void put_family(Str *b, const char *name, const char *type, const char *help) {
        (void) str_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Names of tasks and queues are plain (SPEC 3): no escaping. */
static void put_labels(Str *b, const CounterSeries *c) {
        (void) str_printf(b, "queue=\"%s\",task=\"%s\",version=\"%u\"", c->queue, c->name, c->version);
}

typedef struct Counter {
        const char *name, *help;
        size_t offset;
} Counter;

static const Counter COUNTERS[] = {
        { "tasks_submitted_total", "Submissions taken, resubmissions included", offsetof(CounterSeries, submitted) },
        { "tasks_selected_total", "Starts of tasks", offsetof(CounterSeries, selected) },
        { "tasks_retried_total", "Attempts that led to a retry", offsetof(CounterSeries, retried) },
        { "tasks_dead_lettered_total", "Tasks that entered the dead letter queue", offsetof(CounterSeries, dead_lettered) },
        { "cancellations_requested_total", "Requests to cancel a task", offsetof(CounterSeries, cancel_requests) },
};

static void put_counter(Str *b, const EngineCounters *all, const Counter *f) {
        const CounterSeries *c;

        put_family(b, f->name, "counter", f->help);
        for (size_t cursor = 0; (c = counters_next(all, &cursor));) {
                (void) str_printf(b, "%s{", f->name);
                put_labels(b, c);
                (void) str_printf(b, "} %llu\n", (unsigned long long) *(const uint64_t *) ((const char *) c + f->offset));
        }
}

static void put_processed(Str *b, const EngineCounters *all) {
        const CounterSeries *c;

        put_family(b, "tasks_processed_total", "counter", "Tasks that became final, by what they became");
        for (size_t cursor = 0; (c = counters_next(all, &cursor));)
                for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++) {
                        if (!task_status_is_final(s) || (c->processed[s] == 0 && s != TASK_COMPLETED))
                                continue;
                        (void) str_append(b, "tasks_processed_total{");
                        put_labels(b, c);
                        (void) str_printf(b, ",status=\"%s\"} %llu\n", task_status_to_string(s), (unsigned long long) c->processed[s]);
                }
}

/* `series` labels the lines; NULL for a histogram that stands alone. */
static void put_histogram(Str *b, const char *name, const Histogram *h, const CounterSeries *series) {
        _cleanup_str_ Str labels = {};
        uint64_t sum = 0;

        if (series)
                put_labels(&labels, series);
        const char *l = labels.s ? labels.s : "", *comma = series ? "," : "";
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
                sum += h->buckets[i];
                (void) str_printf(b, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, l, comma, (double) histogram_bounds[i] / USEC_PER_SEC,
                                  (unsigned long long) sum);
        }
        (void) str_printf(b, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, l, comma, (unsigned long long) h->count);
        (void) str_printf(b, "%s_sum%s%s%s %llu.%06llu\n", name, series ? "{" : "", l, series ? "}" : "",
                          (unsigned long long) (h->sum_usec / USEC_PER_SEC), (unsigned long long) (h->sum_usec % USEC_PER_SEC));
        (void) str_printf(b, "%s_count%s%s%s %llu\n", name, series ? "{" : "", l, series ? "}" : "", (unsigned long long) h->count);
}

static const Counter HISTOGRAMS[] = {
        { "task_execution_time_seconds", "How long attempts ran", offsetof(CounterSeries, execution) },
        { "task_end_to_end_latency_seconds", "From submission to the final state", offsetof(CounterSeries, latency) },
        { "time_in_queue_seconds", "From being ready to the first start", offsetof(CounterSeries, waiting) },
};

static void put_histograms(Str *b, const EngineCounters *all, const Counter *f) {
        const CounterSeries *c;

        put_family(b, f->name, "histogram", f->help);
        for (size_t cursor = 0; (c = counters_next(all, &cursor));)
                put_histogram(b, f->name, (const Histogram *) ((const char *) c + f->offset), c);
}

static void put_queues(Request *r, Str *b) {
        size_t n = engine_queue_count(r->engine);
        QueueStatus q;

        put_family(b, "jobbers_queue_waiting_tasks", "gauge", "Tasks that wait for their turn");
        for (size_t i = 0; i < n; i++) {
                engine_queue_at(r->engine, i, &q);
                (void) str_printf(b, "jobbers_queue_waiting_tasks{queue=\"%s\"} %lld\n", q.config->name, (long long) q.waiting);
        }
        put_family(b, "jobbers_queue_running_tasks", "gauge", "Tasks that run");
        for (size_t i = 0; i < n; i++) {
                engine_queue_at(r->engine, i, &q);
                (void) str_printf(b, "jobbers_queue_running_tasks{queue=\"%s\"} %u\n", q.config->name, q.running);
        }
        put_family(b, "jobbers_queue_paused", "gauge", "1 while a queue is paused");
        for (size_t i = 0; i < n; i++) {
                engine_queue_at(r->engine, i, &q);
                (void) str_printf(b, "jobbers_queue_paused{queue=\"%s\"} %d\n", q.config->name, q.config->paused);
        }
}

static void put_roles(Request *r, Str *b) {
        size_t n = engine_role_count(r->engine);
        RoleStatus role;

        put_family(b, "jobbers_slots", "gauge", "Tasks that may run at once for a role");
        for (size_t i = 0; i < n; i++) {
                engine_role_at(r->engine, i, &role);
                if (role.served)
                        (void) str_printf(b, "jobbers_slots{role=\"%s\"} %u\n", role.name, role.slots);
        }
        put_family(b, "jobbers_slots_used", "gauge", "Tasks that run for a role");
        for (size_t i = 0; i < n; i++) {
                engine_role_at(r->engine, i, &role);
                if (role.served)
                        (void) str_printf(b, "jobbers_slots_used{role=\"%s\"} %u\n", role.name, role.running);
        }
}

static void put_one(Str *b, const char *name, const char *type, const char *help, uint64_t v) {
        put_family(b, name, type, help);
        (void) str_printf(b, "%s %llu\n", name, (unsigned long long) v);
}

/* A change of a role is in force when it is answered: the lag of the reference's pollers is nought here, once per change. */
static void put_refreshes(Str *b, const EngineCounters *c) {
        Histogram lag = { .buckets = { c->role_refreshes }, .count = c->role_refreshes };

        put_one(b, "queue_config_refreshes_total", "counter", "Changes of roles and their queues that took effect", c->role_refreshes);
        put_family(b, "refresh_lag_seconds", "histogram", "From a change of a role to its effect");
        put_histogram(b, "refresh_lag_seconds", &lag, NULL);
}

int api_metrics(Request *r, Reply *ret) {
        const EngineCounters *c = engine_counters(r->engine);
        Str *b = &ret->text;

        put_processed(b, c);
        for (size_t i = 0; i < ARRAY_SIZE(COUNTERS); i++)
                put_counter(b, c, &COUNTERS[i]);
        for (size_t i = 0; i < ARRAY_SIZE(HISTOGRAMS); i++)
                put_histograms(b, c, &HISTOGRAMS[i]);
        put_refreshes(b, c);

        put_queues(r, b);
        put_roles(r, b);
        put_one(b, "jobbers_draining", "gauge", "1 while no tasks are started", engine_draining(r->engine));
        put_one(b, "jobbers_definitions", "gauge", "Registered tasks", definition_set_size(engine_definitions(r->engine)));
        put_one(b, "jobbers_commit_failures_total", "counter", "Commits that failed", c->commit_failures);
        put_one(b, "jobbers_launches_refused_total", "counter", "Starts that the launcher refused", c->launches_refused);
        put_one(b, "jobbers_reloads_total", "counter", "Times the definitions were read", c->reloads);
        put_family(b, "jobbers_commit_seconds", "histogram", "How long commits took");
        put_histogram(b, "jobbers_commit_seconds", &c->commit, NULL);
        ret->status = 200;
        ret->type = "text/plain; version=0.0.4; charset=utf-8";
        return 0;
}
