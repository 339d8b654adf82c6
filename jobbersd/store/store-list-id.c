/* store-list-id.c: lists in the order of ids. Without a filter the index of ids is that order. With one, zones are opened in the order of
 * their lowest id until no zone left can hold an id below what was found: one or two of them where ids ascend with submission. Where
 * they do not (clients that make ids up), matches lie everywhere, and the walk along the index of ids meets enough of them soon. */
#include "store/store-private.h"

#define FEW 4096                /* so many matches are simply all read and sorted */
#define MANY (8 * ZONE_SEQS)    /* so many that are not yet in order: the zones say nothing */
#define WALK_CHUNK 1024

typedef struct Found {
        Ulid id;
        int64_t seq;
} Found;

typedef struct FoundList {
        const StoreDriver *driver;
        Found *found;
        size_t n, cap;
} FoundList;

static void found_list_done(FoundList *l) {
        free(l->found);
}

static int row_found(void *userdata, const StoreRow *row) {
        FoundList *l = userdata;
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 256);
                Found *found = reallocarray(l->found, cap, sizeof *found);
                if (!found)
                        return -ENOMEM;
                l->found = found;
                l->cap = cap;
        }
        size_t len;
        const char *id = l->driver->row_text(row, 1, &len);
        Found *f = &l->found[l->n];
        if (!id || len != sizeof f->id.b)
                return 0;       /* a row that cannot be read is passed over */
        memcpy(f->id.b, id, sizeof f->id.b);
        f->seq = l->driver->row_int(row, 0);
        l->n++;
        return 0;
}

static int found_cmp(const void *a, const void *b) {
        return ulid_cmp(&((const Found *) a)->id, &((const Found *) b)->id);
}

/* Everything of all streams between two seqs, ids >= low. */
static int gather(Store *s, const StreamSet *set, const Ulid *low, int64_t after, int64_t before, FoundList *l) {
        for (size_t i = 0; i < set->n; i++) {
                int r = store_read(s, set->dead ? Q_STREAM_DEAD_ID : Q_STREAM_ID,
                                   VALUES(v_int(set->streams[i].lane->lane), v_int(set->streams[i].status), v_int(after), v_int(before),
                                          v_int(-1), v_blob(low->b, sizeof low->b)),
                                   row_found, l);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int take(FoundList *l, uint64_t offset, unsigned limit, SeqList *out) {
        if (l->n > 0)
                qsort(l->found, l->n, sizeof *l->found, found_cmp);
        for (uint64_t i = offset; i < l->n && i - offset < limit; i++) {
                int r = seq_list_add(out, l->found[i].seq);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int zone_cmp(const void *a, const void *b) {
        return ulid_cmp(&(*(Zone *const *) a)->min, &(*(Zone *const *) b)->min);
}

/* 0: done, 1: the zones overlap too much. */
static int by_zones(Store *s, const StreamSet *set, const Ulid *low, uint64_t offset, unsigned limit, SeqList *out) {
        int r = store_zones_load(s);
        if (r < 0)
                return r;
        _cleanup_free_ Zone **order = calloc(s->n_zones + 1, sizeof *order);
        _cleanup_(found_list_done) FoundList l = { .driver = s->driver };
        if (!order)
                return -ENOMEM;
        size_t n = 0;
        for (size_t i = 0; i < s->n_zones; i++)
                if (ulid_cmp(&s->zones[i].max, low) >= 0 && ulid_cmp(&s->zones[i].min, &s->zones[i].max) <= 0)
                        order[n++] = &s->zones[i];
        qsort(order, n, sizeof *order, zone_cmp);

        uint64_t need = offset + limit;
        for (size_t i = 0; i < n; i++) {
                int64_t first = (s->first_zone + (order[i] - s->zones)) * ZONE_SEQS;
                r = gather(s, set, low, first - 1, first + ZONE_SEQS, &l);
                if (r < 0)
                        return r;
                if (l.n < need || i + 1 == n)
                        continue;
                /* Is enough of it below all that the other zones can hold? */
                size_t below = 0;
                for (size_t k = 0; k < l.n; k++)
                        below += ulid_cmp(&l.found[k].id, &order[i + 1]->min) < 0;
                if (below >= need)
                        break;
                if (l.n > need + MANY)
                        return 1;
        }
        return take(&l, offset, limit, out);
}

/* ── along the index of ids ── */
typedef struct Walk {
        Store *store;
        const StreamSet *set;
        const uint8_t *wanted;          /* [lane * _TASK_STATUS_MAX + status] */
        uint64_t skip;
        unsigned limit;
        SeqList *out;
        Ulid last;
        size_t n;                       /* rows met in this chunk */
} Walk;

static int row_walk(void *userdata, const StoreRow *row) {
        Walk *w = userdata;
        const StoreDriver *d = w->store->driver;
        size_t len;
        const char *id = d->row_text(row, 1, &len);
        int64_t lane = d->row_int(row, 2), status = d->row_int(row, 3);
        if (!store_lane_at(w->store, lane) || status < 0 || status >= _TASK_STATUS_MAX)
                return -EBADMSG;
        w->n++;
        if (!id || len != sizeof w->last.b)
                return 0;       /* a row that cannot be read is passed over */
        memcpy(w->last.b, id, sizeof w->last.b);
        if (!w->wanted[lane * _TASK_STATUS_MAX + status] || (w->set->dead && d->row_int(row, 4) == 0))
                return 0;
        if (w->skip > 0) {
                w->skip--;
                return 0;
        }
        int r = seq_list_add(w->out, d->row_int(row, 0));
        return r < 0 ? r : w->out->n >= w->limit;
}

static int by_walk(Store *s, const StreamSet *set, const Ulid *low, uint64_t offset, unsigned limit, SeqList *out) {
        _cleanup_free_ uint8_t *wanted = calloc(s->n_lanes + 1, _TASK_STATUS_MAX);
        if (!wanted)
                return -ENOMEM;
        for (size_t i = 0; i < set->n; i++)
                wanted[set->streams[i].lane->lane * _TASK_STATUS_MAX + set->streams[i].status] = 1;
        Walk w = { .store = s, .set = set, .wanted = wanted, .skip = offset, .limit = limit, .out = out, .last = *low };
        Ulid from = *low;
        do {
                w.n = 0;
                int r = store_read(s, Q_WALK_ID_FACTS, VALUES(v_blob(from.b, sizeof from.b), v_int(WALK_CHUNK)), row_walk, &w);
                if (r < 0)
                        return r;
                from = w.last;
                for (int i = sizeof from.b - 1; i >= 0 && ++from.b[i] == 0; i--)
                        ;
        } while (w.n == WALK_CHUNK && out->n < limit && ulid_cmp(&from, &w.last) > 0);
        return 0;
}

int store_list_by_id(Store *s, const StreamSet *set, const Ulid *low, uint64_t offset, unsigned limit, SeqList *out) {
        if (set->all)
                return store_read(s, Q_WALK_ID, VALUES(v_blob(low->b, sizeof low->b), v_int(limit), v_int((int64_t) offset)), store_row_seq,
                                  out);
        if (set->total <= FEW) {
                _cleanup_(found_list_done) FoundList l = { .driver = s->driver };
                int r = gather(s, set, low, INT64_MIN, INT64_MAX, &l);
                return r < 0 ? r : take(&l, offset, limit, out);
        }
        if (offset <= MANY) {
                int r = by_zones(s, set, low, offset, limit, out);
                if (r <= 0)
                        return r;
        }
        return by_walk(s, set, low, offset, limit, out);
}
