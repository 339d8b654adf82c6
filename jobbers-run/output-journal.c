/* output-journal.c: output on its way to journald, which may be slow: then the rest waits here, and the task at its pipe.
 *
 * In a scope it goes through a stream, which is opened when there is something to say, as it costs journald and systemd more than all else that a small
 * task does; and in the name of the task's main process. For journald finds the unit of a line by the number of the process that sent it, and remembers
 * that for a second: ours must never come to its ears, or we could not go on to another scope. */
#include "jobbers-run/output-private.h"

#include <stdio.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/journal-send.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/journal.h"

#define LINE_MAX_BYTES (48 * 1024)      /* as journald */

/* ── as a stream ── */

/* Whose lines they are: NULL for ours, when main is gone and what it left behind still has something to say. */
static const struct ucred *speaker(Output *o, struct ucred *buf) {
        if (o->main_pid == 0) {
                o->in_our_name = true;
                return NULL;
        }
        *buf = (struct ucred) { .pid = o->main_pid, .uid = o->job->user->uid, .gid = o->job->user->gid };
        return buf;
}

static int stream_open(Output *o) {
        char unit[ULID_STR_MAX + 48], task[ULID_STR_MAX];
        snprintf(unit, sizeof unit, "jobbers-task-%s-%u.scope", ulid_format(&o->job->task_id, task), o->job->attempt);
        return o->journal_fd = journal_stream_open(o->job->definition->name, unit);
}

/* What it cannot take at all is for the relay: journald may be restarting, and its datagram socket stays. */
static size_t stream_add(Output *o, const char *data, size_t n) {
        size_t done = 0;
        int r = o->journal_fd < 0 ? stream_open(o) : 0;
        while (r >= 0 && done < n) {
                struct ucred main;
                ssize_t k = journal_stream_send(o->journal_fd, data + done, n - done, speaker(o, &main));
                if (k == -EAGAIN)
                        return done;
                if ((k == -EPERM || k == -ESRCH) && o->main_pid > 0) {
                        o->main_pid = 0;
                        continue;
                }
                if (k >= 0) {
                        o->said = true;
                        done += (size_t) k;
                } else
                        r = (int) k;
        }
        if (r < 0) {
                o->journal_fd = fd_close(o->journal_fd);
                o->kind = OUTPUT_JOURNAL_RELAY;
        }
        return done;
}

/* ── as messages ── */

#define FIELD_NAME "MESSAGE="

/* False: there is no room for it now. */
static bool line_send(Output *o) {
        char id[ULID_STR_MAX], id_field[64], attempt[64], name[NAME_LEN_MAX + 32], queue[NAME_LEN_MAX + 32], identifier[NAME_LEN_MAX + 32];
        const Job *j = o->job;
#define FIELD(buf, ...) { .iov_base = (buf), .iov_len = (size_t) snprintf(buf, sizeof buf, __VA_ARGS__) }
        const struct iovec fields[] = {
                { .iov_base = o->line, .iov_len = strlen(FIELD_NAME) + o->line_len },
                { .iov_base = (char *) "PRIORITY=6", .iov_len = strlen("PRIORITY=6") },
                FIELD(identifier, "SYSLOG_IDENTIFIER=%s", j->definition->name),
                FIELD(id_field, "JOBBERS_TASK_ID=%s", ulid_format(&j->task_id, id)),
                FIELD(attempt, "JOBBERS_ATTEMPT=%u", j->attempt),
                FIELD(name, "JOBBERS_TASK_NAME=%s", j->definition->name),
                FIELD(queue, "JOBBERS_QUEUE=%s", j->queue),
        };
#undef FIELD
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
        if (!o->line) {
                o->line = malloc(strlen(FIELD_NAME) + LINE_MAX_BYTES);
                if (!o->line) {
                        o->dropped += n;
                        return n;
                }
                memcpy(o->line, FIELD_NAME, strlen(FIELD_NAME));
        }
        for (i = 0; i < n; i++) {
                if ((data[i] == '\n' || o->line_len == LINE_MAX_BYTES) && o->line_len > 0 && !line_send(o))
                        break;
                if (data[i] != '\n')
                        o->line[strlen(FIELD_NAME) + o->line_len++] = data[i];
        }
        return i;
}

/* ── either ── */

static size_t add(Output *o, const char *data, size_t n) {
        size_t k = o->kind == OUTPUT_JOURNAL_STREAM ? stream_add(o, data, n) : 0;
        return o->kind == OUTPUT_JOURNAL_STREAM ? k : k + relay_add(o, data + k, n - k);
}

size_t output_journal_add(Output *o, const char *data, size_t n) {
        o->rest_len = 0;
        size_t k = add(o, data, n);
        o->rest = data + k;
        o->rest_len = n - k;
        return k;
}

/* ── waiting for journald ── */

static void patience_use(Output *o, usec_t begin) {
        usec_t took = clock_boot() - begin;
        o->patience -= MIN(took, o->patience);
}

bool output_journal_wait(Output *o) {
        usec_t begin = clock_boot();
        if (o->rest_len == 0)
                return false;
        int r = journal_wait(o->journal_fd, begin + o->patience);
        patience_use(o, begin);
        return r >= 0;
}

void output_journal_settle(Output *o) {
        usec_t begin = clock_boot(), until = begin + o->patience;
        int r = 0;
        while (o->rest_len == 0 && o->line_len > 0 && !line_send(o) && journal_wait(o->journal_fd, until) >= 0)
                ;
        if (o->said) {
                struct ucred main;
                usec_t patience = until - MIN(until, clock_boot());
                r = o->kind == OUTPUT_JOURNAL_STREAM ? journal_stream_settle(o->journal_fd, speaker(o, &main), patience) : journal_messages_settle(patience);
        }
        o->said = false;
        patience_use(o, begin);
        if (r == -ETIMEDOUT)
                log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, 0,
                         "journald has not taken in all of its output yet; its log may be incomplete for now");
}

void output_journal_drop(Output *o) {
        int in_pipe = 0;
        if (o->rest_len > 0 && o->read_fd >= 0)
                (void) ioctl(o->read_fd, FIONREAD, &in_pipe);
        o->dropped += o->line_len + o->rest_len + (size_t) in_pipe;
        o->line_len = o->rest_len = 0;
}
