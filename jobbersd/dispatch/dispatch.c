/* dispatch.c: who runs next. Queues with waiting tasks stand in a ring; each start sends its queue to the back, so that no queue gets two
 * starts ahead of another that could have had one. Inside a queue the best task among the lanes with room goes. Whatever is blocked is
 * passed over, never waited for. */
#include "dispatch/internal.h"

#include <stdio.h>

/* Tasks of unknown definitions that are dropped in one turn, per lane: a long lane must not stall the loop. */
#define DROPS_PER_TURN 256

/* ── keeping the lanes ── */

static Lane *queue_lane(Queue *q, Kind *kind) {
        LIST_FOREACH(l, &q->lanes) {
                Lane *lane = CONTAINER_OF(l, Lane, link);
                if (lane->kind == kind)
                        return lane;
        }
        return NULL;
}

static Lane *queue_lane_make(Engine *e, Queue *q, const char *name, uint32_t version) {
        Kind *kind = engine_kind(e, name, version);
        Lane *lane = kind ? queue_lane(q, kind) : NULL;
        if (lane || !kind)
                return lane;
        lane = lane_new(kind);
        if (lane)
                list_append(&q->lanes, &lane->link);
        return lane;
}

static Head task_head(const Task *t) {
        return (Head) { .seq = t->seq, .position = t->position, .priority = t->priority };
}

static void queue_waiting(Engine *e, Queue *q, int64_t change) {
        q->waiting += change;
        if (q->waiting > 0 && !link_linked(&q->ring))
                list_append(&e->ring, &q->ring);
        else if (q->waiting <= 0) {
                q->waiting = 0;
                link_remove(&q->ring);
        }
}

void dispatch_ready(Engine *e, Queue *q, const Task *t) {
        Lane *lane = queue_lane_make(e, q, t->name, t->version);
        if (!lane) {
                (void) engine_spoil(e, -ENOMEM);
                return;
        }
        Head h = task_head(t);
        lane_insert(lane, &h);
        queue_waiting(e, q, 1);
        e->dirty = true;
}

void dispatch_unready(Engine *e, Queue *q, const Task *t) {
        Lane *lane = queue_lane_make(e, q, t->name, t->version);
        if (!lane) {
                (void) engine_spoil(e, -ENOMEM);
                return;
        }
        Head h = task_head(t);
        lane_remove(lane, &h);
        queue_waiting(e, q, -1);
}

static int load_lane(void *userdata, const char *queue, const char *name, uint32_t version, int64_t count) {
        Engine *e = userdata;
        Queue *q = queue_husk(e, queue);
        Lane *lane = q ? queue_lane_make(e, q, name, version) : NULL;
        if (!lane)
                return -ENOMEM;
        if (!q->exists)
                log_warning("%lld tasks wait in the queue \"%s\", which does not exist: create it with POST /queues", (long long) count, queue);
        lane->count = count;
        queue_waiting(e, q, count);
        return 0;
}

int dispatch_load(Engine *e) {
        size_t cursor = 0;
        void *v;

        while (map_next(e->queue_map, &cursor, &v)) {
                Queue *q = v;
                q->waiting = 0;
                link_remove(&q->ring);
                LIST_FOREACH(l, &q->lanes)
                        lane_empty(CONTAINER_OF(l, Lane, link));
        }
        e->dirty = true;
        return store_lanes(e->store, load_lane, e);
}

/* ── choosing ── */

/* The lane's definition as of now; looked up once per reload. */
static Definition *lane_definition(Engine *e, Lane *lane) {
        if (lane->generation == e->generation)
                return lane->definition;
        lane->generation = e->generation;
        definition_unref(lane->definition);
        Definition *d = definition_set_get(e->definitions, lane->kind->name, lane->kind->version);
        lane->definition = d ? definition_ref(d) : NULL;
        lane->may_come = !d && definition_set_may_define(e->definitions, lane->kind->name);
        if (lane->may_come && lane_any(lane))
                log_warning("tasks \"%s\" version %u wait: their definition is not loaded, probably because its file has errors; "
                            "run: jobbersctl verify",
                            lane->kind->name, lane->kind->version);
        return lane->definition;
}

static void wake_at(Engine *e, usec_t boot) {
        e->dispatch_wake = MIN(e->dispatch_wake, boot);
}

/* The queue's own limits. */
static bool queue_allows(Engine *e, Queue *q, usec_t now) {
        if (!q->exists || q->config.paused || q->n_roles == 0)
                return false;
        if (q->config.max_concurrent > 0 && q->running >= q->config.max_concurrent)
                return false;
        usec_t next = rate_window_next(&q->window, now + WINDOW_EPOCH);
        if (next > 0) {
                wake_at(e, next - WINDOW_EPOCH);
                return false;
        }
        return true;
}

/* The definition's room, and the passing refusals. */
static bool lane_allows(Engine *e, Lane *lane, usec_t now) {
        Definition *d = lane_definition(e, lane);
        if (!d)
                return false;
        if (d->max_concurrent > 0 && lane->kind->running >= d->max_concurrent)
                return false;
        if (lane->hold_until > now) {
                wake_at(e, lane->hold_until);
                return false;
        }
        return true;
}

static int queue_best(Engine *e, Queue *q, usec_t now, Lane **ret_lane, Head *ret_head) {
        *ret_lane = NULL;
        LIST_FOREACH(l, &q->lanes) {
                Lane *lane = CONTAINER_OF(l, Lane, link);
                const Head *h;

                if (!lane_any(lane) || !lane_allows(e, lane, now))
                        continue;
                int r = lane_first(lane, e->store, q->config.name, &h);
                if (r < 0)
                        return r;
                if (h && (!*ret_lane || head_cmp(h, ret_head) < 0)) {
                        *ret_lane = lane;
                        *ret_head = *h;
                }
        }
        return 0;
}

/* ── starting ── */

typedef struct KnownHash {
        uint64_t hash;
} KnownHash;

/* The text of the definition goes into the store once, so that a later daemon has the policies the attempt started with. */
static int definition_keep(Engine *e, const Definition *d) {
        if (map_get(e->hashes, &d->hash, sizeof d->hash))
                return 0;
        _cleanup_free_ char *text = definition_text(d);
        _cleanup_free_ KnownHash *known = malloc(sizeof *known);
        if (!text || !known)
                return -ENOMEM;
        int r = store_definition_put(e->store, d->hash, text);
        if (r < 0)
                return r;
        known->hash = d->hash;
        r = map_put(e->hashes, &known->hash, sizeof known->hash, known);
        if (r >= 0)
                (void) TAKE_PTR(known);
        return r < 0 ? r : 0;
}

static int window_note(Engine *e, Run *run, usec_t now) {
        Queue *q = run->queue;
        int r;

        if (!queue_config_has_rate(&q->config))
                return 0;
        run->rated_at = now + WINDOW_EPOCH;
        rate_window_add(&q->window, run->rated_at);
        usec_t wall = due_wall(e, now);
        r = store_start_add(e->store, q->config.name, wall);
        usec_t span = queue_config_window(&q->config);
        if (r >= 0 && ++q->untrimmed >= 64 && wall > span) {
                q->untrimmed = 0;
                r = store_start_trim(e->store, q->config.name, wall - span);
        }
        return r < 0 ? r : 0;
}

/* The task is not where the lane says, or a broken record, which must not stop those behind it: it goes on waiting, and is said once. */
static int skip(Engine *e, Queue *q, Lane *lane, const Head *head, int error) {
        Head h = *head;

        log_full(LOG_ERR, error, "queue %s: the next task (row %lld) is missing, is not \"submitted\", or cannot be read from the "
                 "database; skipped", q->config.name, (long long) h.seq);
        if (error < 0 && error != -ENOENT)
                return engine_spoil(e, lane_pass(lane, &h));
        lane_remove(lane, &h);
        queue_waiting(e, q, -1);
        return 0;
}

static int start_one(Engine *e, Queue *q, Lane *lane, const Head *head, usec_t now) {
        _cleanup_task_ Task t = {};
        int r;

        r = store_task_get_seq(e->store, head->seq, true, &t);
        if (r == -ENOMEM)
                return engine_spoil(e, r);
        if (r < 0 || t.status != TASK_SUBMITTED)
                return skip(e, q, lane, head, r);
        r = definition_keep(e, lane->definition);
        if (r < 0)
                return engine_spoil(e, r);

        Run *run = run_new(e, &t, q, role_for(e, q), lane->kind, lane->definition);
        if (!run)
                return engine_spoil(e, -ENOMEM);
        usec_t ready = MAX(run->task.submitted_at, run->task.scheduled_at), wall = clock_wall();
        run->waited = wall > ready ? wall - ready : 0;
        run->attempt.definition_hash = lane->definition->hash;
        if (launch_uses_scope(e->launch, lane->definition->launcher))
                task_scope_name(&run->task.id, run->task.attempts + 1, run->attempt.scope);
        r = life_apply(e, &run->task, run, LIFE_LAUNCH, 0);
        if (r >= 0)
                r = engine_spoil(e, window_note(e, run, now));
        if (r < 0 && !link_linked(&run->link))
                run_free(e, run);       /* not yet in a list: nobody else would */
        return r;
}

static int drop_unknown(Engine *e, Queue *q, Lane *lane) {
        const Head *h;
        int r;

        for (unsigned i = 0; i < DROPS_PER_TURN; i++) {
                _cleanup_task_ Task t = {};

                r = lane_first(lane, e->store, q->config.name, &h);
                if (r < 0)
                        return engine_spoil(e, r);
                if (!h)
                        return 0;
                r = store_task_get_seq(e->store, h->seq, false, &t);
                if (r < 0 && r != -ENOENT && r != -EBADMSG)
                        return engine_spoil(e, r);
                if (r < 0 || t.status != TASK_SUBMITTED) {
                        r = skip(e, q, lane, h, r);
                        if (r < 0)
                                return r;
                        continue;
                }
                free(t.last_error);
                t.last_error = str_new("no definition of \"%s\" version %u is known", t.name, t.version);
                r = life_apply(e, &t, NULL, LIFE_DROP, 0);
                if (r < 0)
                        return r;
        }
        engine_again(e);
        e->dirty = true;
        return 0;
}

static int queue_drop_unknown(Engine *e, Queue *q) {
        if (!q->exists || q->config.paused || q->n_roles == 0)
                return 0;
        LIST_FOREACH(l, &q->lanes) {
                Lane *lane = CONTAINER_OF(l, Lane, link);
                if (!lane_any(lane) || lane_definition(e, lane) || lane->may_come)
                        continue;
                int r = drop_unknown(e, q, lane);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One start out of this queue, if anything allows one. 1: started. */
static int queue_start_one(Engine *e, Queue *q, usec_t now) {
        Lane *lane;
        Head head;

        if (!queue_allows(e, q, now) || !role_for(e, q))
                return 0;
        int r = queue_best(e, q, now, &lane, &head);
        if (r < 0)
                return engine_spoil(e, r);
        if (!lane)
                return 0;
        r = start_one(e, q, lane, &head, now);
        return r < 0 ? r : 1;
}

static bool any_slot(const Engine *e) {
        for (size_t i = 0; i < e->n_roles; i++)
                if (e->roles[i]->served && e->roles[i]->running < e->roles[i]->slots)
                        return true;
        return false;
}

/* One round: every queue that waits gets one start at most; who got one goes to the back, who could not keeps its place. */
static int dispatch_round(Engine *e, usec_t now, bool *ret_started) {
        Link served;
        int r = 0;

        LINK_INIT(served);
        LIST_FOREACH(l, &e->ring) {
                if (!any_slot(e))
                        break;
                r = queue_start_one(e, CONTAINER_OF(l, Queue, ring), now);
                if (r < 0)
                        break;
                if (r > 0 && link_linked(l)) {
                        link_remove(l);
                        list_append(&served, l);
                }
                if (r > 0)
                        *ret_started = true;
        }
        while (!list_empty(&served)) {
                Link *l = served.next;
                link_remove(l);
                list_append(&e->ring, l);
        }
        return r < 0 ? r : 0;
}

int dispatch_run(Engine *e) {
        usec_t now = clock_boot();
        int r;

        if (e->draining || e->stopping_down || !launch_is_ready(e->launch)) {
                e->dispatch_wake = USEC_INFINITY;
                return 0;
        }
        if (!e->dirty && now < e->dispatch_wake)
                return 0;
        e->dirty = false;
        e->dispatch_wake = USEC_INFINITY;
        if (e->hold_until > now) {
                wake_at(e, e->hold_until);
                return 0;
        }

        LIST_FOREACH(l, &e->ring) {
                r = queue_drop_unknown(e, CONTAINER_OF(l, Queue, ring));
                if (r < 0)
                        return r;
        }
        bool started;
        do {
                started = false;
                r = dispatch_round(e, now, &started);
                if (r < 0)
                        return r;
        } while (started);
        return 0;
}
