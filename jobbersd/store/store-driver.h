/* store-driver.h: what the store needs of a database, private to the store group. SQLite is the one driver there is; PostgreSQL is to be
 * a second one. A driver runs the statements of sql/queries.def by name, knows transactions, and speaks -errno; it knows no task.
 *
 * What a driver shared by several hosts must add: the store keeps counts per lane in memory, which holds only while one process
 * writes (StoreDriver.exclusive); a shared driver answers them by query.
 *
 * Errors of all verbs: -ENOSPC no space, -EIO, -EROFS, -ENOMEM, -EBADMSG damaged, -EEXIST a unique key is there already, -EBUSY another
 * program has the database, -EINVAL other broken constraints. */
#pragma once

#include "base/macro.h"

typedef enum StoreQuery {
#define QUERY(name, sql) Q_##name,
#include "sql/queries.def"
#undef QUERY
        _STORE_QUERY_MAX,
} StoreQuery;

typedef enum StoreValueType { STORE_NULL, STORE_INT, STORE_TEXT, STORE_BLOB } StoreValueType;

/* A value to bind. Text and blobs are borrowed until run returns. */
typedef struct StoreValue {
        StoreValueType type;
        union {
                int64_t i;
                size_t len;
        };
        const void *data;
} StoreValue;

static inline StoreValue v_int(int64_t i) {
        return (StoreValue) { .type = STORE_INT, .i = i };
}
static inline StoreValue v_text(const char *s) {        /* NULL is NULL */
        return s ? (StoreValue) { .type = STORE_TEXT, .len = strlen(s), .data = s } : (StoreValue) { .type = STORE_NULL };
}
static inline StoreValue v_blob(const void *data, size_t len) {
        return (StoreValue) { .type = STORE_BLOB, .len = len, .data = data };
}
/* "these values, so many of them": the two arguments of run. */
#define VALUES(...) ((const StoreValue[]) { __VA_ARGS__ }), ARRAY_SIZE(((StoreValue[]) { __VA_ARGS__ }))
#define NO_VALUES NULL, 0

typedef struct StoreDb StoreDb;         /* an open database, the driver's */
typedef struct StoreDbCopy StoreDbCopy; /* a copy of one, being made */
typedef struct StoreRow StoreRow;       /* the row at hand, valid inside the callback */

/* Called per row; < 0 ends the statement and becomes the result of run, > 0 ends it and run returns 0. */
typedef int (*store_row_fn)(void *userdata, const StoreRow *row);

typedef struct StoreDriver {
        const char *name;
        bool exclusive;                 /* no other process can write while this one has it open */

        /* Connects. Takes no lock of its own beyond the database's. *ret_sentence (caller frees) says what failed. */
        int (*open)(StoreDb **ret, const char *path, char **ret_sentence);
        void (*close)(StoreDb *db);
        /* The schema's version: 0 for an empty database, -EBADMSG for somebody else's. */
        int (*version)(StoreDb *db, int *ret);
        /* Runs a script and sets the version, all or nothing. */
        int (*migrate)(StoreDb *db, const char *script, int version);
        /* Looks for damage; `thorough` false allows it to skip what takes long. *ret_sentence says what was found. */
        int (*check)(StoreDb *db, bool thorough, char **ret_sentence);
        const char *(*engine_version)(void);

        int (*begin)(StoreDb *db);
        /* 0: durable. -ENOSPC: rolled back. Anything else: unknown. */
        int (*commit)(StoreDb *db);
        void (*rollback)(StoreDb *db);
        bool (*in_transaction)(StoreDb *db);    /* false after begin: the database gave the transaction up by itself */
        /* Runs one statement to its end. row may be NULL; *ret_changes (may be NULL) is how many rows a write changed. No statement may
         * be run again from within its own row callback. */
        int (*run)(StoreDb *db, StoreQuery query, const StoreValue *values, size_t n_values, store_row_fn row, void *userdata,
                   int64_t *ret_changes);

        /* A copy into the file `path`, which is not there yet, so many pages a step; outside of transactions. What is written between the steps
         * reaches it as well. step: 1 not complete, 0 complete. close: 0 when a complete copy is durable. */
        int (*copy_open)(StoreDbCopy **ret, StoreDb *db, const char *path);
        int (*copy_step)(StoreDbCopy *copy, int pages);
        int (*copy_close)(StoreDbCopy *copy);

        int64_t (*row_int)(const StoreRow *row, int column);
        const char *(*row_text)(const StoreRow *row, int column, size_t *ret_len);      /* NULL for NULL; also blobs; len may be NULL */
} StoreDriver;

extern const StoreDriver store_driver_sqlite;
