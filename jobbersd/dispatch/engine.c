/* engine.c: the engine as an object, and its turn: what has ended is settled, what is due is made ready, who may run is started, all of it is
 * committed as one, and only then does anything leave the daemon. */
#include "dispatch/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/message-id.h"

/* A turn that keeps finding work gives the loop a chance after this many commits. */
#define TURN_ROUNDS_MAX 8

/* ── small things ── */

int engine_spoil(Engine *e, int error) {
        if (error < 0 && e->spoiled == 0)
                e->spoiled = error;
        return error;
}

void engine_undo(Engine *e, int error) {
        if (store_staged(e->store))
                (void) engine_spoil(e, error == -ENOSPC ? error : -ENOMEM);
}

int engine_refuse(Engine *e, const char **ret_sentence, int error, const char *format, ...) {
        _cleanup_str_ Str s = {};
        char line[1024];
        va_list ap;

        va_start(ap, format);
        vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        str_append(&s, line);
        free(e->sentence);
        e->sentence = str_take(&s);
        if (ret_sentence)
                *ret_sentence = e->sentence ? e->sentence : "not enough memory";
        return error;
}

void engine_say(Engine *e, const char *format, ...) {
        char line[1024];
        va_list ap;

        va_start(ap, format);
        vsnprintf(line, sizeof line, format, ap);
        va_end(ap);
        (void) strv_push(&e->sayings, line);
}

static void sayings_drop(Engine *e) {
        strv_free(e->sayings);
        e->sayings = NULL;
}

static void sayings_tell(Engine *e) {
        for (char *const *line = e->sayings; line && *line; line++)
                log_notice("%s", *line);
        sayings_drop(e);
}

int engine_writable(Engine *e, const char **ret_sentence) {
        if (!e->full && e->spoiled == 0)
                return 0;
        return engine_refuse(e, ret_sentence, -ENOSPC, "%s cannot be written (is the disk full?): nothing was changed, try again",
                             e->settings->state_dir);
}

uint64_t engine_random(void) {
        uint64_t v = 0;
        if (getrandom(&v, sizeof v, GRND_NONBLOCK) != sizeof v)
                v = clock_boot() * 0x9e3779b97f4a7c15ULL;       /* jitter needs no secrecy */
        return v;
}

Kind *engine_kind(Engine *e, const char *name, uint32_t version) {
        struct {
                uint32_t version;
                char name[NAME_LEN_MAX + 1];
        } key = { .version = version };
        size_t n = strlen(name);

        if (n > NAME_LEN_MAX)
                return NULL;
        memcpy(key.name, name, n);
        Kind *k = map_get(e->kinds, &key, sizeof key.version + n);
        if (k)
                return k;
        k = calloc(1, sizeof *k);
        if (!k)
                return NULL;
        k->version = version;
        memcpy(k->name, name, n);
        if (map_put(e->kinds, &k->version, sizeof k->version + n, k) < 0) {
                free(k);
                return NULL;
        }
        return k;
}

Store *engine_store(Engine *e) {
        return e->store;
}

const Settings *engine_settings(Engine *e) {
        return e->settings;
}

DefinitionSet *engine_definitions(Engine *e) {
        return e->definitions;
}

const EngineCounters *engine_counters(const Engine *e) {
        return &e->counters;
}

uint32_t engine_launch_flags(const Engine *e) {
        return launch_flags(e->launch);
}

unsigned engine_running(const Engine *e) {
        return (unsigned) map_size(e->runs);
}

void engine_drain(Engine *e, bool on) {
        if (e->draining != on)
                log_notice(on ? "draining: no more tasks are started" : "no longer draining: tasks are started again");
        e->draining = on;
        e->accept_restored = !on && store_restored(e->store);
        e->dirty = true;
        engine_again(e);
}

/* A database that was put back from a backup knows nothing of what happened since: running its tasks again is for a person to decide, who
 * does so by ending the drain. */
static void restored_hold(Engine *e) {
        if (!store_restored(e->store))
                return;
        e->draining = true;
        log_known(MESSAGE_BACKUP_RESTORED, LOG_WARNING, 0, "the database was restored from a backup; tasks that ran after the backup may be listed "
                  "as waiting: no task is started until you end the drain (jobbersctl drain off, or POST /drain {\"enabled\": false})");
}

/* While nothing is staged. */
static void restored_accept(Engine *e) {
        if (!e->accept_restored)
                return;
        e->accept_restored = false;
        int r = store_restored_accept(e->store);
        if (r < 0) {
                log_error_errno(r, "the restored database could not be accepted; still draining");
                e->draining = true;
        } else
                e->sweep = true;
}

bool engine_draining(const Engine *e) {
        return e->draining;
}

static void problem_found(void *userdata, const char *path, unsigned line, const char *sentence) {
        Engine *e = userdata;
        _cleanup_free_ char *text = line > 0 ? str_new("%s:%u: %s", path, line, sentence) : str_new("%s: %s", path, sentence);

        log_known(MESSAGE_DEFINITION_REFUSED, LOG_WARNING, 0, "%s", text ? text : sentence);
        if (text && strv_len(e->problems) < PROBLEMS_KEPT)
                (void) strv_push(&e->problems, text);
}

char *const *engine_problems(const Engine *e) {
        return e->problems;
}

int engine_reload(Engine *e) {
        strv_free(e->problems);
        e->problems = NULL;
        int r = definition_set_load(e->definitions, e->settings, problem_found, e);
        if (r < 0)
                return log_error_errno(r, "cannot read the task definitions");
        e->reloaded_at = clock_boot();
        e->generation++;
        e->counters.reloads++;
        if (e->recovered) {             /* at the start it reads them by itself */
                int k = launch_reload(e->launch);
                if (k < 0)
                        return log_error_errno(k, "cannot tell the launcher to read the task definitions");
        }
        e->dirty = true;
        size_t n = definition_set_size(e->definitions);
        log_info("%zu task definition%s in force%s", n, n == 1 ? "" : "s", r > 0 ? ", some files have errors" : "");
        roles_warn(e);                  /* at the start they are not loaded yet */
        engine_again(e);
        return r;
}

/* ── waiting ── */

void engine_on_commit(Engine *e, EngineWait *w) {
        list_append(&e->waits, &w->link);
        engine_again(e);
}

void engine_on_reload(Engine *e, EngineWait *w) {
        list_append(engine_reloading(e) ? &e->reload_waits : &e->waits, &w->link);
        engine_again(e);
}

bool engine_reloading(const Engine *e) {
        return launch_is_reloading(e->launch);
}

static Link *watch_bucket(Engine *e, const Ulid *id) {
        return &e->watches[id->b[15] % WATCH_BUCKETS];
}

void engine_watch(Engine *e, EngineWatch *w) {
        list_append(watch_bucket(e, &w->id), &w->link);
}

void engine_unwatch(EngineWatch *w) {
        link_remove(&w->link);
}

static void tell_waits(Engine *e, int result) {
        Link now;

        /* callbacks may wait anew: only those of before are told */
        LINK_INIT(now);
        LIST_FOREACH(l, &e->waits) {
                link_remove(l);
                list_append(&now, l);
        }
        while (!list_empty(&now)) {
                Link *l = now.next;
                link_remove(l);
                EngineWait *w = CONTAINER_OF(l, EngineWait, link);
                w->fn(w, result);
        }
}

static void tell_watches(Link *bucket, const Ulid *id) {
        Link now;

        LINK_INIT(now);
        LIST_FOREACH(l, bucket) {
                if (id && ulid_cmp(&CONTAINER_OF(l, EngineWatch, link)->id, id) != 0)
                        continue;
                link_remove(l);
                list_append(&now, l);
        }
        while (!list_empty(&now)) {
                Link *l = now.next;
                link_remove(l);
                EngineWatch *w = CONTAINER_OF(l, EngineWatch, link);
                w->fn(w);
        }
}

static void finals_clear(Engine *e, bool tell) {
        LIST_FOREACH(l, &e->finals) {
                FinalTask *f = CONTAINER_OF(l, FinalTask, link);
                link_remove(l);
                if (tell)
                        tell_watches(watch_bucket(e, &f->id), &f->id);
                free(f);
        }
}

/* ── the turn ── */

/* The mirror made anew from the store, after a rollback. */
static int engine_rebuild(Engine *e) {
        int r;

        finals_clear(e, false);
        size_t cursor = 0;
        void *v;
        while (map_next(e->hashes, &cursor, &v)) {
                map_remove(e->hashes, v, sizeof(uint64_t));
                free(v);
        }
        if ((r = run_rollback(e)) < 0 || (r = queues_load(e)) < 0 || (r = roles_load(e)) < 0 || (r = dispatch_load(e)) < 0)
                return r;
        return due_reload(e);
}

static bool error_leaves_room(int r) {
        return r == -ENOSPC || r == -EROFS || r == -ENOMEM || r == -EDQUOT || r == -EFBIG;
}

/* Everything staged is undone; outcomes wait in memory, and everything is tried again in a second. */
static int turn_fail(Engine *e, int error) {
        e->counters.commit_failures++;
        if (!error_leaves_room(error)) {
                log_error_errno(error, "the state in memory may differ from the database; exiting so that a restarted jobbersd rereads it");
                store_rollback(e->store);
                tell_waits(e, -EIO);
                return -EIO;
        }
        if (!e->full)
                log_error_errno(error, "cannot write to %s: nothing new is started, outcomes are kept and tried again every second",
                                e->settings->state_dir);
        store_rollback(e->store);
        sayings_drop(e);
        counters_settle(&e->counters, false);
        e->spoiled = 0;
        e->full = true;
        e->full_until = clock_boot() + HOLD_USEC;
        int r = engine_rebuild(e);
        if (store_staged(e->store))     /* the rebuilding may want to write (a missing default queue); not now */
                store_rollback(e->store);
        e->spoiled = 0;
        tell_waits(e, -ENOSPC);
        if (r < 0) {
                log_error_errno(r, "cannot reread the database; exiting");
                return -EIO;
        }
        return 0;
}

static int turn_decide(Engine *e) {
        int r;

        if (e->full && clock_boot() < e->full_until)
                return 0;
        if ((r = run_settle_all(e)) < 0 || (r = run_flush_notes(e)) < 0 || (r = shutdown_run(e)) < 0)
                return r;
        if (!e->recovered)
                return 0;
        if ((r = due_run(e)) < 0 || (r = dispatch_run(e)) < 0)
                return r;
        return expire_run(e);
}

/* 0, or an error after which the daemon must end; *ret_worked: there was something to commit. */
static int turn_commit(Engine *e, bool *ret_worked) {
        int r = e->spoiled;

        *ret_worked = store_staged(e->store) || r < 0;
        if (r < 0)
                return turn_fail(e, r);
        if (!store_staged(e->store)) {
                if (e->full && clock_boot() >= e->full_until)
                        e->full = false;        /* the next write will tell */
                counters_settle(&e->counters, true);
                return 0;
        }
        r = store_commit(e->store);
        if (r < 0)
                return turn_fail(e, r);
        e->counters.commits++;
        counters_settle(&e->counters, true);
        histogram_add(&e->counters.commit, store_last_commit_usec(e->store));
        if (e->full) {
                log_notice("%s can be written again", e->settings->state_dir);
                e->full = false;
        }
        return 0;
}

static void turn_effects(Engine *e) {
        sayings_tell(e);
        restored_accept(e);
        queues_effects(e);
        run_effects_settled(e);
        recover_sweep(e);
        run_effects_launch(e);
        run_effects_stop(e);
        tell_waits(e, 0);
        finals_clear(e, true);
}

static void turn_arm(Engine *e) {
        usec_t wake = MIN(e->dispatch_wake, run_notes_wake(e));
        if (e->expire_at != USEC_INFINITY)
                wake = MIN(wake, e->expire_at);
        wake = MIN(wake, shutdown_wake(e));
        if (e->full)
                wake = e->full_until;   /* nothing else is looked at before */
        if (wake == USEC_INFINITY)
                (void) sd_event_source_set_enabled(e->timer_boot, SD_EVENT_OFF);
        else {
                (void) sd_event_source_set_time(e->timer_boot, wake);
                (void) sd_event_source_set_enabled(e->timer_boot, SD_EVENT_ONESHOT);
        }
        due_arm(e);
}

int engine_turn(Engine *e) {
        (void) sd_event_source_set_enabled(e->again, SD_EVENT_OFF);
        for (unsigned round = 0;; round++) {
                bool worked = false;

                int r = turn_decide(e);
                if (r < 0)
                        (void) engine_spoil(e, r);
                bool failing = e->spoiled < 0;
                if (!failing)
                        run_prepare_launches(e);
                r = turn_commit(e, &worked);
                if (r < 0)
                        return r;
                if (failing || e->full)
                        break;
                turn_effects(e);
                if (!worked && list_empty(&e->waits) && list_empty(&e->ended))
                        break;
                if (round >= TURN_ROUNDS_MAX) {
                        engine_again(e);
                        break;
                }
        }
        if (e->full)
                tell_waits(e, store_staged(e->store) ? -ENOSPC : 0);
        if (e->stopping_down && e->on_down && shutdown_over(e)) {
                void (*fn)(void *) = TAKE_PTR(e->on_down);
                for (size_t i = 0; i < WATCH_BUCKETS; i++)
                        tell_watches(&e->watches[i], NULL);
                fn(e->on_down_data);
        }
        turn_arm(e);
        return 0;
}

/* ── the object ── */

static int on_wake(sd_event_source *s, uint64_t usec, void *userdata) {
        return 0;       /* the turn that follows every event looks at the clock itself */
}

static int on_again(sd_event_source *s, void *userdata) {
        return 0;
}

void engine_again(Engine *e) {
        (void) sd_event_source_set_enabled(e->again, SD_EVENT_ONESHOT);
}

static int engine_new_sources(Engine *e) {
        int r;

        if ((r = sd_event_add_time(e->event, &e->timer_boot, CLOCK_BOOTTIME, 0, 1000, on_wake, e)) < 0 ||
            (r = sd_event_source_set_enabled(e->timer_boot, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_time(e->event, &e->timer_wall, CLOCK_REALTIME, 0, 1000, on_wake, e)) < 0 ||
            (r = sd_event_source_set_enabled(e->timer_wall, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_defer(e->event, &e->again, on_again, e)) < 0)
                return r;
        return sd_event_source_set_enabled(e->again, SD_EVENT_OFF);
}

int engine_new(Engine **ret, sd_event *event, const Settings *settings, Store *store, Launch *launch) {
        Engine *e = calloc(1, sizeof *e);
        int r;

        if (!e)
                return -ENOMEM;
        e->event = sd_event_ref(event);
        e->settings = settings;
        e->store = store;
        e->launch = launch;
        e->clock_fd = -1;
        e->dispatch_wake = e->next_due = e->expire_at = USEC_INFINITY;
        e->dirty = true;
        for (size_t i = 0; i < WATCH_BUCKETS; i++)
                LINK_INIT(e->watches[i]);
        Link *lists[] = { &e->ring, &e->launching, &e->stopping, &e->settled, &e->finals, &e->waits, &e->reload_waits, &e->ended, &e->noted };
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                link_init(lists[i]);

        r = -ENOMEM;
        e->queue_map = map_new();
        e->kinds = map_new();
        e->runs = map_new();
        e->hashes = map_new();
        e->definitions = definition_set_new();
        if (!e->queue_map || !e->kinds || !e->runs || !e->hashes || !e->definitions || counters_init(&e->counters) < 0)
                goto fail;
        if ((r = engine_new_sources(e)) < 0 || (r = engine_reload(e)) < 0 || (r = due_init(e)) < 0 || (r = queues_load(e)) < 0 ||
            (r = roles_load(e)) < 0 || (r = queues_default(e)) < 0)
                goto fail;
        if (store_staged(store) && (r = store_commit(store)) < 0)
                goto fail;
        if ((r = dispatch_load(e)) < 0 || (r = launch_attach(launch, event, &run_callbacks, e)) < 0)
                goto fail;
        expire_note(e);
        restored_hold(e);
        roles_warn(e);
        *ret = e;
        return 0;
fail:
        engine_free(e);
        return r;
}

void engine_free(Engine *e) {
        size_t cursor;
        void *v;

        if (!e)
                return;
        finals_clear(e, false);
        for (cursor = 0; e->runs && map_next(e->runs, &cursor, &v);)
                run_free(e, v);
        LIST_FOREACH(l, &e->settled)
                run_free(e, CONTAINER_OF(l, Run, link));
        queues_free(e);
        roles_free(e);
        for (cursor = 0; e->kinds && map_next(e->kinds, &cursor, &v);)
                free(v);
        for (cursor = 0; e->hashes && map_next(e->hashes, &cursor, &v);)
                free(v);
        map_free(e->kinds);
        map_free(e->hashes);
        map_free(e->runs);
        map_free(e->queue_map);
        definition_set_free(e->definitions);
        counters_done(&e->counters);
        due_done(e);
        expire_done(e);
        sd_event_source_disable_unref(e->timer_boot);
        sd_event_source_disable_unref(e->timer_wall);
        sd_event_source_disable_unref(e->again);
        sd_event_unref(e->event);
        strv_free(e->problems);
        strv_free(e->sayings);
        free(e->sentence);
        free(e);
}
