/* fixture.h: what the store's tests share: a directory and a database of their own on a real disk, and tasks to put in. */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "store/store.h"

typedef struct Fixture {
        char directory[64];
        char path[96];
        Store *store;
} Fixture;

static inline void fixture_open(Fixture *f) {
        char *sentence = NULL;
        int r = store_open(&f->store, f->path, &sentence);
        if (r < 0)
                print_message("store_open: %d %s\n", r, sentence ? sentence : "");
        assert_int_equal(r, 0);
        assert_null(sentence);
}

static inline void fixture_reopen(Fixture *f) {
        store_close(f->store);
        f->store = NULL;
        fixture_open(f);
}

/* What no verb would write. */
static inline void fixture_damage(Fixture *f, const char *sql) {
        sqlite3 *db;
        store_close(f->store);
        f->store = NULL;
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_true(sqlite3_changes(db) > 0);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        fixture_open(f);
}

static inline int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        assert_non_null(f);
        snprintf(f->directory, sizeof f->directory, "/tmp/test-store-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof f->path, "%s/jobbers.db", f->directory);
        fixture_open(f);
        *state = f;
        return 0;
}

static inline int fixture_teardown(void **state) {
        Fixture *f = *state;
        store_close(f->store);
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_remove_tree_at(tmp, f->directory + strlen("/tmp/")), 0);
        free(f);
        return 0;
}

/* A submitted task; strings are copies. */
static inline Task task_make(const char *queue, const char *name, uint32_t version, int64_t position) {
        Task t = {
                .name = strdup(name),
                .version = version,
                .queue = strdup(queue),
                .status = TASK_SUBMITTED,
                .position = position,
                .submitted_at = 1700000000000000 + (usec_t) position,
                .progress = -1,
                .parameters = strdup("{\"n\": 1}"),
        };
        assert_int_equal(ulid_new(&t.id), 0);
        return t;
}

static inline int64_t task_put(Store *s, const char *queue, const char *name, uint32_t version, int priority) {
        _cleanup_task_ Task t = task_make(queue, name, version, store_next_position(s));
        t.priority = priority;
        assert_int_equal(store_task_add(s, &t), 0);
        return t.seq;
}

static inline void task_to(Store *s, int64_t seq, TaskStatus status) {
        _cleanup_task_ Task t = { 0 };
        assert_int_equal(store_task_get_seq(s, seq, false, &t), 0);
        TaskStatus from = t.status;
        t.status = status;
        if (task_status_is_final(status))
                t.completed_at = 1000 + (usec_t) seq;
        assert_int_equal(store_task_move(s, &t, from), 0);
}
