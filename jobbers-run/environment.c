/* environment.c: what a task finds in its environment: nothing of ours, the few things everybody needs, what the definition says, and last,
 * so that nothing can hide them, the variables of the contract. */
#include "jobbers-run/environment.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define FILE_SIZE_MAX (1024 * 1024)
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int file_add(const char *path, char ***env, char **ret_sentence) {
        bool optional = *path == '-';
        _cleanup_free_ char *text = NULL;
        unsigned line = 0;
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
        r = environment_parse(text, env, &line);
        if (r == -EINVAL)
                *ret_sentence = str_new("the environment file %s cannot be used: the quote that opens in line %u is never closed", path, line);
        return r;
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
