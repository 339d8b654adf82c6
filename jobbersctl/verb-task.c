/* verb-task.c: submitting tasks and waiting for them: submit, run, wait. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/ulid.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/options.h"
#include "jobbersctl/table.h"
#include "model/arguments.h"
#include "model/json-dump.h"
#include "model/life.h"

/* ── what is to run ── */

/* The parameters of a definition as the daemon tells them; names are borrowed from it. */
static Parameter *parameters_of(const json_t *definition, size_t *ret_n) {
        const json_t *list = json_object_get(definition, "parameters");
        Parameter *all = calloc(json_array_size(list) + 1, sizeof *all);
        for (*ret_n = 0; all && *ret_n < json_array_size(list); ++*ret_n) {
                const json_t *p = json_array_get(list, *ret_n);
                Parameter *q = all + *ret_n;
                q->name = (char *) ctl_str(p, "name");
                q->required = json_is_true(json_object_get(p, "required"));
                for (ParameterType t = 0; t < _PARAM_TYPE_MAX; t++)
                        if (STREQ(parameter_type_to_string(t), ctl_str(p, "type")))
                                q->type = t;
        }
        return all;
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
static int words_to_parameters(const char *name, const Parameter *parameters, size_t n, int argc, char **argv, json_t **ret) {
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
                fprintf(stderr, "jobbersctl: %s. See: jobbersctl tasks %s\n", sentence ? sentence : "not enough memory", name);
        return r;
}

/* The body of a submission. */
static int task_body(const Ctl *ctl, int argc, char **argv, const json_t *definitions, const char *id, json_t **ret) {
        /* An unknown one is sent as well: the daemon knows whether that is a typing error or a broken file. */
        const json_t *definition = definition_find(ctl, definitions, argv[0]);
        json_t *given = NULL;
        size_t n = 0;

        Parameter *parameters = parameters_of(definition, &n);
        int r = parameters ? words_to_parameters(argv[0], parameters, n, argc - 1, argv + 1, &given) : -ENOMEM;
        free(parameters);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s, s:s, s:I, s:o}", "id", id, "name", argv[0], "version",
                         (json_int_t) ctl_int(definition, "version", MAX(ctl->task_version, 0L)),
                         "parameters", given);
        if (!definition && ctl->task_version < 0)
                json_object_del(*ret, "version");
        if (ctl->queue)
                json_object_set_new(*ret, "queue", json_string(ctl->queue));
        if (ctl_given(ctl, OPT_PRIORITY))
                json_object_set_new(*ret, "priority", json_integer(ctl->priority));
        return 0;
}

static const char *queue_at(const void *names, size_t i) {
        return json_string_value(json_array_get(names, i));
}

bool queue_known(Ctl *ctl, const char *name) {
        _cleanup_json_ json_t *answer = NULL;
        if (client_call(ctl->client, "GET", "/queues", NULL, &answer) != 200)
                return true;
        const json_t *names = json_object_get(answer, "queues");
        for (size_t i = 0; i < json_array_size(names); i++)
                if (STREQ(queue_at(names, i), name))
                        return true;
        const char *near = name_nearest(name, names, json_array_size(names), queue_at);
        if (near)
                fprintf(stderr, "jobbersctl: there is no queue \"%s\". Did you mean \"%s\"?\n", name, near);
        else
                fprintf(stderr, "jobbersctl: there is no queue \"%s\". Make it: jobbersctl set-queue %s\n", name, name);
        return false;
}

/* Submits; *ret_id is the id as text. */
static int task_submit(Ctl *ctl, int argc, char **argv, char ret_id[static ULID_STR_MAX], json_t **ret_answer) {
        _cleanup_free_ char *at = NULL;
        _cleanup_json_ json_t *answer = NULL, *body = NULL;
        json_t *task = NULL;
        Ulid id;

        if (ctl->queue && !ctl_name_valid("queue", ctl->queue))
                return -EINVAL;
        if (ctl->at && !(at = at_resolve(ctl->at)))
                return -EINVAL;
        if (!ctl->id)
                ulid_new(&id);
        else if (ulid_parse(ctl->id, &id) < 0) {
                fprintf(stderr, "jobbersctl: --id= takes a ULID (26 letters and digits, such as %s), not \"%s\".\n",
                        ulid_new(&id) < 0 ? "01JBKR2E5F3G4H5J6K7M8N9P0Q" : ulid_format(&id, ret_id), ctl->id);
                return -EINVAL;
        }
        ulid_format(&id, ret_id);
        int r = client_get(ctl->client, "/definitions", &answer);
        if (r >= 0)
                r = task_body(ctl, argc, argv, json_object_get(answer, "definitions"), ret_id, &task);
        if (r < 0)
                return r;
        body = at ? json_pack("{s:o, s:s}", "task", task, "run_at", at) : task;
        if (ctl->queue && !queue_known(ctl, ctl->queue))
                return -ENOENT;
        const json_t *definitions = json_object_get(answer, "definitions");
        const char *near = definition_nearest(definitions, argv[0]);
        near = near && STREQ(near, argv[0]) ? NULL : near;
        bool known = definition_find(ctl, definitions, argv[0]);
        _cleanup_free_ char *hint = known ? str_new("See: jobbersctl tasks %s", argv[0]) : near ? str_new("Did you mean \"%s\"?", near)
                                          : strdup("See: jobbersctl tasks");
        client_hint(ctl->client, hint);
        r = client_send(ctl->client, "POST", at ? "/schedule-task" : "/submit-task", body, ret_answer);
        return r == -EINVAL && !known ? -ENOENT : r;
}

/* ── how it ended ── */

/* Long polls until the task is final. A daemon that stops answers them all at once: it is not asked again as fast. */
int task_wait(Ctl *ctl, const char *id, json_t **ret) {
        if (!ctl_id_valid(id))
                return -EINVAL;
        _cleanup_free_ char *path = client_path(ctl->client, "/task-status/%s?wait=60", id);
        for (;;) {
                usec_t asked = clock_boot();
                json_t *task = NULL;
                client_hint(ctl->client, HINT_TASK);
                int r = path ? client_get(ctl->client, path, &task) : -ENOMEM;
                if (r < 0)
                        return r;
                if (task_status_is_final(task_status_from_string(ctl_str(task, "status")))) {
                        *ret = task;
                        return 0;
                }
                json_decref(task);
                if (clock_boot() - asked < USEC_PER_SEC)
                        (void) usleep(200 * USEC_PER_MSEC);
        }
}

#define EXIT_STATUS_EXEC 203    /* the supervisor's, as systemd's: the executable could not be run */

/* The task's own exit status where it has one; 128 + signal; 1 for what never ran. */
static int exit_status_of(const json_t *task) {
        if (STREQ(ctl_str(task, "status"), "completed"))
                return 0;
        const json_t *attempts = json_object_get(task, "attempts");
        const json_t *last = json_array_get(attempts, json_array_size(attempts) - 1);
        int64_t status = ctl_int(last, "exit_status", -1);
        int signal = parse_signal(ctl_str(last, "signal"));
        return status > 0 ? (int) status : signal > 0 ? 128 + signal : CTL_FAILED;
}

static int own_fault(int r) {
        return r >= 0 ? CTL_OK : CTL_OWN_FAULT;
}

/* What became of the task cannot be told here. */
static int lost_sight(const char *id) {
        fprintf(stderr, "jobbersctl: task %s was submitted; see: jobbersctl status %s\n", id, id);
        return CTL_OWN_FAULT;
}

static void say_end(const Ctl *ctl, const json_t *task) {
        _cleanup_free_ char *clean = strdup(ctl_str(task, "last_error"));       /* the task's own words */
        const char *error = clean ? text_clean(clean) : "", *status = ctl_str(task, "status");
        size_t n = strlen(status);
        if (strncmp(error, status, n) == 0)     /* "stalled: no heartbeat": once is enough */
                error += error[n] == '\0' ? n : strncmp(error + n, ": ", 2) == 0 ? n + 2 : 0;
        bool passive = STREQ(status, "cancelled") || STREQ(status, "dropped");
        bool no_program = exit_status_of(task) == EXIT_STATUS_EXEC && strncmp(error, "cannot run ", 11) == 0;
        if (!ctl->quiet && !STREQ(status, "completed"))
                fprintf(stderr, "jobbersctl: task %s %s%s%s%s.%s\n", ctl_str(task, "id"), passive ? "was " : "", status, *error ? ": " : "", error,
                        no_program ? " See: jobbersctl verify" : "");
}

/* Ctrl-C ends us and not the task: says so. The sentence is made beforehand, a handler can make nothing. */
static char interrupted[256];

static void on_interrupt(int sig) {
        ssize_t n = write(STDERR_FILENO, interrupted, strlen(interrupted));
        (void) n;
        signal(sig, SIG_DFL);
        raise(sig);
}

static void interrupt_prepare(const char *id) {
        snprintf(interrupted, sizeof interrupted, "\njobbersctl: task %s keeps running. Watch it: jobbersctl logs -f %s. End it: jobbersctl cancel %s\n", id, id, id);
        signal(SIGINT, on_interrupt);
}

/* "in 5min" for one that waits for its time. */
static void say_scheduled(const json_t *task) {
        char when[96];
        fprintf(stderr, "jobbersctl: the task waits for its scheduled time: %s\n", ctl_time_long(ctl_str(task, "scheduled_at"), when));
}

/* Nothing is wrong, there is just much to do. */
static void say_crowd(const json_t *status, const json_t *queue) {
        const json_t *roles = json_object_get(status, "roles");
        int64_t running = 0, slots = 0;
        for (size_t i = 0; i < json_array_size(roles); i++) {
                running += ctl_int(json_array_get(roles, i), "running", 0);
                slots += ctl_int(json_array_get(roles, i), "slots", 0);
        }
        fprintf(stderr, "jobbersctl: the task waits for its turn: %lld waiting and %lld running in queue \"%s\"; %lld of %lld slots are busy. See: jobbersctl queues\n",
                (long long) ctl_int(queue, "waiting", 0), (long long) ctl_int(queue, "running", 0), ctl_str(queue, "name"), (long long) running,
                (long long) slots);
}

#define EXPLAIN_MSEC 5000

/* Why a task that was submitted does not run, or nothing where that cannot be had. `turn`: also where it is only not its turn. */
static void say_obstacle(const Ctl *ctl, Client *client, const json_t *task, bool turn) {
        _cleanup_json_ json_t *status = NULL;
        const char *name = ctl_str(task, "queue");
        const json_t *queue = NULL;

        if (ctl->quiet)
                return;
        if (turn && STREQ(ctl_str(task, "status"), "scheduled"))
                say_scheduled(task);
        if (!STREQ(ctl_str(task, "status"), "submitted") || client_get_soon(client, "/status", EXPLAIN_MSEC, &status) < 0)
                return;
        const json_t *queues = json_object_get(status, "queues");
        for (size_t i = 0; i < json_array_size(queues); i++)
                if (STREQ(ctl_str(json_array_get(queues, i), "name"), name))
                        queue = json_array_get(queues, i);
        bool draining = ctl_true(status, "draining"), paused = ctl_true(queue, "paused"), unserved = json_is_false(json_object_get(queue, "served"));
        if (draining)
                fprintf(stderr, "jobbersctl: the daemon is draining: the task waits until you run: jobbersctl drain off\n");
        if (paused)
                fprintf(stderr, "jobbersctl: queue \"%s\" is paused: the task waits until you run: jobbersctl resume %s\n", name, name);
        if (unserved)
                ctl_say_unserved(status, name, "the task waits");
        if (turn && !draining && !paused && !unserved)
                say_crowd(status, queue);
}

typedef struct Follow {
        Ctl *ctl;
        const char *id;
        int fd;
        json_t *ended;                  /* its record once it has */
        int r;
} Follow;

static bool print_bytes(void *userdata, const char *data, size_t n) {
        return fd_write_all(((Follow *) userdata)->fd, data, n) >= 0;
}

/* Nothing has come for a second: if that is because it does not run, say why. With a client of its own, the other one is busy. */
static void explain_silence(void *userdata) {
        const Follow *f = userdata;
        _cleanup_client_ Client *client = NULL;
        _cleanup_json_ json_t *task = NULL;
        if (client_new(&client, &f->ctl->address) < 0)
                return;
        _cleanup_free_ char *path = client_path(client, "/task-status/%s", f->id);
        if (path && client_get_soon(client, path, EXPLAIN_MSEC, &task) == 0)
                say_obstacle(f->ctl, client, task, true);
}

static bool is_final(const json_t *task) {
        return task_status_is_final(task_status_from_string(ctl_str(task, "status")));
}

/* A log ends with its task; of a daemon before this version, also with the daemon. */
static bool goes_on(void *userdata) {
        Follow *f = userdata;
        _cleanup_free_ char *path = client_path(f->ctl->client, "/task-status/%s?wait=1", f->id);
        _cleanup_json_ json_t *task = NULL;
        f->r = path ? client_get(f->ctl->client, path, &task) : -ENOMEM;
        if (f->r < 0)
                return false;
        if (is_final(task))
                f->ended = TAKE_PTR(task);
        return !f->ended;
}

/* Many tasks have ended before anybody could follow them, and a log that is complete is cheaper to read: this long they are given. */
#define SOON_MSEC 100

/* Shows what the task prints until it has ended; *ret_ended is its record then (new reference). */
static int task_follow(Ctl *ctl, const char *id, int fd, bool lifecycle, json_t **ret_ended) {
        _cleanup_free_ char *wait = client_path(ctl->client, "/task-status/%s?wait=1", id);
        _cleanup_json_ json_t *task = NULL;
        bool over = wait && client_get_soon(ctl->client, wait, SOON_MSEC, &task) == 0 && is_final(task);
        _cleanup_free_ char *pattern = str_new("/task/%%s/logs?follow=%s&lifecycle=%s&stopping=false", over ? "false" : "true", lifecycle ? "true" : "false");
        _cleanup_free_ char *path = pattern ? client_path(ctl->client, pattern, id) : NULL;
        Follow f = { .ctl = ctl, .id = id, .fd = fd };
        fflush(stdout);
        int r = !path  ? -ENOMEM
              : over ? client_stream(ctl->client, path, &(ClientStream) { .write = print_bytes, .userdata = &f })
                     : client_stream(ctl->client, path, &(ClientStream) { .write = print_bytes, .idle = explain_silence, .again = goes_on, .userdata = &f });
        *ret_ended = over ? TAKE_PTR(task) : f.ended;
        return r < 0 ? r : f.r;
}

/* ── the verbs ── */

int verb_submit(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL, *ended = NULL;
        char id[ULID_STR_MAX];
        bool stay = ctl->wait || ctl->follow;
        int r = task_submit(ctl, argc, argv, id, &answer);
        if (r < 0)
                return stay ? own_fault(r) : ctl_exit(r);

        const json_t *task = json_object_get(answer, "task");
        if (ctl->queue || !ctl->follow)         /* who follows is told when nothing comes */
                say_obstacle(ctl, ctl->client, task, false);
        if (!stay) {
                if (!ctl_print_json(ctl, task))
                        puts(id);
                return CTL_OK;
        }
        if (ctl->json == JSON_OFF)
                puts(id);
        interrupt_prepare(id);
        if (ctl->follow)
                r = task_follow(ctl, id, ctl->json == JSON_OFF ? STDOUT_FILENO : STDERR_FILENO, true, &ended);
        if (r >= 0 && !ended)
                r = task_wait(ctl, id, &ended);
        if (r < 0)
                return lost_sight(id);
        ctl_print_json(ctl, ended);
        say_end(ctl, ended);
        return exit_status_of(ended);
}

int verb_run(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *ended = NULL;
        char id[ULID_STR_MAX];
        int r = task_submit(ctl, argc, argv, id, NULL);
        if (r < 0)
                return own_fault(r);
        interrupt_prepare(id);
        /* Somebody who watches wants to know of retries too; a pipe wants the output alone. */
        if (!ctl->quiet)
                r = task_follow(ctl, id, ctl->json == JSON_OFF ? STDOUT_FILENO : STDERR_FILENO, isatty(STDOUT_FILENO), &ended);
        if (r >= 0 && !ended)
                r = task_wait(ctl, id, &ended);
        if (r < 0)
                return lost_sight(id);
        const json_t *results = json_object_get(ended, "results");
        if (!ctl_print_json(ctl, ended) && json_object_size(results) > 0) {
                _cleanup_free_ char *text = json_dump_text(results, isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);
                puts(text ? text : "");
        }
        say_end(ctl, ended);
        return exit_status_of(ended);
}

int verb_wait(Ctl *ctl, int argc, char **argv) {
        int result = CTL_OK;
        for (int i = 0; i < argc; i++) {
                _cleanup_json_ json_t *task = NULL;
                int r = task_wait(ctl, argv[i], &task);
                if (r < 0) {
                        result = ctl_exit(r);
                        continue;
                }
                if (!ctl_print_json(ctl, task) && !ctl->quiet)
                        printf("%s %s\n", ctl_str(task, "id"), ctl_str(task, "status"));
                if (result == CTL_OK && exit_status_of(task) != 0)
                        result = CTL_FAILED;
        }
        return result;
}
