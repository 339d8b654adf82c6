/* verb-status.c: tasks in full, and the daemon in short. */
#include <langinfo.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/table.h"
#include "jobbersctl/tail.h"
#include "model/json-dump.h"

static const char *dot(void) {
        return STREQ(nl_langinfo(CODESET), "UTF-8") ? "●" : "*";
}

#define LABEL 12                /* columns of "     State: " */
#define JSON_LINES 5            /* on a terminal; --json= shows all of it */

/* What may be longer than a line of the terminal, and may have been chosen by the task. */
static void print_text(const char *label, Colour c, const char *text) {
        _cleanup_free_ char *clean = strdup(text);
        if (!clean)
                return;
        printf("%10s: %s", label, c == COLOUR_NONE ? "" : colour(c));
        print_folded(text_clean(clean), LABEL, LABEL, 0);
        printf("%s\n", c == COLOUR_NONE ? "" : colour(COLOUR_NONE));
}

static void print_time(const json_t *task, const char *label, const char *key) {
        char when[96];
        if (*ctl_str(task, key))
                printf("%10s: %s\n", label, ctl_time_long(ctl_str(task, key), when));
}

static void print_json_line(const char *label, const json_t *value) {
        _cleanup_free_ char *text = json_object_size(value) > 0 ? json_dump_text(value, 0) : NULL;
        if (!text)
                return;
        printf("%10s: ", label);
        print_folded(text, LABEL, LABEL, JSON_LINES);
        printf("\n");
}

static const char *cpu(const json_t *resources, char buf[static CLOCK_STR_MAX]) {
        int64_t usec = ctl_int(resources, "cpu_usec", -1);
        if (usec < 0)
                return "-";
        usec_t unit = usec >= (int64_t) USEC_PER_SEC ? 10 * USEC_PER_MSEC : USEC_PER_MSEC;
        return clock_format_span((usec_t) usec / unit * unit, buf);
}

static const char *bytes(const json_t *resources, const char *key, char buf[static 24]) {
        int64_t n = ctl_int(resources, key, -1);
        return n < 0 ? "-" : ctl_bytes(n, buf);
}

/* "exit status 75", "SIGKILL (timeout)" */
static const char *attempt_end(const json_t *attempt, char buf[static 128]) {
        const char *reason = ctl_str(attempt, "end_reason"), *signal = ctl_str(attempt, "signal");
        int64_t status = ctl_int(attempt, "exit_status", -1);
        bool plain = STREQ(reason, "exit") || STREQ(reason, "signal");
        if (!*ctl_str(attempt, "ended_at"))
                return strcpy(buf, "runs");
        if (status >= 0)
                snprintf(buf, 128, "exit status %lld%s%s%s", (long long) status, plain ? "" : " (", plain ? "" : reason, plain ? "" : ")");
        else if (*signal)
                snprintf(buf, 128, "%s%s%s%s", signal, plain ? "" : " (", plain ? "" : reason, plain ? "" : ")");
        else
                snprintf(buf, 128, "%s", STREQ(reason, "exit") ? "not started" : reason);
        return buf;
}

void attempt_table_print(const Ctl *ctl, const json_t *attempts, bool errors) {
        _cleanup_table_ Table t = { 0 };
        char time[40], span[CLOCK_STR_MAX], ran[40], b1[24], b2[24], b3[24], end[128];
        table_init(&t, errors ? ">ATTEMPT|STARTED|>RAN|>CPU|>MEMORY|>READ|>WRITTEN|END|*ERROR" : ">ATTEMPT|STARTED|>RAN|>CPU|>MEMORY|>READ|>WRITTEN|*END");
        for (size_t i = 0; i < json_array_size(attempts); i++) {
                const json_t *a = json_array_get(attempts, i), *resources = json_object_get(a, "resources");
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(a, "attempt", 0));
                table_add(&t, COLOUR_NONE, ctl_time(ctl_str(a, "started_at"), time));
                table_add(&t, COLOUR_NONE, ctl_span(ctl_str(a, "started_at"), ctl_str(a, "ended_at"), ran));
                table_add(&t, COLOUR_NONE, cpu(resources, span));
                table_add(&t, COLOUR_NONE, bytes(resources, "memory_peak", b1));
                table_add(&t, COLOUR_NONE, bytes(resources, "io_read", b2));
                table_add(&t, COLOUR_NONE, bytes(resources, "io_write", b3));
                table_add(&t, COLOUR_NONE, attempt_end(a, end));
                if (errors)
                        table_add(&t, COLOUR_NONE, *ctl_str(a, "error") ? ctl_str(a, "error") : "-");
        }
        table_print(&t, stdout, !ctl->no_legend);
}

/* The description of its definition, which may be gone: new reference or NULL. */
static json_t *definition_of(Ctl *ctl, const json_t *task) {
        _cleanup_free_ char *pattern = str_new("/definitions/%%s/%lld", (long long) ctl_int(task, "version", 0));
        _cleanup_free_ char *path = pattern ? client_path(ctl->client, pattern, ctl_str(task, "name")) : NULL;
        _cleanup_json_ json_t *answer = NULL;
        if (!path || client_call(ctl->client, "GET", path, NULL, &answer) != 200)
                return NULL;
        return json_incref(json_object_get(answer, "definition"));
}

static void print_head(const Ctl *ctl, const json_t *task, const json_t *definition) {
        const char *status = ctl_str(task, "status"), *description = ctl_str(definition, "description"), *error = ctl_str(task, "last_error");
        int64_t progress = ctl_int(task, "progress", -1), retries = ctl_int(task, "retry_attempt", 0);
        char when[96], bar[256];

        _cleanup_free_ char *title = str_new("%s - %s version %lld%s%s", ctl_str(task, "id"), ctl_str(task, "name"), (long long) ctl_int(task, "version", 0),
                                             *description ? ": " : "", description);
        printf("%s%s%s ", colour(colour_of_status(status)), dot(), colour(COLOUR_NONE));
        print_folded(title ? text_clean(title) : ctl_str(task, "id"), 2, LABEL, 0);
        printf("\n");
        printf("     State: %s%s%s since %s\n", colour(colour_of_status(status)), status, colour(COLOUR_NONE), ctl_time_long(task_since(task), when));
        printf("     Queue: %s", ctl_str(task, "queue"));
        if (ctl_int(task, "priority", 0) != 0)
                printf(", priority %lld", (long long) ctl_int(task, "priority", 0));
        printf("\n");
        print_time(task, "Submitted", "submitted_at");
        print_time(task, "Scheduled", "scheduled_at");
        print_time(task, "Started", "started_at");
        print_time(task, "Retried", "retried_at");
        if (STREQ(status, "started") && json_is_number(json_object_get(definition, "max_heartbeat_interval")))
                print_time(task, "Heartbeat", "heartbeat_at");
        print_time(task, "Ended", "completed_at");
        print_time(task, "Dead since", "dead_at");
        if (retries > 0)
                printf("   Retries: %lld of %lld\n", (long long) retries, (long long) ctl_int(definition, "max_retries", retries));
        if (progress >= 0 && !STREQ(status, "completed"))
                printf("  Progress: %s %lld%%\n", task_bar(progress, 100, 30, bar), (long long) progress);
        if (*ctl_str(task, "status_text")) {
                _cleanup_free_ char *quoted = str_new("\"%s\"", ctl_str(task, "status_text"));
                print_text("Status", COLOUR_NONE, quoted ? quoted : "");
        }
        if (*ctl_str(task, "stop_reason"))
                printf("   Stopped: %s\n", ctl_str(task, "stop_reason"));
        if (*ctl_str(task, "scope"))
                printf("      Unit: %s\n", ctl_str(task, "scope"));
        print_json_line("Parameters", json_object_get(task, "parameters"));
        print_json_line("Result", json_object_get(task, "results"));
        if (*error && !STREQ(status, "completed"))
                print_text("Error", COLOUR_RED, error);
}

static int print_log(Ctl *ctl, const char *id) {
        _cleanup_free_ char *path = client_path(ctl->client, "/task/%s/logs", id);
        _cleanup_tail_ Tail tail = { 0 };
        LogOutput output = { .tail = &tail };
        int r = !path || tail_init(&tail, (size_t) ctl->lines) < 0 ? -ENOMEM
                : client_stream(ctl->client, path, &(ClientStream) { .write = log_output_write, .userdata = &output });
        if (r >= 0 && tail.n > 0 && ctl->lines > 0) {
                printf("\n");
                tail_print(&tail, stdout, true);
        }
        return r;
}

/* What a task that is submitted and does not run waits for, as far as the daemon's state tells: the first thing that would hold it. */
static void print_wait(Ctl *ctl, const json_t *task, const json_t *definition) {
        const char *name = ctl_str(task, "queue");
        _cleanup_free_ char *config = client_path(ctl->client, "/queues/%s/config", name), *like = client_path(ctl->client, "%s", ctl_str(task, "name"));
        _cleanup_free_ char *active = like ? str_new("/active-tasks?task_name=%s&task_version=%lld&limit=1000", like, (long long) ctl_int(task, "version", 0)) : NULL;
        _cleanup_json_ json_t *status = NULL, *answer = NULL, *others = NULL;
        int64_t running = 0, slots = 0, n = 0;
        const json_t *queue = NULL;
        char text[64];

        if (!STREQ(ctl_str(task, "status"), "submitted") || !config || !active || client_call(ctl->client, "GET", "/status", NULL, &status) != 200 ||
            client_call(ctl->client, "GET", config, NULL, &answer) != 200)
                return;
        const json_t *queues = json_object_get(status, "queues"), *roles = json_object_get(status, "roles"), *q = json_object_get(answer, "queue");
        for (size_t i = 0; i < json_array_size(queues); i++)
                if (STREQ(ctl_str(json_array_get(queues, i), "name"), name))
                        queue = json_array_get(queues, i);
        for (size_t i = 0; i < json_array_size(roles); i++) {
                running += ctl_int(json_array_get(roles, i), "running", 0);
                slots += ctl_int(json_array_get(roles, i), "slots", 0);
        }
        int64_t most = ctl_int(q, "max_concurrent", INT64_MAX), own = ctl_int(definition, "max_concurrent", INT64_MAX);
        if (own < INT64_MAX && client_call(ctl->client, "GET", active, NULL, &others) == 200)
                n = (int64_t) json_array_size(json_object_get(others, "tasks"));

        _cleanup_free_ char *what =
                ctl_true(status, "draining")                       ? strdup("the end of the drain (jobbersctl drain off)")
                : json_is_null(json_object_get(status, "launcher")) ? strdup("the launcher (systemctl status jobbers-launcher)")
                : ctl_true(queue, "paused")                        ? str_new("queue \"%s\", which is paused (jobbersctl resume %s)", name, name)
                : json_is_false(json_object_get(queue, "served"))  ? str_new("a role of this daemon that has queue \"%s\" (jobbersctl roles)", name)
                : ctl_int(queue, "running", 0) >= most
                        ? str_new("queue \"%s\": as many as may run at once are running (max_concurrent=%lld)", name, (long long) most)
                : n >= own         ? str_new("others of its kind: as many as may run at once are running (MaxConcurrent=%lld)", (long long) own)
                : running >= slots ? str_new("a slot: all %lld are busy", (long long) slots)
                : ctl_int(q, "rate_numerator", 0) > 0
                        ? str_new("the rate of queue \"%s\" (%s)", name, queue_rate(q, text))
                        : str_new("its turn: %s waiting in queue \"%s\"", ctl_count(ctl_int(queue, "waiting", 0), "task", text), name);
        print_text("Waits for", COLOUR_NONE, what ? what : "-");
}

static int status_task(Ctl *ctl, const char *id, bool first) {
        if (!ctl_id_valid(id))
                return -EINVAL;
        _cleanup_free_ char *path = client_path(ctl->client, "/task-status/%s", id);
        _cleanup_json_ json_t *task = NULL, *definition = NULL;
        client_hint(ctl->client, HINT_TASK);
        int r = path ? client_get(ctl->client, path, &task) : -ENOMEM;
        if (r < 0 || ctl_print_json(ctl, task))
                return r;
        definition = definition_of(ctl, task);
        if (!first)
                printf("\n");
        print_head(ctl, task, definition);
        print_wait(ctl, task, definition);
        if (json_array_size(json_object_get(task, "attempts")) > 0) {
                printf("\n");
                attempt_table_print(ctl, json_object_get(task, "attempts"), false);
        }
        return print_log(ctl, ctl_str(task, "id"));
}

/* ── the daemon ── */

static void print_slots(const json_t *roles) {
        for (size_t i = 0; i < json_array_size(roles); i++) {
                const json_t *role = json_array_get(roles, i);
                const char *name = ctl_str(role, "name");
                _cleanup_free_ char *missing = json_is_false(json_object_get(role, "exists"))
                                                       ? str_new(" (does not exist; make it: jobbersctl set-role %s QUEUE…)", name) : NULL;
                _cleanup_free_ char *text = str_new("%lld of %lld slots busy, role %s%s", (long long) ctl_int(role, "running", 0),
                                                    (long long) ctl_int(role, "slots", 0), name, missing ? missing : "");
                print_text(i == 0 ? "Running" : "", COLOUR_NONE, text ? text : name);
        }
}

static void print_queues(const Ctl *ctl, const json_t *queues) {
        _cleanup_table_ Table t = { 0 };
        printf("\n");
        table_init(&t, "*QUEUE|>RUNNING|>WAITING|STATE");
        for (size_t i = 0; i < json_array_size(queues); i++) {
                const json_t *q = json_array_get(queues, i);
                const char *state = ctl_queue_state(q);
                table_add(&t, COLOUR_NONE, ctl_str(q, "name"));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(q, "running", 0));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(q, "waiting", 0));
                table_add(&t, STREQ(state, "open") ? COLOUR_NONE : COLOUR_YELLOW, state);
        }
        table_print(&t, stdout, !ctl->no_legend);
}

static int status_daemon(Ctl *ctl) {
        _cleanup_json_ json_t *s = NULL, *health = NULL;
        int r = client_get(ctl->client, "/status", &s);
        if (r < 0 || ctl_print_json(ctl, s))
                return r;
        if (client_call(ctl->client, "GET", "/health", NULL, &health) != 200) {
                json_decref(health);
                health = NULL;
        }
        const json_t *limits = json_object_get(health, "limits");
        bool restored = ctl_true(s, "restored"), draining = ctl_true(s, "draining"), starting = json_is_null(json_object_get(s, "launcher"));
        Colour c = restored || starting ? COLOUR_RED : draining ? COLOUR_YELLOW : COLOUR_GREEN;

        printf("%s%s%s jobbersd %s - %s\n", colour(c), dot(), colour(COLOUR_NONE), ctl_str(s, "version"),
               STREQ(ctl_str(s, "mode"), "user") ? "your own task queue daemon" : "the system's task queue daemon");
        print_text("State", c,
                   restored   ? "restored from a backup: no task is started until you run: jobbersctl drain off (see jobbersd(8))"
                   : starting ? "not ready: cannot reach the launcher, so no task starts; see: systemctl status jobbers-launcher"
                   : draining ? "draining: no task is started until you run: jobbersctl drain off"
                              : "ready");
        printf("  Main PID: %lld\n", (long long) ctl_int(s, "pid", 0));
        printf(" State dir: %s\n", ctl_str(s, "state_dir"));
        printf("Attempt in: %s\n", starting ? "-" : ctl_str(s, "launcher"));
        for (size_t i = 0; i < json_array_size(limits); i++)
                print_text("Note", COLOUR_NONE, json_string_value(json_array_get(limits, i)));
        printf("     Tasks: %lld registered, %lld running, %lld waiting\n", (long long) ctl_int(s, "definitions", 0), (long long) ctl_int(s, "running", 0),
               (long long) ctl_int(s, "waiting", 0));
        print_slots(json_object_get(s, "roles"));
        print_queues(ctl, json_object_get(s, "queues"));
        return 0;
}

int verb_status(Ctl *ctl, int argc, char **argv) {
        int result = CTL_OK;
        ctl_pager(ctl);
        if (argc == 0)
                return ctl_exit(status_daemon(ctl));
        for (int i = 0; i < argc; i++) {
                int r = status_task(ctl, argv[i], i == 0);
                if (r < 0)
                        result = ctl_exit(r);
        }
        return result;
}
