/* launcher-spare.c: record files that nobody needs any more, kept for the next attempts. On a file system with a journal, making and removing a
 * file for each task costs more the faster tasks come and go (ext4 passes over every inode that was freed in the last seconds); to give one
 * another name costs next to nothing.
 *
 * A spare is a name that is no attempt's, so nobody reads what is in it. The supervisor that is told its number writes over all of it before it
 * gets a name that counts. */
#include "jobbers-run/launcher-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/record.h"

uint32_t spare_take(Launcher *l) {
        return l->n_spares > 0 ? l->spares[--l->n_spares] : 0;
}

void spare_give_back(Launcher *l, uint32_t number) {
        if (number != 0 && l->n_spares < SPARES_MAX)
                l->spares[l->n_spares++] = number;
}

int spare_put(Launcher *l, const char *record) {
        char name[RECORD_SPARE_NAME_MAX];
        struct stat st;
        if (l->n_spares >= SPARES_MAX)
                return 0;
        if (fstatat(l->place.records_fd, record, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > RECORD_SPACE)
                return 0;               /* a large result: its space is wanted back */
        if (++l->last_spare == 0)
                l->last_spare = 1;
        if (renameat(l->place.records_fd, record, l->place.records_fd, record_spare_name(l->last_spare, name)) < 0)
                return -errno;
        l->spares[l->n_spares++] = l->last_spare;
        return 1;
}

void spares_clear(Launcher *l) {
        DIR *dir = fd_list(l->place.records_fd);
        l->n_spares = 0;
        if (!dir)
                return;
        for (struct dirent *e; (e = readdir(dir));)
                if (strncmp(e->d_name, RECORD_SPARE_PREFIX, strlen(RECORD_SPARE_PREFIX)) == 0)
                        (void) unlinkat(l->place.records_fd, e->d_name, 0);
        closedir(dir);
}
