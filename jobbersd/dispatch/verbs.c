/* verbs.c: what clients can do to tasks: submit, cancel, resubmit, take out of the dead letter queue. Each decides at once and stages; the
 * answer goes out after the commit. */
#include "dispatch/internal.h"
#include "model/json-dump.h"

static int refuse_write(Engine *e, const char **ret_sentence, int error) {
        if (error != -ENOSPC || store_staged(e->store))
                (void) engine_spoil(e, error);
        return engine_refuse(e, ret_sentence, -ENOSPC, "the change could not be written to %s: nothing was changed, try again",
                             e->settings->state_dir);
}

/* A record that cannot be read (-EBADMSG) costs this one task; anything else is about the database or the daemon. */
static int refuse_read(Engine *e, const char **ret_sentence, int error) {
        if (error == -EBADMSG)
                return engine_refuse(e, ret_sentence, error, "the record of this task in the database is damaged and cannot be read");
        return engine_refuse(e, ret_sentence, error == -ENOMEM ? error : -EIO, "the task cannot be read from the database: %s", strerror(-error));
}

static int refuse_unknown_id(Engine *e, const char **ret_sentence, const Ulid *id) {
        char s[ULID_STR_MAX];
        return engine_refuse(e, ret_sentence, -ENOENT, "there is no task %s", ulid_format(id, s));
}

/* ── submit ── */

/* Names that differ by at most two letters are offered. */
static unsigned name_distance(const char *a, const char *b) {
        unsigned row[NAME_LEN_MAX + 1];
        size_t n = strlen(b);

        if (n > NAME_LEN_MAX)
                return UINT32_MAX;
        for (size_t i = 0; i <= n; i++)
                row[i] = i;
        for (size_t k = 0; a[k]; k++) {
                unsigned diagonal = row[0];
                row[0] = k + 1;
                for (size_t i = 1; i <= n; i++) {
                        unsigned change = diagonal + (a[k] != b[i - 1]);
                        diagonal = row[i];
                        row[i] = MIN(change, MIN(row[i], row[i - 1]) + 1);
                }
        }
        return row[n];
}

/* Where no version was given the sentence does not speak of one that nobody asked for. */
static int refuse_unknown_task(Engine *e, const char **ret_sentence, const char *name, uint32_t version, bool omitted) {
        _cleanup_str_ Str versions = {}, similar = {};
        unsigned n = 0;

        for (size_t i = 0; i < definition_set_size(e->definitions); i++) {
                const Definition *d = definition_set_at(e->definitions, i);
                if (STREQ(d->name, name)) {
                        if (n++ < 20)
                                str_printf(&versions, "%s%u", versions.len ? ", " : "", d->version);
                } else if (similar.len < 200 && name_distance(name, d->name) <= 2)
                        str_printf(&similar, "%s\"%s\" version %u", similar.len ? ", " : "", d->name, d->version);
        }
        if (n == 1)
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown task \"%s\" version %u (there is version %s)", name, version,
                                     versions.s);
        if (n > 1)
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown task \"%s\" version %u (there are versions %s)", name, version,
                                     versions.s);
        if (omitted && definition_set_may_define(e->definitions, name))
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown task \"%s\": the file that may define it has errors, see `jobbersctl verify`", name);
        if (omitted && similar.len > 0)
                return engine_refuse(e, ret_sentence, -EINVAL, "there is no task \"%s\". Did you mean %s?", name, similar.s);
        if (omitted)
                return engine_refuse(e, ret_sentence, -EINVAL, "there is no task \"%s\": no definition of that name is installed", name);
        if (definition_set_may_define(e->definitions, name))
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown task \"%s\" version %u: the file that may define it has errors, see `jobbersctl verify`",
                                     name, version);
        if (similar.len > 0)
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown task \"%s\" version %u (there is %s)", name, version, similar.s);
        return engine_refuse(e, ret_sentence, -EINVAL, "unknown task \"%s\" version %u: no definition of that name is installed", name, version);
}

static bool same_parameters(const char *stored, json_t *given) {
        json_t *old = json_loads(stored ? stored : "{}", 0, NULL), *none = NULL;
        if (!given)
                given = none = json_object();
        bool same = old && given && json_equal(old, given);
        json_decref(old);
        json_decref(none);
        return same;
}

/* The id is there already: 1 with the task when it stands for the same, else -EEXIST. */
static int submit_again(Engine *e, const Submission *s, Task *ret, const char **ret_sentence) {
        _cleanup_task_ Task t = {};
        char id[ULID_STR_MAX];

        int r = store_task_get(e->store, &s->id, true, &t);
        if (r < 0)
                return r == -ENOENT ? r : refuse_read(e, ret_sentence, r);
        if (!STREQ(t.name, s->name) || t.version != s->version || !STREQ(t.queue, s->queue ? s->queue : "default") ||
            t.priority != s->priority || t.run_at != s->run_at || !same_parameters(t.parameters, s->parameters))
                return engine_refuse(e, ret_sentence, -EEXIST, "the id %s was submitted before with another name, version, queue, parameters, priority or time",
                                     ulid_format(&s->id, id));
        *ret = t;
        t = (Task) {};
        return 1;
}

/* While the disk is full what little space there is belongs to tasks that run: their outcomes go on being written, beside this refusal. */
static int submit_room(Engine *e, const char **ret_sentence) {
        int r = engine_writable(e, ret_sentence);
        if (r < 0 || store_has_room(e->store))
                return r;
        return engine_refuse(e, ret_sentence, -ENOSPC, "%s is full: nothing was changed, try again when there is space", e->settings->state_dir);
}

static int submit_check(Engine *e, const Submission *s, const char **ret_sentence, char **ret_parameters) {
        const char *queue = s->queue ? s->queue : "default";
        _cleanup_free_ char *sentence = NULL, *text = NULL;

        const Definition *d = definition_set_get(e->definitions, s->name, s->version);
        if (!d)
                return refuse_unknown_task(e, ret_sentence, s->name, s->version, s->version_omitted);
        if (!queue_find(e, queue))
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown queue \"%s\": create it with POST /queues", queue);
        if (s->priority < TASK_PRIORITY_MIN || s->priority > TASK_PRIORITY_MAX)
                return engine_refuse(e, ret_sentence, -EINVAL, "priority %d is not between %d and %d", s->priority, TASK_PRIORITY_MIN,
                                     TASK_PRIORITY_MAX);
        json_t *none = s->parameters ? NULL : json_object();
        json_t *parameters = s->parameters ? s->parameters : none;
        int r = definition_check_parameters(d, parameters, &sentence);
        text = parameters ? json_dump_text(parameters, JSON_COMPACT) : NULL;
        json_decref(none);
        if (r == -EINVAL)
                return engine_refuse(e, ret_sentence, -EINVAL, "%s", sentence ? sentence : "the parameters do not fit the definition");
        if (r < 0 || !text)
                return engine_refuse(e, ret_sentence, -ENOMEM, "not enough memory");
        if (strlen(text) > e->settings->max_parameters)
                return engine_refuse(e, ret_sentence, -E2BIG, "the parameters take %zu bytes, the limit is %llu (--max-parameters=)",
                                     strlen(text), (unsigned long long) e->settings->max_parameters);
        *ret_parameters = TAKE_PTR(text);
        return 0;
}

int engine_submit(Engine *e, const Submission *s, Task *ret, const char **ret_sentence) {
        _cleanup_task_ Task t = {};
        int r;

        if (s->has_id) {
                r = submit_again(e, s, ret, ret_sentence);
                if (r != -ENOENT)
                        return r;
        }
        r = submit_room(e, ret_sentence);
        if (r < 0)
                return r;
        r = submit_check(e, s, ret_sentence, &t.parameters);
        if (r < 0)
                return r;

        if (s->has_id)
                t.id = s->id;
        else if ((r = ulid_new(&t.id)) < 0)
                return refuse_write(e, ret_sentence, -ENOMEM);
        t.name = strdup(s->name);
        t.queue = strdup(s->queue ? s->queue : "default");
        if (!t.name || !t.queue)
                return refuse_write(e, ret_sentence, -ENOMEM);
        t.version = s->version;
        t.priority = s->priority;
        t.progress = -1;
        t.submitted_at = clock_wall();
        t.run_at = s->run_at;
        bool later = s->run_at > t.submitted_at;
        r = life_apply(e, &t, NULL, later ? LIFE_SCHEDULE : LIFE_SUBMIT, s->run_at);
        if (r < 0)
                return refuse_write(e, ret_sentence, r == -EEXIST || r == -EPERM ? -EIO : r);
        CounterSeries *c = counters_get(&e->counters, t.queue, t.name, t.version);
        if (c)
                counters_note(&e->counters, &c->submitted);
        *ret = t;
        t = (Task) {};
        return 0;
}

int engine_submit_check(Engine *e, const Submission *s, const char **ret_sentence) {
        _cleanup_free_ char *parameters = NULL;

        if (s->has_id) {
                _cleanup_task_ Task t = {};
                int r = submit_again(e, s, &t, ret_sentence);
                if (r != -ENOENT)
                        return r;
        }
        int r = submit_room(e, ret_sentence);
        return r < 0 ? r : submit_check(e, s, ret_sentence, &parameters);
}

/* ── cancel ── */

static int cancel_running(Engine *e, Run *run, const char **ret_sentence) {
        if (run->task.stop_reason == STOP_CANCELLED)
                return 0;
        run->task.stop_reason = STOP_CANCELLED;
        int r = life_apply(e, &run->task, run, LIFE_CANCEL, 0);
        return r < 0 ? refuse_write(e, ret_sentence, r) : 0;
}

static int cancel_check(Engine *e, const Ulid *id, Task *t, const char **ret_sentence) {
        char s[ULID_STR_MAX];

        int r = store_task_get(e->store, id, true, t);
        if (r == -EBADMSG)              /* a task that has lost its parameters can still be cancelled */
                r = store_task_get(e->store, id, false, t);
        if (r == -ENOENT)
                return refuse_unknown_id(e, ret_sentence, id);
        if (r < 0)
                return refuse_read(e, ret_sentence, r);
        if (!life_arrow(t->status, LIFE_CANCEL))
                return engine_refuse(e, ret_sentence, -EPERM, "task %s is %s already", ulid_format(id, s), task_status_to_string(t->status));
        return engine_writable(e, ret_sentence);
}

int engine_cancel_check(Engine *e, const Ulid *id, const char **ret_sentence) {
        _cleanup_task_ Task t = {};
        return cancel_check(e, id, &t, ret_sentence);
}

int engine_cancel(Engine *e, const Ulid *id, Task *ret, const char **ret_sentence) {
        _cleanup_task_ Task t = {};

        int r = cancel_check(e, id, &t, ret_sentence);
        if (r < 0)
                return r;

        Run *run = run_find(e, id);
        if (run) {
                r = cancel_running(e, run, ret_sentence);
                t.stop_reason = STOP_CANCELLED;
        } else if (t.status == TASK_STARTED && t.stop_reason == STOP_CANCELLED)
                r = 0;
        else {
                if (t.status == TASK_STARTED)
                        t.stop_reason = STOP_CANCELLED;
                r = life_apply(e, &t, NULL, LIFE_CANCEL, 0);
                if (r < 0)
                        r = refuse_write(e, ret_sentence, r);
        }
        if (r < 0)
                return r;
        CounterSeries *c = counters_get(&e->counters, t.queue, t.name, t.version);
        if (c)
                counters_note(&e->counters, &c->cancel_requests);
        *ret = t;
        t = (Task) {};
        return 0;
}

/* ── resubmit, and the dead letter queue ── */

static int resubmit_check(Engine *e, const Ulid *id, Task *t, const char **ret_sentence) {
        char s[ULID_STR_MAX];

        int r = store_task_get(e->store, id, true, t);
        if (r == -ENOENT)
                return refuse_unknown_id(e, ret_sentence, id);
        if (r < 0)
                return refuse_read(e, ret_sentence, r);
        if (!life_arrow(t->status, LIFE_RESUBMIT))
                return engine_refuse(e, ret_sentence, -EPERM, "task %s is %s: only tasks in a final state can be resubmitted",
                                     ulid_format(id, s), task_status_to_string(t->status));
        if (!queue_find(e, t->queue))
                return engine_refuse(e, ret_sentence, -EINVAL, "unknown queue \"%s\": create it with POST /queues", t->queue);
        if (!definition_set_get(e->definitions, t->name, t->version))
                return refuse_unknown_task(e, ret_sentence, t->name, t->version, false);
        return engine_writable(e, ret_sentence);
}

int engine_resubmit_check(Engine *e, const Ulid *id, const char **ret_sentence) {
        _cleanup_task_ Task t = {};
        return resubmit_check(e, id, &t, ret_sentence);
}

int engine_resubmit(Engine *e, const Ulid *id, bool reset_retries, Task *ret, const char **ret_sentence) {
        _cleanup_task_ Task t = {};

        int r = resubmit_check(e, id, &t, ret_sentence);
        if (r < 0)
                return r;
        if (reset_retries)
                t.retry_attempt = 0;
        r = life_apply(e, &t, NULL, LIFE_RESUBMIT, 0);
        if (r < 0)
                return refuse_write(e, ret_sentence, r);
        CounterSeries *c = counters_get(&e->counters, t.queue, t.name, t.version);
        if (c)
                counters_note(&e->counters, &c->submitted);
        *ret = t;
        t = (Task) {};
        return 0;
}

int engine_bury_remove(Engine *e, const Ulid *id) {
        _cleanup_task_ Task t = {};

        int r = store_task_get(e->store, id, false, &t);
        if (r < 0)
                return r;
        if (t.dead_at == 0)
                return -ENOENT;
        r = engine_writable(e, NULL);
        if (r < 0)
                return r;
        t.dead_at = 0;
        return engine_spoil(e, store_task_move(e->store, &t, t.status));
}
