/* work-dir.h: `work`, the directory of an attempt that is its task's own, with the parameters in it (wire.h, FILES). */
#pragma once

#include "jobbers-run/place.h"

typedef struct WorkDir {
        int fd;                         /* -1: there is none */
        int parameters_fd;              /* read-only, for standard input */
} WorkDir;

#define WORK_DIR_INIT ((WorkDir) { .fd = -1, .parameters_fd = -1 })

/* Makes it in the attempt's directory; parameters are copied from the descriptor. -EFBIG: they have grown since the launcher looked. */
int work_dir_make(WorkDir *w, const Place *place, int attempt_fd, int parameters_fd, uid_t uid, gid_t gid);
/* False: something in it could not be removed. */
bool work_dir_remove(WorkDir *w, int attempt_fd);
