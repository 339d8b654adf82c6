/* account.c: see account.h. */
#include "model/account.h"

#include <grp.h>
#include <pwd.h>

#include "base/str.h"

#define BUFFER_FIRST (16 * 1024)
#define BUFFER_MAX (16 * 1024 * 1024)   /* a group with very many members */

void account_done(Account *a) {
        free(a->name);
        free(a->home);
        *a = (Account) {};
}

/* What the reentrant functions return: 0 also where there is nothing; *buf grows until the entry fits. True: ask again. */
static bool buffer_grow(char **buf, size_t *size, int error) {
        if (*buf && (error != ERANGE || *size >= BUFFER_MAX))
                return false;
        size_t wanted = *buf ? *size * 4 : BUFFER_FIRST;
        free(*buf);
        *buf = malloc(wanted);
        *size = wanted;
        return *buf != NULL;
}

static int lookup_result(const char *buf, int error, bool found) {
        if (!buf)
                return -ENOMEM;
        errno = error;
        return error != 0 ? -EAGAIN : found ? 0 : -ESRCH;
}

/* By name, or without one by number. */
static int user_find(const char *name, uid_t uid, Account *ret) {
        _cleanup_free_ char *buf = NULL;
        struct passwd pw, *found = NULL;
        size_t size = 0;
        int error = ERANGE;

        while (buffer_grow(&buf, &size, error))
                error = name ? getpwnam_r(name, &pw, buf, size, &found) : getpwuid_r(uid, &pw, buf, size, &found);
        int r = lookup_result(buf, error, found != NULL);
        if (r < 0)
                return r;
        *ret = (Account) { .uid = pw.pw_uid, .gid = pw.pw_gid, .name = strdup(pw.pw_name), .home = strdup(pw.pw_dir && *pw.pw_dir ? pw.pw_dir : "/") };
        if (!ret->name || !ret->home) {
                account_done(ret);
                return -ENOMEM;
        }
        return 0;
}

int account_find_uid(uid_t uid, Account *ret) {
        return user_find(NULL, uid, ret);
}

int account_find_user(const char *name, Account *ret) {
        uint64_t uid;
        int r = user_find(name, 0, ret);
        if (r == -ESRCH && parse_u64(name, &uid) >= 0 && uid < UINT32_MAX)
                r = user_find(NULL, (uid_t) uid, ret);
        return r;
}

int account_find_group(const char *name, gid_t *ret) {
        _cleanup_free_ char *buf = NULL;
        struct group gr, *found = NULL;
        size_t size = 0;
        uint64_t gid;
        bool is_number = parse_u64(name, &gid) >= 0 && gid < UINT32_MAX;
        int error = ERANGE;

        while (buffer_grow(&buf, &size, error))
                error = getgrnam_r(name, &gr, buf, size, &found);
        int r = lookup_result(buf, error, found != NULL);
        if (r >= 0)
                *ret = gr.gr_gid;
        else if (r != -ENOMEM && is_number) {
                *ret = (gid_t) gid;     /* it needs no entry */
                r = 0;
        }
        return r;
}
