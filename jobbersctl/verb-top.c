/* verb-top.c: top: slots, queues and running tasks, live in a terminal, or one look where there is none. */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/screen.h"
#include "jobbersctl/table.h"

#define ANSWER_TIMEOUT_MSEC 5000
#define TASKS_MAX 1000

typedef struct Look {
        json_t *status, *tasks;
        bool more;                      /* more tasks run than were asked for */
} Look;

static void look_done(Look *l) {
        json_decref(l->status);
        json_decref(l->tasks);
        *l = (Look) { 0 };
}

static int look_fetch(Ctl *ctl, size_t limit, Look *ret) {
        _cleanup_(look_done) Look l = { 0 };
        _cleanup_json_ json_t *answer = NULL;
        char path[64];
        snprintf(path, sizeof path, "/task-list?status=started&limit=%zu", MIN(limit, (size_t) TASKS_MAX));
        int r = client_get(ctl->client, "/status", &l.status);
        if (r >= 0)
                r = client_get(ctl->client, path, &answer);
        if (r < 0)
                return r;
        l.tasks = json_incref(json_object_get(answer, "tasks"));
        l.more = *ctl_str(answer, "next");
        *ret = l;
        l = (Look) { 0 };
        return 0;
}

/* ── one frame ── */

static void put_head(FILE *f, const json_t *status, int width) {
        const json_t *roles = json_object_get(status, "roles");
        char bar[256], clock[16];
        time_t now = (time_t) (clock_wall() / USEC_PER_SEC);
        struct tm tm;

        strftime(clock, sizeof clock, "%T", localtime_r(&now, &tm));
        fprintf(f, "%sjobbersd %s%s  %s  %lld running, %lld waiting\n", colour(COLOUR_BOLD), ctl_str(status, "version"), colour(COLOUR_NONE), clock,
                (long long) ctl_int(status, "running", 0), (long long) ctl_int(status, "waiting", 0));
        for (size_t i = 0; i < json_array_size(roles); i++) {
                const json_t *role = json_array_get(roles, i);
                int64_t running = ctl_int(role, "running", 0), slots = ctl_int(role, "slots", 0);
                fprintf(f, "%s%s%s %lld of %lld slots, role %s\n", colour(COLOUR_GREEN), task_bar(running, slots, width >= 100 ? 40 : 30, bar),
                        colour(COLOUR_NONE), (long long) running, (long long) slots, ctl_str(role, "name"));
        }
        if (ctl_true(status, "restored"))
                fprintf(f, "%sRestored from a backup: no task is started until you run: jobbersctl drain off%s\n", colour(COLOUR_RED), colour(COLOUR_NONE));
        else if (ctl_true(status, "draining"))
                fprintf(f, "%sDraining: no task is started until you run: jobbersctl drain off%s\n", colour(COLOUR_YELLOW), colour(COLOUR_NONE));
}

static int by_load(const void *a, const void *b) {
        const json_t *x = *(json_t *const *) a, *y = *(json_t *const *) b;
        int64_t d = ctl_int(y, "running", 0) + ctl_int(y, "waiting", 0) - ctl_int(x, "running", 0) - ctl_int(x, "waiting", 0);
        return d < 0 ? -1 : d > 0 ? 1 : strcmp(ctl_str(x, "name"), ctl_str(y, "name"));
}

/* The busiest queues first, `room` lines of them. */
static void put_queues(const Ctl *ctl, FILE *f, const json_t *queues, size_t room) {
        _cleanup_table_ Table t = { 0 };
        size_t n = json_array_size(queues);
        _cleanup_free_ const json_t **sorted = calloc(n + 1, sizeof *sorted);

        table_init(&t, "*QUEUE|>RUNNING|>WAITING|STATE");
        for (size_t i = 0; sorted && i < n; i++)
                sorted[i] = json_array_get(queues, i);
        if (sorted)
                qsort(sorted, n, sizeof *sorted, by_load);
        for (size_t i = 0; sorted && i < MIN(n, room); i++) {
                const char *state = ctl_queue_state(sorted[i]);
                table_add(&t, COLOUR_NONE, ctl_str(sorted[i], "name"));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(sorted[i], "running", 0));
                table_addf(&t, COLOUR_NONE, "%lld", (long long) ctl_int(sorted[i], "waiting", 0));
                table_add(&t, STREQ(state, "open") ? COLOUR_NONE : COLOUR_YELLOW, state);
        }
        table_print(&t, f, !ctl->no_legend);
        if (n > room)
                fprintf(f, "and %zu more: jobbersctl queues\n", n - room);
}

static void put_tasks(const Ctl *ctl, FILE *f, const json_t *tasks, int width) {
        _cleanup_table_ Table t = { 0 };
        bool wide = width == 0 || width >= 100;
        char ran[40], bar[256];

        table_init(&t, wide ? "ID|*TASK|*QUEUE|>RUNS FOR|PROGRESS|*STATUS" : "ID|*TASK|>RUNS FOR|PROGRESS|*STATUS");
        for (size_t i = 0; i < json_array_size(tasks); i++) {
                const json_t *task = json_array_get(tasks, i);
                int64_t progress = ctl_int(task, "progress", -1);
                const char *stop = ctl_str(task, "stop_reason");
                table_add(&t, COLOUR_NONE, ctl_str(task, "id"));
                table_add(&t, COLOUR_NONE, ctl_str(task, "name"));
                if (wide)
                        table_add(&t, COLOUR_NONE, ctl_str(task, "queue"));
                table_add(&t, COLOUR_NONE, ctl_span(task_since(task), "", ran));
                if (progress < 0)
                        table_add(&t, COLOUR_NONE, "-");
                else
                        table_addf(&t, COLOUR_GREEN, "%s %3lld%%", task_bar(progress, 100, wide ? 20 : 10, bar), (long long) progress);
                if (*stop)
                        table_addf(&t, COLOUR_YELLOW, "stopping (%s)", stop);
                else
                        table_add(&t, COLOUR_NONE, ctl_str(task, "status_text"));
        }
        table_print(&t, f, !ctl->no_legend);
}

static void put_frame(const Ctl *ctl, FILE *f, const Look *l, size_t queues_room) {
        int width = terminal_width();
        put_head(f, l->status, width);
        fputc('\n', f);
        put_queues(ctl, f, json_object_get(l->status, "queues"), queues_room);
        fputc('\n', f);
        put_tasks(ctl, f, l->tasks, width);
        if (json_array_size(l->tasks) == 0)
                fprintf(f, "No task is running.\n");
        if (l->more)
                fprintf(f, "and more: jobbersctl list --status=started\n");
}

/* ── live ── */

/* A frame of the look, or of why there is none. */
static int draw(Ctl *ctl) {
        _cleanup_(look_done) Look l = { 0 };
        _cleanup_free_ char *text = NULL;
        size_t len = 0, height = (size_t) screen_height();
        FILE *f = open_memstream(&text, &len);
        if (!f)
                return -ENOMEM;
        client_errors_to(ctl->client, f);
        if (look_fetch(ctl, height, &l) >= 0)
                put_frame(ctl, f, &l, MAX(height / 4, (size_t) 3));
        else
                fprintf(f, "\nTrying again every %s; press q to leave.\n", ctl->interval == 1 ? "second" : "few seconds");
        client_errors_to(ctl->client, NULL);
        if (fclose(f) != 0)
                return -ENOMEM;
        screen_draw(text, len);
        return 0;
}

static int live(Ctl *ctl) {
        _cleanup_screen_ Screen screen = SCREEN_INIT;
        int r = screen_open(&screen);
        if (r < 0) {
                fprintf(stderr, "jobbersctl: cannot draw on this terminal: %s. To print once: jobbersctl top --once\n", strerror(-r));
                return CTL_FAILED;
        }
        client_timeout(ctl->client, ANSWER_TIMEOUT_MSEC);
        for (;;) {
                if (draw(ctl) < 0)
                        return CTL_FAILED;
                switch (screen_wait(&screen, (int) ctl->interval * 1000)) {
                case SCREEN_QUIT:
                        return CTL_OK;
                case SCREEN_SIGNAL:
                        r = screen.signal;
                        screen_close(&screen);
                        signal(r, SIG_DFL);
                        raise(r);               /* whoever sent it sees that it did its work */
                        return 128 + r;
                case SCREEN_TIMEOUT:
                case SCREEN_LOOK:
                        break;
                }
        }
}

int verb_top(Ctl *ctl, int argc, char **argv) {
        _cleanup_(look_done) Look l = { 0 };
        bool once = ctl->once || ctl->json != JSON_OFF || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO);
        /* One that cannot be had is said in plain text, not on a screen that is gone at once. */
        int r = look_fetch(ctl, once ? TASKS_MAX : 1, &l);
        if (r < 0)
                return ctl_exit(r);
        if (!once)
                return live(ctl);
        if (ctl->json != JSON_OFF) {
                _cleanup_json_ json_t *both = json_pack("{s:O, s:O}", "status", l.status, "tasks", l.tasks);
                ctl_print_json(ctl, both);
        } else
                put_frame(ctl, stdout, &l, SIZE_MAX);
        return CTL_OK;
}
