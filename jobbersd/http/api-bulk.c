/* api-bulk.c: cancel or resubmit many: by ids, or by filter. A call that means many tasks is done in steps of BULK_STEP, each committed
 * before the next, so that others get their turns in between. Every item has its own answer; one bad id fails nobody else. */
#include "http/api.h"
#include "http/json-text.h"
#include "http/task-json.h"

#define BULK_FILTER_MAX 100000
#define BULK_FILTER_DEFAULT "10000"

typedef struct BulkBody {
        Given given;
        json_t *task_ids;
        const char *queue, *task_name;
        int status;
        int64_t task_version, limit;
        bool dry_run, reset_retry_count;
} BulkBody;

#define BULK_FIELDS                                                                                                              \
        { "task_ids", FIELD_LIST, FIELD_NULLABLE, offsetof(BulkBody, task_ids), .item = FIELD_STRING },                           \
        { "queue", FIELD_NAME, FIELD_NULLABLE, offsetof(BulkBody, queue) },                                                       \
        { "status", FIELD_ENUM, FIELD_NULLABLE, offsetof(BulkBody, status), .values = TASK_STATUS_NAMES },                        \
        { "task_name", FIELD_NAME, FIELD_NULLABLE, offsetof(BulkBody, task_name) },                                               \
        { "task_version", FIELD_INTEGER, FIELD_NULLABLE, offsetof(BulkBody, task_version), 0, UINT32_MAX },                       \
        { "limit", FIELD_INTEGER, 0, offsetof(BulkBody, limit), 1, BULK_FILTER_MAX, BULK_FILTER_DEFAULT,                          \
          .help = "Tasks at most, when they are chosen by filter" },                                                              \
        { "dry_run", FIELD_BOOL, 0, offsetof(BulkBody, dry_run), .fallback = "false", .help = "Only count the tasks, change nothing" }

const Schema SCHEMA_BULK_CANCEL = { "BulkCancelRequest", sizeof(BulkBody), .fields = (const Field[]) { BULK_FIELDS, {} } };

const Schema SCHEMA_BULK_RESUBMIT = { "BulkResubmitRequest", sizeof(BulkBody), .fields = (const Field[]) {
        BULK_FIELDS,
        { "reset_retry_count", FIELD_BOOL, 0, offsetof(BulkBody, reset_retry_count), .fallback = "true" },
        {},
} };

static const Schema SCHEMA_BULK_ITEM = { "BulkItem", .fields = (const Field[]) {
        { "task_id", FIELD_STRING, FIELD_REQUIRED },
        { "status", FIELD_STRING, FIELD_REQUIRED, .help = "cancellation_requested, resubmitted, not_found or error" },
        { "detail", FIELD_STRING, .help = "With error" },
        {},
} };

const Schema SCHEMA_BULK_RESULT = { "BulkResult", .fields = (const Field[]) {
        { "matched", FIELD_INTEGER, FIELD_REQUIRED, .help = "Tasks that match; more than there are results if the limit was reached" },
        { "results", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_BULK_ITEM },
        {},
} };

typedef struct Bulk {
        bool resubmit, reset;
        Str results;
        int64_t matched;                /* of ids: those that are changed; by filter: all that match */
        size_t done, max;
        /* by ids */
        const json_t *ids;
        /* by filter: all its statuses in one walk in the order of submission, which never comes back to a task that has moved on meanwhile */
        TaskFilter filter;
        int64_t last;                   /* the newest one at the beginning: a task that is submitted meanwhile is not meant */
} Bulk;

static void free_bulk(Request *r) {
        Bulk *b = r->state;
        str_free(&b->results);
        free(b);
}

/* ── one item ── */

static void put_item(Bulk *b, const char *id, const char *status, const char *detail) {
        json_put_next(&b->results);
        (void) str_append(&b->results, "{");
        json_put_key_string(&b->results, "task_id", id);
        json_put_key_string(&b->results, "status", status);
        if (detail)
                json_put_key_string(&b->results, "detail", detail);
        (void) str_append(&b->results, "}");
}

static int change(Request *r, Bulk *b, const Ulid *id) {
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;
        char s[ULID_STR_MAX];

        int e = b->resubmit ? engine_resubmit(r->engine, id, b->reset, &t, &sentence) : engine_cancel(r->engine, id, &t, &sentence);
        ulid_format(id, s);
        if (e == -ENOSPC || e == -EIO)
                return e;               /* the turn will not be committed: nothing of this step holds */
        if (e == -ENOENT)
                put_item(b, s, "not_found", NULL);
        else if (e < 0)
                put_item(b, s, "error", sentence ? sentence : strerror(-e));
        else {
                put_item(b, s, b->resubmit ? "resubmitted" : "cancellation_requested", NULL);
                b->matched += b->ids != NULL;
        }
        return 0;
}

static int change_named(Request *r, Bulk *b, const char *text) {
        Ulid id;

        if (ulid_parse(text, &id) >= 0)
                return change(r, b, &id);
        put_item(b, text, "error", "this is not a ULID");
        return 0;
}

/* ── steps ── */

static int finish(Bulk *b, Reply *ret) {
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_int(&ret->text, "matched", b->matched);
        json_put_key(&ret->text, "results");
        (void) str_append(&ret->text, "[");
        if (b->results.len > 0)
                (void) str_append_n(&ret->text, b->results.s + 1, b->results.len - 1);  /* behind its opening bracket */
        (void) str_append(&ret->text, "]}");
        return b->results.failed ? -ENOMEM : 0;
}

static int step_ids(Request *r, Bulk *b, Reply *ret) {
        for (unsigned i = 0; i < BULK_STEP && b->done < b->max; i++, b->done++) {
                int e = change_named(r, b, json_string_value(json_array_get(b->ids, b->done)));
                if (e < 0)
                        return e;
        }
        return b->done < b->max ? REPLY_CONTINUE : finish(b, ret);
}

typedef struct Found {
        Ulid ids[BULK_STEP];
        int64_t seqs[BULK_STEP];
        unsigned n;
} Found;

static int collect(void *userdata, Task *t) {
        Found *f = userdata;
        f->ids[f->n] = t->id;
        f->seqs[f->n++] = t->seq;
        return 0;
}

static int step_filter(Request *r, Bulk *b, Reply *ret) {
        Found found = {};
        unsigned i;

        b->filter.limit = (unsigned) MIN((size_t) BULK_STEP, b->max - b->done);
        int e = store_task_list(r->store, &b->filter, collect, &found);
        for (i = 0; e >= 0 && i < found.n && found.seqs[i] <= b->last; i++, b->done++)
                e = change(r, b, &found.ids[i]);
        if (e < 0)
                return e;
        if (i == b->filter.limit && b->done < b->max) {
                b->filter.has_after = true;
                b->filter.after_seq = found.seqs[i - 1];
                return REPLY_CONTINUE;
        }
        b->matched = MAX(b->matched, (int64_t) b->done);        /* some that were there already may have come to match on the way */
        return finish(b, ret);
}

/* ── the beginning ── */

/* The statuses that the verb can do something about, or the one asked for. */
static unsigned choose_statuses(bool resubmit, int asked) {
        unsigned bits = 0;

        if (asked >= 0)
                return 1U << asked;
        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++)
                if (life_arrow(s, resubmit ? LIFE_RESUBMIT : LIFE_CANCEL))
                        bits |= 1U << s;
        return bits;
}

static int find_newest(Request *r, Bulk *b) {
        TaskFilter newest = b->filter;
        Found found = {};

        newest.newest_first = true;
        newest.limit = 1;
        int e = store_task_list(r->store, &newest, collect, &found);
        b->last = found.n > 0 ? found.seqs[0] : 0;
        return e;
}

static int begin(Request *r, const Schema *schema, bool resubmit) {
        const BulkBody *body = REQUEST_BODY(r, BulkBody);
        Bulk *b = calloc(1, sizeof *b);

        if (!b)
                return -ENOMEM;
        r->state = b;
        r->free_state = free_bulk;
        b->resubmit = resubmit;
        b->reset = body->reset_retry_count;
        (void) str_append(&b->results, "[");
        if (body->task_ids) {
                b->ids = body->task_ids;
                b->max = json_array_size(b->ids);
                return 0;
        }
        bool version = schema_given(schema, body, "task_version") && !schema_is_null(schema, body, "task_version");
        b->filter = (TaskFilter) { .queue = body->queue, .name = body->task_name, .version = version ? body->task_version : -1,
                                   .status = _TASK_STATUS_MAX, .statuses = choose_statuses(resubmit, body->status), .limit = 1 };
        b->max = (size_t) body->limit;
        int e = store_task_count(r->store, &b->filter, &b->matched);
        return e < 0 ? e : find_newest(r, b);
}

static bool says_which(const Schema *schema, const BulkBody *b, Reply *ret) {
        static const Loc body = { .name = "body" };
        _cleanup_problems_ Problems p = {};
        bool version = schema_given(schema, b, "task_version") && !schema_is_null(schema, b, "task_version");
        bool filter = b->queue || b->task_name || b->status >= 0 || version;

        if (b->task_ids && filter)
                problems_add(&p, &(Loc) { .up = &body, .name = "task_ids" }, "cannot be combined with queue, status, task_name or task_version");
        else if (!b->task_ids && !filter)
                problems_add(&p, &(Loc) { .up = &body, .name = "task_ids" },
                             "is required, unless queue, status, task_name or task_version is given");
        if (p.n > 0)
                reply_problems(ret, &p);
        return p.n == 0;
}

static int compare_ids(const void *a, const void *b) {
        return ulid_cmp(a, b);
}

/* The second time that an id is named, the verb would find what it has made of the task: only one that is being cancelled is taken again. */
static bool refuses_twice(Request *r, const Bulk *b, const Ulid *id) {
        _cleanup_task_ Task t = {};
        return b->resubmit || store_task_get(r->store, id, false, &t) < 0 || t.status != TASK_STARTED;
}

/* Counts the named ones that would be changed, without changing any. */
static int count_ids(Request *r, Bulk *b) {
        size_t n = json_array_size(b->ids), valid = 0;
        _cleanup_free_ Ulid *ids = calloc(MAX(n, (size_t) 1), sizeof *ids);

        if (!ids)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                valid += ulid_parse(json_string_value(json_array_get(b->ids, i)), &ids[valid]) >= 0;
        qsort(ids, valid, sizeof *ids, compare_ids);
        for (size_t i = 0; i < valid; i++) {
                const char *sentence;
                int e = b->resubmit ? engine_resubmit_check(r->engine, &ids[i], &sentence) : engine_cancel_check(r->engine, &ids[i], &sentence);
                if (e == -ENOSPC || e == -EIO)
                        return e;
                if (e >= 0 && (i == 0 || ulid_cmp(&ids[i - 1], &ids[i]) != 0 || !refuses_twice(r, b, &ids[i])))
                        b->matched++;
        }
        return 0;
}

static int bulk(Request *r, const Schema *schema, bool resubmit, Reply *ret) {
        const BulkBody *body = REQUEST_BODY(r, BulkBody);

        if (!r->state) {
                if (!says_which(schema, body, ret))
                        return 0;
                int e = begin(r, schema, resubmit);
                if (e >= 0 && body->dry_run && body->task_ids)
                        e = count_ids(r, r->state);
                if (e < 0 || body->dry_run)
                        return e < 0 ? e : finish(r->state, ret);
        }
        Bulk *b = r->state;
        return b->ids ? step_ids(r, b, ret) : step_filter(r, b, ret);
}

int api_tasks_cancel(Request *r, Reply *ret) {
        return bulk(r, &SCHEMA_BULK_CANCEL, false, ret);
}

int api_tasks_resubmit(Request *r, Reply *ret) {
        return bulk(r, &SCHEMA_BULK_RESUBMIT, true, ret);
}
