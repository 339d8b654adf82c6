/* api-list.c: lists of tasks, page by page. Filters are the store's, applied before any limit. A page ends early when it gets large
 * (PAGE_BYTES): results and parameters may be big, and one answer must not take the daemon's memory. */
#include <stdio.h>

#include "http/api.h"
#include "http/cursor.h"
#include "http/json-text.h"
#include "http/task-json.h"

#define PAGE_BYTES (8U << 20)

char *cursor_format(const TaskFilter *f, const Task *last, char buf[static CURSOR_STR_MAX]) {
        if (f->order_by_id) {
                buf[0] = 'i';
                ulid_format(&last->id, buf + 1);
        } else
                (void) snprintf(buf, CURSOR_STR_MAX, "%c%lld", f->newest_first ? 'n' : 's', (long long) last->seq);
        return buf;
}

int cursor_parse(const char *s, TaskFilter *f) {
        f->has_after = true;
        if (f->order_by_id)
                return s[0] == 'i' ? ulid_parse(s + 1, &f->after_id) : -EINVAL;
        return s[0] == (f->newest_first ? 'n' : 's') && parse_i64(s + 1, &f->after_seq) == 0 && f->after_seq >= 0 ? 0 : -EINVAL;
}

typedef struct ListQuery {
        Given given;
        const char *queue, *task_name, *cursor;
        int64_t task_version, limit, offset;
        int status, order_by;
        Ulid start;
} ListQuery;

static const char *const ORDERS[] = { "submitted_at", "task_id", "-submitted_at", NULL };
enum { ORDER_SUBMITTED, ORDER_ID, ORDER_NEWEST };

#define FILTER_FIELDS                                                                                                            \
        { "queue", FIELD_NAME, 0, offsetof(ListQuery, queue) },                                                                   \
        { "task_name", FIELD_NAME, 0, offsetof(ListQuery, task_name) },                                                           \
        { "task_version", FIELD_INTEGER, 0, offsetof(ListQuery, task_version), 0, UINT32_MAX },                                   \
        { "cursor", FIELD_STRING, 0, offsetof(ListQuery, cursor), .help = "The `next` of the page before" },                     \
        { "offset", FIELD_INTEGER, 0, offsetof(ListQuery, offset), 0, INT64_MAX, "0", .help = "Ignored with cursor" },            \
        { "start", FIELD_ULID, 0, offsetof(ListQuery, start), .help = "Only ids from this one on" },                              \
        { "order_by", FIELD_ENUM, 0, offsetof(ListQuery, order_by), .fallback = "\"submitted_at\"", .values = ORDERS },           \
        { "status", FIELD_ENUM, 0, offsetof(ListQuery, status), .values = TASK_STATUS_NAMES }

const Schema SCHEMA_LIST_QUERY = { "ListQuery", sizeof(ListQuery), .fields = (const Field[]) {
        FILTER_FIELDS,
        { "limit", FIELD_INTEGER, 0, offsetof(ListQuery, limit), 1, LIST_LIMIT_MAX, LIST_LIMIT_DEFAULT },
        {},
} };

const Schema SCHEMA_DLQ_QUERY = { "DLQQuery", sizeof(ListQuery), .fields = (const Field[]) {
        FILTER_FIELDS,
        { "limit", FIELD_INTEGER, 0, offsetof(ListQuery, limit), 1, LIST_LIMIT_MAX, "100" },
        {},
} };

#define NEXT_FIELD { "next", FIELD_STRING, .help = "For ?cursor=; absent on the last page" }

const Schema SCHEMA_RECORDS = { "TaskRecords", .fields = (const Field[]) {
        { "tasks", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_TASK_RECORD },
        NEXT_FIELD,
        {},
} };

const Schema SCHEMA_SUMMARIES = { "TaskSummaries", .fields = (const Field[]) {
        { "tasks", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_TASK_SUMMARY },
        NEXT_FIELD,
        {},
} };

typedef struct Page {
        const TaskFilter *filter;
        Store *store;
        Str *text;
        bool whole;
        unsigned n, limit;
        char last[CURSOR_STR_MAX];
        bool more;
} Page;

#define PAGE_FULL (-ECANCELED)

static int put_task(void *userdata, Task *t) {
        Page *p = userdata;
        int r = 0;

        if (p->n == p->limit || p->text->len > PAGE_BYTES) {
                p->more = true;
                return PAGE_FULL;
        }
        json_put_next(p->text);
        if (p->whole)
                r = task_put_record(p->text, p->store, t);
        else
                task_put_summary(p->text, t);
        cursor_format(p->filter, t, p->last);
        p->n++;
        return r;
}

static int put_page(Request *r, TaskFilter *f, bool whole, Reply *ret) {
        Page p = { .filter = f, .store = r->store, .text = &ret->text, .whole = whole, .limit = f->limit };

        f->limit++;                     /* one more tells whether there is a next page */
        (void) str_append(&ret->text, "{\"tasks\":[");
        int e = store_task_list(r->store, f, put_task, &p);
        if (e < 0 && e != PAGE_FULL)
                return e;
        (void) str_append(&ret->text, "]");
        if (p.more)
                json_put_key_string(&ret->text, "next", p.last);
        (void) str_append(&ret->text, "}");
        ret->status = 200;
        return 0;
}

static int list(Request *r, const Schema *schema, TaskStatus only, bool dead, bool whole, Reply *ret) {
        static const Loc query = { .name = "query" };
        const ListQuery *q = REQUEST_QUERY(r, ListQuery);
        TaskFilter f = {
                .queue = q->queue,
                .name = q->task_name,
                .version = schema_given(schema, q, "task_version") ? q->task_version : -1,
                .status = q->status >= 0 ? (TaskStatus) q->status : _TASK_STATUS_MAX,
                .dead = dead,
                .order_by_id = q->order_by == ORDER_ID,
                .newest_first = q->order_by == ORDER_NEWEST,
                .has_start = schema_given(schema, q, "start"),
                .start = q->start,
                .limit = (unsigned) q->limit,
                .offset = q->cursor ? 0 : (uint64_t) q->offset,        /* who gives back a cursor has passed the offset already */
                .with_parameters = true,
        };

        if (f.newest_first && f.has_start) {
                _cleanup_problems_ Problems p = {};
                problems_add(&p, &(Loc) { .up = &query, .name = "start" }, "cannot be combined with order_by=-submitted_at");
                reply_problems(ret, &p);
                return 0;
        }
        if (q->cursor && cursor_parse(q->cursor, &f) < 0) {
                _cleanup_problems_ Problems p = {};
                problems_add(&p, &(Loc) { .up = &query, .name = "cursor" }, "must be the \"next\" of a page in the same order");
                reply_problems(ret, &p);
                return 0;
        }
        if (only != _TASK_STATUS_MAX) {
                if (f.status != _TASK_STATUS_MAX && f.status != only) {
                        ret->status = 200;      /* a list of started tasks has none that are completed */
                        return str_append(&ret->text, "{\"tasks\":[]}");
                }
                f.status = only;
        }
        return put_page(r, &f, whole, ret);
}

int api_task_list(Request *r, Reply *ret) {
        return list(r, &SCHEMA_LIST_QUERY, _TASK_STATUS_MAX, false, true, ret);
}

int api_active_tasks(Request *r, Reply *ret) {
        return list(r, &SCHEMA_LIST_QUERY, TASK_STARTED, false, false, ret);
}

int api_scheduled_tasks(Request *r, Reply *ret) {
        return list(r, &SCHEMA_LIST_QUERY, TASK_SCHEDULED, false, false, ret);
}

int api_dlq_list(Request *r, Reply *ret) {
        return list(r, &SCHEMA_DLQ_QUERY, _TASK_STATUS_MAX, true, false, ret);
}
