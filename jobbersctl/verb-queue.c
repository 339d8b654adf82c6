/* verb-queue.c: queues: queues, set-queue, delete-queue, pause, resume. */
#include <stdio.h>

#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/options.h"
#include "jobbersctl/table.h"

/* ── showing them ── */

/* The configuration of a queue with what /status says of it: new reference, or -errno after a sentence. */
static int queue_fetch(Ctl *ctl, const char *name, const json_t *status, json_t **ret) {
        _cleanup_free_ char *path = client_path(ctl->client, "/queues/%s/config", name);
        _cleanup_json_ json_t *answer = NULL;
        client_hint(ctl->client, HINT_QUEUE);
        int r = path ? client_get(ctl->client, path, &answer) : -ENOMEM;
        if (r < 0)
                return r;
        json_t *queue = json_incref(json_object_get(answer, "queue"));
        const json_t *all = json_object_get(status, "queues");
        for (size_t i = 0; i < json_array_size(all); i++)
                if (STREQ(ctl_str(json_array_get(all, i), "name"), name))
                        json_object_update_missing(queue, json_array_get(all, i));
        *ret = queue;
        return 0;
}

const char *queue_rate(const json_t *q, char buf[static 64]) {
        int64_t n = ctl_int(q, "rate_numerator", 0), d = ctl_int(q, "rate_denominator", 1);
        if (n == 0)
                return strcpy(buf, "-");
        if (d == 1)
                snprintf(buf, 64, "%lld/%s", (long long) n, ctl_str(q, "rate_period"));
        else
                snprintf(buf, 64, "%lld/%lld%s", (long long) n, (long long) d, ctl_str(q, "rate_period"));
        return buf;
}

static const char *limit(const json_t *q, const char *key, char buf[static 24]) {
        int64_t n = ctl_int(q, key, -1);
        if (n < 0)
                return strcpy(buf, "-");
        snprintf(buf, 24, "%lld", (long long) n);
        return buf;
}

static void queue_print(const json_t *q) {
        char a[64], b[24];
        int64_t memory = ctl_int(q, "memory_max", -1);
        printf("%s%s%s\n", colour(COLOUR_BOLD), ctl_str(q, "name"), colour(COLOUR_NONE));
        printf("     State: %s\n", ctl_queue_state(q));
        printf("   Running: %lld\n", (long long) ctl_int(q, "running", 0));
        printf("   Waiting: %lld\n", (long long) ctl_int(q, "waiting", 0));
        printf("   At once: %s (max_concurrent)\n", limit(q, "max_concurrent", b));
        printf("      Rate: %s (rate)\n", queue_rate(q, a));
        printf("    Memory: %s (memory_max)\n", memory < 0 ? "-" : ctl_bytes(memory, b));
        printf("       CPU: %s (cpu_quota)", *ctl_str(q, "cpu_quota") ? ctl_str(q, "cpu_quota") : "-");
        printf(", weight %s (cpu_weight)\n", limit(q, "cpu_weight", b));
        printf(" Processes: %s (tasks_max)\n", limit(q, "tasks_max", b));
}

int verb_queues(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *status = NULL, *all = json_array();
        _cleanup_table_ Table t = { 0 };
        char text[64], b[24];

        if (argc > 0 && !ctl_name_valid("queue", argv[0]))
                return CTL_USAGE;
        table_init(&t, "*QUEUE|>RUNNING|>AT ONCE|>WAITING|RATE|>MEMORY|>CPU|STATE");
        int r = client_get(ctl->client, "/status", &status);
        const json_t *queues = json_object_get(status, "queues");
        for (size_t i = 0; r >= 0 && i < (argc > 0 ? 1 : json_array_size(queues)); i++) {
                json_t *q = NULL;
                r = queue_fetch(ctl, argc > 0 ? argv[0] : ctl_str(json_array_get(queues, i), "name"), status, &q);
                if (r >= 0)
                        json_array_append_new(all, q);
        }
        if (r < 0)
                return ctl_exit(r);
        if (ctl_print_json(ctl, argc > 0 ? json_array_get(all, 0) : all))
                return CTL_OK;
        if (argc > 0) {
                queue_print(json_array_get(all, 0));
                return CTL_OK;
        }
        for (size_t i = 0; i < json_array_size(all); i++) {
                const json_t *q = json_array_get(all, i);
                const char *state = ctl_queue_state(q);
                int64_t memory = ctl_int(q, "memory_max", -1);
                table_add(&t, COLOUR_NONE, ctl_str(q, "name"));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(q, "running", 0));
                table_add(&t, COLOUR_NONE, limit(q, "max_concurrent", b));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(q, "waiting", 0));
                table_add(&t, COLOUR_NONE, queue_rate(q, text));
                table_add(&t, COLOUR_NONE, memory < 0 ? "-" : ctl_bytes(memory, b));
                table_add(&t, COLOUR_NONE, *ctl_str(q, "cpu_quota") ? ctl_str(q, "cpu_quota") : "-");
                table_add(&t, STREQ(state, "open") ? COLOUR_NONE : COLOUR_YELLOW, state);
        }
        ctl_pager(ctl);
        table_print(&t, stdout, !ctl->no_legend);
        if (!ctl->no_legend)
                printf("\n%s.\n", ctl_count((int64_t) json_array_size(all), "queue", text));
        return CTL_OK;
}

/* ── changing them ── */

static const char *const KEYS[] = { "max_concurrent", "rate", "memory_max", "cpu_quota", "cpu_weight", "tasks_max", "paused" };

static const char *key_at(const void *names, size_t i) {
        return ((const char *const *) names)[i];
}

/* "100/hour" and "5/10minute" as the API's three fields. */
static int rate_apply(json_t *q, const char *value) {
        static const char *const periods[] = { "second", "minute", "hour", "day" };
        char n[24], d[24] = "1";
        const char *slash = strchr(value, '/');
        size_t digits = slash ? strspn(slash + 1, "0123456789") : 0;
        uint64_t numerator, denominator;

        if (!slash || slash - value >= (ptrdiff_t) sizeof n || digits >= sizeof d)
                return -EINVAL;
        snprintf(n, sizeof n, "%.*s", (int) (slash - value), value);
        if (digits > 0)
                snprintf(d, sizeof d, "%.*s", (int) digits, slash + 1);
        const char *period = slash + 1 + digits;
        if (parse_u64(n, &numerator) < 0 || parse_u64(d, &denominator) < 0 || numerator > INT32_MAX || denominator > INT32_MAX)
                return -EINVAL;
        for (size_t i = 0; i < ARRAY_SIZE(periods); i++)
                if (STREQ(period, periods[i])) {
                        json_object_set_new(q, "rate_numerator", json_integer((json_int_t) numerator));
                        json_object_set_new(q, "rate_denominator", json_integer((json_int_t) denominator));
                        json_object_set_new(q, "rate_period", json_string(periods[i]));
                        return 0;
                }
        return -EINVAL;
}

static int setting_apply(json_t *q, const char *word) {
        const char *eq = strchr(word, '='), *value = eq ? eq + 1 : "", *key = NULL;
        for (size_t i = 0; eq && i < ARRAY_SIZE(KEYS); i++)
                if (strlen(KEYS[i]) == (size_t) (eq - word) && strncmp(KEYS[i], word, (size_t) (eq - word)) == 0)
                        key = KEYS[i];
        if (!key) {
                _cleanup_free_ char *given = strndup(word, eq ? (size_t) (eq - word) : strlen(word));
                const char *near = given ? name_nearest(given, KEYS, ARRAY_SIZE(KEYS), key_at) : NULL;
                if (!eq)
                        fprintf(stderr, "jobbersctl: \"%s\" is no KEY=VALUE. See: jobbersctl set-queue --help\n", word);
                else if (near)
                        fprintf(stderr, "jobbersctl: a queue has no \"%s\". Did you mean \"%s\"?\n", given, near);
                else
                        fprintf(stderr, "jobbersctl: a queue has no \"%s\". See: jobbersctl set-queue --help\n", given ? given : word);
                return -EINVAL;
        }

        bool none = !*value || STREQ(value, "none") || STREQ(value, "infinity"), yes;
        int64_t n;
        if (STREQ(key, "rate")) {
                if (none) {
                        json_object_set_new(q, "rate_numerator", json_null());
                        json_object_set_new(q, "rate_denominator", json_null());
                        json_object_set_new(q, "rate_period", json_null());
                } else if (rate_apply(q, value) < 0) {
                        fprintf(stderr, "jobbersctl: rate= takes N/PERIOD, such as 100/hour or 5/10minute (second, minute, hour, day), not \"%s\".\n", value);
                        return -EINVAL;
                }
        } else if (STREQ(key, "paused")) {
                if (parse_bool(value, &yes) < 0) {
                        fprintf(stderr, "jobbersctl: paused= takes yes or no, not \"%s\".\n", value);
                        return -EINVAL;
                }
                json_object_set_new(q, key, json_boolean(yes));
        } else if (none)
                json_object_set_new(q, key, json_null());
        else
                json_object_set_new(q, key, parse_i64(value, &n) == 0 ? json_integer(n) : json_string(value));
        return 0;
}

/* A queue that no role of this daemon has runs nothing, which nobody expects of a queue just made. */
static void say_unserved(Ctl *ctl, const char *name) {
        _cleanup_json_ json_t *status = NULL;
        if (ctl->quiet || client_call(ctl->client, "GET", "/status", NULL, &status) != 200)
                return;
        const json_t *queues = json_object_get(status, "queues");
        for (size_t i = 0; i < json_array_size(queues); i++) {
                const json_t *q = json_array_get(queues, i);
                if (STREQ(ctl_str(q, "name"), name) && !ctl_true(q, "served"))
                        ctl_say_unserved(status, name, "no task of it starts");
        }
}

int verb_set_queue(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *config = client_path(ctl->client, "/queues/%s/config", argv[0]), *path = client_path(ctl->client, "/queues/%s", argv[0]);
        _cleanup_json_ json_t *now = NULL, *answer = NULL;
        if (!ctl_name_valid("queue", argv[0]))
                return CTL_USAGE;
        if (!config || !path)
                return CTL_FAILED;
        int status = client_call(ctl->client, "GET", config, NULL, &now);
        if (status < 0)
                return CTL_FAILED;
        if (status == 200 && argc == 1) {
                fprintf(stderr, "jobbersctl: there is a queue \"%s\" already: say what to change: KEY=VALUE. See: jobbersctl set-queue --help\n", argv[0]);
                return CTL_USAGE;
        }
        /* A PUT gives absent limits their defaults; what was not named is to stay. */
        _cleanup_json_ json_t *body = status == 200 ? json_incref(json_object_get(now, "queue")) : json_object();
        for (int i = 1; i < argc; i++)
                if (setting_apply(body, argv[i]) < 0)
                        return CTL_USAGE;
        client_hint(ctl->client, "See: jobbersctl set-queue --help");
        int r = client_send(ctl->client, "PUT", path, body, &answer);
        if (r < 0)
                return ctl_exit(r);
        if (!ctl_print_json(ctl, json_object_get(answer, "queue")) && !ctl->quiet)
                printf("Queue %s %s.\n", argv[0], status == 200 ? "changed" : "made");
        fflush(stdout);                 /* so that a pipe shows the hint after it too, as a terminal does */
        say_unserved(ctl, argv[0]);
        return CTL_OK;
}

int verb_delete_queue(Ctl *ctl, int argc, char **argv) {
        _cleanup_free_ char *path = client_path(ctl->client, ctl->force ? "/queues/%s?force=true" : "/queues/%s", argv[0]);
        _cleanup_json_ json_t *answer = NULL;
        if (!ctl_name_valid("queue", argv[0]))
                return CTL_USAGE;
        int status = path ? client_call(ctl->client, "DELETE", path, NULL, &answer) : -ENOMEM;
        if (status == 409 && !ctl->force && !STREQ(argv[0], "default")) {
                fprintf(stderr, "jobbersctl: queue \"%s\" holds tasks that have not ended (jobbersctl list --queue=%s). To cancel them: jobbersctl delete-queue --force %s\n",
                        argv[0], argv[0], argv[0]);
                return CTL_FAILED;
        }
        client_hint(ctl->client, status == 404 ? HINT_QUEUE : NULL);
        if (status < 0 || status >= 300)
                return ctl_exit(status < 0 ? status : client_refused(ctl->client, status, answer));
        if (!ctl_print_json(ctl, answer) && !ctl->quiet)
                printf("Queue %s deleted.\n", argv[0]);
        return CTL_OK;
}

static int each_queue(Ctl *ctl, int argc, char **argv, const char *pattern, const char *done) {
        int result = CTL_OK;
        for (int i = 0; i < argc; i++)
                if (!ctl_name_valid("queue", argv[i]))
                        return CTL_USAGE;
        for (int i = 0; i < argc; i++) {
                _cleanup_free_ char *path = client_path(ctl->client, pattern, argv[i]);
                _cleanup_json_ json_t *answer = NULL;
                client_hint(ctl->client, HINT_QUEUE);
                int r = path ? client_send(ctl->client, "POST", path, NULL, &answer) : -ENOMEM;
                if (r < 0)
                        result = ctl_exit(r);
                else if (!ctl_print_json(ctl, json_object_get(answer, "queue")) && !ctl->quiet)
                        printf("Queue %s %s.\n", argv[i], done);
        }
        return result;
}

int verb_pause(Ctl *ctl, int argc, char **argv) {
        return each_queue(ctl, argc, argv, "/queues/%s/pause", "paused: its running tasks go on, no more are started");
}

int verb_resume(Ctl *ctl, int argc, char **argv) {
        return each_queue(ctl, argc, argv, "/queues/%s/resume", "resumed");
}
