/* attempt-dir.c: see attempt-dir.h. */
#include "jobbers-run/attempt-dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "jobbers-run/notify.h"

/* Has this attempt run already? */
static bool record_exists(const Place *p, const char *key) {
        char started[PLACE_KEY_MAX + 16];
        snprintf(started, sizeof started, "%s.started", key);
        return fd_exists_at(p->records_fd, started) || fd_exists_at(p->records_fd, key) || fd_exists_at(p->saved_fd, key);
}

static int directory_new(AttemptDir *d) {
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
        return d->fd < 0 ? -errno : 0;
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

/* The task's own, in a directory where it can change nothing: others can neither write to it nor put something else in its place. */
static int notify_own(AttemptDir *d, uid_t uid, gid_t gid) {
        if (d->place->privileged && !d->notify_abstract && fchownat(d->fd, "notify", uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        d->uid = uid;
        return 0;
}

static int notify_make(AttemptDir *d) {
        const int on = 1;
        /* "ADDRESS/ID.n/notify" and its NUL must fit where the task's sd_notify() puts it. */
        d->notify_abstract = strlen(d->place->attempt_dir) + strlen(d->key) + strlen("//notify") >= sizeof(((struct sockaddr_un *) 0)->sun_path);
        if (d->notify_abstract) {
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int n = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "jobbers/%d/%s/notify", (int) getpid(), d->key);
                d->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                if (d->notify_fd < 0 ||
                    bind(d->notify_fd, (struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n)) < 0)
                        return -errno;
        } else {
                d->notify_fd = socket_bind_here(SOCK_DGRAM, "notify", 0600);
                if (d->notify_fd < 0)
                        return d->notify_fd;
        }
        return setsockopt(d->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ? -errno : 0;
}

static int sockets_make(AttemptDir *d, uid_t uid, gid_t gid) {
        /* The supervisor's working directory means nothing else; the task gets its own. */
        if (fchdir(d->fd) < 0)
                return -errno;
        int r = notify_make(d);
        if (r >= 0)
                r = notify_own(d, uid, gid);
        if (r < 0)
                return r;
        d->control_fd = socket_bind_here(SOCK_SEQPACKET, "control", 0660);
        if (d->control_fd < 0)
                return d->control_fd;
        return listen(d->control_fd, 16) < 0 ? -errno : 0;
}

/* The kept one gets the attempt's name. 0: there is none that could be taken. Whoever has connected to its notify may send for ever, so that it
 * never goes from one user to another. */
static int keep_take(AttemptDir *d, uid_t uid) {
        AttemptKeep *k = d->keep;
        if (!k || k->fd < 0)
                return 0;
        if (k->uid != uid ||
            renameat2(d->place->attempts_fd, k->name, d->place->attempts_fd, d->key, RENAME_NOREPLACE) < 0) {
                attempt_keep_done(k, d->place);
                return 0;
        }
        d->made = true;
        d->fd = TAKE_FD(k->fd);
        d->control_fd = TAKE_FD(k->control_fd);
        d->notify_fd = TAKE_FD(k->notify_fd);
        d->cgroup = TAKE_PTR(k->cgroup);
        d->uid = k->uid;
        return 1;
}

int attempt_dir_make(AttemptDir *d, const Place *place, const char *key, AttemptKeep *keep, int parameters_fd, uid_t uid, gid_t gid) {
        *d = ATTEMPT_DIR_INIT;
        d->place = place;
        d->keep = keep;
        snprintf(d->key, sizeof d->key, "%s", key);
        int r = keep_take(d, uid);
        if (r == 0) {
                r = directory_new(d);
                if (r >= 0)
                        r = sockets_make(d, uid, gid);
        }
        if (r >= 0)
                r = work_dir_make(&d->work, place, d->fd, parameters_fd, uid, gid);
        return MIN(r, 0);
}

char *attempt_dir_notify_address(const AttemptDir *d) {
        return d->notify_abstract ? str_new("@jobbers/%d/%s/notify", (int) getpid(), d->key)
                                  : str_new("%s/%s/notify", d->place->attempt_dir, d->key);
}

int attempt_dir_set_cgroup(AttemptDir *d, const char *path) {
        if (d->cgroup && STREQ(d->cgroup, path))
                return 0;
        if (d->cgroup && unlinkat(d->fd, "cgroup", 0) < 0)
                return -errno;
        free(d->cgroup);
        d->cgroup = strdup(path);
        if (!d->cgroup)
                return -ENOMEM;
        return symlinkat(path, d->fd, "cgroup") < 0 ? -errno : 0;
}

int attempt_dir_set_init(AttemptDir *d, pid_t pid, unsigned long long start_time) {
        char text[64];
        snprintf(text, sizeof text, "%d %llu", (int) pid, start_time);
        return symlinkat(text, d->fd, "init") < 0 ? -errno : 0;
}

/* ── the end ── */

static bool directory_remove(AttemptDir *d) {
        static const char *const files[] = { "control", "notify", "cgroup" };
        for (size_t i = 0; d->fd >= 0 && i < ARRAY_SIZE(files); i++)
                (void) unlinkat(d->fd, files[i], 0);
        return unlinkat(d->place->attempts_fd, d->key, AT_REMOVEDIR) >= 0 || fd_remove_tree_at(d->place->attempts_fd, d->key) >= 0;
}

/* True: somebody came who has not been let in. He means the attempt that is over. */
static bool somebody_waits(int control_fd) {
        struct pollfd p = { .fd = control_fd, .events = POLLIN };
        return poll(&p, 1, 0) != 0;
}

static bool directory_keep(AttemptDir *d) {
        AttemptKeep *k = d->keep;
        if (!k || !d->clean || d->notify_abstract || d->control_fd < 0 || (!k->name[0] && keep_name_make(k->name) < 0))
                return false;
        if (renameat2(d->place->attempts_fd, d->key, d->place->attempts_fd, k->name, RENAME_NOREPLACE) < 0)
                return false;
        k->fd = TAKE_FD(d->fd);
        k->control_fd = TAKE_FD(d->control_fd);
        k->notify_fd = TAKE_FD(d->notify_fd);
        k->cgroup = TAKE_PTR(d->cgroup);
        k->uid = d->uid;
        /* Looked at now, when its name is no longer the attempt's. */
        if (somebody_waits(k->control_fd))
                attempt_keep_done(k, d->place);
        return true;
}

void attempt_dir_remove(AttemptDir *d) {
        bool gone = true;
        d->clean = d->notify_fd < 0 || notify_finish(d->notify_fd);
        if (d->made) {
                gone = (work_dir_remove(&d->work, d->fd) && directory_keep(d)) || directory_remove(d);
                d->made = false;
        }
        d->control_fd = fd_close(d->control_fd);
        d->notify_fd = d->clean ? fd_close(d->notify_fd) : -1;
        d->fd = fd_close(d->fd);
        d->clean = d->clean && gone;
        free(TAKE_PTR(d->cgroup));
}

/* ── what is kept ── */

void attempt_keep_done(AttemptKeep *k, const Place *place) {
        if (k->fd >= 0)
                (void) fd_remove_tree_at(place->attempts_fd, k->name);
        k->fd = fd_close(k->fd);
        k->control_fd = fd_close(k->control_fd);
        k->notify_fd = fd_close(k->notify_fd);
        free(TAKE_PTR(k->cgroup));
}

void attempt_keep_sweep(const Place *place) {
        DIR *dir = fd_list(place->attempts_fd);
        if (!dir)
                return;
        for (struct dirent *e; (e = readdir(dir));)
                if (keep_name_is_used(e->d_name) == 0)
                        (void) fd_remove_tree_at(place->attempts_fd, e->d_name);
        closedir(dir);
}
