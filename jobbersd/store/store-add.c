/* store-add.c: new tasks. To begin a statement costs SQLite more than to add a row with it, so rows wait until there are ADDED_MAX of them, or until
 * anything else is asked of the database, and go into it with one statement. Nobody sees that: what is read or committed comes after them. */
#include "store/store-private.h"

int store_added_write(Store *s) {
        Added *a = &s->added;
        unsigned n = a->n;
        a->n = 0;
        if (n == 1)
                return s->driver->run(s->db, Q_TASK_ADD, a->values + 1, TASK_VALUES, NULL, NULL, NULL);
        a->values[0] = v_int(n);
        return s->driver->run(s->db, Q_TASK_ADD_SEVERAL, a->values, 1 + n * TASK_VALUES, NULL, NULL, NULL);
}

/* As TASK_COLUMNS and the parameters. */
static void values_fill(StoreValue ret[static TASK_VALUES], const Task *t, int64_t seq, const Lane *lane, StoreValue parameters) {
        const StoreValue values[] = {
                v_int(seq), v_blob(t->id.b, sizeof t->id.b), v_int(lane->lane), v_int(-(int64_t) t->priority), v_int(t->position), v_int(t->status),
                v_int(t->retry_attempt), v_int(t->attempts), v_int(t->stop_reason), v_int((int64_t) t->submitted_at),
                v_int((int64_t) t->started_at), v_int((int64_t) t->retried_at), v_int((int64_t) t->heartbeat_at), v_int((int64_t) t->completed_at),
                v_int((int64_t) t->scheduled_at), v_int((int64_t) t->run_at), v_int((int64_t) t->dead_at), v_int(t->progress),
                v_text(t->status_text), v_text(t->last_error), v_text(t->results), parameters,
        };
        _Static_assert(ARRAY_SIZE(values) == TASK_VALUES, "all columns");
        memcpy(ret, values, sizeof values);
}

/* Behind those that wait already, with copies of what it points to. */
static int row_wait(Store *s, const Task *t, int64_t seq, const Lane *lane, const char *parameters, size_t len) {
        Added *a = &s->added;
        int r = store_batch_begin(s);
        if (r >= 0 && a->n == ADDED_MAX)
                r = store_flush(s);
        if (r < 0)
                return r;
        StoreValue *values = a->values + 1 + a->n * TASK_VALUES;
        StoreValue text = { .type = STORE_TEXT, .len = len, .data = memcpy(a->parameters[a->n], parameters, len) };
        values_fill(values, t, seq, lane, text);
        values[1].data = memcpy(a->ids[a->n].b, t->id.b, sizeof t->id.b);
        a->n++;
        s->writes++;
        return 0;
}

static int row_add(Store *s, const Task *t, int64_t seq, const Lane *lane, const char *parameters, bool large) {
        StoreValue values[TASK_VALUES];
        values_fill(values, t, seq, lane, v_text(large ? NULL : parameters));
        int r = large ? store_verb_begin(s) : 0;
        if (r < 0)
                return r;
        r = store_write(s, Q_TASK_ADD, values, TASK_VALUES, NULL);
        if (!large)
                return r;
        if (r >= 0)
                r = store_write(s, Q_TASK_ADD_LARGE, VALUES(v_int(seq), v_text(parameters)), NULL);
        return store_verb_end(s, r);
}

int store_task_add(Store *s, Task *t) {
        if (t->status <= TASK_UNSUBMITTED || t->status >= _TASK_STATUS_MAX)
                return -EINVAL;

        Lane *lane;
        int r = store_lane_get(s, t->queue, t->name, t->version, &lane);
        if (r >= 0)
                r = store_undo_reserve(s, 1);
        if (r < 0)
                return r;

        const char *parameters = t->parameters ? t->parameters : "{}";
        size_t len = strlen(parameters);
        int64_t seq = s->seq;
        bool large = len >= LARGE_PARAMETERS;
        r = large || t->status_text || t->last_error || t->results ? row_add(s, t, seq, lane, parameters, large)
                                                                   : row_wait(s, t, seq, lane, parameters, len);
        if (r < 0)
                return r;
        s->seq++;
        t->seq = seq;
        store_lane_count(s, lane, t->status, 1);
        store_zone_add(s, seq, &t->id);
        return 0;
}
