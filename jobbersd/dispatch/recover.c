/* recover.c: what a new daemon makes of tasks that are `started` in the store (docs/ARCHITECTURE.md has the table of evidence). Facts decide:
 * the boot id, who answers on the attempt's control socket, and the records on disk. Never the time that has passed. */
#include "dispatch/internal.h"

#include <stdio.h>

#include "base/message-id.h"

typedef struct Recovered {
        Task *tasks;
        size_t n, cap;
} Recovered;

static int take_started(void *userdata, Task *t) {
        Recovered *all = userdata;
        if (all->n == all->cap) {
                size_t cap = all->cap ? all->cap * 2 : 64;
                Task *more = reallocarray(all->tasks, cap, sizeof *more);
                if (!more)
                        return -ENOMEM;
                all->tasks = more;
                all->cap = cap;
        }
        all->tasks[all->n++] = *t;
        *t = (Task) {};
        return 0;
}

static int take_attempt(void *userdata, const Attempt *a) {
        Attempt *newest = userdata;
        /* ascending: the last one stays; its strings are not needed, the attempt is not over */
        *newest = *a;
        newest->error = newest->error_type = NULL;
        return 0;
}

/* The definition the attempt started with: as it is in force, or as it was kept. NULL when its text was lost. */
static Definition *definition_of(Engine *e, const Task *t, uint64_t hash) {
        _cleanup_free_ char *text = NULL;
        Definition *d = definition_set_get_hash(e->definitions, hash);
        if (d)
                return definition_ref(d);
        int r = store_definition_get(e->store, hash, &text);
        if (r >= 0)
                r = definition_from_text(text, e->settings->libexec_dir, &d);
        if (r < 0) {
                LogTask about = { .id = &t->id, .attempt = t->attempts, .name = t->name, .queue = t->queue };
                log_task(&about, LOG_WARNING, r, "the definition that the attempt started with cannot be read");
                return NULL;
        }
        return d;
}

static void recover_other_boot(Engine *e, Run *run) {
        _cleanup_exit_record_ ExitRecord record = { .exit_status = -1, .progress = -1 };
        int r = launch_read_record(e->launch, &run->task.id, run->attempt.attempt, &record);
        if (r >= 0) {
                run_ended(e, run, LAUNCH_END_RECORD, 0, NULL, &record);
                return;
        }
        if (r != -ENOENT) {
                LogTask about = { .id = &run->task.id, .attempt = run->attempt.attempt, .name = run->task.name, .queue = run->task.queue };
                log_task(&about, LOG_WARNING, r, "its exit record cannot be read; the attempt is treated as lost");
        }
        run_ended(e, run, LAUNCH_END_LOST, 0, "the host rebooted while the task ran", NULL);
}

static int recover_task(Engine *e, Task *t) {
        Attempt attempt = {};

        int r = store_attempt_list(e->store, t->seq, take_attempt, &attempt);
        if (r < 0)
                return r;
        bool known = attempt.attempt == t->attempts && t->attempts > 0;
        Definition *d = known ? definition_of(e, t, attempt.definition_hash) : NULL;
        Queue *q = queue_husk(e, t->queue);
        Kind *kind = engine_kind(e, t->name, t->version);
        Role *role = q && q->n_roles > 0 ? (role_for(e, q) ? role_for(e, q) : q->roles[0]) : NULL;
        Run *run = q && kind ? run_new(e, t, q, role, kind, d) : NULL;
        definition_unref(d);
        if (!run)
                return -ENOMEM;
        run->state = RUN_ALIVE;

        if (!known) {
                /* Nobody knows when it started, so maybe in this boot: looked for like any other, since it may live. */
                LogTask about = { .id = &run->task.id, .attempt = run->task.attempts, .name = run->task.name, .queue = run->task.queue };
                log_task(&about, LOG_WARNING, 0, "is \"started\" but the database has no record of its attempt that can be read; looking for it");
                attempt = (Attempt) { .task_seq = run->task.seq, .attempt = run->task.attempts, .started_at = run->task.started_at,
                                      .outcome = TASK_STARTED, .exit_status = -1 };
                snprintf(attempt.evidence, sizeof attempt.evidence, "%s", clock_boot_id());
                r = store_attempt_add(e->store, &attempt);
                if (r < 0 && r != -EEXIST)      /* a damaged one is there: its end will be written over it */
                        return r;
        }
        run->attempt = attempt;
        /* As it was before this start, should it have come to nothing. */
        if (attempt.attempt == 1)
                run->before_started = run->before_heartbeat = 0;
        if (attempt.attempt <= 2)
                run->before_retried = 0;
        if (strncmp(attempt.evidence, clock_boot_id(), strlen(clock_boot_id())) != 0) {
                recover_other_boot(e, run);
                return 0;
        }
        r = launch_adopt(e->launch, &run->task.id, attempt.attempt, attempt.evidence, run, &run->launch);
        if (r < 0)
                return r;
        /* A stop that was decided goes out again: the earlier daemon may have ended between its commit and the signal. */
        if (run->task.stop_reason == STOP_CANCELLED || run->task.stop_reason == STOP_SHUTDOWN)
                list_append(&e->stopping, &run->stop_link);
        return 0;
}

int engine_recover(Engine *e) {
        Recovered all = {};
        int r = store_started(e->store, take_started, &all);

        for (size_t i = 0; i < all.n; i++) {
                if (r >= 0)
                        r = recover_task(e, &all.tasks[i]);
                task_done(&all.tasks[i]);
        }
        free(all.tasks);
        if (r < 0)
                return log_error_errno(r, "cannot recover the tasks that were running");
        if (all.n > 0)
                log_info("%zu tasks were running when the last daemon ended", all.n);
        e->recovered = true;
        e->dirty = true;
        engine_again(e);
        return 0;
}

/* Only what the disk knows counts here: this runs right after a commit, and before anything new is launched. */
static bool attempt_wanted(void *userdata, const Ulid *id, unsigned attempt) {
        Engine *e = userdata;
        _cleanup_task_ Task t = {};

        const Run *run = run_find(e, id);
        if (run && run->attempt.attempt == attempt)
                return true;
        int r = store_task_get(e->store, id, false, &t);
        return r == -ENOENT ? false : r < 0 || (t.status == TASK_STARTED && t.attempts == attempt);
}

void recover_sweep(Engine *e) {
        /* a restored database does not know what these files are about */
        if (!e->sweep || !e->recovered || store_restored(e->store))
                return;
        e->sweep = false;
        int r = launch_sweep(e->launch, attempt_wanted, e);
        if (r < 0)
                log_warning_errno(r, "cannot look for the files that finished attempts left");
}
