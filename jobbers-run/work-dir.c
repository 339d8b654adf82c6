/* work-dir.c: see work-dir.h. */
#include "jobbers-run/work-dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define PARAMETERS_PART (16 * 1024)

static int parameters_make(WorkDir *w, const Place *place, int from) {
        _cleanup_close_ int to = -1;
        struct stat st;

        /* Looked at by the launcher, but its sender may hold it still, and make it grow. */
        if (fstat(from, &st) < 0)
                return -errno;
        if ((uint64_t) st.st_size > place->max_parameters)
                return -EFBIG;
        to = openat(w->fd, "parameters", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        if (to < 0)
                return -errno;
        /* Two copies of a few bytes are a third of what sendfile() takes to set up its pipe. */
        for (off_t offset = 0; offset < st.st_size;) {
                char part[PARAMETERS_PART];
                ssize_t n = pread(from, part, MIN((size_t) (st.st_size - offset), sizeof part), offset);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                int r = fd_write_all(to, part, (size_t) n);
                if (r < 0)
                        return r;
                offset += n;
        }
        w->parameters_fd = openat(w->fd, "parameters", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        return w->parameters_fd < 0 ? -errno : 0;
}

int work_dir_make(WorkDir *w, const Place *place, int attempt_fd, int parameters_fd, uid_t uid, gid_t gid) {
        if (mkdirat(attempt_fd, "work", 0700) < 0)
                return -errno;
        w->fd = openat(attempt_fd, "work", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (w->fd < 0)
                return -errno;
        int r = parameters_make(w, place, parameters_fd);
        /* Given away only when everything is in it. */
        if (r >= 0 && place->privileged && fchown(w->fd, uid, gid) < 0)
                r = -errno;
        return r;
}

/* Mostly it holds just what we made ourselves; whatever else there is takes the long way. */
bool work_dir_remove(WorkDir *w, int attempt_fd) {
        static const char *const files[] = { "parameters", "result" };
        for (size_t i = 0; w->fd >= 0 && i < ARRAY_SIZE(files); i++)
                (void) unlinkat(w->fd, files[i], 0);
        w->parameters_fd = fd_close(w->parameters_fd);
        w->fd = fd_close(w->fd);
        return attempt_fd >= 0 && (unlinkat(attempt_fd, "work", AT_REMOVEDIR) >= 0 || errno == ENOENT || fd_remove_tree_at(attempt_fd, "work") >= 0);
}
