/* task-json.h: tasks and attempts as the API shows them. */
#pragma once

#include "http/schema.h"
#include "model/task.h"
#include "store/store.h"

/* {id, name, parameters, status, retry_attempt, submitted_at, …}; last_error and times only where there are any. */
void task_put_summary(Str *b, const Task *t);

/* The whole record: everything, nulls included, with all attempts from the store. 0 or the store's error. */
int task_put_record(Str *b, Store *store, const Task *t);

/* Members of an attempt, without braces. */
void attempt_put_members(Str *b, const Attempt *a);
/* "exit status 75", "killed by SIGKILL (oom)", "timeout" …: how an attempt ended, in words. */
void attempt_put_end(Str *b, const Attempt *a);

extern const char *const TASK_STATUS_NAMES[];   /* NULL-terminated, in the order of TaskStatus */
extern const Schema SCHEMA_TASK_SUMMARY, SCHEMA_TASK_RECORD, SCHEMA_ATTEMPT, SCHEMA_RESOURCES;
