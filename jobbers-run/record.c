/* record.c: evidence. What is written before the task's process exists proves that it may have run, and reserves the space
 * that its end will need; what replaces it is the one truth about that end. */
#include "jobbers-run/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#define EIGHT_LINES "\n\n\n\n\n\n\n\n"
#define BLANK_LINES EIGHT_LINES EIGHT_LINES EIGHT_LINES EIGHT_LINES EIGHT_LINES EIGHT_LINES EIGHT_LINES EIGHT_LINES

/* With all of the space in it, so that nothing of its last use is left. */
static int head_write(int fd, const char head[static RECORD_SPACE]) {
        ssize_t k = pwrite(fd, head, RECORD_SPACE, 0);
        return k == RECORD_SPACE ? 0 : k < 0 ? -errno : -ENOSPC;
}

/* 0: it has become ID.n.started. -EEXIST: there is one. -ENOENT: it cannot be used. The rename comes first: after a `forget` that came after all the
 * name is not there any more. */
static int keep_use(RecordFile *f, RecordKeep *keep, const char *head) {
        int r = -ENOENT;
        if (!keep->name[0])
                return r;
        f->fd = TAKE_FD(keep->fd);
        if (f->fd >= 0 && renameat2(f->dir_fd, keep->name, f->dir_fd, f->started, RENAME_NOREPLACE) >= 0) {
                if (head_write(f->fd, head) >= 0)
                        r = 0;
                else
                        (void) unlinkat(f->dir_fd, f->started, 0);
        } else {
                if (f->fd >= 0 && errno == EEXIST)
                        r = -EEXIST;
                (void) unlinkat(f->dir_fd, keep->name, 0);
        }
        keep->name[0] = '\0';
        if (r < 0)
                f->fd = fd_close(f->fd);
        return r;
}

int record_file_begin(RecordFile *f, int dir_fd, const Job *job, RecordKeep *keep, const char *key) {
        char head[RECORD_SPACE], id[ULID_STR_MAX];
        int r;

        *f = RECORD_FILE_INIT;
        f->dir_fd = dir_fd;
        f->saved_fd = job->place->saved_fd;
        snprintf(f->final, sizeof f->final, "%s", key);
        snprintf(f->started, sizeof f->started, "%s.started", key);
        int n = snprintf(head, sizeof head, "JOBBERS_STARTED=1\nTASK_ID=%s\nATTEMPT=%u\nNAME=%s\nBOOT_ID=%s\nSUPERVISOR=%d\nAT=%llu\n",
                         ulid_format(&job->task_id, id), job->attempt, job->definition->name, clock_boot_id(), (int) getpid(),
                         (unsigned long long) clock_wall());
        /* Blank lines up to the space that a small record needs: it is ours from now on, and a full /run takes nothing from us. */
        memset(head + n, '\n', sizeof head - (size_t) n);
        f->head_len = sizeof head;

        /* All names: a daemon that is slow to forget must not have its record overwritten. */
        if (fd_exists_at(dir_fd, f->final) || fd_exists_at(f->saved_fd, f->final))
                return -EEXIST;
        r = keep ? keep_use(f, keep, head) : -ENOENT;
        if (r != -ENOENT)
                return r;
        f->fd = openat(dir_fd, f->started, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (f->fd < 0)
                return -errno;
        r = head_write(f->fd, head);
        if (r < 0)
                record_file_undo(f);
        return r;
}

void record_file_undo(RecordFile *f) {
        if (f->fd >= 0)
                (void) unlinkat(f->dir_fd, f->started, 0);
        record_file_close(f);
}

static int write_at_start(int fd, const char *data, size_t n) {
        for (size_t done = 0; done < n;) {
                ssize_t k = pwrite(fd, data + done, n - done, (off_t) done);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return k < 0 ? -errno : -ENOSPC;
                done += (size_t) k;
        }
        return 0;
}

static bool is_gone(int dir_fd, const char *name) {
        return !fd_exists_at(dir_fd, name) && errno == ENOENT;
}

int record_save(int records_fd, int saved_fd, const char *name, const char *text, size_t len, bool in_memory, bool sync) {
        int r = fd_write_file_at(saved_fd, name, text, len, 0640, sync);
        /* It is forgotten in memory first, and then there. */
        if (r >= 0 && in_memory && is_gone(records_fd, name))
                (void) unlinkat(saved_fd, name, 0);
        return r;
}

/* Into the memory that it has had from the start. */
static int finish_in_place(RecordFile *f) {
        int r = write_at_start(f->fd, f->text, f->text_len);
        if (r < 0)
                return r;
        if (renameat(f->dir_fd, f->started, f->dir_fd, f->final) < 0)
                return -errno;
        f->renamed = true;
        return 0;
}

int record_file_finish(RecordFile *f, const ExitRecord *record, bool alone) {
        int r;
        if (!f->text) {
                Str text = {};
                r = exit_record_encode(record, &text);
                f->record_len = text.len;
                /* Over all that stood there, which so stays ours for the next one. */
                while (r >= 0 && text.len < f->head_len)
                        r = str_append_n(&text, BLANK_LINES, MIN(f->head_len - text.len, sizeof BLANK_LINES - 1));
                if (r < 0) {
                        str_free(&text);
                        return r;
                }
                f->text_len = text.len;
                f->text = str_take(&text);
                if (!f->text)
                        return -ENOMEM;
        }
        r = f->renamed ? 0 : finish_in_place(f);
        if (r >= 0 && (!alone || f->saved))
                return 0;
        if (f->renamed && is_gone(f->dir_fd, f->final))
                return 0;               /* a daemon has taken it meanwhile */
        r = record_save(f->dir_fd, f->saved_fd, f->final, f->text, f->record_len, f->renamed, alone);
        f->saved = r >= 0 && alone;
        return r;
}

void record_file_close(RecordFile *f) {
        f->fd = fd_close(f->fd);
        free(TAKE_PTR(f->text));
}

void record_file_keep(RecordFile *f, RecordKeep *keep) {
        fd_close(keep->fd);
        /* The space of a large result is wanted back. */
        keep->fd = f->text_len <= RECORD_SPACE ? TAKE_FD(f->fd) : -1;
        snprintf(keep->name, sizeof keep->name, "%s", f->final);
}

/* ── the result ── */

int result_take(int work_fd, uid_t owner, uint64_t max, char **ret, size_t *ret_len, char **ret_sentence) {
        struct stat st;
        int r;

        *ret = NULL;
        *ret_len = 0;
        /* The task chose what stands there: nothing that blocks or does something when opened is waited for. */
        _cleanup_close_ int fd = fd_open_entry_at(work_fd, "result", O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd == -ENOENT)
                return 0;
        if (fd < 0) {
                *ret_sentence = fd == -ELOOP ? str_new("the result is a symbolic link, it must be a regular file")
                              : fd == -EXDEV ? str_new("the result is on another file system, which is mounted in its place")
                              : fd == -ENXIO ? str_new("the result is not a regular file")      /* a socket */
                                             : str_new("cannot open the result: %s", strerror(-fd));
                return fd;
        }
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode)) {
                *ret_sentence = str_new("the result is not a regular file");
                return -EINVAL;
        }
        if (st.st_uid != owner) {
                *ret_sentence = str_new("the result belongs to uid %u, it must belong to the task's own user", (unsigned) st.st_uid);
                return -EINVAL;
        }
        if (st.st_nlink != 1) {
                *ret_sentence = str_new("the result has other names (hard links), it must have this one only");
                return -EINVAL;
        }
        if (st.st_size > 0 && (uint64_t) st.st_size > max)
                r = -EFBIG;
        else
                r = fd_read_all(fd, max, ret, ret_len);
        if (r == -EFBIG)
                *ret_sentence = str_new("the result is larger than %llu bytes", (unsigned long long) max);
        else if (r < 0)
                *ret_sentence = str_new("cannot read the result: %s", strerror(-r));
        return r;
}
