/* routes.c: see routes.h. In the order in which /openapi.json shows them. */
#include "http/routes.h"

#include "http/api.h"
#include "http/task-json.h"

#define W ROUTE_WRITES

const Route ROUTES[] = {
        { "GET", "/", api_root, .answer = &SCHEMA_ROOT, .success = 200, .summary = "Say what this is and which tasks are registered" },

        { "POST", "/submit-task", api_submit_task, NULL, &SCHEMA_TASK, &SCHEMA_SUBMITTED, 200, W, { 400, 409, 413 }, "Submit a task" },
        { "POST", "/submit-tasks", api_submit_tasks, NULL, &SCHEMA_TASK_LIST_BODY, &SCHEMA_SUBMITTED_LIST, 200, W, { 400, 409, 413 },
          "Submit up to 1,000 tasks, all or none" },
        { "POST", "/schedule-task", api_schedule_task, NULL, &SCHEMA_SCHEDULE, &SCHEMA_SCHEDULED, 200, W, { 400, 409, 413 },
          "Submit a task for a given time" },
        { "GET", "/task-status/{task_id}", api_task_status, &SCHEMA_WAIT, NULL, &SCHEMA_TASK_RECORD, 200, 0, { 404, 429 },
          "Show a task, at once or when it is final" },
        { "POST", "/task/{task_id}/cancel", api_task_cancel, NULL, NULL, &SCHEMA_TASK_CHANGED, 200, W, { 404, 409 }, "Ask a task to end" },
        { "POST", "/task/{task_id}/resubmit", api_task_resubmit, NULL, &SCHEMA_RESUBMIT, &SCHEMA_TASK_CHANGED, 200, W | ROUTE_BODY_OPTIONAL,
          { 400, 404, 409 }, "Run a final task again" },
        { "GET", "/task/{task_id}/logs", api_task_logs, &SCHEMA_LOG_QUERY, NULL, NULL, 200, ROUTE_TEXT, { 404, 429 },
          "Show what a task has printed, or follow it" },
        { "POST", "/tasks/cancel", api_tasks_cancel, NULL, &SCHEMA_BULK_CANCEL, &SCHEMA_BULK_RESULT, 200, W, {}, "Cancel tasks by id or by filter" },
        { "POST", "/tasks/resubmit", api_tasks_resubmit, NULL, &SCHEMA_BULK_RESUBMIT, &SCHEMA_BULK_RESULT, 200, W, {},
          "Run final tasks again, by id or by filter" },

        { "GET", "/task-list", api_task_list, &SCHEMA_LIST_QUERY, NULL, &SCHEMA_RECORDS, 200, .summary = "List tasks" },
        { "GET", "/active-tasks", api_active_tasks, &SCHEMA_LIST_QUERY, NULL, &SCHEMA_SUMMARIES, 200, .summary = "List running tasks" },
        { "GET", "/scheduled-tasks", api_scheduled_tasks, &SCHEMA_LIST_QUERY, NULL, &SCHEMA_SUMMARIES, 200,
          .summary = "List tasks that wait for their time" },

        { "GET", "/queues", api_queue_names, .answer = &SCHEMA_NAMES, .success = 200, .summary = "List queues" },
        { "POST", "/queues", api_queue_create, NULL, &SCHEMA_QUEUE_CREATE, &SCHEMA_QUEUE_CHANGED, 201, W, { 409 }, "Create a queue" },
        { "GET", "/queues/{queue_name}/config", api_queue_config, NULL, NULL, &SCHEMA_QUEUE_ANSWER, 200, 0, { 404 }, "Show a queue" },
        { "PUT", "/queues/{queue_name}", api_queue_update, NULL, &SCHEMA_QUEUE_UPDATE, &SCHEMA_QUEUE_CHANGED, 200, W, {},
          "Create or change a queue" },
        { "DELETE", "/queues/{queue_name}", api_queue_delete, &SCHEMA_FORCE, NULL, &SCHEMA_MESSAGE, 200, W, { 404, 409 }, "Delete a queue" },
        { "POST", "/queues/{queue_name}/pause", api_queue_pause, NULL, NULL, &SCHEMA_QUEUE_CHANGED, 200, W, { 404 },
          "Stop starting tasks of a queue" },
        { "POST", "/queues/{queue_name}/resume", api_queue_resume, NULL, NULL, &SCHEMA_QUEUE_CHANGED, 200, W, { 404 },
          "Start tasks of a queue again" },
        { "GET", "/queues/{role}", api_role_queues, NULL, NULL, &SCHEMA_NAMES, 200, 0, { 404 }, "List the queues of a role" },
        { "POST", "/queues/{role}", api_role_set_queues, NULL, &SCHEMA_QUEUE_LIST, &SCHEMA_MESSAGE, 200, W, { 400 }, "Set the queues of a role" },

        { "GET", "/roles", api_role_names, .answer = &SCHEMA_ROLES, .success = 200, .summary = "List roles" },
        { "POST", "/roles", api_role_create, NULL, &SCHEMA_ROLE_CREATE, &SCHEMA_ROLE_CHANGED, 201, W, { 400, 409 }, "Create a role" },
        { "GET", "/roles/{role_name}", api_role_get, NULL, NULL, &SCHEMA_ROLE, 200, 0, { 404 }, "Show a role" },
        { "PUT", "/roles/{role_name}", api_role_update, NULL, &SCHEMA_QUEUE_LIST, &SCHEMA_ROLE_CHANGED, 200, W, { 400, 404 },
          "Replace the queues of a role" },
        { "DELETE", "/roles/{role_name}", api_role_delete, NULL, NULL, &SCHEMA_MESSAGE, 200, W, { 404, 409 }, "Delete a role" },
        { "POST", "/roles/{role_name}/refresh", api_role_refresh, NULL, NULL, &SCHEMA_REFRESHED, 200, W, { 404 }, "Give a role a new refresh tag" },

        { "GET", "/dead-letter-queue", api_dlq_list, &SCHEMA_DLQ_QUERY, NULL, &SCHEMA_SUMMARIES, 200, .summary = "List dead letters" },
        { "GET", "/dead-letter-queue/{task_id}/history", api_dlq_history, NULL, NULL, &SCHEMA_HISTORY, 200, 0, { 404 },
          "Show every attempt of a task" },
        { "POST", "/dead-letter-queue/resubmit", api_dlq_resubmit, NULL, &SCHEMA_DLQ_RESUBMIT, &SCHEMA_DLQ_RESUBMITTED, 200, W, { 400 },
          "Run dead letters again, by id or by filter" },
        { "DELETE", "/dead-letter-queue", api_dlq_remove, NULL, &SCHEMA_DLQ_REMOVE, &SCHEMA_DLQ_REMOVED, 200, W, {},
          "Take tasks out of the dead letter queue" },

        { "GET", "/definitions", api_definitions, .answer = &SCHEMA_DEFINITIONS, .success = 200, .summary = "List registered tasks" },
        { "GET", "/definitions/{task_name}/{task_version}", api_definition, NULL, NULL, &SCHEMA_DEFINITION_ANSWER, 200, 0, { 404 },
          "Show a registered task" },
        { "GET", "/status", api_status, .answer = &SCHEMA_STATUS, .success = 200, .summary = "Show the daemon, its slots and its queues" },
        { "POST", "/reload", api_reload, .answer = &SCHEMA_RELOADED, .success = 200, .flags = W | ROUTE_RELOADS, .summary = "Read the task definitions again" },
        { "POST", "/drain", api_drain, NULL, &SCHEMA_DRAIN, &SCHEMA_DRAINING, 200, W, {}, "Stop or resume starting tasks" },
        { "POST", "/backup", api_backup, NULL, NULL, &SCHEMA_BACKUP, 200, W, { 409 }, "Make a copy of the database" },
        { "GET", "/health", api_health, .answer = &SCHEMA_HEALTH, .success = 200, .flags = ROUTE_OPEN, .summary = "Tell whether the daemon lives" },
        { "GET", "/metrics", api_metrics, .success = 200, .flags = ROUTE_TEXT, .summary = "Numbers for Prometheus" },
        { "GET", "/openapi.json", api_openapi, .success = 200, .summary = "This description" },
};

const size_t N_ROUTES = ARRAY_SIZE(ROUTES);

#define SEGMENTS_MAX 8

/* Cuts at the slashes: "/task/X/cancel" → task, X, cancel. 0 for "/", -1 for too many. */
static int cut(char *path, char *segments[static SEGMENTS_MAX]) {
        int n = 0;

        if (*path != '/')
                return -1;
        if (path[1] == '\0')
                return 0;
        while (path) {
                if (n == SEGMENTS_MAX)
                        return -1;
                *path++ = '\0';
                segments[n++] = path;
                path = strchr(path, '/');
        }
        return n;
}

/* Does the pattern fit these segments? Those in {…} go to args. */
static bool matches(const char *pattern, char *const *segments, int n, const char *args[2]) {
        int n_args = 0;

        if (pattern[1] == '\0')
                return n == 0;
        for (int i = 0; i < n; i++) {
                if (*pattern++ != '/')
                        return false;
                size_t len = strcspn(pattern, "/");
                if (*pattern == '{') {
                        if (!*segments[i])
                                return false;
                        args[n_args++] = segments[i];
                } else if (strlen(segments[i]) != len || memcmp(pattern, segments[i], len) != 0)
                        return false;
                pattern += len;
        }
        return n > 0 && *pattern == '\0';
}

const Route *route_find(Request *r, const char *method, Reply *ret) {
        const char *wanted = STREQ(method, "HEAD") ? "GET" : method;
        char *segments[SEGMENTS_MAX];
        char allow[sizeof ret->allow] = "";
        int n = cut(r->path, segments);

        for (size_t i = 0; n >= 0 && i < N_ROUTES; i++) {
                const char *args[2] = {};
                if (!matches(ROUTES[i].pattern, segments, n, args))
                        continue;
                if (STREQ(ROUTES[i].method, wanted)) {
                        memcpy(r->args, args, sizeof args);
                        return &ROUTES[i];
                }
                if (!strstr(allow, ROUTES[i].method))
                        strcat(strcat(strcat(allow, allow[0] ? ", " : ""), ROUTES[i].method), STREQ(ROUTES[i].method, "GET") ? ", HEAD" : "");
        }
        if (allow[0]) {
                reply_error(ret, 405, "this path takes %s, not %.16s", allow, method);
                memcpy(ret->allow, allow, sizeof allow);
        } else
                reply_error(ret, 404, "there is nothing at this path; /openapi.json lists all paths");
        return NULL;
}
