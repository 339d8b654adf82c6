/* store-private.h: the store's inside, shared by the files of this group alone.
 *
 * Beside the database the store holds in memory: the lanes with their counts (few), a zone per 4096 tasks once a list by id was asked for
 * (32 bytes), and nothing per task. */
#pragma once

#include "base/map.h"
#include "store/store-driver.h"
#include "store/store.h"

#define LARGE_PARAMETERS 1024   /* bytes from which parameters do not stand in their task's row */

/* A queue, name and version that tasks share. Its counts include what is staged. */
typedef struct Lane {
        int64_t lane;
        char *queue, *name;
        uint32_t version;
        bool written;                           /* its row is staged or durable */
        int64_t counts[_TASK_STATUS_MAX];
        size_t key_len;
        char key[];
} Lane;

/* One change that a rollback has to take back: a count, or a lane's row (status < 0). */
typedef struct Undo {
        Lane *lane;
        int8_t status, delta;
} Undo;

/* The small files beside the database (store-files.c). */
typedef struct StoreFiles {
        char *directory;
        int lock_fd;
        bool ballast, ballast_wanted;           /* is there; should be there */
        usec_t ballast_tried;                   /* boot time of the last attempt to make it */
} StoreFiles;

/* The lowest and highest id of the tasks with seqs [i * ZONE_SEQS, (i + 1) * ZONE_SEQS): never narrower than the truth. */
#define ZONE_SEQS 4096
typedef struct Zone {
        Ulid min, max;
} Zone;

/* New tasks that wait for their statement (store-add.c). */
#define ADDED_MAX 16            /* the rows of TASK_ADD_SEVERAL; more gain little */
#define TASK_VALUES 22          /* a row's */
typedef struct Added {
        unsigned n;
        StoreValue values[1 + ADDED_MAX * TASK_VALUES]; /* how many rows; the rows, which point to: */
        Ulid ids[ADDED_MAX];
        char parameters[ADDED_MAX][LARGE_PARAMETERS];
} Added;

typedef struct SeqList {
        const StoreDriver *driver;
        int64_t *seqs;
        size_t n, cap;
} SeqList;

struct Store {
        const StoreDriver *driver;
        StoreDb *db;
        StoreFiles files;
        bool restored;
        StoreCopy *copy;                        /* the backup that is being made */

        bool staged;                            /* a transaction is open, or was and is lost: see failed */
        size_t writes;
        int failed;                             /* the open transaction is lost: why */
        Added added;                            /* staged as well */
        bool broken;                            /* the outcome of a commit is unknown */
        usec_t last_commit_usec;

        /* Numbers that are never given twice: the next one, and the bound in meta that the next start begins at. */
        int64_t seq, position;
        int64_t seq_bound, position_bound;

        Map *lane_map;
        Lane **lanes;                           /* by number, NULL for holes */
        size_t n_lanes;
        int64_t totals[_TASK_STATUS_MAX];       /* the counts of all lanes */
        Undo *undo;
        size_t n_undo, cap_undo;

        Zone *zones;
        int64_t first_zone;                     /* the number of zones[0] */
        size_t n_zones;
        bool zones_loaded;

        uint64_t definition_hash[64];           /* definitions known to be there, by the low bits of their hash; 0 for none */
};

/* ── store.c ── */
/* Runs a read. */
int store_read(Store *s, StoreQuery query, const StoreValue *values, size_t n, store_row_fn row, void *userdata);
/* Runs a write in the turn's transaction, which it opens where there is none. ret_changes may be NULL. */
int store_write(Store *s, StoreQuery query, const StoreValue *values, size_t n, int64_t *ret_changes);
/* Opens the turn's transaction where there is none. */
int store_batch_begin(Store *s);
/* Has the new tasks that wait written. If that fails, the transaction is lost: they are known as staged already. */
int store_flush(Store *s);
/* Verbs of several statements stand between these two: all or nothing. end returns r, or why it could not be kept. */
int store_verb_begin(Store *s);
int store_verb_end(Store *s, int r);
int store_meta_get_text(Store *s, const char *name, char *buf, size_t size);   /* "" where it is not there */
int store_meta_get_int(Store *s, const char *name, int64_t *ret);       /* 0 where it is not there */

/* ── store-add.c ── */
int store_added_write(Store *s);                                /* all that wait, of which there is one; a driver's error */

/* ── store-copy.c ── */
void store_copy_commit(Store *s);                               /* after a commit: a busy database is copied too */

/* ── migrate.c ── */
int store_migrate(const StoreDriver *driver, StoreDb *db, const char *path, int version, char **ret_sentence);
int store_schema_version(void);

/* ── store-files.c ── */
/* Takes PATH.lock. -EBUSY with a sentence that names the holder's pid. */
int store_files_lock(StoreFiles *f, const char *path, char **ret_sentence);
void store_files_done(StoreFiles *f);
int store_files_epoch_get(StoreFiles *f, int64_t *ret);         /* 0 where there is none */
int store_files_epoch_put(StoreFiles *f, int64_t epoch);
void store_files_ballast_make(StoreFiles *f, usec_t not_again_within);
void store_files_ballast_drop(StoreFiles *f);

/* ── store-lane.c ── */
int store_lanes_load(Store *s);                                 /* once, at open; lanes without a task are removed */
void store_lanes_free(Store *s);
Lane *store_lane_find(Store *s, const char *queue, const char *name, uint32_t version);         /* NULL: no task was ever there */
/* The same, made (and its row staged) where it is not there. */
int store_lane_get(Store *s, const char *queue, const char *name, uint32_t version, Lane **ret);
Lane *store_lane_at(Store *s, int64_t lane);                    /* NULL: not known */
int store_undo_reserve(Store *s, size_t n);                     /* so that the next n notes cannot fail; -ENOMEM */
void store_lane_count(Store *s, Lane *lane, TaskStatus status, int delta);
void store_undo_all(Store *s);
void store_undo_forget(Store *s);

/* ── store-zone.c ── */
int store_zones_load(Store *s);                                 /* once; nothing to do afterwards */
void store_zone_add(Store *s, int64_t seq, const Ulid *id);
/* The next run of zones that may hold ids >= start: seqs in (*after, *before), *after being moved ahead. False: none. */
bool store_zones_next(Store *s, const Ulid *start, int64_t *after, int64_t *ret_before);

/* ── store-list.c ── */
/* What a list reads from: the rows of one lane and status, ascending by seq. */
typedef struct Stream {
        Lane *lane;
        TaskStatus status;
} Stream;

typedef struct StreamSet {
        Stream *streams;
        size_t n;
        int64_t total;                                          /* of their counts */
        bool all;                                               /* the filter lets every task through */
        bool dead;
} StreamSet;

/* ── store-list-id.c ── */
/* Adds the seqs of the tasks in `set` with ids >= low to `out`, by id: `limit` of them after `offset`. */
int store_list_by_id(Store *s, const StreamSet *set, const Ulid *low, uint64_t offset, unsigned limit, SeqList *out);

/* ── store-task.c ── */
int seq_list_add(SeqList *l, int64_t seq);
void seq_list_free(SeqList *l);
#define _cleanup_seq_list_ _cleanup_(seq_list_free)
int store_row_seq(void *userdata, const StoreRow *row);         /* store_row_fn: column 0 into a SeqList */
/* Reads each and hands it on; no statement is open meanwhile, so fn may use the store as it likes. Rows gone meanwhile are skipped;
 * those that cannot be read are skipped as well (with `say` the log tells), and their number is returned. */
int store_task_each(Store *s, const SeqList *l, bool with_parameters, bool say, store_task_fn fn, void *userdata);
