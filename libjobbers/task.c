/* task.c: JobbersTask: what an attempt is told (environment, parameters) and what it leaves behind (result, error). Notifications are notify.c. */
#include "libjobbers/task.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "model/result.h"
#include "model/utf8.h"

#define PARAMETERS_MAX ((size_t) 64 * 1024 * 1024)      /* the daemon's own limit is lower, and a setting */

int task_fail(JobbersTask *t, int error, const char *format, ...) {
        char *sentence = NULL;
        va_list ap;
        va_start(ap, format);
        if (vasprintf(&sentence, format, ap) < 0)
                sentence = NULL;
        va_end(ap);
        pthread_mutex_lock(&t->lock);
        free(t->sentence);
        t->sentence = sentence;
        pthread_mutex_unlock(&t->lock);
        return error;
}

/* ── the beginning ── */

static unsigned number_from(const char *name) {
        uint64_t n;
        const char *s = getenv(name);
        return s && parse_u64(s, &n) == 0 && n <= UINT32_MAX ? (unsigned) n : 0;
}

/* A copy of a variable, kept in words[i]: the environment may change. */
static int word_take(JobbersTask *t, size_t i, const char *name, const char **ret) {
        const char *s = getenv(name);
        t->words[i] = strdup(s ? s : "");
        *ret = t->words[i];
        return t->words[i] ? 0 : -ENOMEM;
}

static int path_take(const char *name, char **ret) {
        const char *s = getenv(name);
        if (!s || !*s)
                return 0;
        *ret = strdup(s);
        return *ret ? 0 : -ENOMEM;
}

/* The file is the same as standard input, which somebody may have read already. */
static int parameters_read(char **ret, size_t *ret_len) {
        const char *path = getenv("JOBBERS_PARAMETERS");
        _cleanup_close_ int fd = -1;
        if (path && *path) {
                fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
                return fd < 0 ? -errno : fd_read_all(fd, PARAMETERS_MAX, ret, ret_len);
        }
        if (isatty(STDIN_FILENO) || fcntl(STDIN_FILENO, F_GETFD) < 0)
                return 0;
        return fd_read_all(STDIN_FILENO, PARAMETERS_MAX, ret, ret_len);
}

static int parameters_take(JobbersTask *t) {
        _cleanup_free_ char *text = NULL, *sentence = NULL;
        size_t len = 0;
        int r = parameters_read(&text, &len);
        if (r < 0)
                return r;
        /* Nothing on standard input (by hand, /dev/null) is none. */
        bool none = !text || text[strspn(text, " \t\r\n")] == '\0';
        r = result_read(none ? NULL : text, len, UINT64_MAX, &t->parameters, &sentence);
        return r == -EINVAL ? -EBADMSG : r;
}

int jobbers_task_new(JobbersTask **ret) {
        JobbersTask *t = calloc(1, sizeof *t);
        uint64_t usec;
        if (!t)
                return -ENOMEM;
        t->notify_fd = -1;
        t->progress = -1;
        t->heartbeat_interval = USEC_INFINITY;
        pthread_mutex_init(&t->lock, NULL);
        t->version = number_from("JOBBERS_TASK_VERSION");
        t->attempt = number_from("JOBBERS_ATTEMPT");
        t->retry_attempt = number_from("JOBBERS_RETRY_ATTEMPT");
        const char *watchdog = getenv("WATCHDOG_USEC");
        if (watchdog && parse_u64(watchdog, &usec) == 0 && usec > 0)
                t->heartbeat_interval = usec;

        int r = word_take(t, 0, "JOBBERS_TASK_ID", &t->id);
        if (r >= 0)
                r = word_take(t, 1, "JOBBERS_TASK_NAME", &t->name);
        if (r >= 0)
                r = word_take(t, 2, "JOBBERS_QUEUE", &t->queue);
        if (r >= 0)
                r = path_take("JOBBERS_RESULT", &t->result_path);
        if (r >= 0)
                r = path_take("NOTIFY_SOCKET", &t->notify_address);
        if (r >= 0)
                r = parameters_take(t);
        if (r < 0) {
                jobbers_task_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

void jobbers_task_free(JobbersTask *t) {
        if (!t)
                return;
        fd_close(t->notify_fd);
        for (size_t i = 0; i < ARRAY_SIZE(t->words); i++)
                free(t->words[i]);
        free(t->parameters);
        free(t->result_path);
        free(t->notify_address);
        free(t->status);
        free(t->sentence);
        pthread_mutex_destroy(&t->lock);
        free(t);
}

const char *jobbers_task_error(const JobbersTask *t) {
        return t->sentence ? t->sentence : "";
}

const char *jobbers_task_id(const JobbersTask *t) {
        return t->id;
}

const char *jobbers_task_name(const JobbersTask *t) {
        return t->name;
}

const char *jobbers_task_queue(const JobbersTask *t) {
        return t->queue;
}

unsigned jobbers_task_version(const JobbersTask *t) {
        return t->version;
}

unsigned jobbers_task_attempt(const JobbersTask *t) {
        return t->attempt;
}

unsigned jobbers_task_retry_attempt(const JobbersTask *t) {
        return t->retry_attempt;
}

const char *jobbers_task_parameters(const JobbersTask *t) {
        return t->parameters;
}

/* ── the end ── */

static int result_write(JobbersTask *t, const char *text) {
        if (!t->result_path)
                return puts(text) < 0 || fflush(stdout) != 0 ? -EIO : 0;
        return fd_write_file_at(AT_FDCWD, t->result_path, text, strlen(text), 0600, false);
}

int jobbers_task_result(JobbersTask *t, const char *json) {
        _cleanup_free_ char *text = NULL, *sentence = NULL;
        if (!json)
                return task_fail(t, -EINVAL, "the result is missing");
        int r = result_read(json, strlen(json), UINT64_MAX, &text, &sentence);
        if (r < 0)
                return task_fail(t, r, "%s", sentence ? sentence : "not enough memory");
        r = result_write(t, text);
        return r < 0 ? task_fail(t, r, "cannot write the result %s: %s", t->result_path ? t->result_path : "to standard output", strerror(-r)) : 0;
}

/* Whatever cannot be written is said at least: the exit status is what counts. */
static int end_badly(JobbersTask *t, const char *type, const char *message, int status) {
        _cleanup_free_ char *m = strdup(message ? message : ""), *y = type ? strdup(type) : NULL, *text = NULL;
        json_t *j = NULL;

        if (y)
                utf8_clean(y);
        if (m)
                utf8_clean(m);
        fprintf(stderr, "%s\n", m ? m : message);
        if (m)
                j = json_pack("{s:{s:s*, s:s}}", "error", "type", y, "message", m);
        text = j ? json_dumps(j, JSON_COMPACT) : NULL;
        json_decref(j);
        int r = text ? result_write(t, text) : -ENOMEM;
        if (r < 0) {
                task_fail(t, r, "cannot write the error: %s", strerror(-r));
                fprintf(stderr, "cannot write this error for jobbers: %s\n", strerror(-r));
        }
        return status;
}

int jobbers_task_fail(JobbersTask *t, const char *type, const char *message) {
        return end_badly(t, type, message, EXIT_FAILURE);
}

int jobbers_task_retry(JobbersTask *t, const char *type, const char *message) {
        return end_badly(t, type, message, EX_TEMPFAIL);
}
