/* place.h: where attempts live on disk: the directories of wire.h (FILES), opened and verified once by the launcher.
 *
 * The state directory belongs to the daemon, who is not trusted with root: after the start nothing inside it is reached by path, only
 * through these descriptors, and files in the daemon's own log directory are opened with the daemon's rights. */
#pragma once

#include "base/macro.h"
#include "base/ulid.h"
#include "model/settings.h"

#define PLACE_KEY_MAX (ULID_LEN + 12)   /* "ID.n" */

typedef struct Place {
        int attempts_fd, records_fd, saved_fd, logs_fd;
        const char *attempt_dir, *saved_dir;    /* borrowed from the settings; paths for people and for the task's environment */
        uid_t own_uid;
        Identity daemon;                        /* whose group may read what is made here; owner of logs */
        uint64_t max_parameters;
        bool privileged;                        /* root: files get owners, the log directory is not trusted */
} Place;

#define PLACE_INIT ((Place) { .attempts_fd = -1, .records_fd = -1, .saved_fd = -1, .logs_fd = -1 })

/* Creates what is missing, opens, checks owners; as root also makes the daemon's group the own effective group and clears the umask, so
 * that everything made later has the right group and mode from birth. One sentence is logged on failure. */
int place_open(Place *p, const Settings *settings, const Identity *daemon);
void place_close(Place *p);
/* A new description of saved_dir, for the lock in wire.h (ORDER); -errno. */
int place_lock_open(const Place *p);

char *place_key(const Ulid *id, unsigned attempt, char buf[static PLACE_KEY_MAX]);
