/* log-file.c: see log-file.h. The writer (jobbers-run/output.c) caps the file by putting a shorter one in its place, whose first line says
 * how many bytes were cut since the beginning: with that a reader finds its place again. */
#include "http/log-file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/log-mark.h"

int log_file_init(LogFile *f, const char *dir, const Ulid *id) {
        char name[ULID_STR_MAX];

        *f = (LogFile) { .fd = -1, .attempt = 1, .line_start = true };
        f->dir = strdup(dir);
        f->path = str_new("%s/%s.log", dir, ulid_format(id, name));
        return f->dir && f->path ? 0 : -ENOMEM;
}

void log_file_done(LogFile *f) {
        f->watch = sd_event_source_disable_unref(f->watch);
        f->fd = fd_close(f->fd);
        f->path = (free(f->path), NULL);
        f->dir = (free(f->dir), NULL);
}

static int open_file(LogFile *f) {
        struct stat st;
        uint64_t mark;
        int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                st.st_size = 0;
        uint64_t cut = log_mark_read(fd, &mark);
        /* Seen nothing yet, or seen less than was cut: from the mark on, so that the reader is told. */
        f->at = f->seen > cut ? f->seen - cut + mark : 0;
        if (f->at > (uint64_t) st.st_size)
                f->at = 0;              /* it was emptied: there was no room for a second file */
        if (f->at == 0) {
                f->seen = cut - MIN(cut, mark);         /* the mark itself is read, but is not part of what was written */
                f->line_start = true;
        }
        f->fd = fd;
        f->watch = sd_event_source_disable_unref(f->watch);
        return 0;
}

/* True when another file has taken its place, or it was emptied. */
static bool is_replaced(const LogFile *f) {
        struct stat here, there;

        if (fstat(f->fd, &here) < 0 || lstat(f->path, &there) < 0)
                return false;
        return here.st_ino != there.st_ino || here.st_dev != there.st_dev || (uint64_t) here.st_size < f->at;
}

static void advance(LogFile *f, size_t n) {
        f->at += n;
        f->seen += n;
}

/* The mark at `at`, passed; false when there is none. */
static bool pass_mark(LogFile *f) {
        char text[LOG_MARK_MAX];
        unsigned attempt;

        ssize_t n = pread(f->fd, text, sizeof text, (off_t) f->at);
        size_t len = n > 0 ? log_mark_attempt(text, (size_t) n, &attempt) : 0;
        if (len == 0)
                return false;
        advance(f, len);
        f->attempt = attempt;
        return true;
}

ssize_t log_file_read(LogFile *f, char *buf, size_t max) {
        for (int i = 0; i < 2; i++) {
                int r = f->fd < 0 ? open_file(f) : 0;
                if (r < 0)
                        return r == -ENOENT ? 0 : r;
                if (f->line_start && pass_mark(f))
                        return -EAGAIN;
                ssize_t n = pread(f->fd, buf, max, (off_t) f->at);
                if (n > 0) {
                        n = (ssize_t) log_mark_before(buf, (size_t) n);
                        f->line_start = buf[n - 1] == '\n';
                        advance(f, (size_t) n);
                        return n;
                }
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                if (!is_replaced(f))
                        return 0;
                f->fd = fd_close(f->fd);
        }
        return 0;
}

int log_file_watch(LogFile *f, sd_event *event, sd_event_inotify_handler_t fn, void *userdata) {
        if (f->fd < 0)
                (void) open_file(f);
        if (f->watch && f->watches_file == (f->fd >= 0))
                return 0;
        f->watch = sd_event_source_disable_unref(f->watch);
        f->watches_file = f->fd >= 0;
        if (f->watches_file)
                return sd_event_add_inotify(event, &f->watch, f->path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF, fn, userdata);
        return sd_event_add_inotify(event, &f->watch, f->dir, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR, fn, userdata);
}
