/* fd-tree.c: removal of a tree that a stranger made, maybe is still changing, and may have made absurdly deep.
 *
 * Nothing is ever reached through a path or "..": each directory is opened below a descriptor, without following links or
 * leaving the mount. It is then made our own, where we may, which ends its owner's say in it. And there is no recursion:
 * a directory found below the second level is moved up to the first, where a later pass finds it. Three descriptors
 * and a constant stack do for any depth. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

typedef struct Removal {
        int top;                /* the tree's own directory */
        uint64_t n_moved;       /* names the directories that are moved up */
        bool progress;          /* this pass removed or moved something */
        int error;              /* the first of this pass */
} Removal;

static void dir_close_p(DIR **d) {
        if (*d)
                (void) closedir(*d);
}

static void note_error(Removal *t, int error) {
        if (t->error == 0)
                t->error = error;
}

/* And its owner and mode. */
static int open_below(int dir_fd, const char *name, int flags, struct statx *ret) {
        _cleanup_close_ int fd = fd_open_entry_at(dir_fd, name, flags | O_DIRECTORY);
        if (fd >= 0 && statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, ret) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* A directory to be emptied: openable, writable and ours as far as we can make it so. */
static int open_for_removal(int dir_fd, const char *name) {
        _cleanup_close_ int fd = -1, path_fd = -1;
        struct statx st;
        char link[32];

        fd = open_below(dir_fd, name, O_RDONLY, &st);
        if (fd == -EACCES) {
                /* Without root a directory of our own may still be closed to us: mode 000. */
                path_fd = open_below(dir_fd, name, O_PATH, &st);
                if (path_fd < 0)
                        return path_fd;
                snprintf(link, sizeof link, "/proc/self/fd/%d", path_fd);
                if (st.stx_uid != geteuid() || chmod(link, 0700) < 0)
                        return -EACCES;
                fd = open_below(dir_fd, name, O_RDONLY, &st);
        }
        if (fd < 0)
                return fd;
        /* Where this is refused, what follows says so. */
        if (st.stx_uid != geteuid())
                (void) !fchown(fd, geteuid(), (gid_t) -1);
        if ((st.stx_mode & 07777) != 0700)
                (void) fchmod(fd, 0700);
        return TAKE_FD(fd);
}

DIR *fd_list(int fd) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy < 0 ? NULL : fdopendir(copy);

        if (!d)
                (void) fd_close(copy);
        return d;
}

/* The next entry that is not "." or ".."; NULL at the end or on an error, which is noted. */
static struct dirent *next_entry(Removal *t, DIR *d) {
        struct dirent *e;

        do {
                errno = 0;
                e = readdir(d);
        } while (e && (STREQ(e->d_name, ".") || STREQ(e->d_name, "..")));
        if (!e && errno != 0)
                note_error(t, -errno);
        return e;
}

/* Removes what is not a directory: 0, or -EISDIR for one. */
static int unlink_entry(int dir_fd, const struct dirent *e) {
        if (e->d_type == DT_DIR)
                return -EISDIR;
        return unlinkat(dir_fd, e->d_name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Moves a directory from the second level to the first. */
static int move_up(Removal *t, int dir_fd, const char *name) {
        char to[32];

        /* A name taken by a file or a full directory is refused by the kernel, one taken by an empty directory replaces it:
         * both are to go anyway. */
        for (unsigned tries = 0; tries < 1000; tries++) {
                _cleanup_close_ int made_writable = -1;

                snprintf(to, sizeof to, ".up-%llu", (unsigned long long) t->n_moved++);
                if (renameat(dir_fd, name, t->top, to) == 0 || errno == ENOENT)
                        return 0;
                if (errno == EACCES) {
                        /* The directory's own ".." changes, for which it must be writable. */
                        made_writable = open_for_removal(dir_fd, name);
                        if (made_writable < 0)
                                return made_writable;
                        if (renameat(dir_fd, name, t->top, to) == 0)
                                return 0;
                }
                if (errno != ENOTDIR && errno != ENOTEMPTY && errno != EEXIST)
                        return -errno;
        }
        return -EEXIST;
}

/* Empties a directory of the first level: its files go, its directories move up. */
static int drain(Removal *t, int dir_fd) {
        _cleanup_(dir_close_p) DIR *d = fd_list(dir_fd);
        struct dirent *e;
        int r;

        if (!d)
                return -errno;
        while ((e = next_entry(t, d))) {
                r = unlink_entry(dir_fd, e);
                if (r == -EISDIR)
                        r = move_up(t, dir_fd, e->d_name);
                if (r < 0)
                        note_error(t, r);
                else
                        t->progress = true;
        }
        return 0;
}

static int remove_first_level(Removal *t, const struct dirent *e) {
        _cleanup_close_ int fd = -1;
        int r;

        r = unlink_entry(t->top, e);
        if (r == 0)
                t->progress = true;
        if (r != -EISDIR)
                return r;
        /* Empty ones, and ours, are the rule. */
        if (unlinkat(t->top, e->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
                t->progress = true;
                return 0;
        }
        fd = open_for_removal(t->top, e->d_name);
        if (fd < 0)
                return fd;
        r = drain(t, fd);
        if (r < 0)
                return r;
        if (unlinkat(t->top, e->d_name, AT_REMOVEDIR) < 0)
                return -errno;
        t->progress = true;
        return 0;
}

/* Passes over the first level until one of them changes nothing. */
static int empty_tree(Removal *t) {
        struct dirent *e;

        do {
                _cleanup_(dir_close_p) DIR *d = fd_list(t->top);

                if (!d)
                        return -errno;
                t->progress = false;
                t->error = 0;
                while ((e = next_entry(t, d))) {
                        int r = remove_first_level(t, e);

                        if (r < 0)
                                note_error(t, r);
                }
        } while (t->progress);
        return t->error;
}

int fd_remove_tree_at(int dir_fd, const char *name) {
        _cleanup_close_ int top = -1;
        Removal t;
        int r;

        if (!*name || strchr(name, '/') || STREQ(name, ".") || STREQ(name, ".."))
                return -EINVAL;
        top = open_for_removal(dir_fd, name);
        if (top == -ENOENT)
                return 0;
        if (top == -ENOTDIR || top == -ELOOP)
                return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (top < 0)
                return top;
        t = (Removal) { .top = top };
        r = empty_tree(&t);
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                return r < 0 ? r : -errno;
        return 0;
}
