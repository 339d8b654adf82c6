/* launcher-save.c: exit records are in memory, for a daemon to take. Those that none has taken go to the disk when there is none: the host may be
 * rebooted before the next one comes. A supervisor that ends alone saves its record itself (record.h); here are those whose daemon went
 * after that, whose supervisor was killed, or found the disk full.
 *
 * All of it is done with the lock of wire.h (ORDER): nobody uses a file up meanwhile, and no other launcher has said hello to a daemon that
 * could have the record forgotten. */
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

#define LOCK_AGAIN (50 * USEC_PER_MSEC)         /* supervisors on their way out */
#define LOOK_AGAIN (2 * USEC_PER_SEC)           /* attempts that run on, a disk that is full */

/* ID.n: 1, ID.n.started: 0, anything else: -1. */
static int name_is_final(const char *name) {
        const char *end = strlen(name) > ULID_LEN && name[ULID_LEN] == '.' ? strchr(name + ULID_LEN + 1, '.') : name;
        return !end ? 1 : STREQ(end, ".started") ? 0 : -1;
}

/* Copied and durable: 1, was so already: 0. What is not a record of that name is nobody's, and passed over. */
static int record_save(const Launcher *l, const char *name) {
        _cleanup_exit_record_ ExitRecord record = {};
        _cleanup_free_ char *text = NULL;
        char key[PLACE_KEY_MAX];
        size_t len;
        if (faccessat(l->place.saved_fd, name, F_OK, 0) >= 0)
                return 0;
        int r = fd_read_file_at(l->place.records_fd, name, l->settings->max_result + EXIT_RECORD_OVERHEAD, &text, &len);
        if (r >= 0)
                r = exit_record_decode(text, len, &record);
        if (r >= 0 && !STREQ(place_key(&record.task_id, record.attempt, key), name))
                r = -EBADMSG;
        if (r == -ENOENT || r == -EBADMSG)
                return 0;
        if (r >= 0)
                r = fd_write_file_at(l->place.saved_fd, name, text, len, 0640, true);
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
                int final = name_is_final(e->d_name), k = final == 1 ? record_save(l, e->d_name) : 0;
                running = running || final == 0;
                n += k > 0;
                if (k < 0)
                        r = k;
        }
        if (dir)
                closedir(dir);
        int k = saved_sync(l);
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
        bool mine = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) >= 0;
        if (mine && !records_save(l)) {
                l->save_timer = sd_event_source_disable_unref(s);
                return 0;
        }
        (void) sd_event_source_set_time_relative(s, mine ? LOOK_AGAIN : LOCK_AGAIN);
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

void save_while_alone(Launcher *l) {
        save_stop(l);
        int r = sd_event_add_time_relative(l->event, &l->save_timer, CLOCK_BOOTTIME, 0, 1, on_timer, l);
        if (r < 0)
                log_warning_errno(r, "exit records that no daemon has taken are not saved");
}

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
        if (l->place.saved_fd >= 0)
                (void) records_save(l);
}
