/* verb-change.c: verbs on tasks that are there, one or many: cancel, resubmit; and logs. */
#include <stdio.h>

#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/tail.h"

/* The body of a bulk call: ids, or a filter made of options. NULL after a sentence. */
static json_t *bulk_body(const Ctl *ctl, const char *verb, int argc, char **argv) {
        json_t *body = json_object();
        if (argc > 0) {
                json_t *ids = json_array();
                for (int i = 0; i < argc; i++)
                        json_array_append_new(ids, json_string(argv[i]));
                json_object_set_new(body, "task_ids", ids);
        }
        if (ctl->queue)
                json_object_set_new(body, "queue", json_string(ctl->queue));
        if (ctl->status)
                json_object_set_new(body, "status", json_string(ctl->status));
        if (ctl->task)
                json_object_set_new(body, "task_name", json_string(ctl->task));
        if (json_object_size(body) == 0) {      /* a version alone would be nearly everything */
                fprintf(stderr, "jobbersctl: say which tasks to %s: ids, or --queue=, --status=, --task=.\n", verb);
                json_decref(body);
                return NULL;
        }
        if (ctl->task_version >= 0)
                json_object_set_new(body, "task_version", json_integer(ctl->task_version));
        if (ctl->dry_run)
                json_object_set_new(body, "dry_run", json_true());
        return body;
}

/* What to do about a refusal, where the daemon's sentence does not say it. */
static const char *hint_for(const char *detail) {
        if (strstr(detail, "jobbersctl ") || strstr(detail, "Did you mean"))
                return "";
        return strncmp(detail, "unknown task ", 13) == 0 ? "See: jobbersctl tasks" : HINT_TASK;
}

static int bulk(Ctl *ctl, const char *verb, const char *path, json_t *body, json_t **ret) {
        _cleanup_json_ json_t *given = body;
        char count[64];
        int result = CTL_OK;
        int64_t changed = 0;

        int r = client_send(ctl->client, "POST", path, given, ret);
        if (r < 0)
                return ctl_exit(r);
        const json_t *results = json_object_get(*ret, "results");
        for (size_t i = 0; i < json_array_size(results); i++) {
                const json_t *item = json_array_get(results, i);
                const char *status = ctl_str(item, "status"), *detail = ctl_str(item, "detail"), *id = ctl_str(item, "task_id");
                if (STREQ(status, "not_found")) {
                        fprintf(stderr, "jobbersctl: cannot %s %s: there is no such task. See: jobbersctl list --all\n", verb, id);
                        result = CTL_NOT_FOUND;
                } else if (STREQ(status, "error") && !ctl_id_valid(id))
                        result = CTL_USAGE;
                else if (STREQ(status, "error")) {
                        const char *hint = hint_for(detail);
                        fprintf(stderr, "jobbersctl: cannot %s %s: %s.%s%s\n", verb, id, detail, *hint ? " " : "", hint);
                        result = CTL_FAILED;
                } else
                        changed++;
        }
        if (ctl_print_json(ctl, *ret) || ctl->quiet || (!ctl->dry_run && json_object_get(given, "task_ids")))
                return result;
        /* One call reaches so many tasks; a loop might go on for ever, with tasks that fail again as fast. */
        int64_t matched = ctl_int(*ret, "matched", 0), done = (int64_t) json_array_size(results);
        if (ctl->dry_run)
                printf("%s match%s (dry run, nothing changed).\n", ctl_count(matched, "task", count), matched == 1 ? "es" : "");
        else if (matched == 0)
                printf("No task matched.\n");
        else if (done >= matched)
                printf("%s %s.\n", ctl_count(changed, "task", count), STREQ(verb, "cancel") ? "cancelled" : "resubmitted");
        else
                printf("%lld of %s done; run the same command again for the rest.\n", (long long) done, ctl_count(matched, "task", count));
        return result;
}

int verb_cancel(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;
        json_t *body = bulk_body(ctl, "cancel", argc, argv);
        if (!body)
                return CTL_USAGE;
        int result = bulk(ctl, "cancel", "/tasks/cancel", body, &answer);
        const json_t *results = json_object_get(answer, "results");
        for (size_t i = 0; ctl->wait && i < json_array_size(results); i++) {
                _cleanup_json_ json_t *task = NULL;
                const json_t *item = json_array_get(results, i);
                if (!STREQ(ctl_str(item, "status"), "error") && !STREQ(ctl_str(item, "status"), "not_found") &&
                    task_wait(ctl, ctl_str(item, "task_id"), &task) < 0)
                        return CTL_FAILED;
        }
        return result;
}

int verb_resubmit(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;
        json_t *body = bulk_body(ctl, "resubmit", argc, argv);
        if (!body)
                return CTL_USAGE;
        if (ctl->keep_retries)
                json_object_set_new(body, "reset_retry_count", json_false());
        return bulk(ctl, "resubmit", "/tasks/resubmit", body, &answer);
}

/* ── logs ── */

static char *logs_path(Ctl *ctl, const char *id, bool follow) {
        /* What is followed goes on behind a restart: no line may come between. */
        _cleanup_free_ char *pattern = str_new("/task/%%s/logs?follow=%s&lifecycle=%s&stopping=false", follow ? "true" : "false",
                                                ctl->no_lifecycle ? "false" : "true");
        return pattern ? client_path(ctl->client, pattern, id) : NULL;
}

int verb_logs(Ctl *ctl, int argc, char **argv) {
        if (!ctl_id_valid(argv[0]))
                return CTL_USAGE;
        _cleanup_free_ char *now = logs_path(ctl, argv[0], false), *all = logs_path(ctl, argv[0], ctl->follow);
        _cleanup_tail_ Tail tail = { 0 };
        LogOutput output = { 0 };
        int r = 0;

        if (!now || !all)
                return CTL_FAILED;
        if (!ctl->follow)
                ctl_pager(ctl);
        if (ctl_given(ctl, OPT_LINES)) {
                output.tail = &tail;
                client_hint(ctl->client, HINT_TASK);
                r = tail_init(&tail, (size_t) ctl->lines);
                if (r >= 0)
                        r = client_stream(ctl->client, now, &(ClientStream) { .write = log_output_write, .userdata = &output });
                if (r >= 0)
                        tail_print(&tail, stdout, !ctl->follow);
                if (r < 0 || !ctl->follow)
                        return ctl_exit(r);
                output.tail = NULL;
                fflush(stdout);
        }
        client_hint(ctl->client, HINT_TASK);
        return ctl_exit(client_stream(ctl->client, all, &(ClientStream) { .write = log_output_write, .userdata = &output, .skip = output.seen }));
}
