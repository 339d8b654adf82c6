/* textfile.c: see textfile.h. */
#include "model/textfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/str.h"

int text_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct stat *ret_st) {
        struct stat st;

        /* Not blocking: somebody's FIFO must not hold us up before it is refused. */
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (ret_st)
                *ret_st = st;
        if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
                return 1;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size == 0)
                return 1;
        return fd_read_all(fd, max, ret, ret_len);
}

static void dir_close_p(DIR **d) {
        if (*d)
                closedir(*d);
}

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

int text_file_list(const char *dir, const char *suffix, char ***ret) {
        _cleanup_strv_ char **names = calloc(4, sizeof *names);
        size_t suffix_len = strlen(suffix);

        if (!names)
                return -ENOMEM;
        _cleanup_(dir_close_p) DIR *d = opendir(dir);
        if (!d && errno != ENOENT && errno != ENOTDIR)
                return -errno;
        while (d) {
                errno = 0;
                struct dirent *e = readdir(d);
                if (!e && errno != 0)
                        return -errno;
                if (!e)
                        break;
                size_t n = strlen(e->d_name);
                if (e->d_name[0] == '.' || n <= suffix_len || !STREQ(e->d_name + n - suffix_len, suffix))
                        continue;
                int r = strv_push(&names, e->d_name);
                if (r < 0)
                        return r;
        }
        qsort(names, strv_len(names), sizeof *names, by_name);
        *ret = TAKE_PTR(names);
        return 0;
}
