/* verb-list.c: tasks in a table: list, and what it shares with dlq and top. */
#include <langinfo.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/table.h"
#include "model/life.h"

#define PAGE 1000

/* ── one task in a line ── */

const char *task_bar(int64_t part, int64_t whole, int width, char buf[static 256]) {
        bool utf8 = STREQ(nl_langinfo(CODESET), "UTF-8");
        int full = whole > 0 ? (int) (MIN(part, whole) * width / whole) : 0;
        char *p = buf;
        *p = '\0';
        for (int i = 0; i < MIN(width, 70); i++)
                p = stpcpy(p, i < full ? (utf8 ? "█" : "#") : (utf8 ? "░" : "."));
        return buf;
}

/* "in 5min" */
static const char *until(const char *timestamp, char buf[static 64]) {
        usec_t t, now = clock_wall();
        char span[CLOCK_STR_MAX];
        if (clock_parse(timestamp, &t) < 0 || t < now)
                return strcpy(buf, "due");
        snprintf(buf, 64, "in %s", clock_format_span((t - now + USEC_PER_SEC - 1) / USEC_PER_SEC * USEC_PER_SEC, span));
        return buf;
}

const char *task_info(const json_t *task, char buf[static 256]) {
        const char *status = ctl_str(task, "status"), *text = ctl_str(task, "status_text"), *error = ctl_str(task, "last_error");
        int64_t progress = ctl_int(task, "progress", -1), retries = ctl_int(task, "retry_attempt", 0);
        char in[64], again[48] = "";
        const char *colon = *error ? ": " : "";

        if (retries > 0)
                snprintf(again, sizeof again, "retry %lld", (long long) retries);
        if (STREQ(status, "started")) {
                if (*ctl_str(task, "stop_reason"))
                        snprintf(buf, 256, "stopping (%s)", ctl_str(task, "stop_reason"));
                else if (progress >= 0)
                        snprintf(buf, 256, "%lld%%%s%s", (long long) progress, *text ? " " : "", text);
                else
                        snprintf(buf, 256, "%s", *text || retries == 0 ? text : again);
        } else if (STREQ(status, "scheduled"))
                snprintf(buf, 256, "%s%s%s%s%s", until(ctl_str(task, "scheduled_at"), in), *again ? ", " : "", again, *again ? colon : "", *again ? error : "");
        else if (STREQ(status, "completed"))
                snprintf(buf, 256, "%s", text);
        else if (STREQ(status, "submitted"))
                snprintf(buf, 256, "%s%s%s", again, *again ? colon : "", *again ? error : "");
        else
                snprintf(buf, 256, "%s", error);
        return buf;
}

const char *task_since(const json_t *task) {
        const char *status = ctl_str(task, "status");
        const json_t *attempts = json_object_get(task, "attempts");
        const char *ended = ctl_str(json_array_get(attempts, json_array_size(attempts) - 1), "ended_at");
        if (task_status_is_final(task_status_from_string(status)))
                return ctl_str(task, "completed_at");
        if (STREQ(status, "started"))
                return ctl_str(task, *ctl_str(task, "retried_at") ? "retried_at" : "started_at");
        return *ended ? ended : ctl_str(task, "submitted_at");          /* waits for another attempt, or for its first */
}

void task_table_print(const Ctl *ctl, const json_t *tasks) {
        _cleanup_table_ Table t = { 0 };
        char time[40], info[256];
        table_init(&t, "ID|*TASK|*QUEUE|STATE|SINCE|*INFO");
        for (size_t i = 0; i < json_array_size(tasks); i++) {
                const json_t *task = json_array_get(tasks, i);
                table_add(&t, COLOUR_NONE, ctl_str(task, "id"));
                table_add(&t, COLOUR_NONE, ctl_str(task, "name"));
                table_add(&t, COLOUR_NONE, ctl_str(task, "queue"));
                table_add(&t, colour_of_status(ctl_str(task, "status")), ctl_str(task, "status"));
                table_add(&t, COLOUR_NONE, ctl_time(task_since(task), time));
                table_add(&t, COLOUR_NONE, task_info(task, info));
        }
        table_print(&t, stdout, !ctl->no_legend);
}

/* ── the list ── */

typedef struct Listing {
        json_t *tasks;
        size_t limit;
        usec_t since;                   /* what was submitted before ends it; 0: nothing does */
        bool more;
} Listing;

/* Adds what `path` (a query) lists, page by page, until there is nothing more, or enough. */
static int fetch(Ctl *ctl, const char *path, Listing *l) {
        _cleanup_free_ char *cursor = NULL;
        do {
                size_t n = json_array_size(l->tasks);
                /* One beyond the limit tells whether there is more. */
                _cleanup_free_ char *url = str_new("%s&limit=%zu%s%s", path, MIN(l->limit - n + 1, (size_t) PAGE), cursor ? "&cursor=" : "", cursor ? cursor : "");
                _cleanup_json_ json_t *page = NULL;
                int r = url ? client_get(ctl->client, url, &page) : -ENOMEM;
                if (r < 0)
                        return r;
                json_t *tasks = json_object_get(page, "tasks");
                for (size_t i = 0; i < json_array_size(tasks); i++, n++) {
                        json_t *task = json_array_get(tasks, i);
                        usec_t submitted;
                        if (l->since > 0 && clock_parse(ctl_str(task, "submitted_at"), &submitted) == 0 && submitted < l->since)
                                return 0;
                        if (n == l->limit) {
                                l->more = true;
                                return 0;
                        }
                        json_array_append(l->tasks, task);
                }
                free_p(&cursor);
                cursor = *ctl_str(page, "next") ? strdup(ctl_str(page, "next")) : NULL;
        } while (cursor);
        return 0;
}

/* "2h" is two hours ago, else a timestamp. */
static int since_parse(const char *text, usec_t *ret) {
        usec_t t, now = clock_wall();
        if (clock_parse(text, ret) == 0)
                return 0;
        if (parse_span(text, &t) == 0 && t < now) {
                *ret = now - t;
                return 0;
        }
        fprintf(stderr, "jobbersctl: --since= takes a time such as 2026-03-12T10:00:00Z, or 2h for two hours ago, not \"%s\".\n", text);
        return -EINVAL;
}

/* What has not ended: state by state, running first. */
static int list_unfinished(Ctl *ctl, Listing *l) {
        static const char *const states[] = { "started", "submitted", "scheduled" };
        for (size_t i = 0; i < ARRAY_SIZE(states) && !l->more; i++) {
                char more[32];
                snprintf(more, sizeof more, "status=%s", states[i]);
                _cleanup_free_ char *path = ctl_query(ctl, "/task-list", more);
                int r = path ? fetch(ctl, path, l) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

static void reverse(json_t *array) {
        for (size_t i = 0, n = json_array_size(array); i < n / 2; i++) {
                json_t *a = json_incref(json_array_get(array, i)), *b = json_incref(json_array_get(array, n - 1 - i));
                json_array_set_new(array, i, b);
                json_array_set_new(array, n - 1 - i, a);
        }
}

/* The newest, newest last. */
static int list_newest(Ctl *ctl, Listing *l) {
        char more[64];
        if (ctl->status && task_status_from_string(ctl->status) >= _TASK_STATUS_MAX) {
                fprintf(stderr, "jobbersctl: --status= takes submitted, scheduled, started, completed, failed, cancelled, stalled or dropped, not \"%s\".\n", ctl->status);
                return -EINVAL;
        }
        if (ctl->since && since_parse(ctl->since, &l->since) < 0)
                return -EINVAL;
        snprintf(more, sizeof more, "order_by=-submitted_at%s%s", ctl->status ? "&status=" : "", ctl->status ? ctl->status : "");
        _cleanup_free_ char *path = ctl_query(ctl, "/task-list", more);
        int r = path ? fetch(ctl, path, l) : -ENOMEM;
        reverse(l->tasks);
        return r;
}

int verb_list(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *all = json_array();
        Listing l = { .tasks = all, .limit = (size_t) ctl->limit };
        bool newest = ctl->all || ctl->status || ctl->since;
        char count[64];
        int r = newest ? list_newest(ctl, &l) : list_unfinished(ctl, &l);
        if (r < 0)
                return ctl_exit(r);
        if (ctl_print_json(ctl, all))
                return CTL_OK;
        ctl_pager(ctl);
        task_table_print(ctl, all);
        if (!ctl->no_legend)
                printf("%s%s%s%s\n", json_array_size(all) > 0 ? "\n" : "", ctl_count((int64_t) json_array_size(all), "task", count),
                       l.more ? " shown, and there are more (--limit=N)." : ".", newest ? "" : " --all shows those that have ended, too.");
        return CTL_OK;
}
