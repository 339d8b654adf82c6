/* launcher-save.c: exit records are in memory, for a daemon to take. Those that none has taken go to the disk when there is none: the host may be
 * rebooted before the next one comes. A supervisor that ends alone saves its record itself (record.h); here are those whose daemon went
 * after that, whose supervisor was killed, or found the disk full.
 *
 * It is done with the lock of wire.h (ORDER), unless somebody keeps that at our own end: nobody uses a file up meanwhile, and no other launcher says
 * hello to a daemon that could have the record forgotten. */
#include "jobbers-run/launcher-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/record.h"
#include "model/exit.h"

/* Supervisors on their way out have the lock; attempts run on; a disk is full: twice as long each time. */
#define AGAIN_FIRST (50 * USEC_PER_MSEC)
#define AGAIN_MAX (30 * USEC_PER_SEC)
#define SYNCS 2         /* of what is on disk already, and was not waited for: nothing comes to that without a daemon */

/* ID.n: 1, ID.n.started: 0, anything else: -1. */
static int name_is_final(const char *name) {
        const char *end = strlen(name) > ULID_LEN && name[ULID_LEN] == '.' ? strchr(name + ULID_LEN + 1, '.') : name;
        return !end ? 1 : STREQ(end, ".started") ? 0 : -1;
}

/* Copied and durable: 1, was so already: 0. What is not a record of that name is nobody's, and passed over. */
static int save_one(const Launcher *l, const char *name) {
        _cleanup_exit_record_ ExitRecord record = {};
        _cleanup_free_ char *text = NULL;
        char key[PLACE_KEY_MAX];
        size_t len;
        if (fd_exists_at(l->place.saved_fd, name))
                return 0;
        int r = fd_read_file_at(l->place.records_fd, name, l->settings->max_result + EXIT_RECORD_OVERHEAD, &text, &len);
        if (r >= 0)
                r = exit_record_decode(text, len, &record);
        if (r >= 0 && !STREQ(place_key(&record.task_id, record.attempt, key), name))
                r = -EBADMSG;
        if (r == -ENOENT || r == -EBADMSG || r == -EFBIG || r == -EINVAL)
                return 0;
        if (r >= 0)
                r = record_save(l->place.records_fd, l->place.saved_fd, name, text, len, true, true);
        return r < 0 ? r : 1;
}

/* Those that found no room in memory are on disk, but nobody has waited for it. */
static int saved_sync(const Launcher *l) {
        DIR *dir = fd_list(l->place.saved_fd);
        int r = dir ? 0 : -errno;
        for (struct dirent *e; dir && (e = readdir(dir));) {
                _cleanup_close_ int fd = -1;
                if (name_is_final(e->d_name) != 1)
                        continue;
                fd = openat(l->place.saved_fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
                if (fd >= 0 && fsync(fd) < 0)
                        r = -errno;
        }
        if (dir)
                closedir(dir);
        return fsync(l->place.saved_fd) < 0 ? -errno : r;
}

/* True: there may be more, later. */
static bool records_save(Launcher *l) {
        DIR *dir = fd_list(l->place.records_fd);
        unsigned n = 0;
        bool running = false;
        int r = dir ? 0 : -errno;
        for (struct dirent *e; dir && (e = readdir(dir));) {
                int final = name_is_final(e->d_name), k = final == 1 ? save_one(l, e->d_name) : 0;
                running = running || final == 0;
                n += k > 0;
                if (k < 0)
                        r = k;
        }
        if (dir)
                closedir(dir);
        int k = l->save_syncs > 0 ? saved_sync(l) : 0;
        if (k >= 0 && l->save_syncs > 0)
                l->save_syncs--;
        if (r >= 0)
                r = k;
        if (n > 0)
                log_info("%u exit records that no daemon has taken are saved on disk", n);
        if (r < 0 && !l->save_failed)
                log_warning_errno(r, "cannot save exit records that no daemon has taken in %s; they are in memory, and are tried again", l->place.saved_dir);
        l->save_failed = r < 0;
        return running || r < 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Launcher *l = userdata;
        _cleanup_close_ int lock = place_lock_open(&l->place);
        if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) >= 0 && !records_save(l)) {
                l->save_timer = sd_event_source_disable_unref(s);
                return 0;
        }
        l->save_delay = MIN(MAX(l->save_delay * 2, AGAIN_FIRST), AGAIN_MAX);
        (void) sd_event_source_set_time_relative(s, l->save_delay);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

void save_while_alone(Launcher *l) {
        save_stop(l);
        l->save_delay = 0;
        l->save_syncs = SYNCS;
        int r = sd_event_add_time_relative(l->event, &l->save_timer, CLOCK_BOOTTIME, 0, 1, on_timer, l);
        if (r < 0)
                log_warning_errno(r, "exit records that no daemon has taken are not saved");
}

/* One that lives, which an attempt without a daemon may just be writing, is written again. */
void save_begin(const Launcher *l) {
        DIR *dir = fd_list(l->place.saved_fd);
        for (struct dirent *e; dir && (e = readdir(dir));)
                if (strncmp(e->d_name, FD_TEMPORARY, strlen(FD_TEMPORARY)) == 0)
                        (void) unlinkat(l->place.saved_fd, e->d_name, 0);
        if (dir)
                closedir(dir);
}

void save_stop(Launcher *l) {
        l->save_timer = sd_event_source_disable_unref(l->save_timer);
}

void save_at_the_end(Launcher *l) {
        save_stop(l);
        l->save_syncs = SYNCS;
        if (l->place.saved_fd >= 0)
                (void) records_save(l);
}
