/* definition-trust.h: whether a definition and what it runs are root's alone (SPEC 3, last sentence), and whether it can run at all. */
#pragma once

#include <sys/stat.h>

#include "model/definition.h"

#define TRUST_PARTS_MAX 8

/* What a check looked at: while nothing of it changes, its answer holds. */
typedef struct TrustPart {
        char *path;
        dev_t dev;
        ino_t ino;
        mode_t mode;
        uid_t uid;
        struct timespec ctime;
} TrustPart;

typedef struct TrustStamp {
        TrustPart parts[TRUST_PARTS_MAX];
        size_t n;                       /* 0: nothing is known */
} TrustStamp;

/* A file that was opened as `path` and has status `st`: 0; -EPERM with a sentence (caller frees) when others than root can change it or
 * what is in its directory; -ENOMEM. */
int trust_check_file(const char *path, const struct stat *st, char **ret_sentence);
/* What the definition runs: 0; 1 with a sentence when there is nothing that can be run now; -EPERM as above (system mode only);
 * -ENOMEM. What may not be looked at is not judged: the launcher can. */
int trust_check_executable(const Definition *d, bool user_mode, char **ret_sentence);
/* The same in system mode for each start. What was found right is remembered in *stamp and costs a stat() or two from then on. */
int trust_check_start(const Definition *d, TrustStamp *stamp, char **ret_sentence);
void trust_stamp_done(TrustStamp *stamp);
