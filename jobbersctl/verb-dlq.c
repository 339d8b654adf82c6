/* verb-dlq.c: the dead letter queue: list, history, resubmit, remove. */
#include <stdio.h>

#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/options.h"
#include "jobbersctl/table.h"

static json_t *ids_of(int argc, char **argv) {
        json_t *ids = json_array();
        for (int i = 0; i < argc; i++)
                json_array_append_new(ids, json_string(argv[i]));
        return ids;
}

#define CALL_MAX 1000L          /* what one call to the daemon lists or resubmits at most */

static int dlq_list(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *answer = NULL;
        char more[32], count[64];
        snprintf(more, sizeof more, "limit=%ld", MIN(ctl->limit, CALL_MAX));
        _cleanup_free_ char *path = ctl_query(ctl, "/dead-letter-queue", more);
        int r = path ? client_get(ctl->client, path, &answer) : -ENOMEM;
        if (r < 0)
                return ctl_exit(r);
        const json_t *tasks = json_object_get(answer, "tasks");
        if (ctl_print_json(ctl, tasks))
                return CTL_OK;
        ctl_pager(ctl);
        task_table_print(ctl, tasks);
        if (!ctl->no_legend)
                printf("%s%s%s\n", json_array_size(tasks) > 0 ? "\n" : "", ctl_count((int64_t) json_array_size(tasks), "dead letter", count),
                       *ctl_str(answer, "next") ? " shown, and there are more (--limit=N)." : ".");
        return CTL_OK;
}

static int dlq_history(Ctl *ctl, int argc, char **argv) {
        if (!ctl_id_valid(argv[0]))
                return CTL_USAGE;
        _cleanup_free_ char *path = client_path(ctl->client, "/dead-letter-queue/%s/history", argv[0]);
        _cleanup_json_ json_t *answer = NULL;
        client_hint(ctl->client, "See: jobbersctl dlq");
        int r = path ? client_get(ctl->client, path, &answer) : -ENOMEM;
        if (r < 0)
                return ctl_exit(r);
        if (ctl_print_json(ctl, answer))
                return CTL_OK;
        ctl_pager(ctl);
        attempt_table_print(ctl, json_object_get(answer, "history"), true);
        return CTL_OK;
}

/* Are there dead letters that match and are not among the refused, which stay where they are? */
static bool dlq_more(Ctl *ctl, size_t refused) {
        _cleanup_json_ json_t *answer = NULL;
        char more[32];
        snprintf(more, sizeof more, "limit=%zu", MIN(refused + 1, (size_t) CALL_MAX));
        _cleanup_free_ char *path = ctl_query(ctl, "/dead-letter-queue", more);
        return path && client_call(ctl->client, "GET", path, NULL, &answer) == 200 && json_array_size(json_object_get(answer, "tasks")) > refused;
}

static int dlq_resubmit(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *body = json_object(), *answer = NULL;
        long limit = ctl_given(ctl, OPT_LIMIT) ? MIN(ctl->limit, CALL_MAX) : CALL_MAX;
        char count[64];
        int result = CTL_OK;

        if (argc > 0)
                json_object_set_new(body, "task_ids", ids_of(argc, argv));
        if (ctl->queue)
                json_object_set_new(body, "queue", json_string(ctl->queue));
        if (ctl->task)
                json_object_set_new(body, "task_name", json_string(ctl->task));
        if (json_object_size(body) == 0) {      /* a version alone would be nearly everything */
                fprintf(stderr, "jobbersctl: say which dead letters to resubmit: ids, or --queue=, --task=.\n");
                return CTL_USAGE;
        }
        if (ctl->task_version >= 0)
                json_object_set_new(body, "task_version", json_integer(ctl->task_version));
        json_object_set_new(body, "limit", json_integer(limit));
        json_object_set_new(body, "reset_retry_count", json_boolean(!ctl->keep_retries));
        int r = client_send(ctl->client, "POST", "/dead-letter-queue/resubmit", body, &answer);
        if (r < 0)
                return ctl_exit(r);
        const json_t *refused = json_object_get(answer, "refused");
        for (size_t i = 0; i < json_array_size(refused); i++) {
                const json_t *item = json_array_get(refused, i);
                bool unknown = STREQ(ctl_str(item, "status"), "not_found");
                result = unknown ? CTL_NOT_FOUND : CTL_FAILED;
                if (!unknown && !ctl_id_valid(ctl_str(item, "task_id"))) {
                        result = CTL_USAGE;
                        continue;
                }
                const char *detail = unknown ? "it is not in the dead letter queue" : ctl_str(item, "detail");
                bool said = strstr(detail, "jobbersctl "), task = strncmp(detail, "unknown task ", 13) == 0;
                fprintf(stderr, "jobbersctl: cannot resubmit %s: %s.%s\n", ctl_str(item, "task_id"), detail,
                        said ? "" : task ? " See: jobbersctl tasks" : " See: jobbersctl dlq");
        }
        if (ctl_print_json(ctl, answer) || ctl->quiet)
                return result;
        int64_t resubmitted = ctl_int(answer, "resubmitted", 0);
        bool more = argc == 0 && resubmitted + (int64_t) json_array_size(refused) >= limit && dlq_more(ctl, json_array_size(refused));
        printf("%s resubmitted%s.\n", ctl_count(resubmitted, "task", count), more ? ", and there are more; run the same command again for the rest" : "");
        return result;
}

static int dlq_remove(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *body = json_pack("{s:o}", "task_ids", ids_of(argc, argv)), *answer = NULL;
        char count[64];
        for (int i = 0; i < argc; i++)
                if (!ctl_id_valid(argv[i]))
                        return CTL_USAGE;
        int r = client_send(ctl->client, "DELETE", "/dead-letter-queue", body, &answer);
        if (r < 0)
                return ctl_exit(r);
        int64_t removed = ctl_int(answer, "removed", 0);
        if (!ctl_print_json(ctl, answer) && !ctl->quiet)
                printf("%s removed.\n", ctl_count(removed, "dead letter", count));
        if (removed == argc)
                return CTL_OK;
        fprintf(stderr, "jobbersctl: %s %s not in the dead letter queue. See: jobbersctl dlq\n", ctl_count(argc - removed, "task", count),
                argc - removed == 1 ? "is" : "are");
        return CTL_NOT_FOUND;
}

static const struct Word { const char *name; int min, max; const char *words; int (*run)(Ctl *ctl, int argc, char **argv); } words[] = {
        { "list", 0, 0, "", dlq_list },
        { "history", 1, 1, " ID", dlq_history },
        { "resubmit", 0, -1, " [ID…]", dlq_resubmit },
        { "remove", 1, -1, " ID…", dlq_remove },
};

static const char *word_at(const void *names, size_t i) {
        return ((const struct Word *) names)[i].name;
}

int verb_dlq(Ctl *ctl, int argc, char **argv) {
        const char *name = argc > 0 ? argv[0] : "list";
        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (STREQ(words[i].name, name)) {
                        int n = MAX(argc - 1, 0);
                        if (n >= words[i].min && (words[i].max < 0 || n <= words[i].max))
                                return words[i].run(ctl, n, n > 0 ? argv + 1 : NULL);
                        fprintf(stderr, "jobbersctl: %s: jobbersctl dlq %s%s\n", n < words[i].min ? "an id is missing" : "too many words", name,
                                words[i].words);
                        return CTL_USAGE;
                }
        const char *near = name_nearest(name, words, ARRAY_SIZE(words), word_at);
        fprintf(stderr, "jobbersctl: dlq takes list, history, resubmit or remove, not \"%s\".%s%s%s\n", name, near ? " Did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
        return CTL_USAGE;
}
