/* user.c: from a definition's User= and Group= to ids, groups, name and home. */
#include "jobbers-run/user.h"

#include <grp.h>
#include <unistd.h>

#include "base/str.h"
#include "model/account.h"

static char *why_not(int r, const char *kind, const char *name) {
        int error = errno;      /* as account.h says */
        return r == -EAGAIN ? str_new("the %s \"%s\" cannot be looked up just now: %s", kind, name, strerror(error))
                            : str_new("there is no %s \"%s\"", kind, name);
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
        const char *wanted = definition->user ?: settings->default_user;
        RunUser u = { .change = geteuid() == 0 };
        _cleanup_(account_done) Account a = {};

        *ret_sentence = NULL;
        int r = wanted ? account_find_user(wanted, &a) : account_find_uid(geteuid(), &a);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                if (!wanted || u.change || definition->user) {
                        *ret_sentence = why_not(r, "user", wanted ?: "with our own id");
                        return r;
                }
                /* A container's made-up uid, running as itself: it needs no entry. */
                a = (Account) { .uid = geteuid(), .gid = getegid(), .name = strdup(wanted), .home = strdup("/") };
                if (!a.name || !a.home)
                        return -ENOMEM;
        }
        u.uid = a.uid;
        u.gid = a.gid;
        u.name = TAKE_PTR(a.name);
        u.home = TAKE_PTR(a.home);
        r = definition->group ? account_find_group(definition->group, &u.gid) : 0;
        if (r < 0) {
                *ret_sentence = why_not(r, "group", definition->group);
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
