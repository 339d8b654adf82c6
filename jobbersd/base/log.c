/* log.c: a message is put together once and goes out whole, to the journal's socket or to stderr, so that lines of several processes
 * never mix. What cannot be written is lost: there is nobody to tell. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/journal-send.h"

#define MESSAGE_MAX 4096
#define GATHERED_MAX 32768
#define JOURNAL_PATIENCE USEC_PER_SEC           /* a full queue is mostly a moment's; journald may be restarting */

static const char *log_name = "jobbers";
static int log_max = LOG_INFO;
static bool log_to_journal;
static int journal_fd = -1;
static bool journal_hangs;              /* was waited for in vain, and has taken nothing since */
static unsigned lines;

/* Lines for stderr that wait for log_flush(). */
static bool gathering;
static char gathered[GATHERED_MAX];
static size_t gathered_len;

/* systemd names the socket that it connected to stderr; a redirected stderr is another file. */
static bool stderr_is_journal(void) {
        const char *e = getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;
        int end = -1;

        if (!e || sscanf(e, "%llu:%llu%n", &dev, &ino, &end) != 2 || end < 0 || e[end])
                return false;
        return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == (dev_t) dev && st.st_ino == (ino_t) ino;
}

void log_init(const char *name) {
        log_name = name;
        log_to_journal = stderr_is_journal();
}

void log_init_plain(const char *name) {
        log_name = name;
        log_to_journal = false;
}

void log_set_level(int level) {
        log_max = level;
}

int log_level(void) {
        return log_max;
}

unsigned log_lines(void) {
        return lines;
}

int log_level_parse(const char *s, int *ret) {
        static const char *const names[] = {
                [LOG_EMERG] = "emerg", [LOG_ALERT] = "alert", [LOG_CRIT] = "crit", [LOG_ERR] = "err",
                [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
        };

        for (size_t i = LOG_ERR; i < ARRAY_SIZE(names); i++)
                if (STREQ(s, names[i])) {
                        *ret = (int) i;
                        return 0;
                }
        return -EINVAL;
}

/* Whoever logs has others to serve: one wait for each time that journald hangs, and not for each line. */
static int send_patiently(const struct iovec *fields, size_t n) {
        usec_t until = clock_boot() + JOURNAL_PATIENCE;
        int r;

        while ((r = journal_send(&journal_fd, fields, n)) == -EAGAIN && !journal_hangs)
                journal_hangs = journal_wait(journal_fd, until) < 0;
        if (r >= 0)
                journal_hangs = false;
        return r;
}

/* At most ten fields of a bounded length each; names are checked to 64 characters where they come in. */
typedef struct Fields {
        struct iovec iov[JOURNAL_FIELDS_MAX];
        char text[JOURNAL_FIELDS_MAX][160];
        size_t n;
} Fields;

static void _printf_(2, 3) fields_add(Fields *f, const char *format, ...) {
        char *text = f->text[f->n];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof f->text[0], format, ap);
        va_end(ap);
        if (n < 0)
                return;
        f->iov[f->n++] = (struct iovec) { text, MIN((size_t) n, sizeof f->text[0] - 1) };
}

static int send_journal(const LogTask *task, int level, int error, char *message, size_t len) {
        Fields f = { .n = 1 };
        char id[ULID_STR_MAX];

        f.iov[0] = (struct iovec) { message, len };
        fields_add(&f, "PRIORITY=%d", level);
        fields_add(&f, "SYSLOG_IDENTIFIER=%s", log_name);
        if (error != 0)
                fields_add(&f, "ERRNO=%d", abs(error));
        if (task) {
                if (task->id)
                        fields_add(&f, "JOBBERS_TASK_ID=%s", ulid_format(task->id, id));
                if (task->attempt > 0)
                        fields_add(&f, "JOBBERS_ATTEMPT=%u", task->attempt);
                if (task->name)
                        fields_add(&f, "JOBBERS_TASK_NAME=%s", task->name);
                if (task->queue)
                        fields_add(&f, "JOBBERS_QUEUE=%s", task->queue);
                if (task->message_id)
                        fields_add(&f, "MESSAGE_ID=%s", task->message_id);
        }
        return send_patiently(f.iov, f.n);
}

static void write_stderr(const char *text, size_t n) {
        while (n > 0) {
                ssize_t k = write(STDERR_FILENO, text, n);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return;         /* stderr is gone */
                text += k;
                n -= (size_t) k;
        }
}

void log_flush(void) {
        int saved = errno;

        write_stderr(gathered, gathered_len);
        gathered_len = 0;
        errno = saved;
}

void log_gather(bool on) {
        gathering = on;
        if (!on)
                log_flush();
}

static void put_line(int level, const char *line, size_t n) {
        bool waits = gathering && level > LOG_WARNING && log_max < LOG_DEBUG;

        if (!waits || gathered_len + n > sizeof gathered)
                log_flush();
        if (waits) {
                memcpy(gathered + gathered_len, line, n);
                gathered_len += n;
        } else
                write_stderr(line, n);
}

static int log_internal(const LogTask *task, int level, int error, const char *format, va_list ap) {
        static const char field[] = "MESSAGE=";
        char buf[MESSAGE_MAX], line[MESSAGE_MAX + 128], id[ULID_STR_MAX];
        size_t cap = sizeof buf - 4, n = sizeof field - 1;      /* leaves room for "…" */
        int saved = errno, k;

        if (level > log_max)
                return -abs(error);
        lines++;

        memcpy(buf, field, sizeof field);
        if (task && task->id)
                n += (size_t) snprintf(buf + n, cap - n, "task %s: ", ulid_format(task->id, id));
        k = vsnprintf(buf + n, cap - n, format, ap);
        if (k > 0)
                n += (size_t) k;
        if (n < cap && error != 0) {
                k = snprintf(buf + n, cap - n, ": %s", strerror(abs(error)));
                if (k > 0)
                        n += (size_t) k;
        }
        if (n >= cap) {
                n = cap - 2;                            /* the last byte that fitted */
                while ((buf[n] & 0xc0) == 0x80)         /* not in the middle of a character */
                        n--;
                memcpy(buf + n, "…", sizeof "…");
                n += sizeof "…" - 1;
        }

        if (!log_to_journal || send_journal(task, level, error, buf, n) < 0) {
                /* One line is one line: nothing that came from a user may fake a second one or move the cursor. */
                for (char *p = buf; *p; p++)
                        if ((unsigned char) *p < ' ' || *p == 0x7f)
                                *p = ' ';
                k = snprintf(line, sizeof line, "%s: %s\n", log_name, buf + sizeof field - 1);
                k = MIN(k, (int) sizeof line - 1);
                if (k > 0 && log_to_journal)
                        /* A stream to the same journald: not waited for either. It keeps some 200 KiB; lines beyond that are lost. */
                        (void) send(STDERR_FILENO, line, (size_t) k, MSG_DONTWAIT | MSG_NOSIGNAL);
                else if (k > 0)
                        put_line(level, line, (size_t) k);
        }
        errno = saved;
        return -abs(error);
}

int log_full(int level, int error, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = log_internal(NULL, level, error, format, ap);
        va_end(ap);
        return r;
}

int log_task(const LogTask *task, int level, int error, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = log_internal(task, level, error, format, ap);
        va_end(ap);
        return r;
}
