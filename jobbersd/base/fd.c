/* fd.c: descriptors and small files. Every loop here survives EINTR and short transfers, so that no caller has to. */
#include "base/fd.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int fd_close(int fd) {
        int saved = errno;

        /* After EINTR Linux has closed it all the same: never twice. */
        if (fd >= 0)
                (void) close(fd);
        errno = saved;
        return -1;
}

void fd_close_p(int *fd) {
        *fd = fd_close(*fd);
}

/* `expected`: how much there is; 0: not known. */
static int read_all(int fd, size_t max, size_t expected, char **ret, size_t *ret_len) {
        _cleanup_free_ char *buf = NULL;
        size_t len = 0, cap = 1024, most;
        ssize_t k;

        /* One byte more than allowed shows that there is more; and one for the NUL. */
        if (__builtin_add_overflow(max, 2, &most))
                return -EINVAL;
        if (expected < max)
                cap = MAX(cap, expected + 2);
        cap = MIN(cap, most);
        buf = malloc(cap);
        if (!buf)
                return -ENOMEM;
        for (;;) {
                if (len + 1 == cap) {
                        char *bigger;

                        if (len > max)
                                return -EFBIG;
                        cap = cap > most / 2 ? most : 2 * cap;
                        bigger = realloc(buf, cap);
                        if (!bigger)
                                return -ENOMEM;
                        buf = bigger;
                }
                k = read(fd, buf + len, cap - len - 1);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                len += (size_t) k;
                /* As much as there was when it was looked at is all of it. */
                if (k == 0 || (expected > 0 && len == expected))
                        break;
        }
        if (len > max)
                return -EFBIG;
        buf[len] = 0;
        *ret = TAKE_PTR(buf);
        if (ret_len)
                *ret_len = len;
        return 0;
}

int fd_read_all(int fd, size_t max, char **ret, size_t *ret_len) {
        struct stat st;
        bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
        return read_all(fd, max, regular ? (size_t) st.st_size : 0, ret, ret_len);
}

int fd_read_file_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        /* O_NONBLOCK: a FIFO in the place of the file must not hold us up. */
        fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return errno == ELOOP || errno == ENXIO ? -EINVAL : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > 0 && (uint64_t) st.st_size > max)
                return -EFBIG;
        return read_all(fd, max, (size_t) st.st_size, ret, ret_len);
}

int fd_write_all(int fd, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                ssize_t k = write(fd, p, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                p += k;
                n -= (size_t) k;
        }
        return 0;
}

/* The directory that holds path's last component, and that component. */
static int open_parent(int dir_fd, const char *path, int flags, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = NULL;
        int fd;

        *ret_name = slash ? slash + 1 : path;
        if (!slash)
                dir = strdup(".");
        else
                dir = slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
        if (!dir)
                return -ENOMEM;
        fd = openat(dir_fd, dir, O_DIRECTORY | O_CLOEXEC | flags);
        return fd < 0 ? -errno : fd;
}

/* Writes, and names, the finished file; the caller unlinks `temp` when this fails. */
static int write_and_rename(int dir, const char *temp, int fd, const char *name, const void *data, size_t n, mode_t mode,
                            bool sync) {
        int r;

        r = fd_write_all(fd, data, n);
        if (r < 0)
                return r;
        if (fchmod(fd, mode) < 0)       /* whatever the umask is */
                return -errno;
        if (sync && fsync(fd) < 0)
                return -errno;
        if (renameat(dir, temp, dir, name) < 0)
                return -errno;
        return 0;
}

int fd_write_file_at(int dir_fd, const char *path, const void *data, size_t n, mode_t mode, bool sync) {
        _cleanup_close_ int dir = -1, fd = -1;
        char temp[32];
        const char *name;
        uint64_t random;
        int r;

        dir = open_parent(dir_fd, path, sync ? O_RDONLY : O_PATH, &name);
        if (dir < 0)
                return dir;
        do {
                if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
                        return -EIO;
                snprintf(temp, sizeof temp, FD_TEMPORARY "%016llx", (unsigned long long) random);
                fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        } while (fd < 0 && errno == EEXIST);
        if (fd < 0)
                return -errno;
        r = write_and_rename(dir, temp, fd, name, data, n, mode, sync);
        if (r < 0) {
                (void) unlinkat(dir, temp, 0);
                return r;
        }
        if (sync && fsync(dir) < 0)
                return -errno;
        return 0;
}

/* One directory of a path; 1 if it was made. */
static int make_dir(const char *path, mode_t mode) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (mkdir(path, mode) < 0) {
                if (errno != EEXIST)
                        return -errno;
                if (stat(path, &st) < 0)
                        return -errno;
                return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
        }
        /* The mode that was asked for, whatever the umask is; and of the directory just made, not of what a link says. */
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 07777) != mode && fchmod(fd, mode) < 0)
                return -errno;
        return 1;
}

/* By the effective ids: for the real ones the kernel makes credentials of their own, where they differ, and throws them away. */
bool fd_exists_at(int dir_fd, const char *path) {
        return faccessat(dir_fd, path, F_OK, AT_EACCESS) >= 0;
}

/* The mount that something is on; for kernels that do not tell, the file system. */
static int mount_of(int fd, uint64_t *ret) {
        struct statx st;
        if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
                return -errno;
        *ret = st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : (uint64_t) st.stx_dev_major << 32 | st.stx_dev_minor;
        return 0;
}

/* On an older kernel, or behind an older filter of system calls, where what is mounted there has been asked when we see it. */
static int open_entry_and_look(int dir_fd, const char *name, int flags) {
        uint64_t mount, parent_mount;
        _cleanup_close_ int fd = openat(dir_fd, name, flags);
        if (fd < 0)
                return -errno;
        int r = mount_of(fd, &mount);
        if (r >= 0)
                r = mount_of(dir_fd, &parent_mount);
        if (r < 0)
                return r;
        return mount == parent_mount ? TAKE_FD(fd) : -EXDEV;
}

int fd_open_entry_at(int dir_fd, const char *name, int flags) {
        struct open_how how = { .flags = (unsigned) flags | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV };
        int fd = (int) syscall(SYS_openat2, dir_fd, name, &how, sizeof how);
        if (fd < 0 && (errno == ENOSYS || errno == EPERM))
                return open_entry_and_look(dir_fd, name, (int) how.flags);
        return fd < 0 ? -errno : fd;
}

int fd_mkdirs(const char *path, mode_t mode) {
        _cleanup_free_ char *copy = strdup(path);
        int r;

        if (!copy)
                return -ENOMEM;
        if (!*copy)
                return -ENOENT;
        for (char *p = copy + 1; *p; p++) {
                if (*p != '/' || p[-1] == '/')
                        continue;
                *p = 0;
                r = make_dir(copy, mode);
                if (r < 0)
                        return r;
                *p = '/';
        }
        r = make_dir(copy, mode);
        return r < 0 ? r : 0;
}
