/* user.h: whom a task runs as: resolved by the launcher once per definition, since getpwnam() may ask a server. */
#pragma once

#include "model/definition.h"

typedef struct RunUser {
        bool change;            /* ids are to be changed (we are root) */
        uid_t uid;
        gid_t gid;
        gid_t *groups;          /* supplementary */
        size_t n_groups;
        char *name, *home;
} RunUser;

/* -ESRCH/-EPERM and one sentence in *ret_sentence (caller frees) when the definition's user is unknown or cannot be used; -EAGAIN and a sentence
 * when whoever knows the users does not answer. */
int run_user_resolve(const Settings *settings, const Definition *definition, RunUser *ret, char **ret_sentence);
void run_user_done(RunUser *u);
