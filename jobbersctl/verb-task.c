/* verb-task.c: verbs on single tasks: submit, run, wait, cancel, resubmit, logs. Showing them is verb-show.c. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/ulid.h"
#include "jobbersctl/ctl.h"
#include "model/arguments.h"
#include "model/life.h"

/* ── what is to run ── */

/* The parameter list of a definition as the daemon tells it; *ret_version is the newest one unless --task-version asks. */
static int definition_fetch(Ctl *ctl, const char *name, uint32_t *ret_version, Parameter **ret, size_t *ret_n) {
        json_t *answer = NULL, *d, *p, *best = NULL;
        uint64_t wanted = 0;
        size_t i;

        if (ctl->task_version && (parse_u64(ctl->task_version, &wanted) < 0 || wanted > INT32_MAX)) {
                fprintf(stderr, "jobbersctl: --task-version= takes a whole number, not \"%s\".\n", ctl->task_version);
                return -EINVAL;
        }
        int r = client_get(ctl->client, "/definitions", &answer);
        if (r < 0)
                return r;
        json_array_foreach(json_object_get(answer, "definitions"), i, d) {
                if (!STREQ(ctl_str(d, "name"), name))
                        continue;
                if (ctl->task_version ? (uint64_t) ctl_int(d, "version", -1) == wanted : !best || ctl_int(d, "version", 0) > ctl_int(best, "version", 0))
                        best = d;
        }
        /* An unknown name is left to the daemon: it knows what to suggest. */
        *ret_version = best ? (uint32_t) ctl_int(best, "version", 0) : (uint32_t) wanted;
        json_t *parameters = json_object_get(best, "parameters");
        size_t n = json_array_size(parameters);
        *ret = calloc(n + 1, sizeof **ret);
        *ret_n = 0;
        if (!*ret)
                r = -ENOMEM;
        else
                json_array_foreach(parameters, i, p) {
                        Parameter *q = *ret + (*ret_n)++;
                        q->name = strdup(ctl_str(p, "name"));
                        q->required = json_is_true(json_object_get(p, "required"));
                        for (ParameterType t = 0; t < _PARAM_TYPE_MAX; t++)
                                if (STREQ(parameter_type_to_string(t), ctl_str(p, "type")))
                                        q->type = t;
                }
        json_decref(answer);
        return r;
}

/* "+5min" or an RFC 3339 time, as the API wants it. */
static char *at_resolve(const char *at) {
        char buf[CLOCK_STR_MAX];
        usec_t t;
        if (*at == '+' && parse_span(at + 1, &t) == 0 && t != USEC_INFINITY)
                return strdup(clock_format(clock_wall() + t, buf));
        if (clock_parse(at, &t) == 0)
                return strdup(clock_format(t, buf));
        fprintf(stderr, "jobbersctl: --at= takes a time such as 2026-03-12T10:00:00Z or +5min, not \"%s\".\n", at);
        return NULL;
}

/* The words after the name as parameters; a single "-" reads a JSON object from standard input. */
static int words_to_parameters(const Parameter *parameters, size_t n, int argc, char **argv, json_t **ret) {
        if (argc == 1 && STREQ(argv[0], "-")) {
                json_error_t error;
                *ret = json_loadf(stdin, 0, &error);
                if (json_is_object(*ret))
                        return 0;
                fprintf(stderr, "jobbersctl: standard input is not a JSON object: %s.\n", *ret ? "it is of another type" : error.text);
                json_decref(*ret);
                return -EINVAL;
        }
        _cleanup_free_ char *sentence = NULL;
        int r = arguments_parse(parameters, n, argv, (size_t) argc, ret, &sentence);
        if (r < 0)
                fprintf(stderr, "jobbersctl: %s.\n", sentence ? sentence : "not enough memory");
        return r;
}

/* Submits; *ret_id is the id as text. */
static int task_submit(Ctl *ctl, int argc, char **argv, char ret_id[static ULID_STR_MAX], json_t **ret_answer) {
        _cleanup_free_ char *at = NULL;
        Parameter *parameters = NULL;
        json_t *given = NULL, *answer = NULL;
        size_t n = 0;
        uint32_t version = 0;
        Ulid id;

        if (ctl->at && !(at = at_resolve(ctl->at)))
                return -EINVAL;
        int r = definition_fetch(ctl, argv[0], &version, &parameters, &n);
        if (r >= 0)
                r = words_to_parameters(parameters, n, argc - 1, argv + 1, &given);
        for (size_t i = 0; i < n; i++)
                free(parameters[i].name);
        free(parameters);
        if (r < 0)
                return r;

        if (!ctl->id)
                ulid_new(&id);
        else if (ulid_parse(ctl->id, &id) < 0) {
                fprintf(stderr, "jobbersctl: --id= takes a ULID (26 characters), not \"%s\".\n", ctl->id);
                json_decref(given);
                return -EINVAL;
        }
        ulid_format(&id, ret_id);
        json_t *task = json_pack("{s:s, s:s, s:i, s:o}", "id", ret_id, "name", argv[0], "version", (int) version, "parameters", given);
        if (ctl->queue)
                json_object_set_new(task, "queue", json_string(ctl->queue));
        if (ctl->has_priority)
                json_object_set_new(task, "priority", json_integer(ctl->priority));
        json_t *body = at ? json_pack("{s:o, s:s}", "task", task, "run_at", at) : task;
        r = client_send(ctl->client, "POST", at ? "/schedule-task" : "/submit-task", body, &answer);
        json_decref(body);
        if (r >= 0 && ret_answer)
                *ret_answer = answer;
        else
                json_decref(answer);
        return r;
}

/* ── how it ended ── */

/* Long polls until the task is final. */
static int task_wait(Ctl *ctl, const char *id, json_t **ret) {
        _cleanup_free_ char *path = str_new("/task-status/%s?wait=60", id);
        for (;;) {
                json_t *task = NULL;
                int r = path ? client_get(ctl->client, path, &task) : -ENOMEM;
                if (r < 0)
                        return r;
                if (task_status_is_final(task_status_from_string(ctl_str(task, "status")))) {
                        *ret = task;
                        return 0;
                }
                json_decref(task);
        }
}

/* The task's own exit status where it has one; 128 + signal; 1 for what never ran. */
static int exit_status_of(const json_t *task) {
        if (STREQ(ctl_str(task, "status"), "completed"))
                return 0;
        const json_t *attempts = json_object_get(task, "attempts");
        const json_t *last = json_array_get(attempts, json_array_size(attempts) - 1);
        int64_t status = ctl_int(last, "exit_status", -1), signal = ctl_int(last, "signal", 0);
        return status > 0 ? (int) status : signal > 0 ? 128 + (int) signal : CTL_FAILED;
}

static void say_end(const Ctl *ctl, const json_t *task) {
        if (ctl->quiet)
                return;
        const char *error = ctl_str(task, "last_error");
        if (!STREQ(ctl_str(task, "status"), "completed"))
                fprintf(stderr, "jobbersctl: task %s is %s%s%s\n", ctl_str(task, "id"), ctl_str(task, "status"), *error ? ": " : "", error);
}

static bool print_bytes(void *userdata, const char *data, size_t n) {
        return fd_write_all(*(int *) userdata, data, n) >= 0;
}

static int task_follow(Ctl *ctl, const char *id, int fd) {
        _cleanup_free_ char *path = str_new("/task/%s/logs?follow=true", id);
        fflush(stdout);
        return path ? client_stream(ctl->client, path, print_bytes, &fd) : -ENOMEM;
}

/* ── the verbs ── */

int verb_submit(Ctl *ctl, int argc, char **argv) {
        char id[ULID_STR_MAX];
        json_t *answer = NULL, *task = NULL;
        int r = task_submit(ctl, argc, argv, id, &answer);
        if (r < 0)
                return ctl_exit(r);

        if (!ctl->wait && !ctl->follow) {
                if (!ctl_print_json(ctl, json_object_get(answer, "task")))
                        puts(id);
                json_decref(answer);
                return CTL_OK;
        }
        json_decref(answer);
        if (ctl->json == JSON_OFF && !ctl->quiet)
                puts(id);
        if (ctl->follow)
                r = task_follow(ctl, id, STDOUT_FILENO);
        if (r >= 0)
                r = task_wait(ctl, id, &task);
        if (r < 0)
                return ctl_exit(r);
        ctl_print_json(ctl, task);
        say_end(ctl, task);
        r = exit_status_of(task);
        json_decref(task);
        return r;
}

int verb_run(Ctl *ctl, int argc, char **argv) {
        char id[ULID_STR_MAX];
        json_t *task = NULL;
        int r = task_submit(ctl, argc, argv, id, NULL);
        if (r >= 0 && !ctl->quiet)
                r = task_follow(ctl, id, STDERR_FILENO);
        if (r >= 0)
                r = task_wait(ctl, id, &task);
        if (r < 0)
                return ctl_exit(r);
        if (!ctl_print_json(ctl, task) && json_object_size(json_object_get(task, "results")) > 0) {
                json_dumpf(json_object_get(task, "results"), stdout, JSON_INDENT(2));
                putchar('\n');
        }
        say_end(ctl, task);
        r = exit_status_of(task);
        json_decref(task);
        return r;
}

int verb_wait(Ctl *ctl, int argc, char **argv) {
        int result = CTL_OK;
        for (int i = 0; i < argc; i++) {
                json_t *task = NULL;
                int r = task_wait(ctl, argv[i], &task);
                if (r < 0) {
                        result = ctl_exit(r);
                        continue;
                }
                if (!ctl_print_json(ctl, task) && !ctl->quiet)
                        printf("%s %s\n", ctl_str(task, "id"), ctl_str(task, "status"));
                if (exit_status_of(task) != 0)
                        result = CTL_FAILED;
                json_decref(task);
        }
        return result;
}

int verb_logs(Ctl *ctl, int argc, char **argv) {
        int fd = STDOUT_FILENO;
        if (ctl->follow)
                return ctl_exit(task_follow(ctl, argv[0], fd));
        _cleanup_free_ char *path = str_new("/task/%s/logs", argv[0]);
        ctl_pager(ctl);
        return ctl_exit(path ? client_stream(ctl->client, path, print_bytes, &fd) : -ENOMEM);
}

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
        if (ctl->task_version)
                json_object_set_new(body, "task_version", json_integer(atoi(ctl->task_version)));
        if (json_object_size(body) == 0) {
                fprintf(stderr, "jobbersctl: say which tasks to %s: ids, or --queue=, --status=, --task=.\n", verb);
                json_decref(body);
                return NULL;
        }
        if (ctl->dry_run)
                json_object_set_new(body, "dry_run", json_true());
        return body;
}

static int bulk(Ctl *ctl, const char *verb, const char *path, int argc, char **argv) {
        json_t *body = bulk_body(ctl, verb, argc, argv), *answer = NULL, *item;
        size_t i;
        int result = CTL_OK;

        if (!body)
                return CTL_USAGE;
        int r = client_send(ctl->client, "POST", path, body, &answer);
        json_decref(body);
        if (r < 0)
                return ctl_exit(r);
        bool printed = ctl_print_json(ctl, answer);
        json_array_foreach(json_object_get(answer, "results"), i, item) {
                const char *status = ctl_str(item, "status"), *detail = ctl_str(item, "detail");
                if (STREQ(status, "error") || STREQ(status, "not_found")) {
                        fprintf(stderr, "jobbersctl: cannot %s %s: %s\n", verb, ctl_str(item, "task_id"), *detail ? detail : "there is no such task");
                        result = STREQ(status, "not_found") ? CTL_NOT_FOUND : CTL_FAILED;
                }
        }
        if (!printed && !ctl->quiet && argc == 0)
                printf("%s%lld tasks\n", ctl->dry_run ? "would be: " : "", (long long) ctl_int(answer, "matched", (int64_t) i));
        json_decref(answer);
        return result;
}

int verb_cancel(Ctl *ctl, int argc, char **argv) {
        return bulk(ctl, "cancel", "/tasks/cancel", argc, argv);
}

int verb_resubmit(Ctl *ctl, int argc, char **argv) {
        return bulk(ctl, "resubmit", "/tasks/resubmit", argc, argv);
}
