/* api-submit.c: tasks come in: one, many or none of many, now or later. */
#include "base/clock.h"
#include "http/api.h"
#include "http/json-text.h"
#include "http/task-json.h"

typedef struct TaskBody {
        Given given;
        Ulid id;
        const char *name, *queue;
        int64_t version, priority;
        json_t *parameters;
        json_t *dag_callbacks, *parent_ids;
        bool inject_parent_results;
} TaskBody;

#define IGNORED(n) { n, FIELD_ANY, FIELD_IGNORED, .help = "Set by the server; accepted and ignored" }

const Schema SCHEMA_TASK = { "Task", sizeof(TaskBody), .fields = (const Field[]) {
        { "id", FIELD_ULID, FIELD_NULLABLE, offsetof(TaskBody, id), .help = "Made by the server when it is left out" },
        { "name", FIELD_NAME, FIELD_REQUIRED, offsetof(TaskBody, name) },
        { "version", FIELD_INTEGER, 0, offsetof(TaskBody, version), 0, UINT32_MAX, "0" },
        { "queue", FIELD_NAME, 0, offsetof(TaskBody, queue), .fallback = "\"default\"" },
        { "priority", FIELD_INTEGER, 0, offsetof(TaskBody, priority), TASK_PRIORITY_MIN, TASK_PRIORITY_MAX, "0", .help = "Higher goes first" },
        { "parameters", FIELD_OBJECT, 0, offsetof(TaskBody, parameters), .fallback = "{}" },
        { "dag_callbacks", FIELD_LIST, FIELD_NULLABLE, offsetof(TaskBody, dag_callbacks), .item = FIELD_ANY, .help = "Not supported yet: must be empty" },
        { "parent_ids", FIELD_LIST, FIELD_NULLABLE, offsetof(TaskBody, parent_ids), .item = FIELD_ANY, .help = "Not supported yet: must be empty" },
        { "inject_parent_results", FIELD_BOOL, FIELD_NULLABLE, offsetof(TaskBody, inject_parent_results), .fallback = "false",
          .help = "Not supported yet: must be false" },
        IGNORED("results"), IGNORED("errors"), IGNORED("retry_attempt"), IGNORED("status"), IGNORED("submitted_at"), IGNORED("retried_at"),
        IGNORED("started_at"), IGNORED("heartbeat_at"), IGNORED("completed_at"), IGNORED("task_config"), IGNORED("cron_id"),
        IGNORED("dag_run_id"),
        {},
} };

typedef struct ScheduleBody {
        Given given;
        TaskBody task;
        usec_t run_at;
} ScheduleBody;

const Schema SCHEMA_SCHEDULE = { "ScheduleTaskRequest", sizeof(ScheduleBody), .fields = (const Field[]) {
        { "task", FIELD_STRUCT, FIELD_REQUIRED, offsetof(ScheduleBody, task), .of = &SCHEMA_TASK },
        { "run_at", FIELD_TIME, FIELD_REQUIRED, offsetof(ScheduleBody, run_at), .help = "Without an offset: UTC" },
        {},
} };

typedef struct ListBody {
        Given given;
        json_t *tasks;
} ListBody;

#define SUBMIT_MAX 1000

const Schema SCHEMA_TASK_LIST_BODY = { "SubmitTasksRequest", sizeof(ListBody), .fields = (const Field[]) {
        { "tasks", FIELD_LIST, FIELD_REQUIRED, offsetof(ListBody, tasks), 0, SUBMIT_MAX, .item = FIELD_STRUCT, .of = &SCHEMA_TASK },
        {},
} };

const Schema SCHEMA_SUBMITTED = { "Submitted", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "task", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_TASK_SUMMARY },
        {},
} };

const Schema SCHEMA_SUBMITTED_LIST = { "SubmittedTasks", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "tasks", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_TASK_SUMMARY },
        {},
} };

const Schema SCHEMA_SCHEDULED = { "Scheduled", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "task", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_TASK_SUMMARY },
        { "run_at", FIELD_TIME, FIELD_REQUIRED },
        {},
} };

/* What a later step of jobbers will do; silence would look like success. */
static void check_unsupported(const TaskBody *b, const Loc *loc, Problems *p) {
        if (json_array_size(b->dag_callbacks) > 0)
                problems_add(p, &(Loc) { .up = loc, .name = "dag_callbacks" }, "is not supported yet");
        if (json_array_size(b->parent_ids) > 0)
                problems_add(p, &(Loc) { .up = loc, .name = "parent_ids" }, "is not supported yet");
        if (b->inject_parent_results)
                problems_add(p, &(Loc) { .up = loc, .name = "inject_parent_results" }, "is not supported yet");
}

static bool refuse_unsupported(const TaskBody *b, const char *inner, Reply *ret) {
        static const Loc body = { .name = "body" };
        _cleanup_problems_ Problems p = {};
        Loc at = { .up = &body, .name = inner };

        check_unsupported(b, inner ? &at : &body, &p);
        if (p.n > 0)
                reply_problems(ret, &p);
        return p.n > 0;
}

static Submission submission_of(const TaskBody *b, usec_t run_at) {
        return (Submission) {
                .has_id = schema_given(&SCHEMA_TASK, b, "id") && !schema_is_null(&SCHEMA_TASK, b, "id"),
                .id = b->id,
                .name = b->name,
                .queue = b->queue,
                .version = (uint32_t) b->version,
                .version_omitted = !schema_given(&SCHEMA_TASK, b, "version"),
                .priority = (int) b->priority,
                .parameters = b->parameters,
                .run_at = run_at,
        };
}

int api_submit_task(Request *r, Reply *ret) {
        const TaskBody *b = REQUEST_BODY(r, TaskBody);
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;

        if (refuse_unsupported(b, NULL, ret))
                return 0;
        Submission s = submission_of(b, 0);
        int e = engine_submit(r->engine, &s, &t, &sentence);
        if (e < 0)
                return api_refuse(ret, e, sentence);
        ret->status = 200;
        (void) str_append(&ret->text, "{\"message\":\"Task submitted successfully\",\"task\":");
        task_put_summary(&ret->text, &t);
        (void) str_append(&ret->text, "}");
        return 0;
}

int api_schedule_task(Request *r, Reply *ret) {
        const ScheduleBody *b = REQUEST_BODY(r, ScheduleBody);
        _cleanup_task_ Task t = {};
        const char *sentence = NULL;

        if (refuse_unsupported(&b->task, "task", ret))
                return 0;
        Submission s = submission_of(&b->task, b->run_at);
        int e = engine_submit(r->engine, &s, &t, &sentence);
        if (e < 0)
                return api_refuse(ret, e, sentence);
        ret->status = 200;
        (void) str_append(&ret->text, "{\"message\":\"Task scheduled successfully\",\"task\":");
        task_put_summary(&ret->text, &t);
        json_put_key_time(&ret->text, "run_at", b->run_at);
        (void) str_append(&ret->text, "}");
        return 0;
}

/* ── many, all or nothing ── */

static TaskBody *read_all(const json_t *tasks, Reply *ret, int *ret_error) {
        static const Loc body = { .name = "body" };
        static const Loc list = { .up = &body, .name = "tasks" };
        _cleanup_problems_ Problems p = {};
        size_t n = json_array_size(tasks);
        TaskBody *b = calloc(n + 1, sizeof *b);

        if (!b) {
                *ret_error = -ENOMEM;
                return NULL;
        }
        for (size_t i = 0; i < n; i++) {
                Loc at = { .up = &list, .index = i };
                schema_read(&SCHEMA_TASK, json_array_get(tasks, i), &at, &b[i], &p);
                check_unsupported(&b[i], &at, &p);
        }
        if (p.n == 0)
                return b;
        reply_problems(ret, &p);
        free(b);
        *ret_error = 0;
        return NULL;
}

static int refuse_item(Reply *ret, size_t i, int error, const char *sentence) {
        reply_error(ret, reply_status_of(error), "tasks[%zu]: %s", i, sentence ? sentence : strerror(-error));
        return 0;
}

/* Ids that stand in the list twice pass the check, which sees only what is stored. */
static int check_twice(const TaskBody *b, size_t n, Reply *ret) {
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; b[i].given.there & 1 && k < i; k++)
                        if (b[k].given.there & 1 && ulid_cmp(&b[k].id, &b[i].id) == 0 && !(b[i].given.null & 1) && !(b[k].given.null & 1)) {
                                reply_error(ret, 409, "tasks[%zu] has the same id as tasks[%zu]", i, k);
                                return -EEXIST;
                        }
        return 0;
}

int api_submit_tasks(Request *r, Reply *ret) {
        const ListBody *list = REQUEST_BODY(r, ListBody);
        size_t n = json_array_size(list->tasks);
        const char *sentence = NULL;
        int e = 0;

        _cleanup_free_ TaskBody *b = read_all(list->tasks, ret, &e);
        if (!b || check_twice(b, n, ret) < 0)
                return e;
        for (size_t i = 0; i < n; i++) {
                Submission s = submission_of(&b[i], 0);
                e = engine_submit_check(r->engine, &s, &sentence);
                if (e < 0)
                        return refuse_item(ret, i, e, sentence);
        }
        ret->status = 200;
        (void) str_append(&ret->text, "{\"message\":\"Tasks submitted successfully\",\"tasks\":[");
        for (size_t i = 0; i < n; i++) {
                _cleanup_task_ Task t = {};
                Submission s = submission_of(&b[i], 0);
                e = engine_submit(r->engine, &s, &t, &sentence);
                if (e < 0) {            /* for want of memory or space: not even the first ones are to be kept */
                        if (i > 0)
                                engine_undo(r->engine, e);
                        return refuse_item(ret, i, e, sentence);
                }
                json_put_next(&ret->text);
                task_put_summary(&ret->text, &t);
        }
        (void) str_append(&ret->text, "]}");
        return 0;
}
