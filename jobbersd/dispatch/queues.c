/* queues.c: queues and their limits, stored and in force. A queue that is deleted while attempts still run in it stays as a husk, which
 * starts nothing and is no longer shown. */
#include "dispatch/internal.h"

static Queue *queue_any(Engine *e, const char *name) {
        return map_get_str(e->queue_map, name);
}

Queue *queue_find(Engine *e, const char *name) {
        Queue *q = queue_any(e, name);
        return q && q->exists ? q : NULL;
}

Queue *queue_husk(Engine *e, const char *name) {
        Queue *q = queue_any(e, name);
        if (q)
                return q;
        q = calloc(1, sizeof *q);
        if (!q)
                return NULL;
        link_init(&q->ring);
        link_init(&q->lanes);
        queue_config_init(&q->config, name);
        if (map_put(e->queue_map, q->config.name, strlen(q->config.name), q) < 0) {
                free(q);
                return NULL;
        }
        return q;
}

static void queue_free(Queue *q) {
        LIST_FOREACH(l, &q->lanes)
                lane_free(CONTAINER_OF(l, Lane, link));
        link_remove(&q->ring);
        rate_window_free(&q->window);
        free(q->roles);
        free(q);
}

void queues_free(Engine *e) {
        size_t cursor = 0;
        void *v;

        while (e->queue_map && map_next(e->queue_map, &cursor, &v))
                queue_free(v);
        free(e->queues);
        e->queues = NULL;
        e->n_queues = 0;
}

static int queue_cmp(const void *a, const void *b) {
        return strcmp((*(Queue *const *) a)->config.name, (*(Queue *const *) b)->config.name);
}

/* The sorted view of those that exist. */
static int queues_index(Engine *e) {
        size_t n = 0, cursor = 0;
        void *v;

        Queue **all = reallocarray(e->queues, map_size(e->queue_map) + 1, sizeof *all);
        if (!all)
                return -ENOMEM;
        while (map_next(e->queue_map, &cursor, &v))
                if (((Queue *) v)->exists)
                        all[n++] = v;
        qsort(all, n, sizeof *all, queue_cmp);
        e->queues = all;
        e->n_queues = n;
        roles_link(e);
        e->dirty = true;
        return 0;
}

/* ── the window of starts, kept over restarts as retries are (due.c) ── */

typedef struct WindowLoad {
        RateWindow *window;
        usec_t wall, boot;
} WindowLoad;

static int window_load_start(void *userdata, usec_t at) {
        WindowLoad *w = userdata;
        usec_t ago = w->wall > at ? w->wall - at : 0;
        if (ago < WINDOW_EPOCH)
                rate_window_add(w->window, w->boot + WINDOW_EPOCH - ago);
        return 0;
}

static int queue_window_load(Engine *e, Queue *q) {
        usec_t span = queue_config_window(&q->config), boot = clock_boot(), wall = due_wall(e, boot);
        int r = rate_window_set(&q->window, queue_config_has_rate(&q->config) ? q->config.rate_numerator : 0, span);
        if (r < 0 || !queue_config_has_rate(&q->config))
                return r;
        WindowLoad load = { .window = &q->window, .wall = wall, .boot = boot };
        return store_start_list(e->store, q->config.name, wall > span ? wall - span : 0, window_load_start, &load);
}

static int load_queue(void *userdata, const QueueConfig *config) {
        Engine *e = userdata;
        Queue *q = queue_husk(e, config->name);
        if (!q)
                return -ENOMEM;
        q->config = *config;    /* the name, which is the key, stays the same bytes */
        q->exists = true;
        return 0;
}

int queues_load(Engine *e) {
        bool first = e->n_queues == 0;
        size_t cursor = 0;
        void *v;

        while (map_next(e->queue_map, &cursor, &v))
                ((Queue *) v)->exists = false;
        int r = store_queue_list(e->store, load_queue, e);
        if (r < 0)
                return r;
        for (cursor = 0; map_next(e->queue_map, &cursor, &v);) {
                Queue *q = v;
                if (!q->exists)
                        continue;
                if (first)
                        r = queue_window_load(e, q);
                else    /* after a rollback: the window in memory, on the boot clock, is the better one */
                        r = rate_window_set(&q->window, queue_config_has_rate(&q->config) ? q->config.rate_numerator : 0,
                                            queue_config_window(&q->config));
                if (r < 0)
                        return r;
        }
        return queues_index(e);
}

int queues_default(Engine *e) {
        char *const queues[] = { (char *) "default", NULL };
        int r;

        if (!queue_find(e, "default")) {
                QueueConfig q;
                queue_config_init(&q, "default");
                r = engine_queue_put(e, &q, NULL);
                if (r < 0)
                        return r;
        }
        return role_find(e, "default") ? 0 : engine_role_put(e, "default", queues, NULL);
}

/* ── verbs ── */

const QueueConfig *engine_queue_get(Engine *e, const char *name) {
        Queue *q = queue_find(e, name);
        return q ? &q->config : NULL;
}

static bool queue_has_limits(const QueueConfig *q) {
        return q->memory_max != UINT64_MAX || q->tasks_max != UINT64_MAX || q->cpu_quota_percent > 0 || q->cpu_weight > 0;
}

static void queue_slice_changed(Engine *e, Queue *q) {
        q->slice_changed = true;
        e->slices_changed = true;
}

static void put_limit(Str *s, uint64_t v, uint64_t none) {
        (void) (v == none ? str_append(s, "none") : str_printf(s, "%llu", (unsigned long long) v));
}

static void put_change(Str *s, const char *key, uint64_t before, uint64_t now, uint64_t none) {
        if (before == now)
                return;
        (void) str_printf(s, "%s%s ", s->len > 0 ? ", " : "", key);
        put_limit(s, before, none);
        (void) str_append(s, " → ");
        put_limit(s, now, none);
}

static void put_rate(Str *s, const QueueConfig *q) {
        if (!queue_config_has_rate(q))
                (void) str_append(s, "none");
        else
                (void) str_printf(s, "%u per %u %s", q->rate_numerator, q->rate_denominator, rate_period_to_string(q->rate_period));
}

static bool same_rate(const QueueConfig *a, const QueueConfig *b) {
        return (!queue_config_has_rate(a) && !queue_config_has_rate(b)) ||
               (a->rate_numerator == b->rate_numerator && queue_config_window(a) == queue_config_window(b));
}

/* Whoever looks into the log at night must find when a queue was paused, and what its limits were before. */
static void say_put(Engine *e, const QueueConfig *before, const QueueConfig *now) {
        _cleanup_str_ Str s = {};

        put_change(&s, "max_concurrent", before->max_concurrent, now->max_concurrent, 0);
        if (!same_rate(before, now)) {
                (void) str_printf(&s, "%srate ", s.len > 0 ? ", " : "");
                put_rate(&s, before);
                (void) str_append(&s, " → ");
                put_rate(&s, now);
        }
        put_change(&s, "memory_max", before->memory_max, now->memory_max, UINT64_MAX);
        put_change(&s, "tasks_max", before->tasks_max, now->tasks_max, UINT64_MAX);
        put_change(&s, "cpu_quota_percent", before->cpu_quota_percent, now->cpu_quota_percent, 0);
        put_change(&s, "cpu_weight", before->cpu_weight, now->cpu_weight, 0);
        if (s.len > 0)
                engine_say(e, "queue %s: %s", now->name, s.s);
        if (before->paused != now->paused)
                engine_say(e, now->paused ? "queue %s: paused, no more of its tasks are started" : "queue %s: no longer paused", now->name);
}

int engine_queue_put(Engine *e, const QueueConfig *config, const char **ret_sentence) {
        int r = engine_writable(e, ret_sentence);
        if (r < 0)
                return r;
        if (!name_valid(config->name))
                return engine_refuse(e, ret_sentence, -EINVAL, "\"%s\" is not a name of a queue: 1 to 64 letters, digits, '_', '.' or '-'",
                                     config->name);
        if (config->rate_numerator > 0 && queue_config_window(config) == 0)
                return engine_refuse(e, ret_sentence, -EINVAL, "the rate of queue \"%s\" needs rate_denominator and rate_period", config->name);

        Queue *q = queue_husk(e, config->name);
        if (!q)
                return engine_spoil(e, -ENOMEM);
        r = rate_window_set(&q->window, queue_config_has_rate(config) ? config->rate_numerator : 0, queue_config_window(config));
        if (r >= 0)
                r = store_queue_put(e->store, config);
        if (r < 0) {
                (void) engine_spoil(e, r);
                return engine_refuse(e, ret_sentence, -ENOSPC, "the queue \"%s\" could not be written", config->name);
        }
        if (queue_has_limits(config) || queue_has_limits(&q->config))
                queue_slice_changed(e, q);
        if (q->exists)
                say_put(e, &q->config, config);
        else
                engine_say(e, "queue %s: created%s", config->name, config->paused ? ", paused" : "");
        q->config = *config;
        q->exists = true;
        return engine_spoil(e, queues_index(e));
}

/* ── deleting ── */

#define CANCEL_AT_ONCE 1000

typedef struct Ids {
        Ulid ids[CANCEL_AT_ONCE];
        unsigned n;
        int64_t last_seq;
} Ids;

static int take_id(void *userdata, Task *t) {
        Ids *l = userdata;
        if (l->n < CANCEL_AT_ONCE)
                l->ids[l->n++] = t->id;
        l->last_seq = t->seq;
        return 0;
}

/* Ids of the queue's tasks in that state, after a seq. */
static int queue_ids(Engine *e, const char *queue, TaskStatus status, unsigned limit, Ids *l) {
        TaskFilter f = {
                .queue = queue, .version = -1, .status = status, .limit = limit, .has_after = l->last_seq > 0, .after_seq = l->last_seq,
        };
        l->n = 0;
        return store_task_list(e->store, &f, take_id, l);
}

/* From the counts, which know of tasks that cannot be read as well. */
static int queue_count(Engine *e, const char *queue, unsigned statuses, int64_t *ret) {
        TaskFilter f = { .queue = queue, .version = -1, .status = _TASK_STATUS_MAX, .statuses = statuses };
        return store_task_count(e->store, &f, ret);
}

/* *ret_damaged: how many are left because their records cannot be read. */
static int queue_cancel_all(Engine *e, const char *queue, int64_t *ret_damaged) {
        static const TaskStatus unfinished[] = { TASK_SUBMITTED, TASK_SCHEDULED, TASK_STARTED };
        _cleanup_free_ Ids *l = calloc(1, sizeof *l);

        *ret_damaged = 0;
        if (!l)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(unfinished); i++) {
                int64_t left;
                int r = queue_count(e, queue, 1U << unfinished[i], &left);
                if (r < 0)
                        return r;
                l->last_seq = 0;
                do {
                        r = queue_ids(e, queue, unfinished[i], CANCEL_AT_ONCE, l);
                        for (unsigned k = 0; r >= 0 && k < l->n; k++) {
                                _cleanup_task_ Task cancelled = {};
                                r = engine_cancel(e, &l->ids[k], &cancelled, NULL);
                                left -= r != -EBADMSG;
                                if (r == -EPERM || r == -ENOENT || r == -EBADMSG)
                                        r = 0;
                        }
                        if (r < 0)
                                return r;
                } while (l->n == CANCEL_AT_ONCE);
                *ret_damaged += left;
        }
        return 0;
}

int engine_queue_empty(Engine *e, const char *name, const char **ret_sentence) {
        /* Not those that run: they stay where they are until they have ended. */
        static const TaskStatus waiting[] = { TASK_SUBMITTED, TASK_SCHEDULED };
        int r = engine_writable(e, ret_sentence);
        if (r < 0)
                return r;
        _cleanup_free_ Ids *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
                unsigned n = 0;
                l->last_seq = 0;
                r = queue_ids(e, name, waiting[i], CANCEL_AT_ONCE, l);
                for (unsigned k = 0; r >= 0 && k < l->n; k++) {
                        _cleanup_task_ Task cancelled = {};
                        r = engine_cancel(e, &l->ids[k], &cancelled, NULL);
                        n += r >= 0;
                        if (r == -EBADMSG)
                                r = 0;
                }
                if (r < 0)
                        return engine_refuse(e, ret_sentence, engine_spoil(e, r), "the tasks of queue \"%s\" could not be cancelled", name);
                if (n > 0)
                        return 1;
        }
        return 0;
}

static int queue_unfinished(Engine *e, const char *queue) {
        int64_t n;
        int r = queue_count(e, queue, 1U << TASK_SUBMITTED | 1U << TASK_SCHEDULED | 1U << TASK_STARTED, &n);
        return r < 0 ? r : n > 0;
}

int engine_queue_remove(Engine *e, const char *name, bool force, const char **ret_sentence) {
        Queue *q = queue_find(e, name);
        int r = engine_writable(e, ret_sentence);
        if (r < 0)
                return r;
        if (!q)
                return engine_refuse(e, ret_sentence, -ENOENT, "there is no queue \"%s\"", name);
        if (STREQ(name, "default"))
                return engine_refuse(e, ret_sentence, -EPERM, "the queue \"default\" cannot be deleted");

        r = force ? 0 : queue_unfinished(e, name);
        if (r < 0)
                return engine_refuse(e, ret_sentence, engine_spoil(e, r), "the tasks of queue \"%s\" could not be read", name);
        if (r > 0)
                return engine_refuse(e, ret_sentence, -EBUSY,
                                     "queue \"%s\" holds unfinished tasks: wait for them, or delete it with ?force=true, which cancels them",
                                     name);
        int64_t damaged = 0;
        if (force && (r = queue_cancel_all(e, name, &damaged)) < 0)
                return engine_refuse(e, ret_sentence, engine_spoil(e, r), "the tasks of queue \"%s\" could not be cancelled", name);
        if (damaged > 0)        /* who mends the database later would have a task run that was said to be cancelled */
                return engine_refuse(e, ret_sentence, -EBUSY,
                                     "queue \"%s\" is kept: it holds %lld unfinished tasks whose records in the database are damaged, so that they "
                                     "cannot be cancelled; its other tasks are", name, (long long) damaged);
        r = store_queue_remove(e->store, name);
        if (r >= 0)
                r = roles_forget_queue(e, name);
        if (r >= 0) {
                /* A queue of this name that is made later must not find the limits of this one on its slice. */
                if (queue_has_limits(&q->config))
                        queue_slice_changed(e, q);
                queue_config_init(&q->config, name);
                q->exists = false;
                r = queues_index(e);
        }
        if (r < 0)
                return engine_refuse(e, ret_sentence, engine_spoil(e, r), "queue \"%s\" could not be deleted", name);
        engine_say(e, "queue %s: deleted%s", name, force ? ", its tasks are cancelled" : "");
        return 0;
}

/* ── views and effects ── */

size_t engine_queue_count(Engine *e) {
        return e->n_queues;
}

void engine_queue_at(Engine *e, size_t i, QueueStatus *ret) {
        Queue *q = e->queues[i];
        *ret = (QueueStatus) { .config = &q->config, .waiting = q->waiting, .running = q->running, .served = q->n_roles > 0 };
}

static void queue_slice(Engine *e, Queue *q) {
        int r = launch_slice(e->launch, &q->config);
        if (r < 0)
                log_warning_errno(r, "cannot hand the resource limits of queue %s to the launcher", q->config.name);
}

void queues_effects(Engine *e) {
        if (!e->slices_changed)
                return;
        e->slices_changed = false;
        size_t cursor = 0;
        void *v;
        while (map_next(e->queue_map, &cursor, &v)) {
                Queue *q = v;
                if (q->slice_changed)
                        queue_slice(e, q);
                q->slice_changed = false;
        }
}

void queues_slices_all(Engine *e) {
        for (size_t i = 0; i < e->n_queues; i++)
                if (queue_has_limits(&e->queues[i]->config))
                        queue_slice_changed(e, e->queues[i]);
}
