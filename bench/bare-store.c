/* bare-store.c: what the disk and SQLite take by themselves, as limits for the rest. The database is set up as jobbersd's own: WAL,
 * synchronous=FULL, exclusive, automatic checkpoints off the measured path's default.
 *
 *   bare-store DIRECTORY bulk N ROWS       inserts a second: N rows, ROWS a transaction, into a table of four columns without an index
 *   bare-store DIRECTORY rows N ROWS       the same of rows as jobbersd has them, in its tables with their indexes (from sql/sqlite, below the
 *                                          working directory)
 *   bare-store DIRECTORY latency N PROGRAM  a median of N, in microseconds: commit, spawn, wait, commit
 */
#include <err.h>
#include <glob.h>
#include <spawn.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static sqlite3 *db;
static sqlite3_stmt *begin, *insert, *commit;

static void must(int rc) {
        if (rc != SQLITE_OK && rc != SQLITE_DONE)
                errx(1, "sqlite: %s", db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
}

static double now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void open_in(const char *directory) {
        char path[4096];
        snprintf(path, sizeof path, "%s/bare-%d.db", directory, (int) getpid());
        must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, "unix-excl"));
        must(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                              "CREATE TABLE t (id INTEGER PRIMARY KEY, ulid BLOB, name TEXT, parameters TEXT)", NULL, NULL, NULL));
        must(sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, NULL));
        must(sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?1, ?2, ?3, ?4)", -1, &insert, NULL));
        must(sqlite3_prepare_v2(db, "COMMIT", -1, &commit, NULL));
}

/* jobbersd's own tables, and the statement that puts a new task into them. */
static void open_rows(void) {
        glob_t files;
        if (glob("sql/sqlite/*.sql", 0, NULL, &files) != 0)
                errx(1, "sql/sqlite is not below the working directory");
        for (size_t i = 0; i < files.gl_pathc; i++) {
                static char text[1 << 20];
                FILE *f = fopen(files.gl_pathv[i], "r");
                size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
                if (n == 0)
                        err(1, "%s", files.gl_pathv[i]);
                text[n] = '\0';
                fclose(f);
                must(sqlite3_exec(db, text, NULL, NULL, NULL));
        }
        globfree(&files);
        sqlite3_finalize(insert);
        must(sqlite3_prepare_v2(db, "INSERT INTO tasks VALUES (?1, ?2, 1, 0, ?1, 1, 0, 0, 0, 1764288000000000, 0, 0, 0, 0, 0, 0, 0, -1, "
                                    "NULL, NULL, ?3, ?4)", -1, &insert, NULL));
}

static void step(sqlite3_stmt *s) {
        must(sqlite3_step(s));
        sqlite3_reset(s);
}

static void transaction(long first, long n) {
        step(begin);
        for (long i = first; i < first + n; i++) {
                unsigned char id[16] = { 0 };           /* ascending, as ULIDs are */
                for (size_t k = 0; k < sizeof i; k++)
                        id[15 - k] = (unsigned char) ((unsigned long) i >> 8 * k);
                sqlite3_bind_int64(insert, 1, i);
                sqlite3_bind_blob(insert, 2, id, sizeof id, SQLITE_STATIC);
                sqlite3_bind_text(insert, 3, "noop", -1, SQLITE_STATIC);
                sqlite3_bind_text(insert, 4, "{}", -1, SQLITE_STATIC);
                step(insert);
        }
        step(commit);
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

int main(int argc, char **argv) {
        if (argc != 5)
                errx(2, "bare-store DIRECTORY bulk|rows N ROWS, or bare-store DIRECTORY latency N PROGRAM");
        long n = atol(argv[3]);
        open_in(argv[1]);
        if (strcmp(argv[2], "rows") == 0)
                open_rows();
        if (strcmp(argv[2], "latency") != 0) {
                long rows = atol(argv[4]);
                double from = now();
                for (long i = 1; i <= n; i += rows)
                        transaction(i, rows);
                printf("%.0f\n", (double) n / (now() - from));
        } else {
                double *t = calloc((size_t) n, sizeof *t);
                char *args[] = { argv[4], NULL }, *environment[] = { NULL };
                for (long i = 0; t && i < n; i++) {
                        pid_t pid;
                        double from = now();
                        transaction(2 * i + 1, 1);
                        if (posix_spawn(&pid, argv[4], NULL, NULL, args, environment) != 0 || waitpid(pid, NULL, 0) < 0)
                                err(1, "%s", argv[4]);
                        transaction(2 * i + 2, 1);
                        t[i] = now() - from;
                }
                qsort(t, (size_t) n, sizeof *t, compare);
                printf("%.0f\n", t[n / 2] * 1e6);
                free(t);
        }
        return 0;
}
