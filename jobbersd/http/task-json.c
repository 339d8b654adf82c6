/* task-json.c: see task-json.h. Text straight from the records: no tree is built for what is only printed. */
#include "base/str.h"
#include "http/json-text.h"
#include "http/task-json.h"

const char *const TASK_STATUS_NAMES[] = {
        "unsubmitted", "submitted", "scheduled", "started", "completed", "failed", "cancelled", "stalled", "dropped", NULL,
};

static void put_identity(Str *b, const Task *t) {
        char id[ULID_STR_MAX];

        json_put_key_string(b, "id", ulid_format(&t->id, id));
        json_put_key_string(b, "name", t->name);
        json_put_key_int(b, "version", t->version);
        json_put_key_string(b, "queue", t->queue);
        json_put_key_int(b, "priority", t->priority);
        json_put_key_raw(b, "parameters", t->parameters, "{}");
        json_put_key_string(b, "status", task_status_to_string(t->status));
        json_put_key_int(b, "retry_attempt", t->retry_attempt);
}

/* scheduled_at is shown while the task waits for its time, and afterwards as the time it waited for. */
void task_put_summary(Str *b, const Task *t) {
        (void) str_append(b, "{");
        put_identity(b, t);
        json_put_key_time(b, "submitted_at", t->submitted_at);
        if (t->started_at)
                json_put_key_time(b, "started_at", t->started_at);
        if (t->completed_at)
                json_put_key_time(b, "completed_at", t->completed_at);
        if (t->scheduled_at)
                json_put_key_time(b, "scheduled_at", t->scheduled_at);
        if (t->last_error)
                json_put_key_string(b, "last_error", t->last_error);
        (void) str_append(b, "}");
}

static void put_measure(Str *b, const char *key, int64_t v) {
        json_put_key(b, key);
        if (v < 0)
                (void) str_append(b, "null");
        else
                json_put_int(b, v);
}

void attempt_put_members(Str *b, const Attempt *a) {
        json_put_key_int(b, "attempt", a->attempt);
        json_put_key_int(b, "retry_attempt", a->retry_attempt);
        json_put_key_time(b, "started_at", a->started_at);
        json_put_key_time(b, "ended_at", a->ended_at);
        json_put_key_string(b, "end_reason", end_reason_to_string(a->end_reason));
        put_measure(b, "exit_status", a->ended_at ? a->exit_status : -1);
        json_put_key_string(b, "signal", a->term_signal > 0 ? signal_name(a->term_signal) : NULL);
        json_put_key_string(b, "error", a->error);
        json_put_key_string(b, "error_type", a->error_type);
        json_put_key_string(b, "outcome", a->ended_at ? task_status_to_string(a->outcome) : NULL);
        json_put_key(b, "resources");
        (void) str_append(b, "{");
        put_measure(b, "cpu_usec", a->cpu_usec);
        put_measure(b, "memory_peak", a->memory_peak);
        put_measure(b, "io_read", a->io_read);
        put_measure(b, "io_write", a->io_write);
        put_measure(b, "oom_kills", a->oom_kills);
        put_measure(b, "pids_peak", a->pids_peak);
        (void) str_append(b, "}");
        json_put_key_string(b, "scope", a->scope[0] ? a->scope : NULL);
}

void attempt_put_end(Str *b, const Attempt *a) {
        const char *reason = end_reason_to_string(a->end_reason);

        if (a->exit_status >= 0)
                (void) str_printf(b, "exit status %d", a->exit_status);
        else if (a->term_signal > 0)
                (void) str_printf(b, "killed by %s", signal_name(a->term_signal));
        else {
                (void) str_append(b, a->end_reason == END_EXIT ? "it could not be started" : reason ? reason : "unknown");
                return;
        }
        if (reason && a->end_reason != END_EXIT && a->end_reason != END_SIGNAL)
                (void) str_printf(b, " (%s)", reason);
}

typedef struct Attempts {
        Str list, errors;
        char scope[128];
        const char *log;
} Attempts;

static int put_attempt(void *userdata, const Attempt *a) {
        Attempts *all = userdata;

        json_put_next(&all->list);
        (void) str_append(&all->list, "{");
        attempt_put_members(&all->list, a);
        json_put_key_string(&all->list, "log", all->log);
        (void) str_append(&all->list, "}");
        if (a->error) {
                json_put_next(&all->errors);
                json_put_string(&all->errors, a->error);
        }
        memcpy(all->scope, a->scope, sizeof all->scope);
        return 0;
}

int task_put_record(Str *b, Store *store, const Task *t) {
        _cleanup_str_ Str list = {}, errors = {};
        char id[ULID_STR_MAX], log[ULID_STR_MAX + 16] = "/task/";
        Attempts all = { .log = log };
        int r;

        strcat(strcat(log, ulid_format(&t->id, id)), "/logs");
        (void) str_append(&all.list, "[");
        (void) str_append(&all.errors, "[");
        r = store_attempt_list(store, t->seq, put_attempt, &all);
        list = all.list;
        errors = all.errors;
        if (r < 0)
                return r;
        (void) str_append(&list, "]");
        if (t->status == TASK_DROPPED && t->last_error) {       /* an error that no attempt has */
                json_put_next(&errors);
                json_put_string(&errors, t->last_error);
        }
        (void) str_append(&errors, "]");
        if (list.failed || errors.failed)
                return -ENOMEM;

        (void) str_append(b, "{");
        put_identity(b, t);
        json_put_key_string(b, "last_error", t->last_error);
        json_put_key_raw(b, "results", t->results, "{}");
        json_put_key_raw(b, "errors", errors.s, "[]");
        json_put_key_time(b, "submitted_at", t->submitted_at);
        json_put_key_time(b, "scheduled_at", t->scheduled_at);
        json_put_key_time(b, "started_at", t->started_at);
        json_put_key_time(b, "retried_at", t->retried_at);
        json_put_key_time(b, "heartbeat_at", t->heartbeat_at);
        json_put_key_time(b, "completed_at", t->completed_at);
        put_measure(b, "progress", t->progress);
        json_put_key_string(b, "status_text", t->status_text);
        json_put_key_string(b, "stop_reason", stop_reason_to_string(t->stop_reason));
        json_put_key_raw(b, "attempts", list.s, "[]");
        json_put_key_string(b, "log", log);
        json_put_key_string(b, "scope", all.scope[0] ? all.scope : NULL);
        json_put_key_time(b, "dead_at", t->dead_at);
        (void) str_append(b, "}");
        return b->failed ? -ENOMEM : 0;
}

/* ── the same as tables, for /openapi.json and the tests that hold answers against it ── */

#define ALWAYS FIELD_REQUIRED
#define OR_NULL FIELD_REQUIRED | FIELD_NULLABLE
#define IDENTITY_FIELDS                                                                                                          \
        { "id", FIELD_ULID, ALWAYS },                                                                                             \
        { "name", FIELD_NAME, ALWAYS },                                                                                           \
        { "version", FIELD_INTEGER, ALWAYS },                                                                                     \
        { "queue", FIELD_NAME, ALWAYS },                                                                                          \
        { "priority", FIELD_INTEGER, ALWAYS, .min = TASK_PRIORITY_MIN, .max = TASK_PRIORITY_MAX },                                \
        { "parameters", FIELD_OBJECT, ALWAYS },                                                                                   \
        { "status", FIELD_ENUM, ALWAYS, .values = TASK_STATUS_NAMES },                                                            \
        { "retry_attempt", FIELD_INTEGER, ALWAYS, .min = 0, .max = INT64_MAX, .help = "Retries spent so far" }

const Schema SCHEMA_TASK_SUMMARY = { "TaskSummary", .fields = (const Field[]) {
        IDENTITY_FIELDS,
        { "submitted_at", FIELD_TIME, OR_NULL },
        { "started_at", FIELD_TIME },
        { "completed_at", FIELD_TIME },
        { "scheduled_at", FIELD_TIME },
        { "last_error", FIELD_STRING },
        {},
} };

const Schema SCHEMA_RESOURCES = { "Resources", .fields = (const Field[]) {
        { "cpu_usec", FIELD_INTEGER, OR_NULL, .help = "CPU time in microseconds" },
        { "memory_peak", FIELD_INTEGER, OR_NULL, .help = "Bytes" },
        { "io_read", FIELD_INTEGER, OR_NULL, .help = "Bytes" },
        { "io_write", FIELD_INTEGER, OR_NULL, .help = "Bytes" },
        { "oom_kills", FIELD_INTEGER, OR_NULL },
        { "pids_peak", FIELD_INTEGER, OR_NULL },
        {},
} };

#define ATTEMPT_FIELDS                                                                                                           \
        { "attempt", FIELD_INTEGER, ALWAYS, .min = 1, .max = INT64_MAX, .help = "Counts every start" },                          \
        { "retry_attempt", FIELD_INTEGER, ALWAYS },                                                                               \
        { "started_at", FIELD_TIME, OR_NULL },                                                                                    \
        { "ended_at", FIELD_TIME, OR_NULL },                                                                                      \
        { "end_reason", FIELD_STRING, OR_NULL,                                                                                    \
          .help = "exit, signal, oom, timeout, stalled, cancelled, shutdown or host-lost; exit with neither an exit_status nor "   \
                  "a signal: it could not be started, and error says why" },                                                      \
        { "exit_status", FIELD_INTEGER, OR_NULL },                                                                                \
        { "signal", FIELD_STRING, OR_NULL },                                                                                      \
        { "error", FIELD_STRING, OR_NULL },                                                                                       \
        { "error_type", FIELD_STRING, OR_NULL },                                                                                  \
        { "outcome", FIELD_STRING, OR_NULL, .help = "The state of the task after it" },                                               \
        { "resources", FIELD_STRUCT, ALWAYS, .of = &SCHEMA_RESOURCES },                                                           \
        { "scope", FIELD_STRING, OR_NULL, .help = "Its systemd unit, if it runs in a scope" }

const Schema SCHEMA_ATTEMPT = { "Attempt", .fields = (const Field[]) {
        ATTEMPT_FIELDS,
        { "log", FIELD_STRING, ALWAYS },
        {},
} };

const Schema SCHEMA_TASK_RECORD = { "TaskRecord", .fields = (const Field[]) {
        IDENTITY_FIELDS,
        { "last_error", FIELD_STRING, OR_NULL },
        { "results", FIELD_OBJECT, ALWAYS },
        { "errors", FIELD_LIST, ALWAYS, .item = FIELD_STRING },
        { "submitted_at", FIELD_TIME, OR_NULL },
        { "scheduled_at", FIELD_TIME, OR_NULL },
        { "started_at", FIELD_TIME, OR_NULL },
        { "retried_at", FIELD_TIME, OR_NULL },
        { "heartbeat_at", FIELD_TIME, OR_NULL },
        { "completed_at", FIELD_TIME, OR_NULL },
        { "progress", FIELD_INTEGER, OR_NULL, .min = 0, .max = 100 },
        { "status_text", FIELD_STRING, OR_NULL },
        { "stop_reason", FIELD_STRING, OR_NULL },
        { "attempts", FIELD_LIST, ALWAYS, .item = FIELD_STRUCT, .of = &SCHEMA_ATTEMPT },
        { "log", FIELD_STRING, ALWAYS, .help = "Where its output can be read" },
        { "scope", FIELD_STRING, OR_NULL },
        { "dead_at", FIELD_TIME, OR_NULL, .help = "Since when it is in the dead letter queue" },
        {},
} };
