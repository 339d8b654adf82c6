/* place.c: the directories of attempts and records, and what is made in them for one attempt. See place.h for whom they are safe from. */
#include "jobbers-run/place.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/notify.h"

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
        return TAKE_FD(fd);
}

/* In containers /run often is an ordinary file system, on which the few small files of an attempt cost more than the whole rest. The directory
 * of attempts is then a link to one of our own in /dev/shm; that is all memory, as /run is meant to be. Whatever is in the way of that,
 * or there already and in use, is left as it is. */
static void attempts_relocate(const char *path, const char *target, const Identity *owner) {
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
        int fd = directory_open(target, 0711, owner, 0022);
        if (fd >= 0 && symlink(target, path) < 0 && errno != EEXIST)
                (void) rmdir(target);
        fd_close(fd);
}

static int attempts_open(const char *path, const Identity *owner) {
        char at[256];
        _cleanup_free_ char *target = str_new(SHM "/jobbers-%s", strrchr(path, '/') + 1);
        if (!target)
                return -ENOMEM;
        if (owner->uid == 0)
                attempts_relocate(path, target, owner);
        /* The one link that we would have made, to a directory that passes the same examination. */
        ssize_t n = readlink(path, at, sizeof at - 1);
        if (n > 0) {
                at[n] = '\0';
                if (owner->uid == 0 && STREQ(at, target)) {
                        int fd = directory_open(target, 0711, owner, 0022);
                        /* Anybody may make a directory in there after a boot, before us. It is not ours then: nor is the link of any use. */
                        if (fd != -EPERM || unlink(path) < 0)
                                return fd;
                }
        }
        return directory_open(path, 0711, owner, 0022);
}

int place_open(Place *p, const Settings *settings, const Identity *daemon) {
        int r;
        *p = PLACE_INIT;
        p->attempt_dir = settings->attempt_dir;
        p->record_dir = settings->record_dir;
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
        p->attempts_fd = attempts_open(settings->attempt_dir, &self);
        if (p->attempts_fd < 0) {
                r = log_error_errno(p->attempts_fd, "the directory of attempts %s must be a directory of our own that nobody else can write",
                                    settings->attempt_dir);
                goto fail;
        }
        p->records_fd = directory_open(settings->record_dir, 0750, &self, 0022);
        if (p->records_fd < 0) {
                r = log_error_errno(p->records_fd, "the directory of exit records %s must be a directory of our own that nobody else can write",
                                    settings->record_dir);
                goto fail;
        }
        p->logs_fd = directory_open(settings->log_dir, 0750, daemon, 0002);
        if (p->logs_fd < 0) {
                r = log_error_errno(p->logs_fd, "the log directory %s must be a directory of the daemon's user", settings->log_dir);
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
        p->logs_fd = fd_close(p->logs_fd);
}

int place_lock_open(const Place *p) {
        int fd = openat(p->records_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

char *place_key(const Ulid *id, unsigned attempt, char buf[static PLACE_KEY_MAX]) {
        char id_text[ULID_STR_MAX];
        snprintf(buf, PLACE_KEY_MAX, "%s.%u", ulid_format(id, id_text), attempt);
        return buf;
}

/* ── one attempt ── */

/* Has this attempt run already? */
static bool record_exists(const Place *p, const char *key) {
        char started[PLACE_KEY_MAX + 16];
        snprintf(started, sizeof started, "%s.started", key);
        return faccessat(p->records_fd, started, F_OK, 0) >= 0 || faccessat(p->records_fd, key, F_OK, 0) >= 0;
}

static int directory_make(AttemptDir *d) {
        if (mkdirat(d->place->attempts_fd, d->key, 0711) < 0) {
                if (errno != EEXIST)
                        return -errno;
                /* Nobody can be at work in it: the lock kept this start back until all earlier ones had left or begun (wire.h, ORDER). */
                if (record_exists(d->place, d->key))
                        return -EEXIST;
                int r = fd_remove_tree_at(d->place->attempts_fd, d->key);
                if (r < 0)
                        return r;
                if (mkdirat(d->place->attempts_fd, d->key, 0711) < 0)
                        return -errno;
        }
        d->made = true;
        d->fd = openat(d->place->attempts_fd, d->key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (d->fd < 0 || mkdirat(d->fd, "work", 0700) < 0)
                return -errno;
        d->work_fd = openat(d->fd, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return d->work_fd < 0 ? -errno : 0;
}

static int parameters_make(AttemptDir *d, int from) {
        _cleanup_close_ int to = -1;
        struct stat st;
        off_t offset = 0;

        /* Looked at by the launcher, but its sender may hold it still, and make it grow. */
        if (fstat(from, &st) < 0)
                return -errno;
        if ((uint64_t) st.st_size > d->place->max_parameters)
                return -EFBIG;
        to = openat(d->work_fd, "parameters", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        if (to < 0)
                return -errno;
        while (offset < st.st_size) {
                ssize_t n = sendfile(to, from, &offset, (size_t) (st.st_size - offset));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
        }
        d->parameters_fd = openat(d->work_fd, "parameters", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        return d->parameters_fd < 0 ? -errno : 0;
}

/* Bound below the present directory, the attempt's own, so that no directory above it matters. The mode is set before there is a file. */
static int socket_bind_here(int type, const char *name, mode_t mode) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || fchmod(fd, mode) < 0)
                return -errno;
        snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
        if (bind(fd, (struct sockaddr *) &address, sizeof address) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int notify_make(AttemptDir *d) {
        const int on = 1;
        /* "ADDRESS/ID.n/work/notify" and its NUL must fit where the task's sd_notify() puts it. */
        d->notify_abstract = strlen(d->place->attempt_dir) + strlen(d->key) + strlen("//work/notify") >= sizeof(((struct sockaddr_un *) 0)->sun_path);
        if (d->notify_abstract) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "jobbers/%d/%s/notify", (int) getpid(), d->key);
                d->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                if (d->notify_fd < 0 ||
                    bind(d->notify_fd, (struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n)) < 0)
                        return -errno;
        } else {
                d->notify_fd = socket_bind_here(SOCK_DGRAM, "work/notify", 0777);
                if (d->notify_fd < 0)
                        return d->notify_fd;
        }
        return setsockopt(d->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ? -errno : 0;
}

int attempt_dir_make(AttemptDir *d, const Place *place, const char *key, int parameters_fd, uid_t uid, gid_t gid) {
        int r;
        *d = ATTEMPT_DIR_INIT;
        d->place = place;
        snprintf(d->key, sizeof d->key, "%s", key);
        r = directory_make(d);
        if (r < 0)
                return r;
        r = parameters_make(d, parameters_fd);
        if (r < 0)
                return r;
        /* The supervisor's working directory means nothing else; the task gets its own. */
        if (fchdir(d->fd) < 0)
                return -errno;
        r = notify_make(d);
        if (r < 0)
                return r;
        /* Given away only when everything is in it. */
        if (place->privileged && fchown(d->work_fd, uid, gid) < 0)
                return -errno;
        d->control_fd = socket_bind_here(SOCK_SEQPACKET, "control", 0660);
        if (d->control_fd < 0)
                return d->control_fd;
        return listen(d->control_fd, 16) < 0 ? -errno : 0;
}

char *attempt_dir_notify_address(const AttemptDir *d) {
        return d->notify_abstract ? str_new("@jobbers/%d/%s/notify", (int) getpid(), d->key)
                                  : str_new("%s/%s/work/notify", d->place->attempt_dir, d->key);
}

int attempt_dir_set_cgroup(AttemptDir *d, const char *path) {
        return symlinkat(path, d->fd, "cgroup") < 0 ? -errno : 0;
}

int attempt_dir_set_init(AttemptDir *d, pid_t pid, unsigned long long start_time) {
        char text[64];
        snprintf(text, sizeof text, "%d %llu", (int) pid, start_time);
        return symlinkat(text, d->fd, "init") < 0 ? -errno : 0;
}

void attempt_dir_remove(AttemptDir *d) {
        d->control_fd = fd_close(d->control_fd);
        d->clean = d->notify_fd < 0 || notify_finish(d->notify_fd);
        d->notify_fd = d->clean ? fd_close(d->notify_fd) : -1;
        d->parameters_fd = fd_close(d->parameters_fd);
        if (d->made) {
                /* Mostly it holds just what we made ourselves; whatever else there is takes the long way. */
                static const char *const work[] = { "parameters", "notify", "result" };
                static const char *const own[] = { "control", "cgroup" };
                for (size_t i = 0; d->work_fd >= 0 && i < ARRAY_SIZE(work); i++)
                        (void) unlinkat(d->work_fd, work[i], 0);
                for (size_t i = 0; d->fd >= 0 && i < ARRAY_SIZE(own); i++)
                        (void) unlinkat(d->fd, own[i], 0);
                if (d->fd < 0 || (unlinkat(d->fd, "work", AT_REMOVEDIR) < 0 && errno != ENOENT) ||
                    unlinkat(d->place->attempts_fd, d->key, AT_REMOVEDIR) < 0)
                        (void) fd_remove_tree_at(d->place->attempts_fd, d->key);
                d->made = false;
        }
        d->work_fd = fd_close(d->work_fd);
        d->fd = fd_close(d->fd);
}
