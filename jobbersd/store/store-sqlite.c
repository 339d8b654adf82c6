/* store-sqlite.c: the SQLite driver. One connection, WAL, synchronous=FULL: a commit is durable when it returns.
 *
 * The file is ours alone (unix-excl and an exclusive lock): the WAL's index then lives on our heap and not in a mapping, which would
 * raise SIGBUS on a full disk, and no transaction costs a lock call. Nothing else in this process may open the database file: closing that
 * descriptor would drop SQLite's locks.
 *
 * Checkpoints are made here, after a commit, and not by SQLite's own hook, which hides their errors: an fsync of the database that failed
 * once may "succeed" the next time without having written anything. Such an error ends the connection's use for writing, and nothing but
 * the next open, which starts by moving the whole WAL into the database, may touch the WAL again. */
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/str.h"
#include "store/store-driver.h"

#define SQLITE_APPLICATION_ID 0x4a4f4242        /* "JOBB" */
#define CHECKPOINT_PAGES 2000                   /* 8 MiB of WAL: a checkpoint then takes some ten milliseconds */
#define CHECKPOINT_PAGES_TIGHT 50               /* after a full disk, for so many commits: the WAL uses what space it has again and again */
#define TIGHT_COMMITS 1000
#define CHECK_ALWAYS_BYTES (64 << 20)           /* up to here a check of every page takes a fraction of a second */

static const char *const query_sql[_STORE_QUERY_MAX] = {
#define QUERY(name, sql) [Q_##name] = sql,
#include "sql/queries.def"
#undef QUERY
};

struct StoreDb {
        sqlite3 *sqlite;
        sqlite3_stmt *statements[_STORE_QUERY_MAX];     /* prepared at first use, kept */
        sqlite3_stmt *begin, *commit, *rollback;
        int wal_pages;                                  /* in the WAL after the last commit */
        unsigned tight;                                 /* commits for which space is dear */
        bool broken;                                    /* a checkpoint's write or sync failed: only reads from now on */
};

static int error_from(StoreDb *db, int rc) {
        switch (rc & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EBADMSG;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_TOOBIG:
                return -E2BIG;
        case SQLITE_PERM:
                return -EACCES;
        case SQLITE_CONSTRAINT:
                return rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_ROWID ? -EEXIST :
                                                                                                                              -EINVAL;
        case SQLITE_CANTOPEN: {
                int e = db && db->sqlite ? sqlite3_system_errno(db->sqlite) : 0;
                return e > 0 ? -e : -EIO;
        }
        case SQLITE_IOERR:
                /* No space can also come as an I/O error where it is not a write that meets it (truncate, fallocate). A failed sync
                 * stays what it is: its outcome is unknown. */
                if (db && db->sqlite && rc != SQLITE_IOERR_FSYNC && rc != SQLITE_IOERR_DIR_FSYNC) {
                        int e = sqlite3_system_errno(db->sqlite);
                        if (e == ENOSPC || e == EDQUOT)
                                return -ENOSPC;
                }
                return rc == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
        default:
                return -EIO;
        }
}

/* Errors that are news to the administrator; the others are answers. */
static int report(StoreDb *db, int rc, const char *what) {
        int r = error_from(db, rc);
        if (r < 0 && r != -EEXIST && r != -ENOSPC)
                log_error("database: %s (%s)", sqlite3_errmsg(db->sqlite), what);
        return r;
}

static int exec(StoreDb *db, const char *sql) {
        return report(db, sqlite3_exec(db->sqlite, sql, NULL, NULL, NULL), sql);
}

/* The first value of the first row as integer. */
static int ask_int(StoreDb *db, const char *sql, int64_t *ret) {
        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &st, NULL);
        if (rc == SQLITE_OK) {
                rc = sqlite3_step(st);
                *ret = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
        }
        int r = error_from(db, rc);
        sqlite3_finalize(st);
        return r;
}

static int on_wal(void *userdata, sqlite3 *sqlite, const char *name, int pages) {
        ((StoreDb *) userdata)->wal_pages = pages;
        return SQLITE_OK;
}

static void db_close(StoreDb *db) {
        if (!db)
                return;
        for (size_t i = 0; i < _STORE_QUERY_MAX; i++)
                sqlite3_finalize(db->statements[i]);
        sqlite3_finalize(db->begin);
        sqlite3_finalize(db->commit);
        sqlite3_finalize(db->rollback);
        sqlite3_close(db->sqlite);
        free(db);
}

static void db_close_p(StoreDb **db) {
        db_close(*db);
}

static int db_open(StoreDb **ret, const char *path, char **ret_sentence) {
        _cleanup_(db_close_p) StoreDb *db = calloc(1, sizeof *db);
        if (!db)
                return -ENOMEM;
        /* One thread uses SQLite: no mutexes, and no statistics on every allocation. Too late once it was used, which is no harm. */
        (void) sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
        (void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);

        /* The WAL takes over the database's mode. */
        mode_t mask = umask(077);
        int rc = sqlite3_open_v2(path, &db->sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                 "unix-excl");
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db->sqlite,
                                  "PRAGMA locking_mode = EXCLUSIVE;"
                                  "PRAGMA journal_mode = WAL;",
                                  NULL, NULL, NULL);
        /* The first read; takes the lock and replays the WAL. */
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db->sqlite,
                                  "PRAGMA synchronous = FULL;"
                                  "PRAGMA cache_size = -8000;"
                                  "PRAGMA mmap_size = 0;"
                                  "PRAGMA temp_store = MEMORY;"
                                  "PRAGMA foreign_keys = OFF;"
                                  "PRAGMA secure_delete = OFF;" /* Debian builds it on; it rewrites what is freed */
                                  "PRAGMA journal_size_limit = 67108864;"
                                  "SELECT count(*) FROM sqlite_schema;",
                                  NULL, NULL, NULL);
        /* Whatever an earlier process left in the WAL reaches the database before anything is appended. A full disk may stay one. */
        if (rc == SQLITE_OK) {
                rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
                if (error_from(db, rc) == -ENOSPC)
                        rc = SQLITE_OK;
        }
        umask(mask);
        if (rc != SQLITE_OK) {
                int r = error_from(db, rc);
                if (r == -EBUSY)
                        *ret_sentence = str_new("The database %s is open in another program. End that one first.", path);
                else if (r == -EBADMSG)
                        *ret_sentence = str_new("The file %s is damaged or no SQLite database (%s). Move it away or restore a backup.", path,
                                                sqlite3_errmsg(db->sqlite));
                else
                        *ret_sentence = str_new("Cannot open the database %s: %s.", path,
                                                db->sqlite ? sqlite3_errmsg(db->sqlite) : sqlite3_errstr(rc));
                return r;
        }
        sqlite3_wal_hook(db->sqlite, on_wal, db);       /* in place of the automatic checkpoint */

        if (sqlite3_prepare_v3(db->sqlite, "BEGIN IMMEDIATE", -1, SQLITE_PREPARE_PERSISTENT, &db->begin, NULL) != SQLITE_OK ||
            sqlite3_prepare_v3(db->sqlite, "COMMIT", -1, SQLITE_PREPARE_PERSISTENT, &db->commit, NULL) != SQLITE_OK ||
            sqlite3_prepare_v3(db->sqlite, "ROLLBACK", -1, SQLITE_PREPARE_PERSISTENT, &db->rollback, NULL) != SQLITE_OK)
                return report(db, sqlite3_errcode(db->sqlite), "prepare");
        *ret = TAKE_PTR(db);
        return 0;
}

static int db_version(StoreDb *db, int *ret) {
        int64_t version, application, tables;
        int r = ask_int(db, "PRAGMA user_version", &version);
        if (r >= 0)
                r = ask_int(db, "PRAGMA application_id", &application);
        if (r >= 0)
                r = ask_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
        if (r < 0)
                return r;
        if (tables > 0 && application != SQLITE_APPLICATION_ID)
                return -EBADMSG;
        *ret = tables > 0 ? (int) version : 0;
        return 0;
}

static int db_migrate(StoreDb *db, const char *script, int version) {
        char set[128];
        snprintf(set, sizeof set, "PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT", version, SQLITE_APPLICATION_ID);
        int r = exec(db, "BEGIN IMMEDIATE");
        if (r >= 0)
                r = exec(db, script);
        if (r >= 0)
                r = exec(db, set);
        if (r < 0 && !sqlite3_get_autocommit(db->sqlite))
                (void) sqlite3_exec(db->sqlite, "ROLLBACK", NULL, NULL, NULL);
        return r;
}

static int db_check(StoreDb *db, bool thorough, char **ret_sentence) {
        int64_t pages = 0, size = 0;
        int r = ask_int(db, "PRAGMA page_count", &pages);
        if (r >= 0)
                r = ask_int(db, "PRAGMA page_size", &size);
        if (r < 0)
                return r;
        if (!thorough && pages * size > CHECK_ALWAYS_BYTES)
                return 0;

        sqlite3_stmt *st = NULL;
        int rc = sqlite3_prepare_v2(db->sqlite, "PRAGMA quick_check(1)", -1, &st, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
                const char *s = (const char *) sqlite3_column_text(st, 0);
                /* A heading says which database it is about; there is only one. */
                while (s && strncmp(s, "***", 3) == 0 && strchr(s, '\n'))
                        s = strchr(s, '\n') + 1;
                if (!s || !STREQ(s, "ok")) {
                        *ret_sentence = s ? str_new("%.*s", (int) strcspn(s, "\n"), s) : NULL;
                        r = -EBADMSG;
                }
        } else {
                *ret_sentence = str_new("%s", sqlite3_errmsg(db->sqlite));
                r = error_from(db, rc);
                if (r == 0)
                        r = -EBADMSG;
        }
        sqlite3_finalize(st);
        return r;
}

static int step_and_reset(sqlite3_stmt *st) {
        int rc = sqlite3_step(st);
        int rc2 = sqlite3_reset(st);
        return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc2 != SQLITE_OK ? rc2 : rc;
}

static int db_begin(StoreDb *db) {
        if (db->broken)
                return -EIO;
        return report(db, step_and_reset(db->begin), "BEGIN");
}

/* The kernel may have dropped what it could not write: the WAL must stay, and no more may be appended to it. */
static void make_broken(StoreDb *db) {
        db->broken = true;
        (void) sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

/* Moves the WAL into the database. A full disk is no harm here: the WAL stays and it is tried again after the next commit. */
static void checkpoint(StoreDb *db) {
        int rc = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        int r = error_from(db, rc);
        if (r == -EIO || r == -EBADMSG) {
                log_error("database: checkpoint failed: %s", sqlite3_errmsg(db->sqlite));
                make_broken(db);
        }
}

static int db_commit(StoreDb *db) {
        int r = report(db, step_and_reset(db->commit), "COMMIT");
        if (r < 0) {
                if (!sqlite3_get_autocommit(db->sqlite))
                        (void) step_and_reset(db->rollback);
                if (r == -ENOSPC) {
                        db->tight = TIGHT_COMMITS;
                        checkpoint(db);         /* lets the WAL begin anew in the space it has */
                } else
                        make_broken(db);
                return r;
        }
        if (db->wal_pages >= (db->tight > 0 ? CHECKPOINT_PAGES_TIGHT : CHECKPOINT_PAGES)) {
                db->wal_pages = 0;
                checkpoint(db);
        }
        if (db->tight > 0)
                db->tight--;
        return 0;
}

static void db_rollback(StoreDb *db) {
        if (!sqlite3_get_autocommit(db->sqlite))
                (void) report(db, step_and_reset(db->rollback), "ROLLBACK");
}

static bool db_in_transaction(StoreDb *db) {
        return !sqlite3_get_autocommit(db->sqlite);
}

static int bind(sqlite3_stmt *st, const StoreValue *values, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const StoreValue *v = &values[i];
                int rc, at = (int) i + 1;
                switch (v->type) {
                case STORE_INT:
                        rc = sqlite3_bind_int64(st, at, v->i);
                        break;
                case STORE_TEXT:
                        rc = sqlite3_bind_text64(st, at, v->data, v->len, SQLITE_STATIC, SQLITE_UTF8);
                        break;
                case STORE_BLOB:
                        rc = sqlite3_bind_blob64(st, at, v->data, v->len, SQLITE_STATIC);
                        break;
                default:
                        rc = sqlite3_bind_null(st, at);
                }
                if (rc != SQLITE_OK)
                        return rc;
        }
        return SQLITE_OK;
}

static int db_run(StoreDb *db, StoreQuery query, const StoreValue *values, size_t n_values, store_row_fn row, void *userdata,
                  int64_t *ret_changes) {
        sqlite3_stmt *st = db->statements[query];
        if (!st) {
                int rc = sqlite3_prepare_v3(db->sqlite, query_sql[query], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[query], NULL);
                if (rc != SQLITE_OK)
                        return report(db, rc, query_sql[query]);
                st = db->statements[query];
        }
        int rc = bind(st, values, n_values);
        if (rc != SQLITE_OK)
                return report(db, rc, query_sql[query]);

        int r = 0;
        while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
                r = row ? row(userdata, (const StoreRow *) st) : 0;
                if (r != 0)
                        break;
        }
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                r = report(db, rc, query_sql[query]);
        else if (r > 0)
                r = 0;
        if (r == -ENOSPC)
                db->tight = TIGHT_COMMITS;
        if (ret_changes)
                *ret_changes = sqlite3_changes64(db->sqlite);
        sqlite3_reset(st);      /* bindings stay: every run binds all of them */
        return r;
}

static int64_t row_int(const StoreRow *row, int column) {
        return sqlite3_column_int64((sqlite3_stmt *) row, column);
}

static const char *row_text(const StoreRow *row, int column, size_t *ret_len) {
        sqlite3_stmt *st = (sqlite3_stmt *) row;
        int type = sqlite3_column_type(st, column);
        if (type == SQLITE_NULL)
                return NULL;
        const char *s = type == SQLITE_BLOB ? sqlite3_column_blob(st, column) : (const char *) sqlite3_column_text(st, column);
        if (ret_len)
                *ret_len = (size_t) sqlite3_column_bytes(st, column);
        return s;
}

/* ── copies ── */

struct StoreDbCopy {
        StoreDb target;
        sqlite3_backup *backup;
};

static int copy_close(StoreDbCopy *copy) {
        int r = copy->backup ? error_from(&copy->target, sqlite3_backup_finish(copy->backup)) : 0;
        sqlite3_close(copy->target.sqlite);
        free(copy);
        return r;
}

static int copy_open(StoreDbCopy **ret, StoreDb *db, const char *path) {
        StoreDbCopy *copy = calloc(1, sizeof *copy);
        if (!copy)
                return -ENOMEM;
        /* A copy that is not complete is thrown away: it needs no journal. */
        int rc = sqlite3_open_v2(path, &copy->target.sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                 NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(copy->target.sqlite, "PRAGMA journal_mode = OFF; PRAGMA synchronous = FULL;", NULL, NULL, NULL);
        if (rc == SQLITE_OK) {
                copy->backup = sqlite3_backup_init(copy->target.sqlite, "main", db->sqlite, "main");
                rc = copy->backup ? SQLITE_OK : sqlite3_errcode(copy->target.sqlite);
        }
        if (rc != SQLITE_OK) {
                int r = report(&copy->target, rc, "backup");
                (void) copy_close(copy);
                return r;
        }
        *ret = copy;
        return 0;
}

static int copy_step(StoreDbCopy *copy, int pages) {
        int rc = sqlite3_backup_step(copy->backup, pages);
        if (rc == SQLITE_DONE)
                return 0;
        int r = error_from(&copy->target, rc);
        return r == 0 || r == -EBUSY ? 1 : r;
}

const StoreDriver store_driver_sqlite = {
        .name = "sqlite",
        .exclusive = true,
        .open = db_open,
        .close = db_close,
        .version = db_version,
        .migrate = db_migrate,
        .check = db_check,
        .engine_version = sqlite3_libversion,
        .begin = db_begin,
        .commit = db_commit,
        .rollback = db_rollback,
        .in_transaction = db_in_transaction,
        .run = db_run,
        .copy_open = copy_open,
        .copy_step = copy_step,
        .copy_close = copy_close,
        .row_int = row_int,
        .row_text = row_text,
};
