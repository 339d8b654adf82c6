/* store-attempt.c: attempts of tasks, and the definitions they started with. */
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "store/store-private.h"

int store_attempt_add(Store *s, const Attempt *a) {
        return store_write(s, Q_ATTEMPT_ADD,
                           VALUES(v_int(a->task_seq), v_int(a->attempt), v_int(a->retry_attempt), v_text(a->evidence),
                                  v_int((int64_t) a->definition_hash), v_text(a->scope), v_int((int64_t) a->started_at),
                                  v_int((int64_t) a->ended_at), v_int(a->end_reason), v_int(a->exit_status), v_int(a->term_signal),
                                  v_int(a->outcome), v_text(a->error), v_text(a->error_type), v_int(a->cpu_usec), v_int(a->memory_peak),
                                  v_int(a->io_read), v_int(a->io_write), v_int(a->oom_kills), v_int(a->pids_peak)),
                           NULL);
}

int store_attempt_end(Store *s, const Attempt *a) {
        int64_t changes;
        int r = store_write(s, Q_ATTEMPT_END,
                            VALUES(v_int(a->task_seq), v_int(a->attempt), v_int((int64_t) a->started_at), v_int((int64_t) a->ended_at),
                                   v_int(a->end_reason), v_int(a->exit_status), v_int(a->term_signal), v_int(a->outcome), v_text(a->error),
                                   v_text(a->error_type), v_int(a->cpu_usec), v_int(a->memory_peak), v_int(a->io_read), v_int(a->io_write),
                                   v_int(a->oom_kills), v_int(a->pids_peak)),
                            &changes);
        return r < 0 ? r : changes == 0 ? -ENOENT : 0;
}

int store_attempt_remove(Store *s, int64_t task_seq, unsigned attempt) {
        return store_write(s, Q_ATTEMPT_REMOVE, VALUES(v_int(task_seq), v_int(attempt)), NULL);
}

/* ── reading ── */
typedef struct AttemptList {
        const StoreDriver *driver;
        int64_t task_seq;
        Attempt *attempts;
        size_t n, cap;
} AttemptList;

static void attempt_list_done(AttemptList *l) {
        for (size_t i = 0; i < l->n; i++)
                attempt_done(&l->attempts[i]);
        free(l->attempts);
}

static int take_text(const StoreDriver *d, const StoreRow *row, int column, char **ret) {
        const char *s = d->row_text(row, column, NULL);
        *ret = s ? strdup(s) : NULL;
        return s && !*ret ? -ENOMEM : 0;
}

static int row_attempt(void *userdata, const StoreRow *row) {
        AttemptList *l = userdata;
        const StoreDriver *d = l->driver;
        if (l->n == l->cap) {
                size_t cap = MAX(l->cap * 2, (size_t) 4);
                Attempt *attempts = reallocarray(l->attempts, cap, sizeof *attempts);
                if (!attempts)
                        return -ENOMEM;
                l->attempts = attempts;
                l->cap = cap;
        }
        const char *evidence = d->row_text(row, 2, NULL), *scope = d->row_text(row, 4, NULL);
        int64_t reason = d->row_int(row, 7), outcome = d->row_int(row, 10);
        if (!evidence || !scope || reason < 0 || reason >= _END_REASON_MAX || outcome < 0 || outcome >= _TASK_STATUS_MAX) {
                log_error("attempt %lld of task row %lld cannot be read from the database; skipped", (long long) d->row_int(row, 0),
                          (long long) l->task_seq);
                return 0;
        }
        Attempt *a = &l->attempts[l->n++];
        *a = (Attempt) {
                .task_seq = l->task_seq,
                .attempt = (unsigned) d->row_int(row, 0),
                .retry_attempt = (unsigned) d->row_int(row, 1),
                .definition_hash = (uint64_t) d->row_int(row, 3),
                .started_at = (usec_t) d->row_int(row, 5),
                .ended_at = (usec_t) d->row_int(row, 6),
                .end_reason = (EndReason) reason,
                .exit_status = (int) d->row_int(row, 8),
                .term_signal = (int) d->row_int(row, 9),
                .outcome = (TaskStatus) outcome,
                .cpu_usec = d->row_int(row, 13),
                .memory_peak = d->row_int(row, 14),
                .io_read = d->row_int(row, 15),
                .io_write = d->row_int(row, 16),
                .oom_kills = d->row_int(row, 17),
                .pids_peak = d->row_int(row, 18),
        };
        snprintf(a->evidence, sizeof a->evidence, "%s", evidence);
        snprintf(a->scope, sizeof a->scope, "%s", scope);
        int r = take_text(d, row, 11, &a->error);
        return r < 0 ? r : take_text(d, row, 12, &a->error_type);
}

int store_attempt_list(Store *s, int64_t task_seq, store_attempt_fn fn, void *userdata) {
        _cleanup_(attempt_list_done) AttemptList l = { .driver = s->driver, .task_seq = task_seq };
        int r = store_read(s, Q_ATTEMPT_LIST, VALUES(v_int(task_seq)), row_attempt, &l);
        for (size_t i = 0; r >= 0 && i < l.n; i++)
                r = fn(userdata, &l.attempts[i]);
        return r < 0 ? r : 0;
}

/* ── definitions ── */
int store_definition_put(Store *s, uint64_t hash, const char *text) {
        uint64_t *known = &s->definition_hash[hash % ARRAY_SIZE(s->definition_hash)];
        if (hash != 0 && *known == hash)
                return 0;
        int r = store_write(s, Q_DEFINITION_PUT, VALUES(v_int((int64_t) hash), v_text(text)), NULL);
        if (r >= 0)
                *known = hash;
        return r;
}

typedef struct DefinitionText {
        const StoreDriver *driver;
        char *text;
} DefinitionText;

static int row_definition(void *userdata, const StoreRow *row) {
        DefinitionText *t = userdata;
        return take_text(t->driver, row, 0, &t->text);
}

int store_definition_get(Store *s, uint64_t hash, char **ret_text) {
        DefinitionText t = { .driver = s->driver };
        int r = store_read(s, Q_DEFINITION_GET, VALUES(v_int((int64_t) hash)), row_definition, &t);
        if (r < 0)
                return r;
        if (!t.text)
                return -ENOENT;
        *ret_text = t.text;
        return 0;
}
