/* attempt-dir.h: one attempt's own directory and files (wire.h, FILES).
 *
 * A supervisor that goes from one attempt to its next takes the directory and its sockets along (AttemptKeep), under a name of its own while it
 * has no attempt: to make and remove them costs more than all else that is done for a tiny task. What a task can write in, `work`, is made
 * anew for each. */
#pragma once

#include "jobbers-run/keep-name.h"
#include "jobbers-run/place.h"
#include "jobbers-run/work-dir.h"

typedef struct AttemptKeep {
        int fd, control_fd, notify_fd;                  /* -1: there is none */
        uid_t uid;                                      /* whose notify is */
        char *cgroup;                                   /* text of the symlink; NULL: there is none */
        char name[KEEP_NAME_MAX];
} AttemptKeep;

#define ATTEMPT_KEEP_INIT ((AttemptKeep) { .fd = -1, .control_fd = -1, .notify_fd = -1 })

typedef struct AttemptDir {
        const Place *place;
        AttemptKeep *keep;                              /* where it goes at the end and may have come from; borrowed, NULL without */
        char key[PLACE_KEY_MAX];
        int fd;
        int control_fd, notify_fd;                      /* listening; bound */
        WorkDir work;
        uid_t uid;
        char *cgroup;                                   /* text of the symlink */
        bool made;
        bool clean;                                     /* after attempt_dir_remove: nothing is left, neither of what a task passed to this
                                                         * process nor of a directory that is not kept */
        bool notify_abstract;                           /* the path is too long for a socket address */
} AttemptDir;

#define ATTEMPT_DIR_INIT ((AttemptDir) { .fd = -1, .control_fd = -1, .notify_fd = -1, .work = WORK_DIR_INIT })

/* Makes the directory with all in it, or takes the kept one if that is the same user's; parameters are copied from the descriptor. A directory left behind by a supervisor
 * that was killed at its gate is replaced. -EEXIST: a record says that this attempt has run already, nothing was touched. */
int attempt_dir_make(AttemptDir *d, const Place *place, const char *key, AttemptKeep *keep, int parameters_fd, uid_t uid, gid_t gid);
/* What NOTIFY_SOCKET says. */
char *attempt_dir_notify_address(const AttemptDir *d);
/* The text of the symlink `cgroup`. */
int attempt_dir_set_cgroup(AttemptDir *d, const char *path);
/* The text of the symlink `init`. */
int attempt_dir_set_init(AttemptDir *d, pid_t pid, unsigned long long start_time);
/* Removes the directory if attempt_dir_make made it, or keeps it; its name ID.n is gone in any case. Closes what is not kept. */
void attempt_dir_remove(AttemptDir *d);

/* Removes what is kept. */
void attempt_keep_done(AttemptKeep *k, const Place *place);
/* Removes those whose supervisors are gone. */
void attempt_keep_sweep(const Place *place);
