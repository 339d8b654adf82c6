/* output.c: the task's standard output and error: one pipe for both, so that their order is kept, read in the supervisor's loop. */
#include "jobbers-run/output-private.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define JOURNAL_PATIENCE (5 * USEC_PER_SEC)     /* a journald that takes nothing in for so long holds up no task any longer */
#define FINISH_MAX (1024 * 1024)        /* a pipe holds less; more comes only from somebody outside who holds its other end */

int output_open(Output *o, const Job *job) {
        int pipes[2];
        *o = OUTPUT_INIT;
        o->job = job;
        o->kind = job->output;
        o->cap = MAX(job->settings->max_log, (uint64_t) 4096);
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

void output_started(Output *o, pid_t main_pid) {
        o->main_pid = main_pid;
        if (o->kind == OUTPUT_DESCRIPTOR && o->read_fd < 0)
                o->task_fd = fd_close(o->task_fd);
}

/* Whether the descriptor takes more now: who does not read on holds up the task, and not us. */
static bool descriptor_waits(Output *o, int timeout_ms) {
        struct pollfd p = { .fd = o->job->output_fd, .events = POLLOUT };
        o->blocked = poll(&p, 1, timeout_ms) <= 0;
        return o->blocked;
}

static ssize_t pump(Output *o, int timeout_ms) {
        static char buf[OUTPUT_CHUNK];  /* one supervisor, one task */
        bool passed_on = o->kind == OUTPUT_DESCRIPTOR;
        ssize_t n;
        if (o->rest_len > 0)
                return (ssize_t) output_journal_add(o, o->rest, o->rest_len);
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
                output_file_add(o, buf, (size_t) n);
        else if (passed_on)
                o->dropped += fd_write_all(o->job->output_fd, buf, (size_t) n) < 0 ? (uint64_t) n : 0;
        else
                return (ssize_t) output_journal_add(o, buf, (size_t) n);
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

void output_main_ends(Output *o) {
        size_t total = 0;
        o->task_fd = fd_close(o->task_fd);
        for (ssize_t n; o->kind == OUTPUT_JOURNAL_STREAM && total < FINISH_MAX && (n = pump(o, 0)) > 0;)
                total += (size_t) n;
        if (o->kind == OUTPUT_JOURNAL_STREAM)
                (void) output_journal_end_line(o);
        o->main_pid = 0;
}

void output_finish(Output *o) {
        usec_t until = clock_boot() + JOURNAL_PATIENCE;
        size_t total = 0;
        for (ssize_t n; total < FINISH_MAX && ((n = pump(o, -1)) > 0 || output_journal_wait(o, until));)
                total += (size_t) n;
        output_journal_finish(o, until);
        if (o->dropped > 0)
                log_task(&(LogTask) { .id = &o->job->task_id, .attempt = o->job->attempt }, LOG_WARNING, 0, "%llu bytes of its output could not be kept",
                         (unsigned long long) o->dropped);
        o->task_fd = fd_close(o->task_fd);
        o->read_fd = fd_close(o->read_fd);
        o->file_fd = fd_close(o->file_fd);
        o->journal_fd = fd_close(o->journal_fd);
}
