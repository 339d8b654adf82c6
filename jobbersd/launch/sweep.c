/* sweep.c: what a daemon that was killed between a commit and its `forget` left. Only files tell of it: the store has moved on. */
#include "launch/launch-private.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

/* "ID.n" with or without ".started". */
static bool name_parse(char *name, Ulid *ret_id, unsigned *ret_attempt) {
        uint64_t n;
        if (strlen(name) < ULID_LEN + 2 || name[ULID_LEN] != '.')
                return false;
        name[ULID_LEN] = '\0';
        char *number = name + ULID_LEN + 1, *suffix = strchr(number, '.');
        if (suffix) {
                if (!STREQ(suffix, ".started"))
                        return false;
                *suffix = '\0';
        }
        if (ulid_parse(name, ret_id) < 0 || parse_u64(number, &n) < 0 || n == 0 || n > UINT32_MAX)
                return false;
        *ret_attempt = (unsigned) n;
        return true;
}

static int sweep_dir(Launch *l, const char *path, bool (*wanted)(void *, const Ulid *, unsigned), void *userdata) {
        DIR *d = opendir(path);
        int n = 0, r = 0;

        if (!d)
                return errno == ENOENT || errno == EACCES ? 0 : -errno;
        for (struct dirent *e; r >= 0 && (e = readdir(d));) {
                Ulid id;
                unsigned attempt;
                if (!name_parse(e->d_name, &id, &attempt) || wanted(userdata, &id, attempt))
                        continue;
                r = launch_ask_to_forget(l, &id, attempt, false);
                n++;
        }
        closedir(d);
        return r < 0 ? r : n;
}

int launch_sweep(Launch *l, bool (*wanted)(void *userdata, const Ulid *task_id, unsigned attempt), void *userdata) {
        int records = sweep_dir(l, l->settings->record_dir, wanted, userdata);
        if (records < 0)
                return records;
        int saved = sweep_dir(l, l->settings->saved_dir, wanted, userdata);
        if (saved < 0)
                return saved;
        int directories = sweep_dir(l, l->settings->attempt_dir, wanted, userdata);
        if (directories < 0)
                return directories;
        int n = records + saved + directories;
        if (n > 0)
                log_info("removing what %d finished attempts left", MAX(records, MAX(saved, directories)));
        return n;
}
