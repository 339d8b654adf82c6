/* account.h: users and groups of the host, by name or number. A lookup that could not be made (a directory server that does not answer) is not
 * taken for an account that does not exist: the one passes, the other stays. */
#pragma once

#include <sys/types.h>

#include "base/macro.h"

typedef struct Account {
        uid_t uid;
        gid_t gid;
        char *name, *home;
} Account;

/* 0; -ESRCH: there is none; -EAGAIN: that cannot be found out just now, errno says why; -ENOMEM. */
int account_find_user(const char *name, Account *ret);
int account_find_uid(uid_t uid, Account *ret);
int account_find_group(const char *name, gid_t *ret);
void account_done(Account *a);
