/* expire.c: retention. A few rows a turn, so that it never stalls the loop; log files follow their tasks, and go by age themselves. Nothing
 * wakes an idle daemon that holds nothing which could expire. */
#include "dispatch/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define EXPIRE_PER_TURN 100
#define LOGS_PER_TURN 256               /* files that are looked at */
#define EXPIRE_INTERVAL_MIN (1 * USEC_PER_SEC)
#define EXPIRE_INTERVAL_MAX (3600 * USEC_PER_SEC)

/* Often enough for the shortest age to be kept to about a hundredth. */
static usec_t expire_interval(const Settings *s) {
        usec_t shortest = USEC_INFINITY;
        usec_t ages[] = { s->completed_task_age, s->dlq_age, s->log_age };
        for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
                if (ages[i] > 0)
                        shortest = MIN(shortest, ages[i]);
        if (shortest == USEC_INFINITY)
                return USEC_INFINITY;
        return MAX(EXPIRE_INTERVAL_MIN, MIN(shortest / 100, EXPIRE_INTERVAL_MAX));
}

void expire_note(Engine *e) {
        usec_t interval = expire_interval(e->settings);
        if (e->expire_at == USEC_INFINITY && interval != USEC_INFINITY)
                e->expire_at = clock_boot() + interval;
}

static void log_remove(Engine *e, const Ulid *id) {
        char name[ULID_STR_MAX + 8], s[ULID_STR_MAX];
        _cleanup_close_ int dir = open(e->settings->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dir < 0)
                return;
        snprintf(name, sizeof name, "%s.log", ulid_format(id, s));
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
                log_warning_errno(errno, "cannot remove %s/%s", e->settings->log_dir, name);
}

static void expire_gone(void *userdata, const Ulid *id) {
        log_remove(userdata, id);
}

static void expire_log(Engine *e, int dir, const char *name, usec_t before) {
        struct stat st;
        char id_text[ULID_STR_MAX];
        Ulid id;

        if (strlen(name) < ULID_LEN || snprintf(id_text, sizeof id_text, "%.26s", name) < 0 || ulid_parse(id_text, &id) < 0 || run_find(e, &id))
                return;
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && (usec_t) st.st_mtime * USEC_PER_SEC < before)
                (void) unlinkat(dir, name, 0);
}

/* Log files older than --log-age=, but for those of running tasks. True: there are more to be looked at, in other turns. */
static bool expire_logs(Engine *e) {
        usec_t now = clock_wall();

        if (e->settings->log_age == 0 || now < e->settings->log_age)
                return false;
        if (!e->expire_logs)
                e->expire_logs = opendir(e->settings->log_dir);
        for (unsigned i = 0; e->expire_logs && i < LOGS_PER_TURN; i++) {
                struct dirent *entry = readdir(e->expire_logs);
                if (!entry) {
                        expire_done(e);
                        break;
                }
                expire_log(e, dirfd(e->expire_logs), entry->d_name, now - e->settings->log_age);
        }
        return e->expire_logs;
}

void expire_done(Engine *e) {
        if (e->expire_logs)
                closedir(e->expire_logs);
        e->expire_logs = NULL;
}

static int any_task(void *userdata, Task *t) {
        *(bool *) userdata = true;
        return 0;
}

/* Are there tasks at all? Only then there will be something to expire. */
static int expire_next(Engine *e) {
        TaskFilter f = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 1 };
        bool any = false;
        int r = store_task_list(e->store, &f, any_task, &any);
        if (r < 0)
                return r;
        e->expire_at = USEC_INFINITY;
        if (any)
                expire_note(e);
        return 0;
}

int expire_run(Engine *e) {
        const Settings *s = e->settings;
        usec_t wall = clock_wall();
        int r = 0, dead = 0;
        bool logs = false;

        if (e->expire_at == USEC_INFINITY || (!e->expire_more && e->expire_at > clock_boot()))
                return 0;
        if (!e->expire_more || e->expire_logs)
                logs = expire_logs(e);
        e->expire_more = false;
        if (s->completed_task_age > 0 && wall > s->completed_task_age)
                r = store_expire_final(e->store, wall - s->completed_task_age, EXPIRE_PER_TURN, expire_gone, e);
        if (r >= 0 && s->dlq_age > 0 && wall > s->dlq_age)
                dead = store_expire_dead(e->store, wall - s->dlq_age, EXPIRE_PER_TURN, expire_gone, e);
        if (r < 0 || dead < 0)
                return engine_spoil(e, r < 0 ? r : dead);
        if (logs || r >= EXPIRE_PER_TURN || dead >= EXPIRE_PER_TURN) {
                /* the rest in turns of their own, with other events in between */
                e->expire_more = true;
                engine_again(e);
                return 0;
        }
        return expire_next(e);
}
