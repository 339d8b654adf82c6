/* launcher-spare.c: record files that were forgotten, kept for the next attempts (record.h). A supervisor that takes one out of the table writes
 * over all of it before it gets a name that counts. */
#include "jobbers-run/launcher-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "jobbers-run/record.h"

int spares_open(Launcher *l) {
        void *shared = mmap(NULL, RECORD_SPARES_MAX * sizeof *l->spares, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return log_error_errno(-errno, "cannot map memory");
        l->spares = shared;
        return 0;
}

/* Nobody but the launcher fills places. */
static _Atomic uint32_t *place_find(Launcher *l) {
        for (size_t i = 0; i < RECORD_SPARES_MAX; i++)
                if (atomic_load_explicit(&l->spares[i], memory_order_relaxed) == 0)
                        return &l->spares[i];
        return NULL;
}

int spare_put(Launcher *l, const char *record) {
        char name[RECORD_SPARE_NAME_MAX];
        struct stat st;
        _Atomic uint32_t *place = place_find(l);
        if (!place)
                return 0;
        if (fstatat(l->place.records_fd, record, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > RECORD_SPACE)
                return 0;               /* a large result: its space is wanted back */
        if (++l->last_spare == 0)
                l->last_spare = 1;
        if (renameat(l->place.records_fd, record, l->place.records_fd, record_spare_name(l->last_spare, name)) < 0)
                return -errno;
        atomic_store(place, l->last_spare);
        return 1;
}

void spares_clear(Launcher *l) {
        DIR *dir = fd_list(l->place.records_fd);
        for (size_t i = 0; l->spares && i < RECORD_SPARES_MAX; i++)
                atomic_store(&l->spares[i], 0);
        if (!dir)
                return;
        for (struct dirent *e; (e = readdir(dir));)
                if (strncmp(e->d_name, RECORD_SPARE_PREFIX, strlen(RECORD_SPARE_PREFIX)) == 0)
                        (void) unlinkat(l->place.records_fd, e->d_name, 0);
        closedir(dir);
}
