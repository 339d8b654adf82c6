/* in-memory.h: what root's place_open() makes in /dev/shm where a test's own directory is on a disk. */
#pragma once

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/settings.h"

/* Before the links to it are removed. */
static inline void in_memory_remove(const Settings *s) {
        _cleanup_close_ int shm = open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC);
        char *const links[] = { s->attempt_dir, s->record_dir };
        for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
                char target[256] = "";
                if (readlink(links[i], target, sizeof target - 1) > 0)
                        (void) fd_remove_tree_at(shm, strrchr(target, '/') + 1);
        }
}
