/* bench-store.c: what the store costs over bare SQLite, and that it costs the same with a million tasks.
 *
 *   bench-store [DIRECTORY [ROWS [PART]]] (default: /tmp, 1000000, 1; ROWS 0: no table that grows; PART n: an nth of the work)
 *
 * "bare" is one INSERT of the same bytes into a table with a primary key and nothing else, WAL, synchronous=FULL, the same number of rows a
 * transaction, in the same run and on the same disk. Ratios hold across machines, figures do not. */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "store/store.h"

static const char parameters[] = "{\"report_id\": 123456, \"to\": \"somebody@example.org\", \"format\": \"pdf\", \"sections\": [\"a\", \"b\", \"c\"], "
                                 "\"note\": \"some text that makes this about as long as the parameters of a task usually are\"}";

static void must(int r, const char *what) {
        if (r >= 0)
                return;
        fprintf(stderr, "%s: %s\n", what, strerror(-r));
        exit(1);
}

static void bare_must(sqlite3 *db, int rc) {
        if (rc == SQLITE_OK || rc == SQLITE_DONE)
                return;
        fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(db));
        exit(1);
}

static double seconds(usec_t from) {
        return (double) (clock_boot() - from) / 1e6;
}

static double bare(const char *directory, unsigned n, unsigned batch) {
        _cleanup_free_ char *path = str_new("%s/bare-%u.db", directory, batch);
        sqlite3 *db;
        sqlite3_stmt *begin, *insert, *commit;
        bare_must(NULL, sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, "unix-excl"));
        bare_must(db, sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
                                       "CREATE TABLE t (id INTEGER PRIMARY KEY, ulid BLOB, name TEXT, parameters TEXT)", NULL, NULL, NULL));
        bare_must(db, sqlite3_prepare_v2(db, "BEGIN IMMEDIATE", -1, &begin, NULL));
        bare_must(db, sqlite3_prepare_v2(db, "INSERT INTO t VALUES (?1, ?2, ?3, ?4)", -1, &insert, NULL));
        bare_must(db, sqlite3_prepare_v2(db, "COMMIT", -1, &commit, NULL));
        usec_t from = clock_boot();
        for (unsigned i = 0; i < n;) {
                bare_must(db, sqlite3_step(begin));
                sqlite3_reset(begin);
                for (unsigned k = 0; k < batch && i < n; k++, i++) {
                        Ulid id;
                        must(ulid_new(&id), "ulid_new");
                        sqlite3_bind_int64(insert, 1, i + 1);
                        sqlite3_bind_blob(insert, 2, id.b, sizeof id.b, SQLITE_STATIC);
                        sqlite3_bind_text(insert, 3, "generate_report", -1, SQLITE_STATIC);
                        sqlite3_bind_text(insert, 4, parameters, sizeof parameters - 1, SQLITE_STATIC);
                        bare_must(db, sqlite3_step(insert));
                        sqlite3_reset(insert);
                }
                bare_must(db, sqlite3_step(commit));
                sqlite3_reset(commit);
        }
        double t = seconds(from);
        sqlite3_finalize(begin);
        sqlite3_finalize(insert);
        sqlite3_finalize(commit);
        sqlite3_close(db);
        return n / t;
}

/* ── ours: the three turns of a task's life, each for a whole batch ── */
static void submit(Store *s, unsigned n, Ulid *ids, const char *queue) {
        for (unsigned i = 0; i < n; i++) {
                Task t = { .name = (char *) "generate_report", .queue = (char *) queue, .parameters = (char *) parameters, .progress = -1,
                           .status = TASK_SUBMITTED, .position = store_next_position(s), .submitted_at = clock_wall() };
                must(ulid_new(&t.id), "ulid_new");
                ids[i] = t.id;
                must(store_task_add(s, &t), "store_task_add");
        }
        must(store_commit(s), "store_commit");
}

static void start(Store *s, unsigned n, const Ulid *ids) {
        for (unsigned i = 0; i < n; i++) {
                _cleanup_task_ Task t = { 0 };
                must(store_task_get(s, &ids[i], true, &t), "store_task_get");
                t.status = TASK_STARTED;
                t.attempts++;
                t.started_at = t.heartbeat_at = clock_wall();
                must(store_task_move(s, &t, TASK_SUBMITTED), "store_task_move");
                Attempt a = { .task_seq = t.seq, .attempt = t.attempts, .evidence = "0123456789abcdef0123456789abcdef.0123456789abcdef", .definition_hash = 1,
                              .started_at = t.started_at, .exit_status = -1, .outcome = TASK_STARTED, .cpu_usec = -1, .memory_peak = -1,
                              .io_read = -1, .io_write = -1, .oom_kills = -1, .pids_peak = -1 };
                must(store_attempt_add(s, &a), "store_attempt_add");
        }
        must(store_commit(s), "store_commit");
}

static void complete(Store *s, unsigned n, const Ulid *ids) {
        for (unsigned i = 0; i < n; i++) {
                _cleanup_task_ Task t = { 0 };
                must(store_task_get(s, &ids[i], false, &t), "store_task_get");
                t.status = TASK_COMPLETED;
                t.completed_at = clock_wall();
                t.results = strdup("{\"pages\": 12}");
                must(store_task_move(s, &t, TASK_STARTED), "store_task_move");
                Attempt a = { .task_seq = t.seq, .attempt = t.attempts, .definition_hash = 1, .started_at = t.started_at, .ended_at = t.completed_at,
                              .end_reason = END_EXIT, .outcome = TASK_COMPLETED, .cpu_usec = 1500, .memory_peak = 1 << 20, .io_read = 0,
                              .io_write = 4096, .oom_kills = 0, .pids_peak = 1 };
                must(store_attempt_end(s, &a), "store_attempt_end");
        }
        must(store_commit(s), "store_commit");
}

static Store *open_in(const char *directory, const char *name) {
        Store *s;
        _cleanup_free_ char *path = str_new("%s/%s.db", directory, name), *sentence = NULL;
        int r = store_open(&s, path, &sentence);
        if (r < 0) {
                fprintf(stderr, "%s\n", sentence ? sentence : "store_open failed");
                exit(1);
        }
        return s;
}

static void cycle(const char *directory, unsigned n, unsigned batch) {
        double b = bare(directory, n, batch);
        _cleanup_free_ char *name = str_new("store-%u", batch);
        Store *s = open_in(directory, name);
        Ulid *ids = calloc(n, sizeof *ids);
        if (!ids)
                exit(1);
        typedef void (*turn)(Store *, unsigned, const Ulid *);
        static const turn turns[] = { NULL, start, complete };
        double rates[3], all = 0;
        for (size_t k = 0; k < 3; k++) {
                usec_t from = clock_boot();
                for (unsigned i = 0; i < n; i += batch) {
                        unsigned m = MIN(batch, n - i);
                        if (turns[k])
                                turns[k](s, m, ids + i);
                        else
                                submit(s, m, ids + i, "default");
                }
                double t = seconds(from);
                rates[k] = n / t;
                all += t;
        }
        printf("%7u %10.0f %10.0f %5.2f %10.0f %5.2f %10.0f %5.2f %10.0f %5.2f\n", batch, b, rates[0], rates[0] / b, rates[1], rates[1] / b,
               rates[2], rates[2] / b, n / all, n / all / b);
        store_close(s);
        free(ids);
}

/* ── flat cost ── */
static int ignore_task(void *userdata, Task *t) {
        ++*(unsigned *) userdata;
        return 0;
}
static int ignore_ready(void *userdata, int64_t seq, int priority, int64_t position) {
        ++*(unsigned *) userdata;
        return 0;
}

static void list(Store *s, const char *what, TaskFilter f) {
        unsigned n = 0;
        f.limit = 50;
        usec_t from = clock_boot();
        for (int i = 0; i < 20; i++)
                must(store_task_list(s, &f, ignore_task, &n), what);
        printf("  %-44s %9.0f µs  (%u rows)\n", what, seconds(from) * 1e6 / 20, n / 20);
}

static long resident_kib(void) {
        long pages = 0;
        FILE *f = fopen("/proc/self/statm", "re");
        if (f && fscanf(f, "%*d %ld", &pages) != 1)
                pages = 0;
        if (f)
                fclose(f);
        return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void flat(const char *directory, unsigned rows) {
        _cleanup_free_ char *name = str_new("flat-%u", rows);
        Store *s = open_in(directory, name);
        Ulid ids[1000];
        for (unsigned i = 0; i < rows; i += 1000) {
                submit(s, 1000, ids, i % 2000 ? "default" : "mail");
                if (i % 4000 == 0)
                        start(s, 1000, ids);
                if (i % 8000 == 0)
                        complete(s, 1000, ids);
        }
        submit(s, 3, ids, "rare");
        start(s, 3, ids);
        Task t = { 0 };
        must(store_task_get(s, &ids[0], false, &t), "get");
        t.status = TASK_FAILED;
        t.dead_at = t.completed_at = clock_wall();
        must(store_task_move(s, &t, TASK_STARTED), "move");
        task_done(&t);
        must(store_commit(s), "commit");
        usec_t from = clock_boot();
        store_close(s);
        printf("%u tasks\n  %-44s %9.0f µs\n", rows, "close", seconds(from) * 1e6);
        from = clock_boot();
        s = open_in(directory, name);
        printf("  %-44s %9.0f µs\n", "open", seconds(from) * 1e6);

        unsigned n = 0;
        from = clock_boot();
        for (int i = 0; i < 1000; i++) {
                must(store_task_get(s, &ids[i % 3], true, &t), "get");
                task_done(&t);
        }
        printf("  %-44s %9.1f µs\n", "get by id", seconds(from) * 1e6 / 1000);
        from = clock_boot();
        for (int i = 0; i < 1000; i++)
                must(store_ready(s, "default", "generate_report", 0, 101, INT64_MIN, 16, ignore_ready, &n), "ready");
        printf("  %-44s %9.1f µs\n", "first 16 of a lane", seconds(from) * 1e6 / 1000);
        from = clock_boot();
        for (int i = 0; i < 1000; i++) {
                submit(s, 1, ids + 10, "default");
                start(s, 1, ids + 10);
                complete(s, 1, ids + 10);
        }
        printf("  %-44s %9.1f µs\n", "one task's life, three commits", seconds(from) * 1e6 / 1000);
        const TaskFilter any = { .version = -1, .status = _TASK_STATUS_MAX };
        TaskFilter f = any;
        list(s, "all", f);
        f.status = TASK_FAILED;
        list(s, "status=failed (1)", f);
        f.queue = "default";
        list(s, "status=failed, queue=default (0)", f);
        f = any;
        f.queue = "rare";
        list(s, "queue=rare (3)", f);
        f.name = "generate_report";
        f.version = 0;
        f.status = TASK_STARTED;
        list(s, "queue=rare, name, version, status=started", f);
        f = any;
        f.dead = true;
        list(s, "dead letters (1)", f);
        f = any;
        f.status = TASK_SUBMITTED;
        f.order_by_id = true;
        from = clock_boot();
        f.limit = 50;
        must(store_task_list(s, &f, ignore_task, &n), "list");
        printf("  %-44s %9.0f µs\n", "the first list by id (loads zones)", seconds(from) * 1e6);
        list(s, "status=submitted by id", f);
        f.queue = "rare";
        list(s, "queue=rare, status=submitted by id (0)", f);
        f = any;
        f.has_start = true;
        f.start = ids[0];
        list(s, "start=a late id", f);
        f.status = TASK_STARTED;
        list(s, "start=a late id, status=started", f);
        int64_t count;
        from = clock_boot();
        must(store_task_count(s, &any, &count), "count");
        printf("  %-44s %9.0f µs\n", "count", seconds(from) * 1e6);
        printf("  %-44s %9ld KiB\n", "resident", resident_kib());
        from = clock_boot();
        int gone = store_expire_final(s, UINT64_MAX / 2, 100, NULL, NULL);
        must(store_commit(s), "commit");
        printf("  %-44s %9.0f µs  (%d)\n", "retention, one step", seconds(from) * 1e6, gone);
        store_close(s);

        /* As after a crash: every page is read. */
        _cleanup_free_ char *path = str_new("%s/%s.db", directory, name);
        sqlite3 *db;
        bare_must(NULL, sqlite3_open(path, &db));
        bare_must(db, sqlite3_exec(db, "UPDATE meta SET value = '' WHERE name = 'clean'", NULL, NULL, NULL));
        sqlite3_close(db);
        struct stat st;
        must(stat(path, &st) < 0 ? -errno : 0, path);
        from = clock_boot();
        s = open_in(directory, name);
        printf("  %-44s %9.0f µs  (%ld MiB)\n", "open after a crash", seconds(from) * 1e6, (long) st.st_size >> 20);
        store_close(s);
}

int main(int argc, char **argv) {
        _cleanup_free_ char *directory = str_new("%s/bench-store-XXXXXX", argc > 1 ? argv[1] : "/tmp");
        unsigned rows = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 1000000;
        if (!directory || !mkdtemp(directory)) {
                perror("mkdtemp");
                return 1;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        printf("tasks a second; each figure is followed by its part of bare inserts\n%7s %10s %10s %5s %10s %5s %10s %5s %10s %5s\n", "batch", "bare",
               "submit", "", "start", "", "complete", "", "whole", "");
        static const unsigned batches[] = { 1, 10, 100, 1000 }, counts[] = { 3000, 20000, 100000, 200000 };
        unsigned part = argc > 3 ? MAX((unsigned) strtoul(argv[3], NULL, 10), 1U) : 1;
        for (size_t i = 0; i < ARRAY_SIZE(batches); i++)
                cycle(directory, counts[i] / part, batches[i]);
        if (rows > 0) {
                flat(directory, 1000);
                flat(directory, rows);
        }
        _cleanup_free_ char *parent = str_new("%s", directory);
        *strrchr(parent, '/') = 0;
        _cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(fd_remove_tree_at(fd, strrchr(directory, '/') + 1), "remove");
        return 0;
}
