/* place.c: the directories of attempts, records and logs. See place.h for whom they are safe from. */
#include "jobbers-run/place.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "launch/wire.h"

#define SHM "/dev/shm"

/* The state directory, when it is missing: appears with its owner at once, since the daemon refuses one that is not its own. */
static int state_dir_make(const char *path, const Identity *daemon) {
        _cleanup_free_ char *new = str_new("%s.new-%d", path, (int) getpid());
        _cleanup_free_ char *parent = strdup(path);
        if (!new || !parent)
                return -ENOMEM;
        if (access(path, F_OK) >= 0)
                return 0;
        char *slash = strrchr(parent, '/');
        if (slash && slash != parent) {
                *slash = '\0';
                int r = fd_mkdirs(parent, 0755);
                if (r < 0)
                        return r;
        }
        if (mkdir(new, 0700) < 0)
                return -errno;
        if ((geteuid() == 0 && chown(new, daemon->uid, daemon->gid) < 0) ||
            renameat2(AT_FDCWD, new, AT_FDCWD, path, RENAME_NOREPLACE) < 0) {
                int r = errno == EEXIST ? 0 : -errno;
                (void) rmdir(new);
                return r;
        }
        return 0;
}

/* Opens a directory whose last component is not followed, making it if it is missing. */
static int directory_open(const char *path, mode_t mode, const Identity *owner, mode_t forbidden) {
        _cleanup_free_ char *parent = strdup(path);
        _cleanup_close_ int parent_fd = -1, fd = -1;
        struct stat st;

        if (!parent)
                return -ENOMEM;
        char *slash = strrchr(parent, '/');
        if (!slash || !slash[1])
                return -EINVAL;
        *slash = '\0';
        const char *name = slash + 1, *above = *parent ? parent : "/";
        parent_fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent_fd < 0 && errno == ENOENT) {
                int r = fd_mkdirs(above, 0755);
                if (r < 0)
                        return r;
                parent_fd = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        if (parent_fd < 0)
                return -errno;
        bool made = mkdirat(parent_fd, name, mode) >= 0;
        if (!made && errno != EEXIST)
                return -errno;
        fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (made && geteuid() == 0 && fchown(fd, owner->uid, owner->gid) < 0)
                return -errno;
        if (made && fchmod(fd, mode) < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != owner->uid || (st.st_mode & forbidden))
                return -EPERM;
        /* The daemon had another group once. */
        if (geteuid() == 0 && st.st_gid != owner->gid && fchown(fd, (uid_t) -1, owner->gid) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* In containers /run often is an ordinary file system, on which the few small files of an attempt cost more than the whole rest. The directories
 * of attempts and of records are then links to our own in /dev/shm; that is all memory, as /run is meant to be. Whatever is in the way of that,
 * or there already and in use, is left as it is. */
static void memory_relocate(const char *path, const char *target, mode_t mode, const Identity *owner) {
        _cleanup_free_ char *parent = strdup(path);
        struct statfs fs;
        char *slash = parent ? strrchr(parent, '/') : NULL;
        if (!slash || slash == parent)
                return;
        *slash = '\0';
        if (fd_mkdirs(parent, 0755) < 0 || statfs(parent, &fs) < 0 || fs.f_type == TMPFS_MAGIC || statfs(SHM, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
                return;
        if (rmdir(path) < 0 && errno != ENOENT && errno != ENOTDIR)
                return;
        int fd = directory_open(target, mode, owner, 0022);
        if (fd >= 0 && symlink(target, path) < 0 && errno != EEXIST)
                (void) rmdir(target);
        fd_close(fd);
}

static int memory_open(const Settings *settings, const char *path, mode_t mode, const Identity *owner) {
        char at[256];
        _cleanup_free_ char *target = str_new(SHM "/jobbers-%s", strrchr(path, '/') + 1);
        if (!target)
                return -ENOMEM;
        /* In system mode a name below run_dir is one instance's alone. Not so root's own in user mode, nor the terminal's. */
        size_t n_run = settings->run_dir && !settings->user_mode ? strlen(settings->run_dir) : 0;
        bool unique = n_run > 0 && strncmp(path, settings->run_dir, n_run) == 0 && path[n_run] == '/';
        if (owner->uid == 0 && unique)
                memory_relocate(path, target, mode, owner);
        /* The one link that we would have made, to a directory that passes the same examination. */
        ssize_t n = readlink(path, at, sizeof at - 1);
        if (n > 0) {
                at[n] = '\0';
                if (owner->uid == 0 && unique && STREQ(at, target)) {
                        int fd = directory_open(target, mode, owner, 0022);
                        /* Anybody may make something in there after a boot, before us. It is not ours then: nor is the link of any use. */
                        if ((fd != -EPERM && fd != -ENOTDIR && fd != -ELOOP) || unlink(path) < 0)
                                return fd;
                }
        }
        return directory_open(path, mode, owner, 0022);
}

/* A name for the directory as it came to be, that no other ever has: the daemon is to see when what was in it has been lost, though the host
 * was not rebooted (a container that was started again, a session that has ended). */
static int birth_certify(int fd, const Identity *owner) {
        uint64_t random;
        char text[17];
        if (fd_exists_at(fd, RECORDS_BIRTH))               /* the daemon may have had another group then */
                return geteuid() == 0 && fchownat(fd, RECORDS_BIRTH, (uid_t) -1, owner->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
        if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random)
                return -EIO;
        int n = snprintf(text, sizeof text, "%016llx", (unsigned long long) random);
        return fd_write_file_at(fd, RECORDS_BIRTH, text, (size_t) n, 0640, false);
}

/* directory_open() failed: -EPERM says that it is there, but whose it is or its mode breaks the rule. */
static int directory_complain(int r, const Settings *settings, const char *what, const char *path, const char *rule) {
        const char *hint = settings->user_mode && path == settings->attempt_dir && getenv("XDG_RUNTIME_DIR") ? "; is XDG_RUNTIME_DIR right?" : "";
        if (r == -EPERM)
                log_error("the %s %s must be a directory of %s", what, path, rule);
        else
                log_error("cannot create the %s %s: %s%s", what, path, strerror(-r), hint);
        return r;
}

int place_open(Place *p, const Settings *settings, const Identity *daemon) {
        int r;
        *p = PLACE_INIT;
        p->attempt_dir = settings->attempt_dir;
        p->saved_dir = settings->saved_dir;
        p->max_parameters = settings->max_parameters;
        p->own_uid = geteuid();
        p->daemon = *daemon;
        p->privileged = p->own_uid == 0;
        umask(0);
        if (p->privileged) {
                /* Nothing that is made here is to be reached through groups that root happens to be in. */
                if (setgroups(0, NULL) < 0 || setresgid((gid_t) -1, daemon->gid, (gid_t) -1) < 0)
                        return log_error_errno(errno, "cannot take the group of the daemon");
        }

        r = state_dir_make(settings->state_dir, daemon);
        if (r < 0)
                return log_error_errno(r, "cannot create the state directory %s", settings->state_dir);
        const Identity self = { .uid = p->own_uid, .gid = daemon->gid };
        p->attempts_fd = memory_open(settings, settings->attempt_dir, 0711, &self);
        if (p->attempts_fd < 0) {
                r = directory_complain(p->attempts_fd, settings, "directory of attempts", settings->attempt_dir, "our own that nobody else can write");
                goto fail;
        }
        p->records_fd = memory_open(settings, settings->record_dir, 0750, &self);
        r = p->records_fd < 0 ? p->records_fd : birth_certify(p->records_fd, &self);
        if (r < 0) {
                r = directory_complain(r, settings, "directory of exit records", settings->record_dir, "our own that nobody else can write");
                goto fail;
        }
        p->saved_fd = directory_open(settings->saved_dir, 0750, &self, 0022);
        if (p->saved_fd < 0) {
                r = directory_complain(p->saved_fd, settings, "directory of saved exit records", settings->saved_dir,
                                       "our own that nobody else can write");
                goto fail;
        }
        p->logs_fd = directory_open(settings->log_dir, 0750, daemon, 0002);
        if (p->logs_fd < 0) {
                r = directory_complain(p->logs_fd, settings, "log directory", settings->log_dir, "the daemon's user that its group at most can write");
                goto fail;
        }
        return 0;
fail:
        place_close(p);
        return r;
}

void place_close(Place *p) {
        p->attempts_fd = fd_close(p->attempts_fd);
        p->records_fd = fd_close(p->records_fd);
        p->saved_fd = fd_close(p->saved_fd);
        p->logs_fd = fd_close(p->logs_fd);
}

int place_lock_open(const Place *p) {
        int fd = openat(p->saved_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

char *place_key(const Ulid *id, unsigned attempt, char buf[static PLACE_KEY_MAX]) {
        char id_text[ULID_STR_MAX];
        snprintf(buf, PLACE_KEY_MAX, "%s.%u", ulid_format(id, id_text), attempt);
        return buf;
}
