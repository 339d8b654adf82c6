/* log.h: messages of the program itself. To the journal with fields when stderr is connected to it, as
 * plain lines on stderr otherwise. A journald that does not read is waited for once, for a second; what is said until it reads again goes to
 * stderr as text, as far as that takes it without waiting. Levels are syslog's (LOG_ERR … LOG_DEBUG). Output of tasks never comes here. */
#pragma once

#include <syslog.h>

#include "base/macro.h"
#include "base/ulid.h"

/* Once, at program start. `name` is the syslog identifier (kept, not copied). */
void log_init(const char *name);
/* Instead of it, in a program that speaks to whoever called it: to stderr, whatever that is. */
void log_init_plain(const char *name);
void log_set_level(int level);
int log_level(void);
/* How many lines have been written. */
unsigned log_lines(void);
/* "debug" … "err"; -EINVAL. */
int log_level_parse(const char *s, int *ret);

/* Writes one line. `error` is 0 or a (positive or negative) errno whose text is appended after ": ".
 * Returns -|error|, so that a failing top-level path reads `return log_error_errno(r, "…")`. Keeps errno. */
int log_full(int level, int error, const char *format, ...) _printf_(3, 4);

/* The same about one task: adds JOBBERS_TASK_ID, JOBBERS_ATTEMPT (if > 0), JOBBERS_TASK_NAME, JOBBERS_QUEUE
 * (where not NULL) and MESSAGE_ID (one of message-id.h, may be NULL) as journal fields; as text the line starts "task ID: ". */
typedef struct LogTask {
        const Ulid *id;
        unsigned attempt;
        const char *name, *queue;
        const char *message_id;
} LogTask;
/* The same without a task, with a MESSAGE_ID alone. */
#define log_known(id_, level, error, ...) log_task(&(LogTask) { .message_id = (id_) }, level, error, __VA_ARGS__)
int log_task(const LogTask *task, int level, int error, const char *format, ...) _printf_(4, 5);

#define log_debug(...) ((void) (log_level() >= LOG_DEBUG && log_full(LOG_DEBUG, 0, __VA_ARGS__)))
#define log_info(...) ((void) log_full(LOG_INFO, 0, __VA_ARGS__))
#define log_notice(...) ((void) log_full(LOG_NOTICE, 0, __VA_ARGS__))
#define log_warning(...) ((void) log_full(LOG_WARNING, 0, __VA_ARGS__))
#define log_error(...) ((void) log_full(LOG_ERR, 0, __VA_ARGS__))
#define log_warning_errno(e, ...) log_full(LOG_WARNING, (e), __VA_ARGS__)
#define log_error_errno(e, ...) log_full(LOG_ERR, (e), __VA_ARGS__)
#define log_oom() log_full(LOG_ERR, ENOMEM, "not enough memory")

/* From log_gather(true) on, lines for stderr of less weight than a warning wait for log_flush() (or for 32 KiB of them), so that a turn of the
 * loop writes them with one call. A warning goes out at once, after those that wait; at level debug nothing waits. log_gather(false) writes
 * what waits. On the way to the journal nothing waits: there a line is a datagram of its own. */
void log_gather(bool on);
void log_flush(void);
