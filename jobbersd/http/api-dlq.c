/* api-dlq.c: the dead letter queue: what happened, run it again, or let it go. The list itself is in api-list.c. */
#include "http/api.h"
#include "http/json-text.h"
#include "http/task-json.h"

typedef struct DlqBody {
        Given given;
        json_t *task_ids;
        const char *queue, *task_name;
        int64_t task_version, limit;
        bool reset_retry_count;
} DlqBody;

#define DLQ_MAX 1000                    /* by filter; of ids a body holds as many as it can, and they are gone through in steps (api-bulk.c) */

const Schema SCHEMA_DLQ_RESUBMIT = { "DLQResubmitRequest", sizeof(DlqBody), .fields = (const Field[]) {
        { "task_ids", FIELD_LIST, FIELD_NULLABLE, offsetof(DlqBody, task_ids), .item = FIELD_STRING },
        { "queue", FIELD_NAME, FIELD_NULLABLE, offsetof(DlqBody, queue) },
        { "task_name", FIELD_NAME, FIELD_NULLABLE, offsetof(DlqBody, task_name) },
        { "task_version", FIELD_INTEGER, FIELD_NULLABLE, offsetof(DlqBody, task_version), 0, UINT32_MAX },
        { "reset_retry_count", FIELD_BOOL, 0, offsetof(DlqBody, reset_retry_count), .fallback = "true" },
        { "limit", FIELD_INTEGER, 0, offsetof(DlqBody, limit), 1, DLQ_MAX, "100", .help = "Tasks at most, when they are chosen by filter" },
        {},
} };

const Schema SCHEMA_DLQ_REMOVE = { "DLQRemoveRequest", sizeof(DlqBody), .fields = (const Field[]) {
        { "task_ids", FIELD_LIST, FIELD_REQUIRED, offsetof(DlqBody, task_ids), .item = FIELD_STRING },
        {},
} };

static const Schema SCHEMA_REFUSED = { "DLQRefused", .fields = (const Field[]) {
        { "task_id", FIELD_STRING, FIELD_REQUIRED },
        { "status", FIELD_STRING, FIELD_REQUIRED, .help = "not_found or error" },
        { "detail", FIELD_STRING },
        {},
} };

const Schema SCHEMA_DLQ_RESUBMITTED = { "DLQResubmitted", .fields = (const Field[]) {
        { "resubmitted", FIELD_INTEGER, FIELD_REQUIRED },
        { "tasks", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_TASK_SUMMARY },
        { "refused", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_REFUSED },
        {},
} };

const Schema SCHEMA_DLQ_REMOVED = { "DLQRemoved", .fields = (const Field[]) {
        { "removed", FIELD_INTEGER, FIELD_REQUIRED },
        { "task_ids", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING, .help = "Those that were in the dead letter queue" },
        {},
} };

#define OR_NULL FIELD_REQUIRED | FIELD_NULLABLE
const Schema SCHEMA_HISTORY_ENTRY = { "HistoryEntry", .fields = (const Field[]) {
        { "timestamp", FIELD_TIME, OR_NULL, .help = "When the attempt ended" },
        { "attempt", FIELD_INTEGER, FIELD_REQUIRED },
        { "retry_attempt", FIELD_INTEGER, FIELD_REQUIRED },
        { "started_at", FIELD_TIME, OR_NULL },
        { "ended_at", FIELD_TIME, OR_NULL },
        { "end_reason", FIELD_STRING, OR_NULL },
        { "exit_status", FIELD_INTEGER, OR_NULL },
        { "signal", FIELD_STRING, OR_NULL },
        { "error", FIELD_STRING, OR_NULL },
        { "error_type", FIELD_STRING, OR_NULL },
        { "outcome", FIELD_STRING, OR_NULL },
        { "resources", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_RESOURCES },
        { "scope", FIELD_STRING, OR_NULL },
        {},
} };

const Schema SCHEMA_HISTORY = { "History", .fields = (const Field[]) {
        { "task_id", FIELD_ULID, FIELD_REQUIRED },
        { "history", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_HISTORY_ENTRY },
        {},
} };

/* ── history ── */

static int put_entry(void *userdata, const Attempt *a) {
        Str *b = userdata;

        if (!a->ended_at)
                return 0;
        json_put_next(b);
        (void) str_append(b, "{");
        json_put_key_time(b, "timestamp", a->ended_at);
        attempt_put_members(b, a);
        (void) str_append(b, "}");
        return 0;
}

int api_dlq_history(Request *r, Reply *ret) {
        _cleanup_task_ Task t = {};
        char id[ULID_STR_MAX];

        ulid_format(&r->id, id);
        int e = store_task_get(r->store, &r->id, false, &t);
        if (e == -ENOENT) {
                reply_error(ret, 404, "there is no task %s", id);
                return 0;
        }
        if (e < 0)
                return e;
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_string(&ret->text, "task_id", id);
        json_put_key(&ret->text, "history");
        (void) str_append(&ret->text, "[");
        e = store_attempt_list(r->store, t.seq, put_entry, &ret->text);
        (void) str_append(&ret->text, "]}");
        return e;
}

/* ── resubmit ── */

typedef struct Again {
        Request *request;
        bool reset;
        unsigned n;
        size_t done;                    /* of the ids */
        Str tasks, refused;
} Again;

static void again_free(Request *r) {
        Again *a = r->state;
        str_free(&a->tasks);
        str_free(&a->refused);
        free(a);
}

static Again *again_new(Request *r, bool reset) {
        Again *a = calloc(1, sizeof *a);

        if (!a)
                return NULL;
        r->state = a;
        r->free_state = again_free;
        a->request = r;
        a->reset = reset;
        (void) str_append(&a->tasks, "[");
        (void) str_append(&a->refused, "[");
        return a;
}

static void refuse_one(Again *a, const char *id, const char *status, const char *detail) {
        json_put_next(&a->refused);
        (void) str_append(&a->refused, "{");
        json_put_key_string(&a->refused, "task_id", id);
        json_put_key_string(&a->refused, "status", status);
        if (detail)
                json_put_key_string(&a->refused, "detail", detail);
        (void) str_append(&a->refused, "}");
}

static int resubmit_one(Again *a, const Ulid *id) {
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;
        char text[ULID_STR_MAX];

        int e = engine_resubmit(a->request->engine, id, a->reset, &t, &sentence);
        if (e == -ENOSPC || e == -EIO)
                return e;
        if (e < 0) {
                refuse_one(a, ulid_format(id, text), e == -ENOENT ? "not_found" : "error", e == -ENOENT ? NULL : sentence);
                return 0;
        }
        a->n++;
        json_put_next(&a->tasks);
        task_put_summary(&a->tasks, &t);
        return 0;
}

/* Only what lies in the dead letter queue: an id elsewhere is not found here. */
static int resubmit_named(Again *a, const char *text) {
        _cleanup_task_ Task t = {};
        char s[ULID_STR_MAX];
        Ulid id;

        if (ulid_parse(text, &id) < 0) {
                refuse_one(a, text, "error", "this is not a ULID");
                return 0;
        }
        int e = store_task_get(a->request->store, &id, false, &t);
        if (e < 0 && e != -ENOENT && e != -EBADMSG)
                return e;
        if (e == -ENOENT || (e >= 0 && t.dead_at == 0)) {
                refuse_one(a, ulid_format(&id, s), "not_found", NULL);
                return 0;
        }
        return resubmit_one(a, &id);
}

typedef struct Found {
        Ulid ids[DLQ_MAX];
        unsigned n;
} Found;

static int collect(void *userdata, Task *t) {
        Found *f = userdata;
        f->ids[f->n++] = t->id;
        return 0;
}

static int resubmit_matching(Again *a, const DlqBody *b, bool version) {
        _cleanup_free_ Found *found = calloc(1, sizeof *found);
        TaskFilter f = {
                .queue = b->queue, .name = b->task_name, .version = version ? b->task_version : -1,
                .status = _TASK_STATUS_MAX, .dead = true, .limit = (unsigned) b->limit,
        };

        if (!found)
                return -ENOMEM;
        int e = store_task_list(a->request->store, &f, collect, found);
        for (unsigned i = 0; e >= 0 && i < found->n; i++)
                e = resubmit_one(a, &found->ids[i]);
        return e;
}

static int say_resubmitted(Again *a, Reply *ret) {
        if (a->tasks.failed || a->refused.failed)
                return -ENOMEM;
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_int(&ret->text, "resubmitted", a->n);
        json_put_key(&ret->text, "tasks");
        (void) str_printf(&ret->text, "%s]", a->tasks.s);
        json_put_key(&ret->text, "refused");
        (void) str_printf(&ret->text, "%s]", a->refused.s);
        return str_append(&ret->text, "}");
}

int api_dlq_resubmit(Request *r, Reply *ret) {
        const DlqBody *b = REQUEST_BODY(r, DlqBody);
        const Schema *s = &SCHEMA_DLQ_RESUBMIT;
        bool version = schema_given(s, b, "task_version") && !schema_is_null(s, b, "task_version");
        size_t n = json_array_size(b->task_ids);

        if (!b->task_ids && !b->queue && !b->task_name && !version) {
                reply_error(ret, 400, "say which: task_ids, or at least one of queue, task_name and task_version");
                return 0;
        }
        Again *a = r->state ? r->state : again_new(r, b->reset_retry_count);
        if (!a)
                return -ENOMEM;
        int e = b->task_ids ? 0 : resubmit_matching(a, b, version);
        for (unsigned i = 0; e >= 0 && i < BULK_STEP && a->done < n; i++, a->done++)
                e = resubmit_named(a, json_string_value(json_array_get(b->task_ids, a->done)));
        return e < 0 ? e : a->done < n ? REPLY_CONTINUE : say_resubmitted(a, ret);
}

/* ── remove ── */

typedef struct Removal {
        unsigned n;
        size_t done;
        Str ids;
} Removal;

static void removal_free(Request *r) {
        str_free(&((Removal *) r->state)->ids);
        free(r->state);
}

static int remove_one(Request *r, Removal *m, const char *text) {
        char s[ULID_STR_MAX];
        Ulid id;

        if (ulid_parse(text, &id) < 0)
                return 0;
        int e = engine_bury_remove(r->engine, &id);
        if (e < 0)              /* what is damaged stays; the ids that are answered are those that went */
                return e == -ENOENT || e == -EBADMSG ? 0 : e;
        m->n++;
        json_put_next(&m->ids);
        json_put_string(&m->ids, ulid_format(&id, s));
        return 0;
}

int api_dlq_remove(Request *r, Reply *ret) {
        json_t *ids = REQUEST_BODY(r, DlqBody)->task_ids;
        size_t n = json_array_size(ids);
        int e = 0;

        if (!r->state) {
                r->state = calloc(1, sizeof(Removal));
                if (!r->state)
                        return -ENOMEM;
                r->free_state = removal_free;
                (void) str_append(&((Removal *) r->state)->ids, "[");
        }
        Removal *m = r->state;
        for (unsigned i = 0; e >= 0 && i < BULK_STEP && m->done < n; i++, m->done++)
                e = remove_one(r, m, json_string_value(json_array_get(ids, m->done)));
        if (e < 0 || m->done < n)
                return e < 0 ? e : REPLY_CONTINUE;
        if (m->ids.failed)
                return -ENOMEM;
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_int(&ret->text, "removed", m->n);
        json_put_key(&ret->text, "task_ids");
        return str_printf(&ret->text, "%s]}", m->ids.s);
}
