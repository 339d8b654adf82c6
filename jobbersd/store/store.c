/* store.c: opening and closing, and the batch: everything a turn writes is one transaction, begun by the first write.
 *
 * meta holds: `epoch`, counted up at every open and mirrored in a file, so that a database put back from a backup is noticed; `clean`, the
 * database engine's version where the last close was an orderly one; `seq` and `position`, bounds below which every number was or may
 * have been given, moved ahead in large steps so that the counters cost no write of their own. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "store/store-private.h"

#define NUMBERS_STEP 100000
#define BALLAST_RETRY_COMMIT (60 * USEC_PER_SEC)

/* What a full disk has for consequences, once: the ballast goes, so that what runs can be recorded. */
static int note_error(Store *s, int r) {
        if (r == -ENOSPC)
                store_files_ballast_drop(&s->files);
        if (r < 0 && s->staged && s->failed == 0 && !s->driver->in_transaction(s->db)) {
                s->failed = r;
                store_undo_all(s);
        }
        return r;
}

int store_flush(Store *s) {
        int r = s->added.n > 0 ? note_error(s, store_added_write(s)) : 0;
        if (r < 0 && s->failed == 0) {
                s->failed = r;
                store_undo_all(s);
        }
        return r;
}

int store_read(Store *s, StoreQuery query, const StoreValue *values, size_t n, store_row_fn row, void *userdata) {
        int r = store_flush(s);
        if (r < 0)
                return r;
        r = s->driver->run(s->db, query, values, n, row, userdata, NULL);
        return r < 0 ? note_error(s, r) : 0;
}

int store_batch_begin(Store *s) {
        if (s->broken)
                return -EIO;
        if (s->failed < 0)
                return s->failed;
        if (s->staged)
                return 0;
        int r = s->driver->begin(s->db);
        if (r < 0)
                return note_error(s, r);
        s->staged = true;
        return 0;
}

static int write_begin(Store *s) {
        int r = store_batch_begin(s);
        return r < 0 ? r : store_flush(s);
}

int store_write(Store *s, StoreQuery query, const StoreValue *values, size_t n, int64_t *ret_changes) {
        int r = write_begin(s);
        if (r < 0)
                return r;
        r = s->driver->run(s->db, query, values, n, NULL, NULL, ret_changes);
        if (r < 0)
                return note_error(s, r);
        s->writes++;
        return 0;
}

int store_verb_begin(Store *s) {
        int r = write_begin(s);
        if (r < 0)
                return r;
        return note_error(s, s->driver->run(s->db, Q_SAVEPOINT, NO_VALUES, NULL, NULL, NULL));
}

int store_verb_end(Store *s, int r) {
        if (s->failed < 0)
                return r < 0 ? r : s->failed;
        if (r < 0)
                (void) note_error(s, s->driver->run(s->db, Q_SAVEPOINT_ROLLBACK, NO_VALUES, NULL, NULL, NULL));
        int r2 = s->failed < 0 ? 0 : note_error(s, s->driver->run(s->db, Q_SAVEPOINT_RELEASE, NO_VALUES, NULL, NULL, NULL));
        return r < 0 ? r : r2;
}

bool store_staged(const Store *s) {
        return s->staged;
}

size_t store_staged_writes(const Store *s) {
        return s->writes;
}

usec_t store_last_commit_usec(const Store *s) {
        return s->last_commit_usec;
}

static void batch_end(Store *s) {
        s->staged = false;
        s->added.n = 0;
        s->writes = 0;
        s->failed = 0;
}

/* The bound of a counter in meta, where the counter has passed it. */
static int write_bound(Store *s, const char *name, int64_t next, int64_t bound, int64_t *ret_bound) {
        *ret_bound = bound;
        if (next <= bound)
                return 0;
        *ret_bound = next + NUMBERS_STEP;
        return store_write(s, Q_META_PUT, VALUES(v_text(name), v_int(*ret_bound)), NULL);
}

int store_commit(Store *s) {
        if (s->broken)
                return -EIO;
        if (!s->staged)
                return 0;

        int64_t seq_bound = 0, position_bound = 0;
        int r = s->failed;
        if (r == 0)
                r = write_bound(s, "seq", s->seq, s->seq_bound, &seq_bound);
        if (r == 0)
                r = write_bound(s, "position", s->position, s->position_bound, &position_bound);
        if (r == 0)
                r = store_flush(s);
        if (r < 0) {
                store_rollback(s);
                return r;
        }

        usec_t before = clock_boot();
        r = s->driver->commit(s->db);
        s->last_commit_usec = clock_boot() - before;
        if (r < 0) {
                if (r != -ENOSPC) {
                        s->broken = true;
                        log_error_errno(r, "the commit failed; it is not known whether the last changes reached the disk");
                        r = -EIO;
                }
                (void) note_error(s, r);
                store_rollback(s);
                return r;
        }
        s->seq_bound = seq_bound;
        s->position_bound = position_bound;
        store_undo_forget(s);
        batch_end(s);
        store_copy_commit(s);
        if (!s->files.ballast)
                store_files_ballast_make(&s->files, BALLAST_RETRY_COMMIT);
        return 0;
}

void store_rollback(Store *s) {
        if (!s->staged)
                return;
        s->driver->rollback(s->db);
        store_undo_all(s);
        /* A definition staged in this transaction is not there any more. */
        memset(s->definition_hash, 0, sizeof s->definition_hash);
        batch_end(s);
}

int64_t store_next_position(Store *s) {
        return s->position++;
}

bool store_restored(const Store *s) {
        return s->restored;
}

/* ── meta ── */
typedef struct Meta {
        const StoreDriver *driver;
        int64_t number;
        char text[64];
} Meta;

static int row_meta(void *userdata, const StoreRow *row) {
        Meta *m = userdata;
        m->number = m->driver->row_int(row, 0);
        const char *text = m->driver->row_text(row, 0, NULL);
        snprintf(m->text, sizeof m->text, "%s", text ? text : "");
        return 0;
}

static int meta_get(Store *s, const char *name, Meta *ret) {
        *ret = (Meta) { .driver = s->driver };
        return store_read(s, Q_META_GET, VALUES(v_text(name)), row_meta, ret);
}

int store_meta_get_int(Store *s, const char *name, int64_t *ret) {
        Meta m;
        int r = meta_get(s, name, &m);
        if (r >= 0)
                *ret = m.number;
        return r;
}

int store_meta_get_text(Store *s, const char *name, char *buf, size_t size) {
        Meta m;
        int r = meta_get(s, name, &m);
        if (r >= 0)
                snprintf(buf, size, "%s", m.text);
        return r;
}

/* ── opening ── */
static char *sentence_errno(const char *path, const char *what, int r) {
        return str_new("Cannot %s the database %s: %s.", what, path, strerror(-r));
}

static int open_counters(Store *s) {
        int64_t max = 0;
        Meta m = { .driver = s->driver };
        int r = store_read(s, Q_TASK_MAX_SEQ, NO_VALUES, row_meta, &m);
        if (r < 0)
                return r;
        max = m.number + 1;
        r = store_meta_get_int(s, "seq", &s->seq_bound);
        if (r >= 0)
                r = store_meta_get_int(s, "position", &s->position_bound);
        if (r < 0)
                return r;
        s->seq = MAX(s->seq_bound, max);
        s->position = MAX(s->position_bound, 1);
        return 0;
}

/* Counts the epoch up and takes the mark of an orderly close away, in one commit. A full disk must not keep the daemon from starting. */
static int open_epoch(Store *s, bool fresh) {
        int64_t epoch, file = 0;
        int r = store_meta_get_int(s, "epoch", &epoch);
        if (r < 0)
                return r;
        if (!fresh) {
                r = store_files_epoch_get(&s->files, &file);
                if (r < 0)
                        log_warning_errno(r, "cannot read %s/epoch", s->files.directory);
        }
        /* Stays so over restarts until the operator accepts it. */
        s->restored = file > epoch;
        for (int attempt = 0; attempt < 2; attempt++) {
                r = store_write(s, Q_META_PUT, VALUES(v_text("clean"), v_text("")), NULL);
                if (r >= 0 && !s->restored)
                        r = store_write(s, Q_META_PUT, VALUES(v_text("epoch"), v_int(epoch + 1)), NULL);
                if (r >= 0)
                        r = store_commit(s);
                if (r != -ENOSPC)
                        break;
                store_rollback(s);      /* the ballast is gone now: once more */
        }
        if (r == -ENOSPC) {
                log_warning("the disk of %s is full", s->files.directory);
                return 0;
        }
        if (r < 0 || s->restored)
                return r;
        r = store_files_epoch_put(&s->files, epoch + 1);
        if (r < 0)
                log_warning_errno(r, "cannot write %s/epoch", s->files.directory);
        return 0;
}

int store_restored_accept(Store *s) {
        int64_t epoch, file = 0;
        int r = store_meta_get_int(s, "epoch", &epoch);
        if (r >= 0)
                r = store_files_epoch_get(&s->files, &file);
        if (r < 0)
                return r;
        if (s->staged)
                return -EBUSY;
        r = store_write(s, Q_META_PUT, VALUES(v_text("epoch"), v_int(MAX(epoch, file) + 1)), NULL);
        if (r >= 0)
                r = store_commit(s);
        else
                store_rollback(s);
        if (r < 0)
                return r;
        s->restored = false;
        return store_files_epoch_put(&s->files, MAX(epoch, file) + 1);
}

static void store_close_p(Store **s) {
        store_close(*s);
}

/* The close without the mark of an orderly one: what was wrong may stay wrong. */
static void store_abandon(Store *s) {
        if (s->db)
                s->driver->close(s->db);
        s->db = NULL;
}

int store_open(Store **ret, const char *path, char **ret_sentence) {
        *ret_sentence = NULL;
        _cleanup_(store_close_p) Store *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        s->driver = &store_driver_sqlite;
        s->files.lock_fd = -1;

        int r = store_files_lock(&s->files, path, ret_sentence);
        if (r < 0)
                return r;
        r = s->driver->open(&s->db, path, ret_sentence);
        if (r < 0)
                return r;

        int version;
        r = s->driver->version(s->db, &version);
        if (r == -EBADMSG)
                *ret_sentence = str_new("The database %s is damaged or was not made by jobbers. Move it away or restore a backup.", path);
        else if (r < 0)
                *ret_sentence = sentence_errno(path, "read", r);
        else if (version > store_schema_version()) {
                r = -ENOTSUP;
                *ret_sentence = str_new("The database %s was made by a newer jobbers (schema %d, this one knows %d). Install that version again.",
                                        path, version, store_schema_version());
        }
        if (r < 0) {
                store_abandon(s);
                return r;
        }

        bool fresh = version == 0;
        if (!fresh) {
                Meta clean;
                r = meta_get(s, "clean", &clean);
                _cleanup_free_ char *found = NULL;
                if (r >= 0)
                        r = s->driver->check(s->db, !STREQ(clean.text, s->driver->engine_version()) || version != store_schema_version(),
                                             &found);
                if (r < 0) {
                        *ret_sentence = r == -EBADMSG ? str_new("The database %s is damaged (%s). Move it away, or restore a backup: see \"Backup "
                                                                "and restore\" in OPERATIONS.md.", path, found ? found : "unreadable") :
                                                        sentence_errno(path, "check", r);
                        store_abandon(s);
                        return r;
                }
        }
        r = store_migrate(s->driver, s->db, path, version, ret_sentence);
        if (r >= 0) {
                store_files_ballast_make(&s->files, 0);
                r = open_counters(s);
        }
        if (r >= 0)
                r = open_epoch(s, fresh);
        if (r >= 0)
                r = store_lanes_load(s);
        if (r < 0) {
                if (!*ret_sentence)
                        *ret_sentence = sentence_errno(path, "open", r);
                store_abandon(s);
                return r;
        }
        if (s->restored)
                log_warning("the database %s is older than this directory's epoch file: it was restored from a backup", path);
        *ret = TAKE_PTR(s);
        return 0;
}

/* The mark of an orderly close; and exact bounds, so that numbers do not leap at every start. */
static void close_mark(Store *s) {
        int r = 0;
        if (s->broken)
                return;
        if (s->seq != s->seq_bound)
                r = store_write(s, Q_META_PUT, VALUES(v_text("seq"), v_int(s->seq)), NULL);
        if (r >= 0 && s->position != s->position_bound)
                r = store_write(s, Q_META_PUT, VALUES(v_text("position"), v_int(s->position)), NULL);
        if (r >= 0)
                r = store_write(s, Q_META_PUT, VALUES(v_text("clean"), v_text(s->driver->engine_version())), NULL);
        if (r >= 0)
                r = s->driver->commit(s->db);
        if (r < 0)
                s->driver->rollback(s->db);
        batch_end(s);
}

void store_close(Store *s) {
        if (!s)
                return;
        if (s->db) {
                store_rollback(s);
                close_mark(s);
                s->driver->close(s->db);
        }
        store_lanes_free(s);
        free(s->zones);
        store_files_done(&s->files);
        free(s);
}
