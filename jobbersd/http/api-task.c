/* api-task.c: one task: its record (at once, or when it is final), cancel, resubmit. */
#include "base/clock.h"
#include "http/api.h"
#include "http/json-text.h"
#include "http/task-json.h"

#define WAIT_MAX 60

typedef struct WaitQuery {
        Given given;
        double wait;
} WaitQuery;

const Schema SCHEMA_WAIT = { "WaitQuery", sizeof(WaitQuery), .fields = (const Field[]) {
        { "wait", FIELD_NUMBER, 0, offsetof(WaitQuery, wait), 0, WAIT_MAX, "0", .help = "Seconds to wait at most for the task to become final" },
        {},
} };

typedef struct ResubmitBody {
        Given given;
        bool reset_retry_count;
} ResubmitBody;

const Schema SCHEMA_RESUBMIT = { "ResubmitRequest", sizeof(ResubmitBody), .fields = (const Field[]) {
        { "reset_retry_count", FIELD_BOOL, 0, offsetof(ResubmitBody, reset_retry_count), .fallback = "true",
          .help = "Count retries from 0 again" },
        {},
} };

const Schema SCHEMA_TASK_CHANGED = { "TaskChanged", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "task", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_TASK_SUMMARY },
        {},
} };

static int refuse_unknown(Request *r, Reply *ret) {
        char id[ULID_STR_MAX];
        reply_error(ret, 404, "there is no task %s", ulid_format(&r->id, id));
        return 0;
}

/* ── status ── */

typedef struct Waiter {
        EngineWatch watch;
        Request *request;
} Waiter;

static void on_final(EngineWatch *w) {
        request_wake(CONTAINER_OF(w, Waiter, watch)->request);
}

static void free_waiter(Request *r) {
        Waiter *w = r->state;
        engine_unwatch(&w->watch);
        free(w);
}

static int wait_for_end(Request *r, double seconds) {
        Waiter *w = calloc(1, sizeof *w);

        if (!w)
                return -ENOMEM;
        link_init(&w->watch.link);
        w->watch.id = r->id;
        w->watch.fn = on_final;
        w->request = r;
        r->state = w;
        r->free_state = free_waiter;
        r->wake_at = clock_boot() + (usec_t) (seconds * (double) USEC_PER_SEC);
        engine_watch(r->engine, &w->watch);
        return REPLY_WAIT;
}

int api_task_status(Request *r, Reply *ret) {
        const WaitQuery *q = REQUEST_QUERY(r, WaitQuery);
        _cleanup_task_ Task t = {};

        int e = store_task_get(r->store, &r->id, true, &t);
        if (e == -ENOENT)
                return refuse_unknown(r, ret);
        if (e < 0)
                return e;
        if (q->wait > 0 && !r->woken && !task_status_is_final(t.status))
                return wait_for_end(r, q->wait);
        ret->status = 200;
        return task_put_record(&ret->text, r->store, &t);
}

/* ── cancel, resubmit ── */

static int say_changed(Reply *ret, const char *message, const Task *t) {
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_string(&ret->text, "message", message);
        json_put_key(&ret->text, "task");
        task_put_summary(&ret->text, t);
        (void) str_append(&ret->text, "}");
        return 0;
}

int api_task_cancel(Request *r, Reply *ret) {
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;

        int e = engine_cancel(r->engine, &r->id, &t, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_changed(ret, "Cancellation request sent", &t);
}

int api_task_resubmit(Request *r, Reply *ret) {
        const ResubmitBody *b = REQUEST_BODY(r, ResubmitBody);
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;

        int e = engine_resubmit(r->engine, &r->id, b->reset_retry_count, &t, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_changed(ret, "Task resubmitted", &t);
}
