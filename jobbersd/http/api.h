/* api.h: every handler and the tables of what it takes and gives; routes.c puts them together. */
#pragma once

#include "http/request.h"

#define LIST_LIMIT_DEFAULT "50"
#define LIST_LIMIT_MAX 1000
#define BULK_STEP 500                   /* tasks that one turn changes for one bulk call */

/* api-submit.c */
int api_submit_task(Request *r, Reply *ret);
int api_submit_tasks(Request *r, Reply *ret);
int api_schedule_task(Request *r, Reply *ret);
extern const Schema SCHEMA_TASK, SCHEMA_TASK_LIST_BODY, SCHEMA_SCHEDULE, SCHEMA_SUBMITTED, SCHEMA_SUBMITTED_LIST, SCHEMA_SCHEDULED;

/* api-task.c */
int api_task_status(Request *r, Reply *ret);
int api_task_cancel(Request *r, Reply *ret);
int api_task_resubmit(Request *r, Reply *ret);
extern const Schema SCHEMA_WAIT, SCHEMA_RESUBMIT, SCHEMA_TASK_CHANGED;

/* api-bulk.c */
int api_tasks_cancel(Request *r, Reply *ret);
int api_tasks_resubmit(Request *r, Reply *ret);
extern const Schema SCHEMA_BULK_CANCEL, SCHEMA_BULK_RESUBMIT, SCHEMA_BULK_RESULT;

/* api-list.c */
int api_task_list(Request *r, Reply *ret);
int api_active_tasks(Request *r, Reply *ret);
int api_scheduled_tasks(Request *r, Reply *ret);
int api_dlq_list(Request *r, Reply *ret);
extern const Schema SCHEMA_LIST_QUERY, SCHEMA_DLQ_QUERY, SCHEMA_RECORDS, SCHEMA_SUMMARIES;

/* api-log.c */
int api_task_logs(Request *r, Reply *ret);
extern const Schema SCHEMA_LOG_QUERY;

/* api-queue.c */
int api_queue_names(Request *r, Reply *ret);
int api_queue_create(Request *r, Reply *ret);
int api_queue_update(Request *r, Reply *ret);
int api_queue_config(Request *r, Reply *ret);
int api_queue_delete(Request *r, Reply *ret);
int api_queue_pause(Request *r, Reply *ret);
int api_queue_resume(Request *r, Reply *ret);
extern const Schema SCHEMA_QUEUE_CREATE, SCHEMA_QUEUE_UPDATE, SCHEMA_QUEUE_CONFIG, SCHEMA_QUEUE_ANSWER, SCHEMA_QUEUE_CHANGED, SCHEMA_NAMES,
        SCHEMA_FORCE, SCHEMA_MESSAGE;

/* api-role.c */
int api_role_queues(Request *r, Reply *ret);
int api_role_set_queues(Request *r, Reply *ret);
int api_role_names(Request *r, Reply *ret);
int api_role_create(Request *r, Reply *ret);
int api_role_get(Request *r, Reply *ret);
int api_role_update(Request *r, Reply *ret);
int api_role_delete(Request *r, Reply *ret);
int api_role_refresh(Request *r, Reply *ret);
extern const Schema SCHEMA_ROLE_CREATE, SCHEMA_QUEUE_LIST, SCHEMA_ROLE, SCHEMA_ROLE_CHANGED, SCHEMA_ROLES, SCHEMA_REFRESHED;

/* api-dlq.c */
int api_dlq_history(Request *r, Reply *ret);
int api_dlq_resubmit(Request *r, Reply *ret);
int api_dlq_remove(Request *r, Reply *ret);
extern const Schema SCHEMA_DLQ_RESUBMIT, SCHEMA_DLQ_REMOVE, SCHEMA_DLQ_RESUBMITTED, SCHEMA_DLQ_REMOVED, SCHEMA_HISTORY, SCHEMA_HISTORY_ENTRY;

/* api-admin.c */
int api_root(Request *r, Reply *ret);
int api_health(Request *r, Reply *ret);
int api_status(Request *r, Reply *ret);
int api_reload(Request *r, Reply *ret);
int api_drain(Request *r, Reply *ret);
extern const Schema SCHEMA_ROOT, SCHEMA_HEALTH, SCHEMA_STATUS, SCHEMA_STATUS_QUEUE, SCHEMA_STATUS_ROLE, SCHEMA_RELOADED, SCHEMA_DRAIN,
        SCHEMA_DRAINING;

/* api-backup.c */
int api_backup(Request *r, Reply *ret);
extern const Schema SCHEMA_BACKUP;

/* api-definition.c */
int api_definitions(Request *r, Reply *ret);
int api_definition(Request *r, Reply *ret);
extern const Schema SCHEMA_DEFINITIONS, SCHEMA_DEFINITION, SCHEMA_DEFINITION_ANSWER, SCHEMA_PARAMETER;

/* openapi.c, metrics.c */
int api_openapi(Request *r, Reply *ret);
int api_metrics(Request *r, Reply *ret);

/* Shared by several: what a verb answered, or 0 where it went well. */
static inline int api_refuse(Reply *ret, int error, const char *sentence) {
        reply_errno(ret, error, sentence);
        return 0;
}
