/* store-list.c: lists and counts by any combination of filters at a flat cost. A filter is a choice of lanes and states, and each lane and
 * state is a stream in the index tasks_list, in the order of submission: a list merges the streams that have something in them. So one index
 * serves every filter, and no combination can make SQLite walk past a million rows that do not match. */
#include "base/heap.h"
#include "store/store-private.h"

#define CHUNK_MAX 256

static bool filter_matches(const TaskFilter *f, const Lane *lane) {
        return (!f->queue || STREQ(f->queue, lane->queue)) && (!f->name || STREQ(f->name, lane->name)) &&
               (f->version < 0 || f->version == (int64_t) lane->version);
}

static bool filter_has_status(const TaskFilter *f, TaskStatus status) {
        return f->statuses ? f->statuses & 1U << status : f->status >= _TASK_STATUS_MAX || f->status == status;
}

static void stream_set_done(StreamSet *set) {
        free(set->streams);
}

static int choose(Store *s, const TaskFilter *f, StreamSet *ret) {
        size_t cap = 0;
        ret->all = !f->queue && !f->name && f->version < 0 && f->status >= _TASK_STATUS_MAX && !f->statuses && !f->dead;
        ret->dead = f->dead;
        for (size_t i = 0; i < s->n_lanes; i++) {
                Lane *lane = s->lanes[i];
                if (!lane || !filter_matches(f, lane))
                        continue;
                for (TaskStatus status = TASK_SUBMITTED; status < _TASK_STATUS_MAX; status++) {
                        if (!filter_has_status(f, status) || lane->counts[status] == 0)
                                continue;
                        if (ret->n == cap) {
                                cap = MAX(cap * 2, (size_t) 16);
                                Stream *streams = reallocarray(ret->streams, cap, sizeof *streams);
                                if (!streams)
                                        return -ENOMEM;
                                ret->streams = streams;
                        }
                        ret->streams[ret->n++] = (Stream) { lane, status };
                        ret->total += lane->counts[status];
                }
        }
        return 0;
}

/* ── reading a stream in chunks ── */
typedef struct Cursor {
        HeapItem item;          /* by the seq at hand */
        const Stream *stream;
        int64_t after;          /* the last seq that was read */
        bool ended;
        SeqList chunk;
        size_t at;
} Cursor;

/* Downwards there is no start, so no zones either. */
static int cursor_fill_down(Store *s, Cursor *c, const TaskFilter *f, unsigned size) {
        c->chunk.n = 0;
        c->chunk.driver = s->driver;
        c->at = 0;
        if (c->ended)
                return 0;
        int r = store_read(s, f->dead ? Q_STREAM_DEAD_DOWN : Q_STREAM_DOWN,
                           VALUES(v_int(c->stream->lane->lane), v_int(c->stream->status), v_int(INT64_MIN), v_int(c->after), v_int(size)),
                           store_row_seq, &c->chunk);
        if (c->chunk.n > 0)
                c->after = c->chunk.seqs[c->chunk.n - 1];
        c->ended = c->chunk.n < size;
        return r;
}

/* Fills the chunk anew; empty when the stream has ended. */
static int cursor_fill(Store *s, Cursor *c, const TaskFilter *f, unsigned size) {
        if (f->newest_first)
                return cursor_fill_down(s, c, f, size);
        c->chunk.n = 0;
        c->chunk.driver = s->driver;
        c->at = 0;
        while (!c->ended && c->chunk.n == 0) {
                int64_t before = INT64_MAX;
                int r;
                if (f->has_start) {
                        if (!store_zones_next(s, &f->start, &c->after, &before)) {
                                c->ended = true;
                                break;
                        }
                        r = store_read(s, f->dead ? Q_STREAM_DEAD_ID : Q_STREAM_ID,
                                       VALUES(v_int(c->stream->lane->lane), v_int(c->stream->status), v_int(c->after), v_int(before),
                                              v_int(size), v_blob(f->start.b, sizeof f->start.b)),
                                       store_row_seq, &c->chunk);
                } else
                        r = store_read(s, f->dead ? Q_STREAM_DEAD : Q_STREAM,
                                       VALUES(v_int(c->stream->lane->lane), v_int(c->stream->status), v_int(c->after), v_int(before),
                                              v_int(size)),
                                       store_row_seq, &c->chunk);
                if (r < 0)
                        return r;
                if (c->chunk.n == size)
                        c->after = c->chunk.seqs[size - 1];
                else if (f->has_start)
                        c->after = before - 1;  /* this run of zones is done */
                else
                        c->ended = true;
        }
        return 0;
}

typedef struct Merge {
        Heap heap;
        Cursor *cursors;
        size_t n;
} Merge;

static void merge_done(Merge *m) {
        heap_free(&m->heap);
        for (size_t i = 0; i < m->n; i++)
                seq_list_free(&m->cursors[i].chunk);
        free(m->cursors);
}

/* Where a seq stands in the heap: the least is the next one. */
static usec_t place_of(const TaskFilter *f, int64_t seq) {
        return (usec_t) (f->newest_first ? INT64_MAX - seq : seq);
}

/* Adds `limit` seqs after `offset` to `out`, in the order asked for. */
static int merge(Store *s, const TaskFilter *f, const StreamSet *set, SeqList *out) {
        if (set->n == 0)
                return 0;
        _cleanup_(merge_done) Merge m = { .cursors = calloc(set->n, sizeof(Cursor)) };
        if (!m.cursors)
                return -ENOMEM;
        m.n = set->n;

        uint64_t skip = f->offset;
        unsigned size = (unsigned) MIN((f->limit + MIN(skip, (uint64_t) CHUNK_MAX * set->n)) / set->n + 1, (uint64_t) CHUNK_MAX);
        for (size_t i = 0; i < m.n; i++) {
                Cursor *c = &m.cursors[i];
                c->item = HEAP_ITEM_INIT;
                c->stream = &set->streams[i];
                c->after = f->has_after ? f->after_seq : f->newest_first ? INT64_MAX : INT64_MIN;
                int r = cursor_fill(s, c, f, size);
                if (r >= 0 && c->chunk.n > 0)
                        r = heap_put(&m.heap, &c->item, place_of(f, c->chunk.seqs[0]));
                if (r < 0)
                        return r;
        }

        HeapItem *item;
        while (out->n < f->limit && (item = heap_peek(&m.heap))) {
                Cursor *c = CONTAINER_OF(item, Cursor, item);
                if (skip > 0)
                        skip--;
                else {
                        int r = seq_list_add(out, c->chunk.seqs[c->at]);
                        if (r < 0)
                                return r;
                }
                if (++c->at == c->chunk.n) {
                        int r = cursor_fill(s, c, f, MIN(MAX(size, 16) * 2, CHUNK_MAX));
                        if (r < 0)
                                return r;
                        if (c->chunk.n == 0) {
                                heap_remove(&m.heap, &c->item);
                                continue;
                        }
                }
                int r = heap_put(&m.heap, &c->item, place_of(f, c->chunk.seqs[c->at]));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The id after this one; false when there is none. */
static bool ulid_next(Ulid *id) {
        for (int i = sizeof id->b - 1; i >= 0; i--)
                if (++id->b[i] != 0)
                        return true;
        return false;
}

/* Adds the seqs that are asked for to `l`. */
static int find(Store *s, const TaskFilter *f, SeqList *l) {
        _cleanup_(stream_set_done) StreamSet set = { 0 };
        int r = choose(s, f, &set);
        /* No more than this can match. */
        if (r < 0 || (uint64_t) set.total <= f->offset)
                return r;

        if (f->order_by_id) {
                Ulid low = { 0 };
                if (f->has_after) {
                        low = f->after_id;
                        if (!ulid_next(&low))
                                return 0;
                }
                if (f->has_start && ulid_cmp(&f->start, &low) > 0)
                        low = f->start;
                r = store_list_by_id(s, &set, &low, f->offset, f->limit, l);
        } else if (set.all && !f->has_start)
                r = store_read(s, f->newest_first ? Q_WALK_SEQ_DOWN : Q_WALK_SEQ,
                               VALUES(v_int(f->has_after ? f->after_seq : f->newest_first ? INT64_MAX : INT64_MIN), v_int(f->limit), v_int((int64_t) f->offset)),
                               store_row_seq, l);
        else {
                if (f->has_start)
                        r = store_zones_load(s);
                if (r >= 0)
                        r = merge(s, f, &set, l);
        }
        return r;
}

/* In place of rows that cannot be read come those behind them: callers take a short list for the end. */
int store_task_list(Store *s, const TaskFilter *f, store_task_fn fn, void *userdata) {
        TaskFilter rest = *f;
        for (;;) {
                _cleanup_seq_list_ SeqList l = { .driver = s->driver };
                int r = find(s, &rest, &l);
                if (r >= 0)
                        r = store_task_each(s, &l, rest.with_parameters, true, fn, userdata);
                if (r <= 0 || l.n < rest.limit)
                        return MIN(r, 0);
                rest.limit = (unsigned) r;
                if (rest.order_by_id)
                        rest.offset += l.n;
                else {
                        rest.offset = 0;
                        rest.has_after = true;
                        rest.after_seq = l.seqs[l.n - 1];
                }
        }
}

int store_task_count(Store *s, const TaskFilter *f, int64_t *ret) {
        _cleanup_(stream_set_done) StreamSet set = { 0 };
        int r = choose(s, f, &set);
        if (r >= 0 && f->has_start)
                r = store_zones_load(s);
        if (r < 0)
                return r;
        if (!f->has_start && !f->dead) {
                *ret = set.total;
                return 0;
        }

        int64_t n = 0;
        for (size_t i = 0; i < set.n; i++) {
                _cleanup_seq_list_ SeqList l = { .driver = s->driver };
                if (!f->has_start) {
                        r = store_read(s, Q_COUNT_DEAD, VALUES(v_int(set.streams[i].lane->lane), v_int(set.streams[i].status)), store_row_seq,
                                       &l);
                        if (r < 0)
                                return r;
                        n += l.n > 0 ? l.seqs[0] : 0;
                        continue;
                }
                Cursor c = { .stream = &set.streams[i], .after = INT64_MIN };
                do {
                        r = cursor_fill(s, &c, f, CHUNK_MAX);
                        n += (int64_t) c.chunk.n;
                } while (r >= 0 && c.chunk.n > 0);
                seq_list_free(&c.chunk);
                if (r < 0)
                        return r;
        }
        *ret = n;
        return 0;
}
