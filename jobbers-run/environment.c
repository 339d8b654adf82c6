/* environment.c: what a task finds in its environment: nothing of ours, the few things everybody needs, what the definition says, and last,
 * so that nothing can hide them, the variables of the contract. */
#include "jobbers-run/environment.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define FILE_SIZE_MAX (1024 * 1024)
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int environment_put(char ***env, const char *assignment) {
        size_t n = (size_t) (strchrnul(assignment, '=') - assignment);
        for (char **e = *env; e && *e; e++)
                if (strncmp(*e, assignment, n) == 0 && (*e)[n] == '=') {
                        char *copy = strdup(assignment);
                        if (!copy)
                                return -ENOMEM;
                        free(*e);
                        *e = copy;
                        return 0;
                }
        return strv_push(env, assignment);
}

static bool name_is_valid(const char *s, size_t n) {
        if (n == 0 || isdigit((unsigned char) s[0]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) s[i]) && s[i] != '_')
                        return false;
        return true;
}

/* One value from *at on, up to an unquoted end of line: "double" and 'single' quotes, backslashes; a backslash before the end of line
 * goes on with the next one; blanks at the end are cut unless quoted. */
static int value_read(const char **at, Str *value) {
        const char *s = *at;
        char quote = 0;
        size_t keep = 0;        /* what must not be cut */
        while (*s && (quote || *s != '\n')) {
                if (quote == '\'') {
                        if (*s == quote)
                                quote = 0;
                        else
                                (void) str_append_n(value, s, 1);
                        keep = value->len;
                } else if (*s == '\\' && s[1]) {
                        s++;
                        /* Inside double quotes a backslash is itself before anything but these. */
                        if (quote && !strchr("\"\\$`\n", *s))
                                (void) str_append_n(value, "\\", 1);
                        if (*s != '\n')
                                (void) str_append_n(value, s, 1);
                        keep = value->len;
                } else if (*s == '"' || (*s == '\'' && !quote)) {
                        quote = quote ? 0 : *s;
                        keep = value->len;
                } else {
                        (void) str_append_n(value, s, 1);
                        if (quote || !isspace((unsigned char) *s))
                                keep = value->len;
                }
                s++;
        }
        *at = s;
        if (value->failed)
                return -ENOMEM;
        if (value->s) {
                value->len = keep;
                value->s[keep] = '\0';
        }
        return 0;
}

int environment_parse(const char *text, char ***env) {
        for (const char *s = text; *s;) {
                while (*s && isspace((unsigned char) *s))
                        s++;
                if (!*s)
                        break;
                const char *name = s;
                size_t n = strcspn(s, "=\n");
                if (*s == '#' || *s == ';' || s[n] != '=') {
                        s += strcspn(s, "\n");
                        continue;
                }
                s += n + 1;
                while (n > 0 && isspace((unsigned char) name[n - 1]))
                        n--;
                while (*s == ' ' || *s == '\t')
                        s++;
                _cleanup_str_ Str line = {};
                (void) str_append_n(&line, name, n);
                (void) str_append_n(&line, "=", 1);
                _cleanup_str_ Str value = {};
                int r = value_read(&s, &value);
                if (r < 0)
                        return r;
                if (!name_is_valid(name, n))
                        continue;
                r = str_append(&line, value.s ?: "");
                if (r >= 0)
                        r = line.failed ? -ENOMEM : environment_put(env, line.s);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int file_add(const char *path, char ***env, char **ret_sentence) {
        bool optional = *path == '-';
        _cleanup_free_ char *text = NULL;
        size_t len;

        path += optional;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        int r = fd < 0 ? -errno : fd_read_all(fd, FILE_SIZE_MAX, &text, &len);
        if (r < 0) {
                if (optional && r == -ENOENT)
                        return 0;
                *ret_sentence = str_new("cannot read the environment file %s: %s", path, strerror(-r));
                return r;
        }
        return environment_parse(text, env);
}

static int put_format(char ***env, const char *format, ...) _printf_(2, 3);
static int put_format(char ***env, const char *format, ...) {
        char *text = NULL;
        va_list ap;
        va_start(ap, format);
        int n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        int r = environment_put(env, text);
        free(text);
        return r;
}

int environment_build(const Job *job, const AttemptDir *dir, char ***ret, char **ret_sentence) {
        const Definition *d = job->definition;
        const char *where = dir->place->attempt_dir;
        _cleanup_strv_ char **env = NULL;
        _cleanup_free_ char *notify = attempt_dir_notify_address(dir);
        char id[ULID_STR_MAX];
        int r;

        if (!notify)
                return -ENOMEM;
        r = strv_push(&env, "PATH=" PATH_DEFAULT);
        if (r >= 0)
                r = put_format(&env, "HOME=%s", job->user->home);
        if (r >= 0)
                r = put_format(&env, "USER=%s", job->user->name);
        if (r >= 0)
                r = strv_push(&env, "LANG=C.UTF-8");
        for (char **e = d->environment; r >= 0 && e && *e; e++)
                r = environment_put(&env, *e);
        for (char **f = d->environment_files; r >= 0 && f && *f; f++)
                r = file_add(*f, &env, ret_sentence);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_TASK_ID=%s", ulid_format(&job->task_id, id));
        if (r >= 0)
                r = put_format(&env, "JOBBERS_TASK_NAME=%s", d->name);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_TASK_VERSION=%u", d->version);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_QUEUE=%s", job->queue);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_ATTEMPT=%u", job->attempt);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_RETRY_ATTEMPT=%u", job->retry_attempt);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_PARAMETERS=%s/%s/work/parameters", where, dir->key);
        if (r >= 0)
                r = put_format(&env, "JOBBERS_RESULT=%s/%s/work/result", where, dir->key);
        if (r >= 0)
                r = put_format(&env, "NOTIFY_SOCKET=%s", notify);
        if (r >= 0 && d->max_heartbeat_interval != USEC_INFINITY)
                r = put_format(&env, "WATCHDOG_USEC=%llu", (unsigned long long) d->max_heartbeat_interval);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}
