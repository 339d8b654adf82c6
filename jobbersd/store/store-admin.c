/* store-admin.c: queues, roles, the starts of rate-limited queues, and retention. */
#include <stdio.h>

#include "base/str.h"
#include "store/store-private.h"

/* ── queues ── */
int store_queue_put(Store *s, const QueueConfig *q) {
        return store_write(s, Q_QUEUE_PUT,
                           VALUES(v_text(q->name), v_int(q->max_concurrent), v_int(q->rate_numerator), v_int(q->rate_denominator),
                                  v_int(q->rate_period), v_int(q->paused), v_int((int64_t) q->memory_max), v_int((int64_t) q->tasks_max),
                                  v_int((int64_t) q->cpu_quota_percent), v_int((int64_t) q->cpu_weight)),
                           NULL);
}

int store_queue_remove(Store *s, const char *name) {
        int64_t changes = 0;
        int r = store_verb_begin(s);
        if (r < 0)
                return r;
        r = store_write(s, Q_QUEUE_REMOVE, VALUES(v_text(name)), &changes);
        if (r >= 0)
                r = store_write(s, Q_QUEUE_REMOVE_ROLES, VALUES(v_text(name)), NULL);
        if (r >= 0)
                r = store_write(s, Q_START_TRIM, VALUES(v_text(name), v_int(INT64_MAX)), NULL);
        r = store_verb_end(s, r);
        return r < 0 ? r : changes == 0 ? -ENOENT : 0;
}

typedef struct QueueRows {
        const StoreDriver *driver;
        QueueConfig *queues;
        size_t n, cap;
} QueueRows;

static void queue_rows_done(QueueRows *l) {
        free(l->queues);
}

static int row_queue(void *userdata, const StoreRow *row) {
        QueueRows *l = userdata;
        const StoreDriver *d = l->driver;
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 8);
                QueueConfig *queues = reallocarray(l->queues, cap, sizeof *queues);
                if (!queues)
                        return -ENOMEM;
                l->queues = queues;
                l->cap = cap;
        }
        const char *name = d->row_text(row, 0, NULL);
        int64_t period = d->row_int(row, 4);
        if (!name || strlen(name) > NAME_LEN_MAX || period < 0 || period >= _RATE_PERIOD_MAX)
                return -EBADMSG;
        QueueConfig *q = &l->queues[l->n++];
        *q = (QueueConfig) {
                .max_concurrent = (unsigned) d->row_int(row, 1),
                .rate_numerator = (uint32_t) d->row_int(row, 2),
                .rate_denominator = (uint32_t) d->row_int(row, 3),
                .rate_period = (RatePeriod) period,
                .paused = d->row_int(row, 5) != 0,
                .memory_max = (uint64_t) d->row_int(row, 6),
                .tasks_max = (uint64_t) d->row_int(row, 7),
                .cpu_quota_percent = (uint64_t) d->row_int(row, 8),
                .cpu_weight = (uint64_t) d->row_int(row, 9),
        };
        snprintf(q->name, sizeof q->name, "%s", name);
        return 0;
}

int store_queue_list(Store *s, store_queue_fn fn, void *userdata) {
        _cleanup_(queue_rows_done) QueueRows l = { .driver = s->driver };
        int r = store_read(s, Q_QUEUE_LIST, NO_VALUES, row_queue, &l);
        for (size_t i = 0; r >= 0 && i < l.n; i++)
                r = fn(userdata, &l.queues[i]);
        return r < 0 ? r : 0;
}

/* ── roles ── */
int store_role_put(Store *s, const char *name, char *const *queues, const Ulid *refresh_tag) {
        int r = store_verb_begin(s);
        if (r < 0)
                return r;
        r = store_write(s, Q_ROLE_PUT, VALUES(v_text(name), v_blob(refresh_tag->b, sizeof refresh_tag->b)), NULL);
        if (r >= 0)
                r = store_write(s, Q_ROLE_REMOVE_QUEUES, VALUES(v_text(name)), NULL);
        for (; r >= 0 && queues && *queues; queues++)
                r = store_write(s, Q_ROLE_ADD_QUEUE, VALUES(v_text(name), v_text(*queues)), NULL);
        return store_verb_end(s, r);
}

int store_role_remove(Store *s, const char *name) {
        int64_t changes = 0;
        int r = store_verb_begin(s);
        if (r < 0)
                return r;
        r = store_write(s, Q_ROLE_REMOVE, VALUES(v_text(name)), &changes);
        if (r >= 0)
                r = store_write(s, Q_ROLE_REMOVE_QUEUES, VALUES(v_text(name)), NULL);
        r = store_verb_end(s, r);
        return r < 0 ? r : changes == 0 ? -ENOENT : 0;
}

/* Rows come as (role, tag, queue), a role's together; queue is NULL for a role without any. */
typedef struct RoleRow {
        char *name, **queues;
        Ulid tag;
} RoleRow;

typedef struct RoleRows {
        const StoreDriver *driver;
        RoleRow *roles;
        size_t n;
} RoleRows;

static void role_rows_done(RoleRows *l) {
        for (size_t i = 0; i < l->n; i++) {
                free(l->roles[i].name);
                strv_free(l->roles[i].queues);
        }
        free(l->roles);
}

static int row_role(void *userdata, const StoreRow *row) {
        RoleRows *l = userdata;
        const StoreDriver *d = l->driver;
        size_t tag_len;
        const char *name = d->row_text(row, 0, NULL);
        if (!name)
                return -EBADMSG;
        if (l->n == 0 || !STREQ(l->roles[l->n - 1].name, name)) {
                RoleRow *roles = reallocarray(l->roles, l->n + 1, sizeof *roles);
                if (!roles)
                        return -ENOMEM;
                l->roles = roles;
                RoleRow role = { .name = strdup(name) };
                if (!role.name)
                        return -ENOMEM;
                l->roles[l->n++] = role;
                const char *tag = d->row_text(row, 1, &tag_len);
                if (!tag || tag_len != sizeof role.tag.b)
                        return -EBADMSG;
                memcpy(l->roles[l->n - 1].tag.b, tag, tag_len);
        }
        const char *queue = d->row_text(row, 2, NULL);
        return queue ? strv_push(&l->roles[l->n - 1].queues, queue) : 0;
}

int store_role_list(Store *s, store_role_fn fn, void *userdata) {
        _cleanup_(role_rows_done) RoleRows l = { .driver = s->driver };
        int r = store_read(s, Q_ROLE_LIST, NO_VALUES, row_role, &l);
        for (size_t i = 0; r >= 0 && i < l.n; i++)
                r = fn(userdata, l.roles[i].name, l.roles[i].queues ? l.roles[i].queues : (char *[]) { NULL }, &l.roles[i].tag);
        return r < 0 ? r : 0;
}

/* ── starts ── */
int store_start_add(Store *s, const char *queue, usec_t at) {
        return store_write(s, Q_START_ADD, VALUES(v_text(queue), v_int((int64_t) at), v_int(store_next_position(s))), NULL);
}

int store_start_trim(Store *s, const char *queue, usec_t before) {
        return store_write(s, Q_START_TRIM, VALUES(v_text(queue), v_int((int64_t) before)), NULL);
}

int store_start_list(Store *s, const char *queue, usec_t since, store_start_fn fn, void *userdata) {
        _cleanup_seq_list_ SeqList l = { .driver = s->driver };
        int r = store_read(s, Q_START_LIST, VALUES(v_text(queue), v_int((int64_t) since)), store_row_seq, &l);
        for (size_t i = 0; r >= 0 && i < l.n; i++)
                r = fn(userdata, (usec_t) l.seqs[i]);
        return r < 0 ? r : 0;
}

/* ── retention ── */
typedef struct Gone {
        int64_t seq, lane;
        Ulid id;
        TaskStatus status;
        bool large, has_id;             /* without one the row is damaged, and goes all the same */
} Gone;

typedef struct GoneRows {
        const StoreDriver *driver;
        Gone *gone;
        size_t n, cap;
} GoneRows;

static void gone_rows_done(GoneRows *l) {
        free(l->gone);
}

static int row_gone(void *userdata, const StoreRow *row) {
        GoneRows *l = userdata;
        const StoreDriver *d = l->driver;
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 32);
                Gone *gone = reallocarray(l->gone, cap, sizeof *gone);
                if (!gone)
                        return -ENOMEM;
                l->gone = gone;
                l->cap = cap;
        }
        size_t id_len;
        const char *id = d->row_text(row, 1, &id_len);
        int64_t status = d->row_int(row, 3);
        if (status <= 0 || status >= _TASK_STATUS_MAX)
                return -EBADMSG;
        Gone *g = &l->gone[l->n++];
        *g = (Gone) {
                .seq = d->row_int(row, 0),
                .lane = d->row_int(row, 2),
                .status = (TaskStatus) status,
                .large = d->row_int(row, 4) != 0,
                .has_id = id && id_len == sizeof g->id.b,
        };
        if (g->has_id)
                memcpy(g->id.b, id, sizeof g->id.b);
        return 0;
}

static int remove_one(Store *s, const Gone *g) {
        Lane *lane = store_lane_at(s, g->lane);
        if (!lane)
                return -EBADMSG;
        int r = store_undo_reserve(s, 1);
        if (r >= 0)
                r = store_verb_begin(s);
        if (r < 0)
                return r;
        r = store_write(s, Q_ATTEMPT_REMOVE_ALL, VALUES(v_int(g->seq)), NULL);
        if (r >= 0 && g->large)
                r = store_write(s, Q_TASK_REMOVE_LARGE, VALUES(v_int(g->seq)), NULL);
        if (r >= 0)
                r = store_write(s, Q_TASK_REMOVE, VALUES(v_int(g->seq)), NULL);
        r = store_verb_end(s, r);
        if (r >= 0)
                store_lane_count(s, lane, g->status, -1);
        return r;
}

static int expire(Store *s, StoreQuery query, usec_t before, unsigned limit, store_gone_fn fn, void *userdata) {
        _cleanup_(gone_rows_done) GoneRows l = { .driver = s->driver };
        int r = store_read(s, query, VALUES(v_int((int64_t) before), v_int(limit)), row_gone, &l);
        if (r < 0)
                return r;
        for (size_t i = 0; i < l.n; i++) {
                r = remove_one(s, &l.gone[i]);
                if (r < 0)
                        return r;
                if (fn && l.gone[i].has_id)
                        fn(userdata, &l.gone[i].id);
        }
        return (int) l.n;
}

int store_expire_final(Store *s, usec_t before, unsigned limit, store_gone_fn fn, void *userdata) {
        return expire(s, Q_EXPIRE_FINAL, before, limit, fn, userdata);
}

int store_expire_dead(Store *s, usec_t before, unsigned limit, store_gone_fn fn, void *userdata) {
        return expire(s, Q_EXPIRE_DEAD, before, limit, fn, userdata);
}
