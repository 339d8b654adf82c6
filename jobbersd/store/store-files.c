/* store-files.c: the small files beside the database.
 *
 * PATH.lock: held by a record lock, which no fork inherits and the kernel drops with the process; it carries the pid for people. The
 *   database file itself must not be opened by anyone but SQLite.
 * epoch: a copy of the database's count of opens. It is ahead of the database when that was put back from a backup.
 * ballast: 1 MiB that is given back when the disk is full, so that results of what runs can still be recorded. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/message-id.h"
#include "base/str.h"
#include "store/store-private.h"

#define BALLAST_BYTES (1 << 20)

int store_files_lock(StoreFiles *f, const char *path, char **ret_sentence) {
        const char *slash = strrchr(path, '/');
        f->directory = slash == path ? str_new("/") : slash ? str_new("%.*s", (int) (slash - path), path) : str_new(".");
        _cleanup_free_ char *lock = str_new("%s.lock", path);
        if (!f->directory || !lock)
                return -ENOMEM;

        _cleanup_close_ int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                int r = -errno;
                *ret_sentence = str_new("Cannot open %s: %s.", lock, strerror(-r));
                return r;
        }
        struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        if (fcntl(fd, F_SETLK, &l) < 0) {
                int r = -errno;
                if (r != -EAGAIN && r != -EACCES) {
                        *ret_sentence = str_new("Cannot lock %s: %s.", lock, strerror(-r));
                        return r;
                }
                /* The kernel knows the holder; where that is in another pid namespace, the file tells. */
                char text[32] = "";
                long pid = fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid > 0 ? (long) l.l_pid : 0;
                if (pid == 0 && pread(fd, text, sizeof text - 1, 0) > 0)
                        pid = strtol(text, NULL, 10);
                *ret_sentence = str_new("The database %s is in use by process %ld. Stop that one first, or give this one a --state-dir of its own.",
                                        path, pid);
                return -EBUSY;
        }
        char text[32];
        int n = snprintf(text, sizeof text, "%ld\n", (long) getpid());
        /* For people only: no harm on a full disk. */
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t) n, 0) != n)
                log_debug("cannot write the pid to %s", lock);
        f->lock_fd = TAKE_FD(fd);
        return 0;
}

void store_files_done(StoreFiles *f) {
        f->lock_fd = fd_close(f->lock_fd);
        free(f->directory);
        f->directory = NULL;
}

static int open_directory(StoreFiles *f) {
        int fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int store_files_epoch_get(StoreFiles *f, int64_t *ret) {
        *ret = 0;
        _cleanup_close_ int dir = open_directory(f);
        if (dir < 0)
                return dir;
        _cleanup_free_ char *text = NULL;
        size_t len;
        int r = fd_read_file_at(dir, "epoch", 64, &text, &len);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = 0;
        int64_t epoch;
        r = parse_i64(text, &epoch);
        if (r >= 0)
                *ret = epoch;
        return r;
}

int store_files_epoch_put(StoreFiles *f, int64_t epoch) {
        _cleanup_close_ int dir = open_directory(f);
        if (dir < 0)
                return dir;
        char text[32];
        int n = snprintf(text, sizeof text, "%" PRId64 "\n", epoch);
        return fd_write_file_at(dir, "epoch", text, (size_t) n, 0600, true);
}

void store_files_ballast_make(StoreFiles *f, usec_t not_again_within) {
        usec_t now = clock_boot();
        if (f->ballast || (f->ballast_tried > 0 && now - f->ballast_tried < not_again_within))
                return;
        f->ballast_tried = now;
        _cleanup_close_ int dir = open_directory(f);
        if (dir < 0)
                return;
        _cleanup_close_ int fd = openat(dir, "ballast", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r = fd < 0 ? -errno : -posix_fallocate(fd, 0, BALLAST_BYTES);
        f->ballast = r == 0;
        if (r == 0) {
                if (f->ballast_wanted)
                        log_notice("the disk of %s has space again: new tasks are accepted", f->directory);
                f->ballast_wanted = false;
                return;
        }
        /* Half a ballast would only take the space that somebody needs. */
        (void) unlinkat(dir, "ballast", 0);
        if ((r == -ENOSPC || r == -EDQUOT) && !f->ballast_wanted) {
                f->ballast_wanted = true;
                log_known(MESSAGE_DISK_FULL, LOG_WARNING, 0, "the disk of %s is full: new tasks are refused until there is space", f->directory);
        }
}

void store_files_ballast_drop(StoreFiles *f) {
        if (!f->ballast)
                return;
        _cleanup_close_ int dir = open_directory(f);
        if (dir < 0 || unlinkat(dir, "ballast", 0) < 0)
                return;
        f->ballast = false;
        f->ballast_wanted = true;
        f->ballast_tried = clock_boot();
        log_known(MESSAGE_DISK_FULL, LOG_WARNING, 0, "the disk of %s is full: the %d MiB reserve was released so that outcomes can be recorded; "
                  "new tasks are refused until there is space", f->directory, BALLAST_BYTES >> 20);
}
