/* user.c: from a definition's User= and Group= to ids, groups, name and home. */
#include "jobbers-run/user.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/str.h"

/* By name or number. Memory of the entry lives in *buf. */
static struct passwd *user_find(const char *name, struct passwd *pw, char *buf, size_t size) {
        struct passwd *found = NULL;
        uint64_t uid;
        if (getpwnam_r(name, pw, buf, size, &found) == 0 && found)
                return found;
        if (parse_u64(name, &uid) >= 0 && uid < UINT32_MAX && getpwuid_r((uid_t) uid, pw, buf, size, &found) == 0)
                return found;
        return NULL;
}

static int group_find(const char *name, gid_t *ret) {
        char buf[16384];
        struct group gr, *found = NULL;
        uint64_t gid;
        if (getgrnam_r(name, &gr, buf, sizeof buf, &found) == 0 && found) {
                *ret = found->gr_gid;
                return 0;
        }
        if (parse_u64(name, &gid) >= 0 && gid < UINT32_MAX) {
                *ret = (gid_t) gid;
                return 0;
        }
        return -ESRCH;
}

static int groups_find(RunUser *u) {
        int n = 16;
        for (unsigned tries = 0; tries < 8; tries++) {
                gid_t *groups = realloc(u->groups, (size_t) n * sizeof *groups);
                if (!groups)
                        return -ENOMEM;
                u->groups = groups;
                int wanted = n;
                if (getgrouplist(u->name, u->gid, groups, &wanted) >= 0) {
                        u->n_groups = (size_t) wanted;
                        return 0;
                }
                n = MAX(wanted, n * 2);
        }
        return -E2BIG;
}

int run_user_resolve(const Settings *settings, const Definition *definition, RunUser *ret, char **ret_sentence) {
        char buf[16384];
        struct passwd entry, *pw;
        const char *wanted = definition->user ?: settings->default_user;
        RunUser u = { .change = geteuid() == 0 };
        int r = -ENOMEM;

        *ret_sentence = NULL;
        if (wanted)
                pw = user_find(wanted, &entry, buf, sizeof buf);
        else if (getpwuid_r(geteuid(), &entry, buf, sizeof buf, &pw) != 0)
                pw = NULL;
        if (!pw) {
                if (!wanted || u.change || definition->user) {
                        *ret_sentence = str_new("there is no user \"%s\"", wanted ?: "with our own id");
                        return -ESRCH;
                }
                /* A container's made-up uid, running as itself: it needs no entry. */
                entry = (struct passwd) { .pw_name = (char *) wanted, .pw_uid = geteuid(), .pw_gid = getegid(), .pw_dir = (char *) "/" };
                pw = &entry;
        }
        u.uid = pw->pw_uid;
        u.gid = pw->pw_gid;
        u.name = strdup(pw->pw_name);
        u.home = strdup(pw->pw_dir && *pw->pw_dir ? pw->pw_dir : "/");
        if (!u.name || !u.home)
                goto fail;
        if (definition->group && group_find(definition->group, &u.gid) < 0) {
                *ret_sentence = str_new("there is no group \"%s\"", definition->group);
                r = -ESRCH;
                goto fail;
        }
        if (u.change) {
                r = groups_find(&u);
                if (r < 0)
                        goto fail;
        } else if (u.uid != geteuid() || (definition->group && u.gid != getegid())) {
                *ret_sentence = str_new("it is to run as %s%s%s, which only a daemon started as root can do", u.name, definition->group ? ":" : "",
                                        definition->group ?: "");
                r = -EPERM;
                goto fail;
        }
        *ret = u;
        return 0;
fail:
        run_user_done(&u);
        return r;
}

void run_user_done(RunUser *u) {
        free(u->groups);
        free(u->name);
        free(u->home);
        *u = (RunUser) {};
}
