/* verb-definition.c: the daemon's registered tasks: tasks, reload. The files themselves are verb-file.c's. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/options.h"
#include "jobbersctl/table.h"

static const char *definition_name_at(const void *names, size_t i) {
        return ctl_str(json_array_get(names, i), "name");
}

const char *definition_nearest(const json_t *definitions, const char *name) {
        return name_nearest(name, definitions, json_array_size(definitions), definition_name_at);
}

const json_t *definition_find(const Ctl *ctl, const json_t *definitions, const char *name) {
        const json_t *best = NULL;
        for (size_t i = 0; i < json_array_size(definitions); i++) {
                const json_t *d = json_array_get(definitions, i);
                int64_t version = ctl_int(d, "version", 0);
                if (STREQ(ctl_str(d, "name"), name) &&
                    (ctl->task_version >= 0 ? version == ctl->task_version : !best || version > ctl_int(best, "version", 0)))
                        best = d;
        }
        return best;
}

static void definition_unknown(const Ctl *ctl, const json_t *definitions, const char *name) {
        const char *near = definition_nearest(definitions, name);
        Ctl any = { .task_version = -1 };
        if (definition_find(&any, definitions, name))
                fprintf(stderr, "jobbersctl: task \"%s\" has no version %ld. See: jobbersctl tasks\n", name, ctl->task_version);
        else if (near)
                fprintf(stderr, "jobbersctl: there is no task \"%s\". Did you mean \"%s\"?\n", name, near);
        else
                fprintf(stderr, "jobbersctl: there is no task \"%s\". See: jobbersctl tasks\n", name);
}

/* "5min", "none": a number of seconds that may be null. Returns buf. */
static const char *seconds(const json_t *object, const char *key, char buf[static CLOCK_STR_MAX]) {
        const json_t *j = json_object_get(object, key);
        return json_is_number(j) ? clock_format_span((usec_t) (json_number_value(j) * (double) USEC_PER_SEC), buf) : strcpy(buf, "none");
}

static void print_parameters(const Ctl *ctl, const json_t *list) {
        _cleanup_table_ Table t = { 0 };
        if (!json_is_array(list)) {
                printf(" Parameters: any\n");
                return;
        }
        if (json_array_size(list) == 0) {
                printf(" Parameters: none\n");
                return;
        }
        printf("\n");
        table_init(&t, "PARAMETER|TYPE|REQUIRED");
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *p = json_array_get(list, i);
                table_add(&t, COLOUR_NONE, ctl_str(p, "name"));
                table_add(&t, COLOUR_NONE, ctl_str(p, "type"));
                table_add(&t, COLOUR_NONE, ctl_true(p, "required") ? "yes" : "no");
        }
        table_print(&t, stdout, !ctl->no_legend);
}

static void print_definition(const Ctl *ctl, const json_t *d) {
        char span[CLOCK_STR_MAX];
        const char *description = ctl_str(d, "description"), *documentation = ctl_str(d, "documentation");
        printf("%s%s%s version %lld%s%s\n", colour(COLOUR_BOLD), ctl_str(d, "name"), colour(COLOUR_NONE), (long long) ctl_int(d, "version", 0),
               *description ? " - " : "", description);
        printf("       File: %s\n", ctl_str(d, "file"));
        if (*documentation)
                printf("       Docs: %s\n", documentation);
        if (json_is_integer(json_object_get(d, "max_concurrent")))
                printf("    At once: %lld\n", (long long) ctl_int(d, "max_concurrent", 0));
        else
                printf("    At once: no limit\n");
        printf("    Retries: %lld", (long long) ctl_int(d, "max_retries", 0));
        if (json_is_number(json_object_get(d, "retry_delay")))
                printf(", %s from %s", ctl_str(d, "backoff_strategy"), seconds(d, "retry_delay", span));
        printf("\n    Timeout: %s\n", seconds(d, "timeout", span));
        if (json_is_number(json_object_get(d, "max_heartbeat_interval")))
                printf("  Heartbeat: every %s\n", seconds(d, "max_heartbeat_interval", span));
        printf("Dead letter: %s\n", STREQ(ctl_str(d, "dead_letter_policy"), "save") ? "saved" : "not saved");
        printf("On shutdown: %s\n", ctl_str(d, "on_shutdown"));
        print_parameters(ctl, json_object_get(d, "parameters"));
}

int verb_tasks(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_table_ Table t = { 0 };
        char span[CLOCK_STR_MAX], count[64];
        int r = client_get(ctl->client, "/definitions", &answer);
        if (r < 0)
                return ctl_exit(r);
        const json_t *list = json_object_get(answer, "definitions");
        table_init(&t, "*TASK|>VERSION|>AT ONCE|>RETRIES|>TIMEOUT|*DESCRIPTION");
        if (argc > 0) {
                const json_t *d = definition_find(ctl, list, argv[0]);
                if (!d) {
                        definition_unknown(ctl, list, argv[0]);
                        return CTL_NOT_FOUND;
                }
                if (!ctl_print_json(ctl, d))
                        print_definition(ctl, d);
                return CTL_OK;
        }
        if (ctl_print_json(ctl, list))
                return CTL_OK;
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *d = json_array_get(list, i);
                int64_t at_once = ctl_int(d, "max_concurrent", 0);
                table_add(&t, COLOUR_NONE, ctl_str(d, "name"));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(d, "version", 0));
                table_addf(&t, COLOUR_NONE, at_once > 0 ? "%lld" : "-", (long long) at_once);
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(d, "max_retries", 0));
                table_add(&t, COLOUR_NONE, json_is_number(json_object_get(d, "timeout")) ? seconds(d, "timeout", span) : "-");
                table_add(&t, COLOUR_NONE, ctl_str(d, "description"));
        }
        ctl_pager(ctl);
        table_print(&t, stdout, !ctl->no_legend);
        if (!ctl->no_legend)
                printf("%s%s registered.%s\n", json_array_size(list) > 0 ? "\n" : "", ctl_count((int64_t) json_array_size(list), "task", count),
                       json_array_size(list) == 0 ? " Install a file in /etc/jobbers/tasks.d, then: jobbersctl reload" : "");
        return CTL_OK;
}

int verb_reload(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;
        char count[64];
        int r = client_send(ctl->client, "POST", "/reload", NULL, &answer);
        if (r < 0)
                return ctl_exit(r);
        int64_t problems = ctl_int(answer, "problems", 0);
        if (!ctl_print_json(ctl, answer) && !ctl->quiet)
                printf("%s in force.\n", ctl_count(ctl_int(answer, "definitions", 0), "definition", count));
        const json_t *messages = json_object_get(answer, "messages");
        for (size_t i = 0; i < json_array_size(messages); i++)
                fprintf(stderr, "%s\n", json_string_value(json_array_get(messages, i)));
        if (problems > 0)
                fprintf(stderr, "jobbersctl: %s in task files; a file's last good version, if there is one, stays in force. See: jobbersctl verify\n",
                        ctl_count(problems, "error", count));
        return CTL_OK;
}
