/* definition-trust.c: see definition-trust.h. The rule is about who can change what root will run: the owner must be root and nobody else
 * may write, of the file and of the directory it lies in (also of the one a link leads to). In a sticky directory of root's nobody can
 * replace what is not theirs, so that one passes. */
#include "model/definition-trust.h"

#include <limits.h>
#include <unistd.h>

#include "base/str.h"

static int refuse(char **ret_sentence, char *sentence, int error) {
        *ret_sentence = sentence;
        return sentence ? error : -ENOMEM;
}

static int check_stat(const char *path, const struct stat *st, char **ret_sentence) {
        bool sticky_dir = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX);
        const char *what = S_ISDIR(st->st_mode) ? "directory " : "";

        if (st->st_uid != 0)
                return refuse(ret_sentence, str_new("%s%s belongs to uid %lu, so not only root can change it; run: chown root: %s && chmod go-w %s", what,
                                                    path, (unsigned long) st->st_uid, path, path), -EPERM);
        if ((st->st_mode & (S_IWGRP | S_IWOTH)) && !sticky_dir)
                return refuse(ret_sentence, str_new("%s%s can be written by users other than root; run: chmod go-w %s", what, path, path), -EPERM);
        return 0;
}

static int check_directory(const char *path, char **ret_sentence) {
        const char *slash = strrchr(path, '/');
        struct stat st;

        _cleanup_free_ char *dir = slash == path ? strdup("/") : slash ? strndup(path, (size_t) (slash - path)) : strdup(".");
        if (!dir)
                return -ENOMEM;
        if (stat(dir, &st) < 0)
                return refuse(ret_sentence, str_new("directory %s cannot be checked: %s", dir, strerror(errno)), -EPERM);
        return check_stat(dir, &st, ret_sentence);
}

int trust_check_file(const char *path, const struct stat *st, char **ret_sentence) {
        int r = check_stat(path, st, ret_sentence);
        if (r >= 0)
                r = check_directory(path, ret_sentence);
        if (r < 0)
                return r;
        _cleanup_free_ char *real = realpath(path, NULL);
        return real && !STREQ(real, path) ? check_directory(real, ret_sentence) : 0;
}

int trust_check_executable(const Definition *d, bool user_mode, char **ret_sentence) {
        const char *path = d->argv[0];
        struct stat st;

        if (stat(path, &st) < 0) {
                if (errno == EACCES && geteuid() != 0 && !user_mode)
                        return 0;
                if (errno == ENOENT || errno == ENOTDIR)
                        return refuse(ret_sentence, str_new("the executable %s does not exist", path), 1);
                return refuse(ret_sentence, str_new("the executable %s cannot be checked: %s", path, strerror(errno)), 1);
        }
        if (!S_ISREG(st.st_mode))
                return refuse(ret_sentence, str_new("the executable %s is not a file", path), 1);
        if (!user_mode) {
                int r = trust_check_file(path, &st, ret_sentence);
                if (r < 0)
                        return r;
        }
        if (user_mode ? access(path, X_OK) < 0 : (st.st_mode & 0111) == 0)
                return refuse(ret_sentence, str_new("%s is not executable; run: chmod +x %s", path, path), 1);
        return 0;
}
