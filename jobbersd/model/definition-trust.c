/* definition-trust.c: see definition-trust.h. The rule is about who can change what root will run: the owner must be root and nobody else
 * may write, of the file, of the directory it lies in, and of the directory of each link that leads to it. A sticky directory will not do
 * there: anybody may put names into it. Further up it does. */
#include "model/definition-trust.h"

#include <limits.h>
#include <unistd.h>

#include "base/str.h"

#define LINKS_MAX 40            /* the kernel's */

static int refuse(char **ret_sentence, char *sentence, int error) {
        *ret_sentence = sentence;
        return sentence ? error : -ENOMEM;
}

static int check_stat(const char *path, const struct stat *st, char **ret_sentence) {
        bool is_dir = S_ISDIR(st->st_mode), open = (st->st_mode & (S_IWGRP | S_IWOTH)) != 0;
        const char *what = is_dir ? "directory " : "";

        if (st->st_uid != 0)
                return refuse(ret_sentence, str_new("%s%s belongs to uid %lu, so not only root can change it; run: chown root: %s && chmod go-w %s", what,
                                                    path, (unsigned long) st->st_uid, path, path), -EPERM);
        if (open && is_dir && (st->st_mode & S_ISVTX))
                return refuse(ret_sentence, str_new("users other than root can put files into directory %s: move the file to one that only root can change", path),
                              -EPERM);
        if (open)
                return refuse(ret_sentence, str_new("%s%s can be written by users other than root; run: chmod go-w %s", what, path, path), -EPERM);
        return 0;
}

/* ── what was looked at ── */

static bool part_same(const TrustPart *p, const struct stat *st) {
        return p->dev == st->st_dev && p->ino == st->st_ino && p->mode == st->st_mode && p->uid == st->st_uid && p->ctime.tv_sec == st->st_ctim.tv_sec &&
               p->ctime.tv_nsec == st->st_ctim.tv_nsec;
}

void trust_stamp_done(TrustStamp *stamp) {
        for (size_t i = 0; i < stamp->n; i++)
                free(stamp->parts[i].path);
        stamp->n = 0;
}

/* -ENOBUFS: more than it can hold. */
static int stamp_add(TrustStamp *stamp, const char *path, const struct stat *st) {
        for (size_t i = 0; i < stamp->n; i++)
                if (STREQ(stamp->parts[i].path, path))
                        return 0;
        if (stamp->n == ARRAY_SIZE(stamp->parts))
                return -ENOBUFS;
        char *copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        stamp->parts[stamp->n++] = (TrustPart) { copy, st->st_dev, st->st_ino, st->st_mode, st->st_uid, st->st_ctim };
        return 0;
}

static bool stamp_holds(const TrustStamp *stamp) {
        struct stat st;
        for (size_t i = 0; i < stamp->n; i++)
                if (stat(stamp->parts[i].path, &st) < 0 || !part_same(stamp->parts + i, &st))
                        return false;
        return stamp->n > 0;
}

/* ── the way to a file ── */

typedef struct Check {
        TrustStamp *stamp;              /* NULL: nobody asks again */
        bool overflow;                  /* there is more than the stamp holds */
        char **ret_sentence;
} Check;

static int check_note(Check *c, const char *path, const struct stat *st) {
        int r = c->stamp ? stamp_add(c->stamp, path, st) : 0;
        if (r == -ENOBUFS)
                c->overflow = true;
        return r == -ENOMEM ? r : 0;
}

/* The one that `path` lies in. */
static int check_directory(Check *c, const char *path) {
        const char *slash = strrchr(path, '/');
        struct stat st;

        _cleanup_free_ char *dir = slash == path ? strdup("/") : slash ? strndup(path, (size_t) (slash - path)) : strdup(".");
        if (!dir)
                return -ENOMEM;
        if (stat(dir, &st) < 0)
                return refuse(c->ret_sentence, str_new("directory %s cannot be checked: %s", dir, strerror(errno)), -EPERM);
        int r = check_stat(dir, &st, c->ret_sentence);
        return r < 0 ? r : check_note(c, dir, &st);
}

/* 1 and the path with its first link replaced by what that says; the link's directory was checked. 0: it has none. */
static int link_follow(Check *c, const char *path, char **ret) {
        char target[PATH_MAX];
        for (size_t n = strspn(path, "/"); path[n]; n += strspn(path + n, "/")) {
                n += strcspn(path + n, "/");
                _cleanup_free_ char *head = strndup(path, n);
                if (!head)
                        return -ENOMEM;
                ssize_t len = readlink(head, target, sizeof target - 1);
                if (len < 0 && errno == EINVAL)
                        continue;
                if (len < 0)
                        return refuse(c->ret_sentence, str_new("%s cannot be checked: %s", head, strerror(errno)), -EPERM);
                target[len] = '\0';
                int r = check_directory(c, head);
                if (r < 0)
                        return r;
                const char *slash = strrchr(head, '/');
                int in = target[0] == '/' || !slash ? 0 : (int) (slash - head) + 1;
                *ret = str_new("%.*s%s%s", in, head, target, path + n);
                return *ret ? 1 : -ENOMEM;
        }
        return 0;
}

static int check_way(Check *c, const char *path, const struct stat *st) {
        int r = check_stat(path, st, c->ret_sentence);
        if (r >= 0)
                r = check_note(c, path, st);
        if (r >= 0)
                r = check_directory(c, path);
        _cleanup_free_ char *at = NULL;
        for (unsigned links = 0; r >= 0; links++) {
                char *next = NULL;
                r = links < LINKS_MAX ? link_follow(c, at ?: path, &next)
                                      : refuse(c->ret_sentence, str_new("%s is behind too many links", path), -EPERM);
                if (r <= 0)
                        break;
                free(at);
                at = next;
        }
        return r < 0 ? r : at ? check_directory(c, at) : 0;
}

int trust_check_file(const char *path, const struct stat *st, char **ret_sentence) {
        return check_way(&(Check) { .ret_sentence = ret_sentence }, path, st);
}

static int check_executable(Check *c, const Definition *d, bool user_mode) {
        const char *path = d->argv[0];
        struct stat st;

        if (stat(path, &st) < 0) {
                if (errno == EACCES && geteuid() != 0 && !user_mode)
                        return 0;
                if (errno == ENOENT || errno == ENOTDIR)
                        return refuse(c->ret_sentence, str_new("the executable %s does not exist", path), 1);
                return refuse(c->ret_sentence, str_new("the executable %s cannot be checked: %s", path, strerror(errno)), 1);
        }
        if (!S_ISREG(st.st_mode))
                return refuse(c->ret_sentence, str_new("the executable %s is not a file", path), 1);
        if (!user_mode) {
                int r = check_way(c, path, &st);
                if (r < 0)
                        return r;
        }
        if (user_mode ? access(path, X_OK) < 0 : (st.st_mode & 0111) == 0)
                return refuse(c->ret_sentence, str_new("%s is not executable; run: chmod +x %s", path, path), 1);
        return 0;
}

int trust_check_executable(const Definition *d, bool user_mode, char **ret_sentence) {
        return check_executable(&(Check) { .ret_sentence = ret_sentence }, d, user_mode);
}

int trust_check_start(const Definition *d, TrustStamp *stamp, char **ret_sentence) {
        if (stamp_holds(stamp))
                return 0;
        trust_stamp_done(stamp);
        Check c = { .stamp = stamp, .ret_sentence = ret_sentence };
        int r = check_executable(&c, d, false);
        if (r != 0 || c.overflow)
                trust_stamp_done(stamp);
        return r;
}
