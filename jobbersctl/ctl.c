/* ctl.c: what the verbs share: see ctl.h. */
#include "jobbersctl/ctl.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/ulid.h"
#include "jobbersctl/table.h"
#include "model/json-dump.h"

bool ctl_print_json(const Ctl *ctl, const json_t *value) {
        if (ctl->json == JSON_OFF)
                return false;
        _cleanup_free_ char *text = json_dump_text(value, (ctl->json == JSON_PRETTY ? JSON_INDENT(2) : JSON_COMPACT) | JSON_ENCODE_ANY);
        puts(text ? text : "null");
        return true;
}

int ctl_exit(int r) {
        return r >= 0 ? CTL_OK : r == -ENOENT ? CTL_NOT_FOUND : r == -EINVAL ? CTL_USAGE : CTL_FAILED;
}

const char *ctl_str(const json_t *object, const char *key) {
        const char *s = json_string_value(json_object_get(object, key));
        return s ? s : "";
}

int64_t ctl_int(const json_t *object, const char *key, int64_t otherwise) {
        const json_t *j = json_object_get(object, key);
        return json_is_integer(j) ? json_integer_value(j) : otherwise;
}

const char *ctl_time(const char *timestamp, char buf[static 40]) {
        usec_t wall;
        if (clock_parse(timestamp, &wall) < 0)
                return strcpy(buf, "-");
        time_t t = (time_t) (wall / USEC_PER_SEC), now = time(NULL);
        struct tm then, today;
        localtime_r(&t, &then);
        localtime_r(&now, &today);
        strftime(buf, 40, then.tm_year != today.tm_year ? "%F" : then.tm_yday != today.tm_yday ? "%b %d %H:%M" : "%T", &then);
        return buf;
}

const char *ctl_time_long(const char *timestamp, char buf[static 96]) {
        usec_t wall, now = clock_wall();
        char when[48], span[CLOCK_STR_MAX];
        if (clock_parse(timestamp, &wall) < 0)
                return strcpy(buf, "-");
        time_t t = (time_t) (wall / USEC_PER_SEC);
        struct tm tm;
        localtime_r(&t, &tm);
        strftime(when, sizeof when, "%a %F %T %Z", &tm);
        usec_t distance = now > wall ? now - wall : wall - now;
        clock_format_span(distance > USEC_PER_SEC ? distance / USEC_PER_SEC * USEC_PER_SEC : distance / USEC_PER_MSEC * USEC_PER_MSEC, span);
        snprintf(buf, 96, now >= wall ? "%s; %s ago" : "%s; in %s", when, span);
        return buf;
}

const char *ctl_bytes(int64_t n, char buf[static 24]) {
        static const char units[] = "BKMGT";
        double v = (double) n;
        size_t u = 0;
        for (; v >= 1024 && u + 2 < sizeof units; u++)
                v /= 1024;
        snprintf(buf, 24, u == 0 ? "%.0f%c" : "%.1f%c", v, units[u]);
        return buf;
}

bool ctl_true(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

const char *ctl_span(const char *from, const char *to, char buf[static 40]) {
        usec_t a, b = clock_wall();
        char span[CLOCK_STR_MAX];
        if (clock_parse(from, &a) < 0 || (*to && clock_parse(to, &b) < 0))
                return strcpy(buf, "-");
        usec_t d = b > a ? b - a : 0, unit = d >= USEC_PER_SEC ? USEC_PER_SEC : USEC_PER_MSEC;
        return strcpy(buf, clock_format_span(d / unit * unit, span));
}

const char *ctl_count(int64_t n, const char *noun, char buf[static 64]) {
        snprintf(buf, 64, "%lld %s%s", (long long) n, noun, n == 1 ? "" : "s");
        return buf;
}

const char *ctl_queue_state(const json_t *queue) {
        bool unserved = json_is_false(json_object_get(queue, "served"));
        return ctl_true(queue, "paused") ? unserved ? "paused, not served" : "paused" : unserved ? "not served" : "open";
}

void ctl_say_unserved(const json_t *status, const char *queue, const char *so) {
        const json_t *roles = json_object_get(status, "roles"), *first = json_array_get(roles, 0);
        _cleanup_str_ Str names = { 0 };
        for (size_t i = json_array_size(roles); i-- > 0;)
                if (!json_is_false(json_object_get(json_array_get(roles, i), "exists")))
                        first = json_array_get(roles, i);
        for (size_t i = 0; i < json_array_size(roles); i++)
                (void) str_printf(&names, "%s%s", i > 0 ? ", " : "", ctl_str(json_array_get(roles, i), "name"));
        fprintf(stderr, "jobbersctl: queue \"%s\" is not served by this daemon (role%s: %s): %s until you run: jobbersctl set-role %s %s%s\n", queue,
                json_array_size(roles) > 1 ? "s" : "", names.s ? names.s : "", so, ctl_str(first, "name"),
                json_is_false(json_object_get(first, "exists")) ? "" : "+", queue);
}

bool ctl_id_valid(const char *id) {
        Ulid ulid;
        if (ulid_parse(id, &ulid) >= 0)
                return true;
        fprintf(stderr, "jobbersctl: \"%s\" is not a task id: those are 26 letters and digits, such as 01M8FNMSYD6HG3FJB056M6AC4M. %s\n", id, HINT_TASK);
        return false;
}

bool ctl_name_valid(const char *kind, const char *name) {
        if (name_valid(name))
                return true;
        fprintf(stderr, "jobbersctl: \"%s\" is no name of a %s: those are letters, digits, \"_\", \".\" and \"-\", %d at most.\n", name, kind, NAME_LEN_MAX);
        return false;
}

char *ctl_query(const Ctl *ctl, const char *path, const char *more) {
        const struct { const char *key, *value; } filters[] = { { "queue", ctl->queue }, { "task_name", ctl->task } };
        _cleanup_str_ Str s = { 0 };
        (void) str_printf(&s, "%s?%s", path, more);
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
                _cleanup_free_ char *value = filters[i].value ? client_path(ctl->client, "%s", filters[i].value) : NULL;
                if (filters[i].value)
                        (void) str_printf(&s, "&%s=%s", filters[i].key, value ? value : "");
        }
        if (ctl->task_version >= 0)
                (void) str_printf(&s, "&task_version=%ld", ctl->task_version);
        return str_take(&s);
}

static pid_t pager_pid;

static void pager_finish(void) {
        fflush(stdout);
        close(STDOUT_FILENO);
        while (waitpid(pager_pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

void ctl_pager(const Ctl *ctl) {
        int fds[2];
        if (ctl->no_pager || ctl->json != JSON_OFF || pager_pid > 0 || !isatty(STDOUT_FILENO) || pipe(fds) < 0)
                return;
        const char *pager = getenv("JOBBERS_PAGER");
        if (!pager)
                pager = getenv("PAGER");
        if (!pager)
                pager = "command -v less >/dev/null && exec less; exec cat";
        if (!*pager || STREQ(pager, "cat"))
                return;
        setenv("LESS", "FRXMK", 0);
        /* What the terminal is like is to be known before stdout is a pipe. */
        (void) on_terminal();
        (void) colour_wanted();
        (void) terminal_width();
        pager_pid = fork();
        if (pager_pid == 0) {
                dup2(fds[0], STDIN_FILENO);
                close(fds[0]);
                close(fds[1]);
                execl("/bin/sh", "sh", "-c", pager, (char *) NULL);
                _exit(127);
        }
        close(fds[0]);
        if (pager_pid > 0) {
                fflush(stdout);
                dup2(fds[1], STDOUT_FILENO);
                atexit(pager_finish);
        }
        close(fds[1]);
}
