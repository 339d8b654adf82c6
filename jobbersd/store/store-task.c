/* store-task.c: verbs on single tasks: rows to records and back, and what the dispatcher asks.
 *
 * No caller's function runs while a statement is open: lists gather numbers first and read row by row, so that callers may write
 * whatever they like to the tasks they are shown. */
#include "base/log.h"
#include "base/str.h"
#include "store/store-private.h"

#define CLOCK_WRONG_BY (24 * 3600 * USEC_PER_SEC)

/* ── lists of seqs ── */
int seq_list_add(SeqList *l, int64_t seq) {
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 64);
                int64_t *seqs = reallocarray(l->seqs, cap, sizeof *seqs);
                if (!seqs)
                        return -ENOMEM;
                l->seqs = seqs;
                l->cap = cap;
        }
        l->seqs[l->n++] = seq;
        return 0;
}

void seq_list_free(SeqList *l) {
        free(l->seqs);
        *l = (SeqList) { 0 };
}

int store_row_seq(void *userdata, const StoreRow *row) {
        SeqList *l = userdata;
        return seq_list_add(l, l->driver->row_int(row, 0));
}

/* ── a row as a record ── */
typedef struct Fetch {
        Store *store;
        Task *task;
        bool found, with_parameters;
} Fetch;

static int take_text(const StoreDriver *d, const StoreRow *row, int column, char **ret) {
        size_t len;
        const char *s = d->row_text(row, column, &len);
        if (!s) {
                *ret = NULL;
                return 0;
        }
        *ret = malloc(len + 1);
        if (!*ret)
                return -ENOMEM;
        memcpy(*ret, s, len);
        (*ret)[len] = 0;
        return 0;
}

/* Columns as TASK_COLUMNS has them. What makes no sense is damage. */
static int row_task(void *userdata, const StoreRow *row) {
        Fetch *f = userdata;
        const StoreDriver *d = f->store->driver;
        Task *t = f->task;

        size_t id_len;
        const char *id = d->row_text(row, 1, &id_len);
        const Lane *lane = store_lane_at(f->store, d->row_int(row, 2));
        int64_t status = d->row_int(row, 5), stop = d->row_int(row, 8);
        if (!id || id_len != sizeof t->id.b || !lane || status <= TASK_UNSUBMITTED || status >= _TASK_STATUS_MAX || stop < 0 ||
            stop >= _STOP_REASON_MAX)
                return -EBADMSG;

        *t = (Task) {
                .seq = d->row_int(row, 0),
                .version = lane->version,
                .priority = (int) -d->row_int(row, 3),
                .position = d->row_int(row, 4),
                .status = (TaskStatus) status,
                .retry_attempt = (unsigned) d->row_int(row, 6),
                .attempts = (unsigned) d->row_int(row, 7),
                .stop_reason = (StopReason) stop,
                .submitted_at = (usec_t) d->row_int(row, 9),
                .started_at = (usec_t) d->row_int(row, 10),
                .retried_at = (usec_t) d->row_int(row, 11),
                .heartbeat_at = (usec_t) d->row_int(row, 12),
                .completed_at = (usec_t) d->row_int(row, 13),
                .scheduled_at = (usec_t) d->row_int(row, 14),
                .run_at = (usec_t) d->row_int(row, 15),
                .dead_at = (usec_t) d->row_int(row, 16),
                .progress = (int) d->row_int(row, 17),
        };
        memcpy(t->id.b, id, sizeof t->id.b);
        t->name = strdup(lane->name);
        t->queue = strdup(lane->queue);
        int r = t->name && t->queue ? 0 : -ENOMEM;
        if (r >= 0)
                r = take_text(d, row, 18, &t->status_text);
        if (r >= 0)
                r = take_text(d, row, 19, &t->last_error);
        if (r >= 0)
                r = take_text(d, row, 20, &t->results);
        if (r >= 0 && f->with_parameters)
                r = take_text(d, row, 21, &t->parameters);
        f->found = true;
        return r;
}

typedef struct Text {
        const StoreDriver *driver;
        char *text;
} Text;

static int row_text(void *userdata, const StoreRow *row) {
        Text *t = userdata;
        return take_text(t->driver, row, 0, &t->text);
}

static int task_fetch(Store *s, StoreQuery query, StoreValue key, bool with_parameters, Task *ret) {
        _cleanup_task_ Task t = { 0 };
        Fetch f = { .store = s, .task = &t, .with_parameters = with_parameters };
        int r = store_read(s, query, &key, 1, row_task, &f);
        if (r < 0)
                return r;
        if (!f.found)
                return -ENOENT;
        if (with_parameters && !t.parameters) {
                Text text = { .driver = s->driver };
                r = store_read(s, Q_TASK_GET_LARGE, VALUES(v_int(t.seq)), row_text, &text);
                if (r < 0)
                        return r;
                if (!text.text)
                        return -EBADMSG;
                t.parameters = text.text;
        }
        *ret = t;
        t = (Task) { 0 };
        return 0;
}

int store_task_get(Store *s, const Ulid *id, bool with_parameters, Task *ret) {
        return task_fetch(s, with_parameters ? Q_TASK_GET_FULL : Q_TASK_GET, v_blob(id->b, sizeof id->b), with_parameters, ret);
}

int store_task_get_seq(Store *s, int64_t seq, bool with_parameters, Task *ret) {
        return task_fetch(s, with_parameters ? Q_TASK_GET_SEQ_FULL : Q_TASK_GET_SEQ, v_int(seq), with_parameters, ret);
}

int store_task_each(Store *s, const SeqList *l, bool with_parameters, bool say, store_task_fn fn, void *userdata) {
        int unreadable = 0;
        for (size_t i = 0; i < l->n; i++) {
                _cleanup_task_ Task t = { 0 };
                int r = store_task_get_seq(s, l->seqs[i], with_parameters, &t);
                if (r == -ENOENT)
                        continue;
                if (r == -EBADMSG) {
                        unreadable++;
                        if (say)
                                log_error("task row %lld cannot be read from the database; skipped", (long long) l->seqs[i]);
                        continue;
                }
                if (r >= 0)
                        r = fn(userdata, &t);
                if (r < 0)
                        return r;
        }
        return unreadable;
}

/* ── writes ── */
bool store_has_room(Store *s) {
        if (s->files.ballast_wanted)
                store_files_ballast_make(&s->files, USEC_PER_SEC);
        return !s->files.ballast_wanted;
}

int store_task_move(Store *s, const Task *t, TaskStatus from) {
        if (t->status <= TASK_UNSUBMITTED || t->status >= _TASK_STATUS_MAX || from >= _TASK_STATUS_MAX)
                return -EINVAL;
        Lane *lane = store_lane_find(s, t->queue, t->name, t->version);
        if (!lane)
                return -ESTALE;
        int r = store_undo_reserve(s, 2);
        if (r < 0)
                return r;
        int64_t changes;
        r = store_write(s, Q_TASK_MOVE,
                        VALUES(v_int(t->seq), v_int(from), v_int(t->status), v_int(-(int64_t) t->priority), v_int(t->position),
                               v_int(t->retry_attempt), v_int(t->attempts), v_int(t->stop_reason), v_int((int64_t) t->submitted_at),
                               v_int((int64_t) t->started_at), v_int((int64_t) t->retried_at), v_int((int64_t) t->heartbeat_at),
                               v_int((int64_t) t->completed_at), v_int((int64_t) t->scheduled_at), v_int((int64_t) t->run_at),
                               v_int((int64_t) t->dead_at), v_int(t->progress), v_text(t->status_text), v_text(t->last_error),
                               v_text(t->results)),
                        &changes);
        if (r < 0)
                return r;
        if (changes == 0)
                return -ESTALE;
        store_lane_count(s, lane, from, -1);
        store_lane_count(s, lane, t->status, 1);
        return 0;
}

int store_task_note(Store *s, const Task *t) {
        int64_t changes;
        int r = store_write(s, Q_TASK_NOTE,
                            VALUES(v_int(t->seq), v_int((int64_t) t->heartbeat_at), v_int(t->progress), v_text(t->status_text),
                                   v_int(t->stop_reason)),
                            &changes);
        return r < 0 ? r : changes == 0 ? -ESTALE : 0;
}

/* ── what the dispatcher asks ── */
typedef struct Ready {
        const StoreDriver *driver;
        struct ReadyTask {
                int64_t seq, position;
                int priority;
        } *tasks;
        size_t n, cap;
} Ready;

static void ready_done(Ready *ready) {
        free(ready->tasks);
}

static int row_ready(void *userdata, const StoreRow *row) {
        Ready *ready = userdata;
        const StoreDriver *d = ready->driver;
        if (ready->n == ready->cap) {
                size_t cap = MAX(ready->cap * 2, (size_t) 16);
                struct ReadyTask *tasks = reallocarray(ready->tasks, cap, sizeof *tasks);
                if (!tasks)
                        return -ENOMEM;
                ready->tasks = tasks;
                ready->cap = cap;
        }
        ready->tasks[ready->n++] = (struct ReadyTask) {
                .seq = d->row_int(row, 0),
                .priority = (int) -d->row_int(row, 1),
                .position = d->row_int(row, 2),
        };
        return 0;
}

int store_ready(Store *s, const char *queue, const char *name, uint32_t version, int after_priority, int64_t after_position,
                unsigned limit, store_ready_fn fn, void *userdata) {
        const Lane *lane = store_lane_find(s, queue, name, version);
        if (!lane || lane->counts[TASK_SUBMITTED] == 0)
                return 0;
        _cleanup_(ready_done) Ready ready = { .driver = s->driver };
        int r = store_read(s, Q_TASK_READY,
                           VALUES(v_int(lane->lane), v_int(-(int64_t) after_priority), v_int(after_position), v_int(limit)), row_ready, &ready);
        for (size_t i = 0; r >= 0 && i < ready.n; i++)
                r = fn(userdata, ready.tasks[i].seq, ready.tasks[i].priority, ready.tasks[i].position);
        return r < 0 ? r : 0;
}

int store_due(Store *s, usec_t now, unsigned limit, store_task_fn fn, void *userdata, unsigned *ret_unreadable) {
        _cleanup_seq_list_ SeqList l = { .driver = s->driver };
        *ret_unreadable = 0;
        if (s->totals[TASK_SCHEDULED] == 0)
                return 0;
        int r = store_read(s, Q_TASK_DUE, VALUES(v_int((int64_t) now), v_int(limit)), store_row_seq, &l);
        if (r >= 0)
                r = store_task_each(s, &l, false, false, fn, userdata);
        if (r < 0)
                return r;
        *ret_unreadable = (unsigned) r;
        return 0;
}

int store_next_due(Store *s, usec_t after, usec_t *ret) {
        _cleanup_seq_list_ SeqList l = { .driver = s->driver };
        int r = s->totals[TASK_SCHEDULED] > 0 ? store_read(s, Q_TASK_NEXT_DUE, VALUES(v_int((int64_t) after)), store_row_seq, &l) : 0;
        if (r >= 0)
                *ret = l.n > 0 ? (usec_t) l.seqs[0] : 0;
        return r;
}

int store_shift_times(Store *s, int64_t delta) {
        int r = s->totals[TASK_SCHEDULED] > 0 ? store_write(s, Q_TASK_SHIFT_RETRIES, VALUES(v_int(delta)), NULL) : 0;
        return r < 0 ? r : store_write(s, Q_START_SHIFT, VALUES(v_int(delta)), NULL);
}

int store_cap_retries(Store *s, usec_t now) {
        return s->totals[TASK_SCHEDULED] == 0 ? 0 :
               store_write(s, Q_TASK_CAP_RETRIES, VALUES(v_int((int64_t) now), v_int((int64_t) (now + CLOCK_WRONG_BY))), NULL);
}

int store_started(Store *s, store_task_fn fn, void *userdata) {
        _cleanup_seq_list_ SeqList l = { .driver = s->driver };
        for (size_t i = 0; s->totals[TASK_STARTED] > 0 && i < s->n_lanes; i++) {
                const Lane *lane = s->lanes[i];
                if (!lane || lane->counts[TASK_STARTED] == 0)
                        continue;
                int r = store_read(s, Q_STREAM, VALUES(v_int(lane->lane), v_int(TASK_STARTED), v_int(INT64_MIN), v_int(INT64_MAX), v_int(-1)),
                                   store_row_seq, &l);
                if (r < 0)
                        return r;
        }
        return MIN(store_task_each(s, &l, false, true, fn, userdata), 0);
}

/* ── the clock that stored times are meant with ── */
int store_clock_get(Store *s, char boot_id[static BOOT_ID_MAX], int64_t *ret_offset) {
        char text[64];
        long long offset;
        int r = store_meta_get_text(s, "clock", text, sizeof text);
        if (r < 0)
                return r;
        if (sscanf(text, "%39s %lld", boot_id, &offset) != 2)
                return -ENOENT;
        *ret_offset = offset;
        return 0;
}

int store_clock_put(Store *s, const char *boot_id, int64_t offset) {
        char text[64];
        snprintf(text, sizeof text, "%s %lld", boot_id, (long long) offset);
        return store_write(s, Q_META_PUT, VALUES(v_text("clock"), v_text(text)), NULL);
}
