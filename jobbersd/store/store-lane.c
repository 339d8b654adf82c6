/* store-lane.c: lanes in memory, with how many tasks each holds in each state. The counts let every list start from lanes that have
 * something to give, and answer how many there are without looking; they are read once at open and kept by every write. What a rollback
 * would have to take back is noted until the commit. */
#include "base/log.h"
#include "base/str.h"
#include "store/store-private.h"

#define KEY_MAX (2 * (NAME_LEN_MAX + 1) + sizeof(uint32_t))

/* -EINVAL for names that are none. */
static int key_make(char key[static KEY_MAX], const char *queue, const char *name, uint32_t version, size_t *ret_len) {
        size_t q = strlen(queue) + 1, n = strlen(name) + 1;
        if (q > NAME_LEN_MAX + 1 || n > NAME_LEN_MAX + 1)
                return -EINVAL;
        memcpy(key, queue, q);
        memcpy(key + q, name, n);
        memcpy(key + q + n, &version, sizeof version);
        *ret_len = q + n + sizeof version;
        return 0;
}

static int lane_new(Store *s, int64_t number, const char *queue, const char *name, uint32_t version, bool written, Lane **ret) {
        char key[KEY_MAX];
        size_t key_len;
        int r = key_make(key, queue, name, version, &key_len);
        if (r < 0)
                return r;
        if ((size_t) number >= s->n_lanes) {
                size_t n = MAX((size_t) number + 1, s->n_lanes * 2);
                Lane **lanes = reallocarray(s->lanes, n, sizeof *lanes);
                if (!lanes)
                        return -ENOMEM;
                memset(lanes + s->n_lanes, 0, (n - s->n_lanes) * sizeof *lanes);
                s->lanes = lanes;
                s->n_lanes = n;
        }
        Lane *lane = calloc(1, sizeof *lane + key_len);
        if (!lane)
                return -ENOMEM;
        memcpy(lane->key, key, key_len);
        lane->key_len = key_len;
        lane->queue = lane->key;
        lane->name = lane->key + strlen(queue) + 1;
        lane->version = version;
        lane->lane = number;
        lane->written = written;
        r = map_put(s->lane_map, lane->key, key_len, lane);
        if (r < 0) {
                free(lane);
                return r;
        }
        s->lanes[number] = lane;
        *ret = lane;
        return 0;
}

Lane *store_lane_find(Store *s, const char *queue, const char *name, uint32_t version) {
        char key[KEY_MAX];
        size_t len;
        return key_make(key, queue, name, version, &len) < 0 ? NULL : map_get(s->lane_map, key, len);
}

Lane *store_lane_at(Store *s, int64_t lane) {
        return lane >= 0 && (size_t) lane < s->n_lanes ? s->lanes[lane] : NULL;
}

int store_lane_get(Store *s, const char *queue, const char *name, uint32_t version, Lane **ret) {
        Lane *lane = store_lane_find(s, queue, name, version);
        if (!lane) {
                size_t number = 1;
                while (number < s->n_lanes && s->lanes[number])
                        number++;
                int r = lane_new(s, (int64_t) number, queue, name, version, false, &lane);
                if (r < 0)
                        return r;
        }
        if (!lane->written) {
                int r = store_undo_reserve(s, 1);
                if (r >= 0)
                        r = store_write(s, Q_LANE_ADD, VALUES(v_int(lane->lane), v_text(queue), v_text(name), v_int(version)), NULL);
                if (r < 0)
                        return r;
                lane->written = true;
                s->undo[s->n_undo++] = (Undo) { lane, -1, 0 };
        }
        *ret = lane;
        return 0;
}

/* ── counts ── */
int store_undo_reserve(Store *s, size_t n) {
        if (s->n_undo + n <= s->cap_undo)
                return 0;
        size_t cap = MAX(s->n_undo + n, MAX(s->cap_undo * 2, (size_t) 64));
        Undo *undo = reallocarray(s->undo, cap, sizeof *undo);
        if (!undo)
                return -ENOMEM;
        s->undo = undo;
        s->cap_undo = cap;
        return 0;
}

void store_lane_count(Store *s, Lane *lane, TaskStatus status, int delta) {
        lane->counts[status] += delta;
        s->totals[status] += delta;
        s->undo[s->n_undo++] = (Undo) { lane, (int8_t) status, (int8_t) delta };
}

void store_undo_all(Store *s) {
        while (s->n_undo > 0) {
                Undo *u = &s->undo[--s->n_undo];
                if (u->status < 0)
                        u->lane->written = false;
                else {
                        u->lane->counts[u->status] -= u->delta;
                        s->totals[u->status] -= u->delta;
                }
        }
}

void store_undo_forget(Store *s) {
        s->n_undo = 0;
}

/* ── at open ── */
static int row_lane(void *userdata, const StoreRow *row) {
        Store *s = userdata;
        const StoreDriver *d = s->driver;
        int64_t number = d->row_int(row, 0);
        const char *queue = d->row_text(row, 1, NULL), *name = d->row_text(row, 2, NULL);
        if (number <= 0 || number > INT32_MAX || !queue || !name)
                return -EBADMSG;
        Lane *lane;
        int r = lane_new(s, number, queue, name, (uint32_t) d->row_int(row, 3), true, &lane);
        return r == -EINVAL || r == -EEXIST ? -EBADMSG : r;
}

static int row_count(void *userdata, const StoreRow *row) {
        Store *s = userdata;
        Lane *lane = store_lane_at(s, s->driver->row_int(row, 0));
        int64_t status = s->driver->row_int(row, 1);
        if (!lane || status < 0 || status >= _TASK_STATUS_MAX)
                return -EBADMSG;
        lane->counts[status] = s->driver->row_int(row, 2);
        s->totals[status] += lane->counts[status];
        return 0;
}

static bool lane_empty(const Lane *lane) {
        for (size_t i = 0; i < _TASK_STATUS_MAX; i++)
                if (lane->counts[i] > 0)
                        return false;
        return true;
}

/* Lanes of definitions long gone would only be looked at again and again. A failure is none: they are removed another time. */
static void sweep(Store *s) {
        int r = 0;
        size_t n = 0;
        for (size_t i = 0; r >= 0 && i < s->n_lanes; i++)
                if (s->lanes[i] && lane_empty(s->lanes[i])) {
                        r = store_write(s, Q_LANE_REMOVE, VALUES(v_int(s->lanes[i]->lane)), NULL);
                        n++;
                }
        if (n == 0)
                return;
        if (r >= 0)
                r = store_commit(s);
        if (r < 0) {
                store_rollback(s);
                return;
        }
        for (size_t i = 0; i < s->n_lanes; i++)
                if (s->lanes[i] && lane_empty(s->lanes[i])) {
                        map_remove(s->lane_map, s->lanes[i]->key, s->lanes[i]->key_len);
                        free(s->lanes[i]);
                        s->lanes[i] = NULL;
                }
}

int store_lanes_load(Store *s) {
        s->lane_map = map_new();
        if (!s->lane_map)
                return -ENOMEM;
        int r = store_read(s, Q_LANE_LIST, NO_VALUES, row_lane, s);
        if (r >= 0)
                r = store_read(s, Q_LANE_COUNTS, NO_VALUES, row_count, s);
        if (r >= 0)
                sweep(s);
        return r;
}

void store_lanes_free(Store *s) {
        for (size_t i = 0; i < s->n_lanes; i++)
                free(s->lanes[i]);
        free(s->lanes);
        free(s->undo);
        map_free(s->lane_map);
}

int store_lanes(Store *s, store_lane_fn fn, void *userdata) {
        for (size_t i = 0; i < s->n_lanes; i++) {
                const Lane *lane = s->lanes[i];
                if (!lane || lane->counts[TASK_SUBMITTED] == 0)
                        continue;
                int r = fn(userdata, lane->queue, lane->name, lane->version, lane->counts[TASK_SUBMITTED]);
                if (r < 0)
                        return r;
        }
        return 0;
}
