/* output.c: the task's standard output and error: one pipe for both, so that their order is kept, read in the supervisor's loop. The log
 * file is the task's, not the attempt's: attempts follow each other in it. */
#include "jobbers-run/output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/journal-send.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/journal.h"
#include "model/log-mark.h"

#define CHUNK (64 * 1024)
#define FINISH_MAX (1024 * 1024)        /* a pipe holds less; more comes only from somebody outside who holds its other end */
#define LINE_MAX_BYTES (48 * 1024)      /* as journald */
#define JOURNAL_PATIENCE (5 * USEC_PER_SEC)     /* a journald that takes nothing in for so long holds up no task any longer */

/* ── the file ── */

/* The directory is the daemon's: with its rights, so that nothing it puts there leads anywhere it could not go itself. */
static int open_as_daemon(const Place *p, const char *name, int flags) {
        bool change = p->privileged && p->daemon.uid != p->own_uid;
        if (change)
                (void) setfsuid(p->daemon.uid);
        int fd = openat(p->logs_fd, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
        int r = fd < 0 ? -errno : fd;
        if (change)
                (void) setfsuid(p->own_uid);
        return r;
}

static int rename_as_daemon(const Place *p, const char *from, const char *to) {
        bool change = p->privileged && p->daemon.uid != p->own_uid;
        if (change)
                (void) setfsuid(p->daemon.uid);
        int r = renameat(p->logs_fd, from, p->logs_fd, to) < 0 ? -errno : 0;
        if (change)
                (void) setfsuid(p->own_uid);
        return r;
}

static void unlink_as_daemon(const Place *p, const char *name) {
        bool change = p->privileged && p->daemon.uid != p->own_uid;
        if (change)
                (void) setfsuid(p->daemon.uid);
        (void) unlinkat(p->logs_fd, name, 0);
        if (change)
                (void) setfsuid(p->own_uid);
}

/* Another attempt's output begins here. */
static int file_mark(Output *o) {
        char mark[1 + LOG_MARK_MAX] = "\n", last = '\n';
        if (o->size > 0 && pread(o->file_fd, &last, 1, (off_t) (o->size - 1)) < 0)
                return -errno;
        size_t n = log_mark_format_attempt(mark + 1, o->job->attempt);
        int r = last == '\n' ? fd_write_all(o->file_fd, mark + 1, n) : fd_write_all(o->file_fd, mark, n + 1);
        o->size += n + (last != '\n');
        return r;
}

static int file_open(Output *o) {
        struct stat st;
        int fd = open_as_daemon(o->job->place, o->file, O_RDWR | O_CREAT | O_APPEND);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                fd_close(fd);
                return -EINVAL;
        }
        o->file_fd = fd;
        o->size = (uint64_t) st.st_size;
        if (o->job->attempt > 1 && file_mark(o) < 0)
                o->size = fstat(fd, &st) >= 0 ? (uint64_t) st.st_size : 0;      /* the output itself matters more */
        return 0;
}

/* Keeps the newest half, from the next whole line on, in a new file which replaces the old one: whoever reads that goes on undisturbed. */
static int file_cut(Output *o) {
        _cleanup_free_ char *buf = malloc(CHUNK);
        char new_name[sizeof o->file + 4], mark[LOG_MARK_MAX];
        uint64_t mark_len;
        int r;

        if (!buf)
                return -ENOMEM;
        uint64_t cut = log_mark_read(o->file_fd, &mark_len);
        uint64_t from = o->size - MIN(o->cap / 2, o->size);
        from = MAX(from, mark_len);
        ssize_t n = pread(o->file_fd, buf, CHUNK, (off_t) from);
        if (n > 0) {
                char *end = memchr(buf, '\n', (size_t) n);
                if (end && from + (uint64_t) (end + 1 - buf) < o->size)
                        from += (uint64_t) (end + 1 - buf);
        }
        cut += from - mark_len;

        snprintf(new_name, sizeof new_name, "%s.new", o->file);
        _cleanup_close_ int to = open_as_daemon(o->job->place, new_name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND);
        if (to < 0)
                return to;
        size_t k = log_mark_format(mark, cut);
        r = fd_write_all(to, mark, k);
        uint64_t size = k;
        for (uint64_t at = from; r >= 0 && (n = pread(o->file_fd, buf, CHUNK, (off_t) at)) > 0; at += (uint64_t) n) {
                r = fd_write_all(to, buf, (size_t) n);
                size += (uint64_t) n;
        }
        if (r >= 0)
                r = rename_as_daemon(o->job->place, new_name, o->file);
        if (r < 0) {
                unlink_as_daemon(o->job->place, new_name);      /* least of all on a full disk is half a copy to stay */
                return r;
        }
        fd_close(o->file_fd);
        o->file_fd = TAKE_FD(to);
        o->size = size;
        return 0;
}

static void file_add(Output *o, const char *data, size_t n) {
        int r;
        if (o->file_fd < 0 && !o->file_failed) {
                r = file_open(o);
                if (r < 0) {
                        log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, r, "cannot open its log %s", o->file);
                        o->file_failed = true;
                }
        }
        if (o->file_fd < 0) {
                o->dropped += n;
                return;
        }
        r = fd_write_all(o->file_fd, data, n);
        if (r < 0) {
                struct stat st;
                o->dropped += n;
                if (fstat(o->file_fd, &st) >= 0)
                        o->size = (uint64_t) st.st_size;
                return;
        }
        o->size += n;
        if (o->size > o->cap && file_cut(o) < 0 && ftruncate(o->file_fd, 0) >= 0) {
                /* No room for a second file: the cap holds, at the price of all of it. */
                o->dropped += o->size;
                o->size = 0;
        }
}

/* ── the journal ── */

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

/* How many of them are done with; the others are the rest. */
static size_t journal_add(Output *o, const char *data, size_t n) {
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

/* The attempt is over: what journald does not take in now is lost. */
static void journal_finish(Output *o, usec_t until) {
        int in_pipe = 0;
        while (o->rest_len == 0 && o->line_len > 0 && !line_send(o) && journal_wait(o->journal_fd, until) >= 0)
                ;
        if (o->rest_len > 0 && o->read_fd >= 0)
                (void) ioctl(o->read_fd, FIONREAD, &in_pipe);
        o->dropped += o->line_len + o->rest_len + (size_t) in_pipe;
        o->line_len = o->rest_len = 0;
}

static void journal_tell(const Output *o, int r) {
        if (r == -ETIMEDOUT)
                log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, 0,
                         "journald has not taken in all of its output yet; its log may be incomplete for now");
}

/* ── both ── */

int output_open(Output *o, const Job *job) {
        int pipes[2];
        *o = OUTPUT_INIT;
        o->job = job;
        o->kind = job->output;
        o->cap = MAX(job->settings->max_log, (uint64_t) 4096);
        if (o->kind == OUTPUT_JOURNAL_STREAM) {
                char unit[ULID_STR_MAX + 48], task[ULID_STR_MAX];
                snprintf(unit, sizeof unit, "jobbers-task-%s-%u.scope", ulid_format(&job->task_id, task), job->attempt);
                o->task_fd = journal_stream_open(job->definition->name, unit);
                if (o->task_fd >= 0)
                        return 0;
                o->kind = OUTPUT_JOURNAL_RELAY;         /* journald may be restarting: its datagram socket stays */
        }
        /* Root's terminal can be read by whoever has it, and kept beyond the end: it is not for other users. */
        if (o->kind == OUTPUT_DESCRIPTOR && (!job->place->privileged || job->user->uid == 0)) {
                o->task_fd = fcntl(job->output_fd, F_DUPFD_CLOEXEC, 3);
                return o->task_fd < 0 ? -errno : 0;
        }
        char id[ULID_STR_MAX];
        snprintf(o->file, sizeof o->file, "%s.log", ulid_format(&job->task_id, id));
        if (pipe2(pipes, O_CLOEXEC) < 0)
                return -errno;
        o->read_fd = pipes[0];
        o->task_fd = pipes[1];
        /* /dev/stderr and /dev/stdout open it once more, as the task's user. Both ends are one inode: it is for writing only. */
        if (job->place->privileged && (fchown(pipes[1], job->user->uid, (gid_t) -1) < 0 || fchmod(pipes[1], 0200) < 0))
                return -errno;
        /* Our end alone: the flag belongs to the open file, and the task expects writes to wait. */
        return fcntl(o->read_fd, F_SETFL, O_RDONLY | O_NONBLOCK) < 0 ? -errno : 0;
}

void output_started(Output *o) {
        if (o->kind == OUTPUT_DESCRIPTOR && o->read_fd < 0)
                o->task_fd = fd_close(o->task_fd);
}

void output_main_ended(Output *o) {
        if (o->kind != OUTPUT_JOURNAL_STREAM)
                o->task_fd = fd_close(o->task_fd);
}

/* Whether the descriptor takes more now: who does not read on holds up the task, and not us. */
static bool descriptor_waits(Output *o, int timeout_ms) {
        struct pollfd p = { .fd = o->job->output_fd, .events = POLLOUT };
        o->blocked = poll(&p, 1, timeout_ms) <= 0;
        return o->blocked;
}

static ssize_t pump(Output *o, int timeout_ms) {
        static char buf[CHUNK]; /* one supervisor, one task */
        bool passed_on = o->kind == OUTPUT_DESCRIPTOR;
        ssize_t n;
        if (o->rest_len > 0)
                return (ssize_t) journal_add(o, o->rest, o->rest_len);
        if (o->read_fd < 0 || (passed_on && descriptor_waits(o, timeout_ms)))
                return 0;
        n = read(o->read_fd, buf, passed_on ? PIPE_BUF : sizeof buf);
        if (n < 0)
                return 0;       /* EAGAIN, EINTR */
        if (n == 0) {
                o->read_fd = fd_close(o->read_fd);
                return 0;
        }
        if (o->kind == OUTPUT_FILE)
                file_add(o, buf, (size_t) n);
        else if (passed_on)
                o->dropped += fd_write_all(o->job->output_fd, buf, (size_t) n) < 0 ? (uint64_t) n : 0;
        else
                return (ssize_t) journal_add(o, buf, (size_t) n);
        return n;
}

struct pollfd output_poll(const Output *o) {
        if (o->rest_len > 0)
                return (struct pollfd) { .fd = o->journal_fd, .events = POLLOUT };
        if (o->blocked)
                return (struct pollfd) { .fd = o->job->output_fd, .events = POLLOUT };
        return (struct pollfd) { .fd = o->read_fd, .events = POLLIN };
}

int output_pump(Output *o) {
        return pump(o, 0) > 0;
}

void output_finish(Output *o) {
        usec_t until = clock_boot() + JOURNAL_PATIENCE;
        size_t total = 0;
        for (ssize_t n; total < FINISH_MAX && ((n = pump(o, -1)) > 0 || (o->rest_len > 0 && journal_wait(o->journal_fd, until) >= 0));)
                total += (size_t) n;
        journal_finish(o, until);
        usec_t patience = until - MIN(until, clock_boot());
        if (o->kind == OUTPUT_JOURNAL_STREAM && o->task_fd >= 0)
                journal_tell(o, journal_stream_settle(o->task_fd, patience));
        else if (o->said)
                journal_tell(o, journal_messages_settle(patience));
        if (o->dropped > 0)
                log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, 0, "%llu bytes of its output could not be kept",
                         (unsigned long long) o->dropped);
        o->task_fd = fd_close(o->task_fd);
        o->read_fd = fd_close(o->read_fd);
        o->file_fd = fd_close(o->file_fd);
        o->journal_fd = fd_close(o->journal_fd);
        free(TAKE_PTR(o->line));
}
