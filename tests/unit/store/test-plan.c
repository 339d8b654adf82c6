/* How SQLite runs every statement: by an index, without a scan of a table that grows and without sorting. */
#include <sqlite3.h>

#include "fixture.h"
#include "store/store-driver.h"

static const struct {
        const char *name, *sql;
} queries[] = {
#define QUERY(name, sql) { #name, sql },
#include "sql/queries.def"
#undef QUERY
};

/* What is allowed to walk: small tables, walks that are meant, a maximum that is one step. */
static const struct {
        const char *query, *plan;
} allowed[] = {
        { "LANE_LIST", "SCAN lanes" },
        { "TASK_ADD_SEVERAL", "SCAN CONSTANT ROW" }, { "TASK_ADD_SEVERAL", "SCAN count" },     /* what is added */
        { "TASK_ADD_SEVERAL", "SCAN 16 CONSTANT ROWS" }, { "TASK_ADD_SEVERAL", "SCAN rows" },
        { "LANE_COUNTS", "SCAN tasks USING COVERING INDEX tasks_list" },
        { "WALK_ZONES", "SCAN tasks USING COVERING INDEX tasks_id" },
        { "TASK_MAX_SEQ", "SEARCH tasks" },
        { "QUEUE_LIST", "SCAN queues" },
        { "ROLE_LIST", "SCAN r" },
        { "QUEUE_REMOVE_ROLES", "SCAN role_queues" },
        { "TASK_NEXT_DUE", "SEARCH tasks USING INDEX tasks_due (scheduled_at>?)" },
        { "TASK_SHIFT_RETRIES", "SCAN tasks USING INDEX tasks_due" },   /* after a step of the clock, all that wait */
        { "TASK_CAP_RETRIES", "SCAN tasks USING INDEX tasks_due" },     /* once after a boot */
        { "START_SHIFT", "SCAN starts" },                               /* after a step of the clock */
};

static bool is_allowed(const char *query, const char *plan) {
        for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
                if (STREQ(query, allowed[i].query) && STREQ(plan, allowed[i].plan))
                        return true;
        return false;
}

static void every_plan(void **state) {
        Fixture *f = *state;
        store_close(f->store);
        f->store = NULL;
        sqlite3 *db;
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        int bad = 0;
        for (size_t i = 0; i < ARRAY_SIZE(queries); i++) {
                _cleanup_free_ char *sql = str_new("EXPLAIN QUERY PLAN %s", queries[i].sql);
                sqlite3_stmt *st;
                if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) {
                        print_message("%s: %s\n", queries[i].name, sqlite3_errmsg(db));
                        bad++;
                        continue;
                }
                while (sqlite3_step(st) == SQLITE_ROW) {
                        const char *plan = (const char *) sqlite3_column_text(st, 3);
                        if ((strstr(plan, "SCAN") || strstr(plan, "TEMP B-TREE")) && !is_allowed(queries[i].name, plan)) {
                                print_message("%s: %s\n", queries[i].name, plan);
                                bad++;
                        }
                        if (strncmp(queries[i].name, "STREAM", 6) == 0 && !strstr(plan, "(lane=? AND status=? AND rowid>? AND rowid<?)")) {
                                print_message("%s: %s\n", queries[i].name, plan);
                                bad++;
                        }
                        if (STREQ(queries[i].name, "TASK_READY") && !strstr(plan, "(lane=? AND (rank,position)>(?,?))")) {
                                print_message("%s: %s\n", queries[i].name, plan);
                                bad++;
                        }
                }
                sqlite3_finalize(st);
        }
        sqlite3_close(db);
        assert_int_equal(bad, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(every_plan, fixture_setup, fixture_teardown),
        };
        return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
