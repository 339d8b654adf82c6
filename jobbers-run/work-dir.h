/* work-dir.h: `work`, the directory of an attempt that is its task's own, with the parameters in it (wire.h, FILES).
 *
 * Two files and a directory cost more than most of what is done for a tiny task. So where a task has left the directory as it got it, but for its
 * result, that goes to its supervisor's next attempt of the same user, with other parameters in the same file. */
#pragma once

#include <sys/stat.h>

#include "jobbers-run/place.h"

typedef struct WorkDir {
        int fd;                         /* -1: there is none */
        int parameters_fd;              /* read-only, for standard input */
        int fill_fd;                    /* the same file, for writing; -1: too large to be kept */
        struct stat made;               /* as its task got it */
        ssize_t attributes;             /* extended ones, access control lists among them: the size of their list */
} WorkDir;

#define WORK_DIR_INIT ((WorkDir) { .fd = -1, .parameters_fd = -1, .fill_fd = -1 })

/* Makes it in the attempt's directory, or goes on with what is there from work_dir_end(); parameters are copied from the descriptor. -EFBIG: they
 * have grown since the launcher looked. */
int work_dir_begin(WorkDir *w, const Place *place, int attempt_fd, int parameters_fd, uid_t uid, gid_t gid);
/* When nobody is left who could write there on the attempt's behalf. True: it is fit for another attempt, and its result is gone. */
bool work_dir_end(WorkDir *w);
/* False: something in it could not be removed. */
bool work_dir_remove(WorkDir *w, int attempt_fd);
