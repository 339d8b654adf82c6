/* work-dir.c: see work-dir.h. */
#include "jobbers-run/work-dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define PARAMETERS_PART (16 * 1024)
#define PARAMETERS_KEPT (16 * 1024)     /* longer ones would lie in memory for nobody */

/* Two copies of a few bytes are a third of what sendfile() takes to set up its pipe. */
static int parameters_fill(WorkDir *w, off_t old_len, const Place *place, int from) {
        struct stat st;

        /* Looked at by the launcher, but its sender may hold it still, and make it grow. */
        if (fstat(from, &st) < 0)
                return -errno;
        if ((uint64_t) st.st_size > place->max_parameters)
                return -EFBIG;
        if (st.st_size < old_len && ftruncate(w->fill_fd, st.st_size) < 0)
                return -errno;
        for (off_t offset = 0; offset < st.st_size;) {
                char part[PARAMETERS_PART];
                ssize_t n = pread(from, part, MIN((size_t) (st.st_size - offset), sizeof part), offset);
                if (n > 0)
                        n = pwrite(w->fill_fd, part, (size_t) n, offset);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                offset += n;
        }
        if (st.st_size > PARAMETERS_KEPT)
                w->fill_fd = fd_close(w->fill_fd);
        return 0;
}

static int parameters_make(WorkDir *w, const Place *place, int from) {
        w->fill_fd = openat(w->fd, "parameters", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        if (w->fill_fd < 0)
                return -errno;
        int r = parameters_fill(w, 0, place, from);
        if (r < 0)
                return r;
        w->parameters_fd = openat(w->fd, "parameters", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        return w->parameters_fd < 0 ? -errno : 0;
}

static int work_dir_make(WorkDir *w, const Place *place, int attempt_fd, int parameters_fd, uid_t uid, gid_t gid) {
        if (mkdirat(attempt_fd, "work", 0700) < 0)
                return -errno;
        w->fd = openat(attempt_fd, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (w->fd < 0)
                return -errno;
        int r = parameters_make(w, place, parameters_fd);
        /* Given away only when everything is in it. */
        if (r >= 0 && place->privileged && fchown(w->fd, uid, gid) < 0)
                r = -errno;
        if (r >= 0 && fstat(w->fd, &w->made) < 0)
                r = -errno;
        w->attributes = flistxattr(w->fd, NULL, 0);
        return r;
}

/* Others of the same user may have been at it since: it is the file that we know, or none of ours. */
static int parameters_again(WorkDir *w, const Place *place, int from) {
        struct stat ours, there;
        w->parameters_fd = openat(w->fd, "parameters", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (w->parameters_fd < 0 || fstat(w->fill_fd, &ours) < 0 || fstat(w->parameters_fd, &there) < 0)
                return -errno;
        if (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev || ours.st_mode != (S_IFREG | 0444) || ours.st_nlink != 1)
                return -ESTALE;
        if (fcntl(w->parameters_fd, F_SETFL, 0) < 0)
                return -errno;
        return parameters_fill(w, ours.st_size, place, from);
}

int work_dir_begin(WorkDir *w, const Place *place, int attempt_fd, int parameters_fd, uid_t uid, gid_t gid) {
        if (w->fd >= 0) {
                if ((!place->privileged || (w->made.st_uid == uid && w->made.st_gid == gid)) && parameters_again(w, place, parameters_fd) >= 0)
                        return 0;
                if (!work_dir_remove(w, attempt_fd))
                        return -EAGAIN;
        }
        return work_dir_make(w, place, attempt_fd, parameters_fd, uid, gid);
}

/* ── the end ── */

static bool entries_are_ours(WorkDir *w, bool *ret_result) {
        _Alignas(struct dirent64) char buf[512];
        ssize_t n;
        if (lseek(w->fd, 0, SEEK_SET) < 0)
                return false;
        while ((n = getdents64(w->fd, buf, sizeof buf)) > 0)
                for (ssize_t at = 0; at < n;) {
                        const struct dirent64 *e = (const struct dirent64 *) (buf + at);
                        if (STREQ(e->d_name, "result"))
                                *ret_result = true;
                        else if (!STREQ(e->d_name, "parameters") && !STREQ(e->d_name, ".") && !STREQ(e->d_name, ".."))
                                return false;
                        at += e->d_reclen;
                }
        return n == 0;
}

bool work_dir_end(WorkDir *w) {
        struct stat st;
        bool has_result = false;
        w->parameters_fd = fd_close(w->parameters_fd);
        /* Root may have mounted something there. */
        if (w->fill_fd < 0 || w->made.st_uid == 0 || fstat(w->fd, &st) < 0 || st.st_mode != w->made.st_mode || st.st_uid != w->made.st_uid || st.st_gid != w->made.st_gid ||
            flistxattr(w->fd, NULL, 0) != w->attributes || !entries_are_ours(w, &has_result))
                return false;
        return !has_result || unlinkat(w->fd, "result", 0) >= 0;
}

/* Mostly it holds just what we made ourselves; whatever else there is takes the long way. */
bool work_dir_remove(WorkDir *w, int attempt_fd) {
        static const char *const files[] = { "parameters", "result" };
        for (size_t i = 0; w->fd >= 0 && i < ARRAY_SIZE(files); i++)
                (void) unlinkat(w->fd, files[i], 0);
        w->parameters_fd = fd_close(w->parameters_fd);
        w->fill_fd = fd_close(w->fill_fd);
        w->fd = fd_close(w->fd);
        return attempt_fd >= 0 && (unlinkat(attempt_fd, "work", AT_REMOVEDIR) >= 0 || errno == ENOENT || fd_remove_tree_at(attempt_fd, "work") >= 0);
}
