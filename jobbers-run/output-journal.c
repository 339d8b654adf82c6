/* output-journal.c: output on its way to journald, which may be slow: then the rest waits here, and the task at its pipe. */
#include "jobbers-run/output-private.h"

#include <stdio.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/journal-send.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/journal.h"

#define LINE_MAX_BYTES (48 * 1024)      /* as journald */

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
                o->said = true;
        o->line_len = 0;
        return true;
}

size_t output_journal_add(Output *o, const char *data, size_t n) {
        size_t i;
        o->rest_len = 0;
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
        o->rest = data + i;
        o->rest_len = n - i;
        return i;
}

bool output_journal_wait(Output *o, usec_t until) {
        return o->rest_len > 0 && journal_wait(o->journal_fd, until) >= 0;
}

static void finish_line(Output *o, usec_t until) {
        int in_pipe = 0;
        while (o->rest_len == 0 && o->line_len > 0 && !line_send(o) && journal_wait(o->journal_fd, until) >= 0)
                ;
        if (o->rest_len > 0 && o->read_fd >= 0)
                (void) ioctl(o->read_fd, FIONREAD, &in_pipe);
        o->dropped += o->line_len + o->rest_len + (size_t) in_pipe;
        o->line_len = o->rest_len = 0;
}

void output_journal_finish(Output *o, usec_t until) {
        int r = 0;
        finish_line(o, until);
        usec_t patience = until - MIN(until, clock_boot());
        if (o->kind == OUTPUT_JOURNAL_STREAM && o->task_fd >= 0)
                r = journal_stream_settle(o->task_fd, patience);
        else if (o->said)
                r = journal_messages_settle(patience);
        if (r == -ETIMEDOUT)
                log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, 0,
                         "journald has not taken in all of its output yet; its log may be incomplete for now");
}
