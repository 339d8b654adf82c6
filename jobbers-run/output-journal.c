/* output-journal.c: output on its way to journald, which may be slow: then the rest waits here, and the task at its pipe.
 *
 * In a scope it goes through a stream, which is opened when there is something to say: it costs journald and systemd more than all else that a
 * small task does. It is sent in the name of the task's main process, since journald finds the unit of a line by the number of the process that
 * sent it, and remembers that for a second: a supervisor whose number it has seen must not go on to another scope. */
#include "jobbers-run/output-private.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/journal-send.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/journal.h"
#include "model/task.h"

#define LINE_MAX_BYTES (48 * 1024)      /* as journald */
#define PIECE (16 * 1024)               /* of a stream, which a socket takes as a whole; longer lines go in several */
#define FIELD_NAME "MESSAGE="

/* ── an unfinished line ── */

static char field[sizeof FIELD_NAME - 1 + LINE_MAX_BYTES];      /* one supervisor, one task */
static char *const line = field + sizeof FIELD_NAME - 1;

/* So many bytes of it, and of what came after it, are done with: how many of the latter? */
static size_t line_drop(Output *o, size_t n) {
        size_t here = MIN(n, o->line_len);
        o->line_len -= here;
        if (o->line_len > 0)
                memmove(line, line + here, o->line_len);
        return n - here;
}

/* ── as a stream ── */

static int stream_open(Output *o) {
        char unit[SCOPE_NAME_MAX];
        task_scope_name(&o->job->task_id, o->job->attempt, unit);
        return o->journal_fd = journal_stream_open(o->job->definition->name, unit);
}

/* What is unfinished, and that. */
static ssize_t stream_send(Output *o, const char *data, size_t n) {
        const struct iovec parts[2] = { { line, o->line_len }, { (char *) data, n } };
        struct ucred who = { .pid = o->main_pid, .uid = o->job->user->uid, .gid = o->job->user->gid };
        ssize_t k = o->main_pid > 0 ? journal_stream_send(o->journal_fd, parts, 2, &who) : -ESRCH;
        if (k == -ESRCH || k == -EPERM) {
                o->in_our_name = true;
                who.pid = getpid();
                k = journal_stream_send(o->journal_fd, parts, 2, &who);
        }
        if (k > 0)
                o->said = true;
        return k;
}

/* What the stream cannot take at all is for the relay: journald may be restarting, and its datagram socket stays. */
static void stream_leave(Output *o) {
        o->journal_fd = fd_close(o->journal_fd);
        o->kind = OUTPUT_JOURNAL_RELAY;
        o->in_our_name = true;
}

/* In whole lines, since journald ends one where the name changes. */
static size_t stream_add(Output *o, const char *data, size_t n) {
        size_t done = 0;
        ssize_t k = o->journal_fd < 0 ? stream_open(o) : 0;
        while (k >= 0 && done < n) {
                size_t more = MIN(n - done, PIECE - o->line_len);
                const char *end = memrchr(data + done, '\n', more);
                if (!end && o->line_len + more < PIECE) {
                        memcpy(line + o->line_len, data + done, more);
                        o->line_len += more;
                        return done + more;
                }
                if (end)
                        more = (size_t) (end + 1 - (data + done));
                k = stream_send(o, data + done, more);
                if (k == -EAGAIN)
                        return done;
                if (k >= 0)
                        done += line_drop(o, (size_t) k);
        }
        if (k < 0)
                stream_leave(o);
        return done;
}

/* ── as messages ── */

/* False: there is no room for it now. */
static bool line_send(Output *o) {
        char id[ULID_STR_MAX], id_field[64], attempt[64], name[NAME_LEN_MAX + 32], queue[NAME_LEN_MAX + 32], identifier[NAME_LEN_MAX + 32];
        const Job *j = o->job;
#define FIELD(buf, ...) { .iov_base = (buf), .iov_len = (size_t) snprintf(buf, sizeof buf, __VA_ARGS__) }
        const struct iovec fields[] = {
                { .iov_base = field, .iov_len = strlen(FIELD_NAME) + o->line_len },
                { .iov_base = (char *) "PRIORITY=6", .iov_len = strlen("PRIORITY=6") },
                FIELD(identifier, "SYSLOG_IDENTIFIER=%s", j->definition->name),
                FIELD(id_field, "JOBBERS_TASK_ID=%s", ulid_format(&j->task_id, id)),
                FIELD(attempt, "JOBBERS_ATTEMPT=%u", j->attempt),
                FIELD(name, "JOBBERS_TASK_NAME=%s", j->definition->name),
                FIELD(queue, "JOBBERS_QUEUE=%s", j->queue),
        };
#undef FIELD
        memcpy(field, FIELD_NAME, strlen(FIELD_NAME));
        int r = journal_send(&o->journal_fd, fields, ARRAY_SIZE(fields));
        if (r == -EAGAIN)
                return false;
        if (r < 0)
                o->dropped += o->line_len;
        else
                o->said = o->in_our_name = true;
        o->line_len = 0;
        return true;
}

static size_t relay_add(Output *o, const char *data, size_t n) {
        size_t i;
        for (i = 0; i < n; i++) {
                if ((data[i] == '\n' || o->line_len == LINE_MAX_BYTES) && o->line_len > 0 && !line_send(o))
                        break;
                if (data[i] != '\n')
                        line[o->line_len++] = data[i];
        }
        return i;
}

/* ── either ── */

size_t output_journal_add(Output *o, const char *data, size_t n) {
        o->rest_len = 0;
        size_t k = o->kind == OUTPUT_JOURNAL_STREAM ? stream_add(o, data, n) : 0;
        if (o->kind == OUTPUT_JOURNAL_RELAY)
                k += relay_add(o, data + k, n - k);
        o->rest = data + k;
        o->rest_len = n - k;
        return k;
}

bool output_journal_wait(Output *o, usec_t until) {
        return o->rest_len > 0 && journal_wait(o->journal_fd, until) >= 0;
}

bool output_journal_end_line(Output *o) {
        if (o->rest_len > 0 || o->line_len == 0)
                return true;
        ssize_t k = o->kind == OUTPUT_JOURNAL_STREAM ? stream_send(o, NULL, 0) : 0;
        if (k < 0 && k != -EAGAIN)
                stream_leave(o);
        if (o->kind == OUTPUT_JOURNAL_RELAY)
                return line_send(o);
        (void) line_drop(o, (size_t) MAX(k, 0));
        return o->line_len == 0;
}

static void finish_line(Output *o, usec_t until) {
        int in_pipe = 0;
        while (!output_journal_end_line(o) && journal_wait(o->journal_fd, until) >= 0)
                ;
        if (o->rest_len > 0 && o->read_fd >= 0)
                (void) ioctl(o->read_fd, FIONREAD, &in_pipe);
        o->dropped += o->line_len + o->rest_len + (size_t) in_pipe;
        o->line_len = o->rest_len = 0;
}

void output_journal_finish(Output *o, usec_t until) {
        static const struct ucred init = { .pid = 1 };  /* whose unit never changes */
        int r = 0;
        finish_line(o, until);
        usec_t patience = until - MIN(until, clock_boot());
        if (o->said && o->kind == OUTPUT_JOURNAL_STREAM)
                r = journal_stream_settle(o->journal_fd, o->in_our_name ? NULL : &init, patience);
        else if (o->said)
                r = journal_messages_settle(patience);
        if (r == -ETIMEDOUT)
                log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, 0,
                         "journald has not taken in all of its output yet; its log may be incomplete for now");
}
