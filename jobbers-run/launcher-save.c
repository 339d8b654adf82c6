/* launcher-save.c: exit records are in memory, for a daemon to take. When there is none, those that none has taken go to the disk: the host
 * may be rebooted before the next one comes. Supervisors that end later do it themselves (record.h). */
#include "jobbers-run/launcher-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "model/exit.h"

/* A supervisor that goes on may be about to use the file up, so it counts by what is in it, and not by its name alone. */
static int record_save(const Launcher *l, const char *name) {
        _cleanup_exit_record_ ExitRecord record = {};
        _cleanup_free_ char *text = NULL;
        char key[PLACE_KEY_MAX];
        size_t len;
        if (faccessat(l->place.saved_fd, name, F_OK, 0) >= 0)
                return 0;
        int r = fd_read_file_at(l->place.records_fd, name, l->settings->max_result + EXIT_RECORD_OVERHEAD, &text, &len);
        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                r = exit_record_decode(text, len, &record);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !STREQ(place_key(&record.task_id, record.attempt, key), name))
                return 0;
        r = fd_write_file_at(l->place.saved_fd, name, text, len, 0640, true);
        if (r < 0)
                log_task(&(LogTask) { .id = &record.task_id, .attempt = record.attempt }, LOG_WARNING, r,
                         "its exit record cannot be saved to the disk; it is in memory, where the daemon will find it unless the host is rebooted before");
        return r < 0 ? r : 1;
}

void records_save(const Launcher *l) {
        DIR *dir = fd_list(l->place.records_fd);
        int n = 0;
        if (!dir)
                return;
        for (struct dirent *e; (e = readdir(dir));)
                if (strlen(e->d_name) > ULID_LEN && e->d_name[ULID_LEN] == '.' && !strchr(e->d_name + ULID_LEN + 1, '.') && record_save(l, e->d_name) > 0)
                        n++;
        closedir(dir);
        if (n > 0)
                log_info("%d exit records that no daemon has taken are saved to the disk", n);
}
