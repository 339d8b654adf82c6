/* store-zone.c: zones: per 4096 seqs the lowest and the highest id there. Ids carry the time they were made at and so nearly ascend with the
 * order of submission; knowing the exceptions by zone lets a list skip what cannot match, without an index that every move of a
 * task would have to keep. Loaded by the first list that asks (about 0.2 s for a million tasks), then kept. Removals leave a zone wider
 * than need be, which costs time and never a row. */
#include "store/store-private.h"

static const Zone zone_empty = { .min.b = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 } };

static int64_t zone_of(int64_t seq) {
        return seq / ZONE_SEQS;
}

static void zones_drop(Store *s) {
        free(s->zones);
        s->zones = NULL;
        s->n_zones = 0;
        s->zones_loaded = false;
}

/* -ENOMEM; -EBADMSG for a seq below all others. */
static int zone_note(Store *s, int64_t seq, const Ulid *id) {
        int64_t at = zone_of(seq) - s->first_zone;
        if (at < 0)
                return -EBADMSG;
        if ((size_t) at >= s->n_zones) {
                size_t n = MAX((size_t) at + 1, s->n_zones * 2);
                Zone *zones = reallocarray(s->zones, n, sizeof *zones);
                if (!zones)
                        return -ENOMEM;
                for (size_t i = s->n_zones; i < n; i++)
                        zones[i] = zone_empty;
                s->zones = zones;
                s->n_zones = n;
        }
        Zone *z = &s->zones[at];
        if (ulid_cmp(id, &z->min) < 0)
                z->min = *id;
        if (ulid_cmp(id, &z->max) > 0)
                z->max = *id;
        return 0;
}

void store_zone_add(Store *s, int64_t seq, const Ulid *id) {
        if (s->zones_loaded && zone_note(s, seq, id) < 0)
                zones_drop(s);  /* read again when they are needed */
}

static int row_zone(void *userdata, const StoreRow *row) {
        Store *s = userdata;
        size_t len;
        const char *id = s->driver->row_text(row, 1, &len);
        Ulid ulid;
        if (!id || len != sizeof ulid.b)
                return 0;       /* a row that cannot be read: no list has a place for it */
        memcpy(ulid.b, id, sizeof ulid.b);
        return zone_note(s, s->driver->row_int(row, 0), &ulid);
}

int store_zones_load(Store *s) {
        if (s->zones_loaded)
                return 0;
        SeqList first = { .driver = s->driver };
        int r = store_read(s, Q_WALK_SEQ, VALUES(v_int(INT64_MIN), v_int(1), v_int(0)), store_row_seq, &first);
        s->first_zone = first.n > 0 ? zone_of(first.seqs[0]) : zone_of(s->seq);
        seq_list_free(&first);
        if (r >= 0)
                r = store_read(s, Q_WALK_ZONES, NO_VALUES, row_zone, s);
        if (r < 0)
                zones_drop(s);
        else
                s->zones_loaded = true;
        return r;
}

bool store_zones_next(Store *s, const Ulid *start, int64_t *after, int64_t *ret_before) {
        int64_t from = *after < s->first_zone * ZONE_SEQS ? 0 : zone_of(*after + 1) - s->first_zone;
        size_t i = (size_t) from;
        while (i < s->n_zones && ulid_cmp(&s->zones[i].max, start) < 0)
                i++;
        if (i >= s->n_zones)
                return false;
        size_t end = i + 1;
        while (end < s->n_zones && ulid_cmp(&s->zones[end].max, start) >= 0)
                end++;
        *after = MAX(*after, (s->first_zone + (int64_t) i) * ZONE_SEQS - 1);
        *ret_before = (s->first_zone + (int64_t) end) * ZONE_SEQS;
        return true;
}
