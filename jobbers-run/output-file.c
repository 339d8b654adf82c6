/* output-file.c: the log file of a host without a journal. It is the task's, not the attempt's: attempts follow each other in it. */
#include "jobbers-run/output-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "model/log-mark.h"

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
        _cleanup_free_ char *buf = malloc(OUTPUT_CHUNK);
        char new_name[sizeof o->file + 4], mark[LOG_MARK_MAX];
        uint64_t mark_len;
        int r;

        if (!buf)
                return -ENOMEM;
        uint64_t cut = log_mark_read(o->file_fd, &mark_len);
        uint64_t from = o->size - MIN(o->cap / 2, o->size);
        from = MAX(from, mark_len);
        ssize_t n = pread(o->file_fd, buf, OUTPUT_CHUNK, (off_t) from);
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
        for (uint64_t at = from; r >= 0 && (n = pread(o->file_fd, buf, OUTPUT_CHUNK, (off_t) at)) > 0; at += (uint64_t) n) {
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

void output_file_add(Output *o, const char *data, size_t n) {
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
