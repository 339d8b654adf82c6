/* Lists: every combination of filters, orders and cursors against a plain model in memory. */
#include "fixture.h"

typedef struct Row {
        int64_t seq;
        Ulid id;
        const char *queue, *name;
        uint32_t version;
        TaskStatus status;
        bool dead, gone;
} Row;

typedef struct Model {
        Row *rows;
        size_t n;
} Model;

static unsigned next_random(unsigned *seed) {
        *seed = *seed * 1103515245 + 12345;
        return *seed >> 16;
}

static const char *const queues[] = { "default", "mail", "rare" };
static const char *const names[] = { "a", "b" };

/* Ids: 0 as the server makes them, 1 in no order at all, 2 in order but for one in fifty. */
static void fill(Store *s, Model *m, size_t n, int ids, unsigned seed) {
        m->rows = calloc(n, sizeof *m->rows);
        m->n = n;
        assert_non_null(m->rows);
        for (size_t i = 0; i < n; i++) {
                Row *row = &m->rows[i];
                unsigned x = next_random(&seed);
                row->queue = queues[x % 200 == 0 ? 2 : x % 2];
                row->name = names[(x >> 3) % 2];
                row->version = (x >> 5) % 3;
                row->status = (TaskStatus) (1 + (x >> 7) % 8);
                row->dead = row->status == TASK_FAILED && (x >> 10) % 2;
                _cleanup_task_ Task t = task_make(row->queue, row->name, row->version, (int64_t) i);
                t.status = row->status;
                t.dead_at = row->dead ? i + 1 : 0;
                if (ids == 1 || (ids == 2 && i % 50 == 0))
                        for (size_t k = 0; k < sizeof t.id.b; k++)
                                t.id.b[k] = (uint8_t) next_random(&seed);
                assert_int_equal(store_task_add(s, &t), 0);
                row->seq = t.seq;
                row->id = t.id;
        }
        /* Some move on, some go: counts and zones must follow. */
        for (size_t i = 0; i < n; i += 7) {
                Row *row = &m->rows[i];
                if (row->dead)
                        continue;
                row->status = row->status == TASK_DROPPED ? TASK_SUBMITTED : row->status + 1;
                task_to(s, row->seq, row->status);
        }
        assert_int_equal(store_commit(s), 0);
}

static bool matches(const TaskFilter *f, const Row *r) {
        return !r->gone && (!f->queue || STREQ(f->queue, r->queue)) && (!f->name || STREQ(f->name, r->name)) &&
               (f->version < 0 || f->version == r->version) && (f->statuses ? f->statuses & 1U << r->status : f->status == _TASK_STATUS_MAX || f->status == r->status) &&
               (!f->dead || r->dead) && (!f->has_start || ulid_cmp(&r->id, &f->start) >= 0) &&
               (!f->has_after || (f->order_by_id ? ulid_cmp(&r->id, &f->after_id) > 0 : f->newest_first ? r->seq < f->after_seq : r->seq > f->after_seq));
}

static int by_id(const void *a, const void *b) {
        return ulid_cmp(&(*(Row *const *) a)->id, &(*(Row *const *) b)->id);
}

static int by_seq_down(const void *a, const void *b) {
        int64_t x = (*(Row *const *) a)->seq, y = (*(Row *const *) b)->seq;
        return x < y ? 1 : x > y ? -1 : 0;
}

typedef struct Got {
        Row **want;
        size_t n, at, offset;
} Got;

static int check_row(void *userdata, Task *t) {
        Got *g = userdata;
        assert_true(g->at < g->n);
        const Row *row = g->want[g->at++];
        assert_int_equal(t->seq, row->seq);
        assert_memory_equal(&t->id, &row->id, sizeof t->id);
        assert_string_equal(t->queue, row->queue);
        assert_string_equal(t->name, row->name);
        assert_int_equal(t->version, row->version);
        assert_int_equal(t->status, row->status);
        return 0;
}

static void compare(Store *s, const Model *m, const TaskFilter *f) {
        _cleanup_free_ Row **want = calloc(m->n + 1, sizeof *want);
        assert_non_null(want);
        size_t n = 0;
        for (size_t i = 0; i < m->n; i++)
                if (matches(f, &m->rows[i]))
                        want[n++] = &m->rows[i];
        if (f->order_by_id)
                qsort(want, n, sizeof *want, by_id);
        if (f->newest_first)
                qsort(want, n, sizeof *want, by_seq_down);
        int64_t count;
        if (!f->has_after) {
                assert_int_equal(store_task_count(s, f, &count), 0);
                assert_int_equal(count, n);
        }
        size_t first = MIN(n, f->offset), last = MIN(n, first + f->limit);
        Got g = { .want = want, .n = last, .at = first };
        assert_int_equal(store_task_list(s, f, check_row, &g), 0);
        assert_int_equal(g.at, last);
}

static void every_filter(Store *s, const Model *m, unsigned seed, bool quick) {
        static const char *const queue_of[] = { NULL, "default", "rare", "nowhere" };
        static const char *const name_of[] = { NULL, "b" };
        static const TaskStatus status_of[] = { _TASK_STATUS_MAX, TASK_SUBMITTED, TASK_FAILED };
        static const uint64_t offset_of[] = { 0, 5, 3000 };
        for (size_t q = 0; q < ARRAY_SIZE(queue_of); q++)
        for (size_t n = 0; n < ARRAY_SIZE(name_of); n++)
        for (int64_t version = -1; version < 3; version += 2)
        for (size_t st = 0; st < ARRAY_SIZE(status_of); st++)
        for (int bits = 0; bits < 16; bits++)
        for (size_t o = 0; o < ARRAY_SIZE(offset_of); o++) {
                unsigned x = next_random(&seed);
                if (quick && x % 4 != 0)
                        continue;
                const Row *at = &m->rows[x * 31 % m->n], *after = &m->rows[x * 17 % m->n];
                TaskFilter f = {
                        .queue = queue_of[q], .name = name_of[n], .version = version, .status = status_of[st],
                        .order_by_id = bits & 1, .has_start = bits & 2, .start = at->id, .dead = bits & 4,
                        .has_after = bits & 8, .after_seq = after->seq, .after_id = after->id,
                        .limit = 1 + x % 90, .offset = offset_of[o],
                };
                compare(s, m, &f);
                if (!f.order_by_id && !f.has_start) {
                        f.newest_first = true;
                        compare(s, m, &f);
                }
                f.newest_first = false;
                f.statuses = 1U << TASK_COMPLETED | 1U << TASK_FAILED;
                compare(s, m, &f);
        }
}

static void combinations(void **state) {
        Fixture *f = *state;
        Model m;
        fill(f->store, &m, 6000, 0, 1);
        every_filter(f->store, &m, 2, false);
        fixture_reopen(f);
        every_filter(f->store, &m, 3, true);
        free(m.rows);
}

static void combinations_with_any_ids(void **state) {
        Fixture *f = *state;
        Model m;
        fill(f->store, &m, 6000, 1, 4);
        every_filter(f->store, &m, 5, false);
        free(m.rows);
}

/* Several zones, and more matches than are simply sorted: zones in order, nearly in order, and in none, where the walk takes over. */
static void many_by_id(void **state) {
        Fixture *f = *state;
        for (int ids = 0; ids < 3; ids++) {
                Model m;
                fill(f->store, &m, 60000, ids, 6);
                for (int i = 0; i < 12; i++) {
                        TaskFilter filter = { .queue = i % 2 ? "default" : "mail", .version = -1, .status = _TASK_STATUS_MAX, .order_by_id = true,
                                              .has_start = i % 3 == 0, .start = m.rows[40000].id, .limit = 1000,
                                              .offset = i < 6 ? 0 : 30000 - 17 * (unsigned) i, .has_after = i % 4 == 3,
                                              .after_id = m.rows[50000].id };
                        compare(f->store, &m, &filter);
                        filter.order_by_id = false;
                        filter.after_seq = m.rows[50000].seq;
                        compare(f->store, &m, &filter);
                }
                for (size_t i = 0; i < m.n; i++)
                        task_to(f->store, m.rows[i].seq, TASK_COMPLETED);
                while (store_expire_final(f->store, UINT64_MAX / 2, 5000, NULL, NULL) > 0)
                        ;
                while (store_expire_dead(f->store, UINT64_MAX / 2, 5000, NULL, NULL) > 0)
                        ;
                int64_t left;
                TaskFilter all = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 1 };
                assert_int_equal(store_task_count(f->store, &all, &left), 0);
                assert_int_equal(left, 0);
                free(m.rows);
        }
}

/* ── paging while others write ── */
typedef struct Page {
        int64_t seqs[128];
        Ulid last_id;
        int64_t last_seq;
        size_t n;
} Page;

static int take_row(void *userdata, Task *t) {
        Page *p = userdata;
        p->seqs[p->n++] = t->seq;
        p->last_id = t->id;
        p->last_seq = t->seq;
        return 0;
}

static void page_through(Fixture *f, bool order_by_id, bool newest_first) {
        enum { N = 3000 };
        int64_t stay[N];
        for (size_t i = 0; i < N; i++)
                stay[i] = task_put(f->store, queues[i % 2], names[i % 2], 0, 0);
        unsigned seen[N] = { 0 }, seed = 9;
        TaskFilter filter = { .version = -1, .status = TASK_SUBMITTED, .order_by_id = order_by_id, .newest_first = newest_first, .limit = 100 };
        for (;;) {
                Page p = { 0 };
                assert_int_equal(store_task_list(f->store, &filter, take_row, &p), 0);
                assert_true(p.n <= 100);
                if (p.n == 0)
                        break;
                for (size_t i = 0; i < p.n; i++)
                        for (size_t k = 0; k < N; k++)
                                seen[k] += stay[k] == p.seqs[i];
                filter.has_after = true;
                filter.after_seq = p.last_seq;
                filter.after_id = p.last_id;
                /* Meanwhile: one that was seen leaves and is submitted again, one comes and goes. */
                int64_t one = stay[next_random(&seed) % N];
                task_to(f->store, one, TASK_STARTED);
                task_to(f->store, one, TASK_SUBMITTED);
                task_to(f->store, task_put(f->store, "mail", "a", 1, 5), TASK_CANCELLED);
                assert_int_equal(store_commit(f->store), 0);
        }
        for (size_t k = 0; k < N; k++)
                assert_int_equal(seen[k], 1);
}

static void pages_without_gap(void **state) {
        page_through(*state, false, false);
}

static void pages_downwards_without_gap(void **state) {
        page_through(*state, false, true);
}

static void pages_by_id_without_gap(void **state) {
        page_through(*state, true, false);
}

/* A page holds as many rows as are asked for while there are any: one that cannot be read, wherever it stands, is not the end of a list. */
static void unreadable_rows(void **state) {
        Fixture *f = *state;
        Model m;
        fill(f->store, &m, 9000, 0, 7);
        fixture_damage(f, "UPDATE tasks SET stop_reason = 99 WHERE seq % 5 IN (2, 3) OR seq > (SELECT max(seq) - 100 FROM tasks);"
                          "UPDATE tasks SET id = CAST(seq AS TEXT) WHERE seq % 50 = 2");
        int64_t newest = m.rows[m.n - 1].seq;
        for (size_t i = 0; i < m.n; i++)
                m.rows[i].gone = m.rows[i].seq % 5 == 2 || m.rows[i].seq % 5 == 3 || m.rows[i].seq > newest - 100;
        log_set_level(LOG_CRIT);
        for (unsigned x = 0; x < 600; x++) {
                const Row *at = &m.rows[x * 31 % m.n], *after = &m.rows[x * 1117 % m.n];
                TaskFilter filter = {
                        .queue = x % 3 ? NULL : "mail", .version = -1, .status = x % 2 ? TASK_SUBMITTED : _TASK_STATUS_MAX,
                        .order_by_id = x & 4, .has_start = x & 8, .start = at->id, .has_after = x & 16, .after_seq = after->seq,
                        .after_id = after->id, .limit = 1 + x % 40, .newest_first = !(x & 12) && x & 32,
                };
                size_t n = 0;
                _cleanup_free_ Row **want = calloc(m.n, sizeof *want);
                assert_non_null(want);
                for (size_t i = 0; i < m.n; i++)
                        if (matches(&filter, &m.rows[i]))
                                want[n++] = &m.rows[i];
                qsort(want, n, sizeof *want, filter.newest_first ? by_seq_down : by_id);       /* ids ascend here with submission */
                Got g = { .want = want, .n = MIN(n, (size_t) filter.limit) };
                assert_int_equal(store_task_list(f->store, &filter, check_row, &g), 0);
                assert_int_equal(g.at, g.n);
        }
        log_set_level(LOG_INFO);
        free(m.rows);
}

static int stop_after_two(void *userdata, Task *t) {
        return ++*(int *) userdata == 2 ? -ECANCELED : 0;
}

static void callback_ends_list(void **state) {
        Fixture *f = *state;
        for (int i = 0; i < 5; i++)
                task_put(f->store, "q", "n", 0, 0);
        TaskFilter filter = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 10 };
        int n = 0;
        assert_int_equal(store_task_list(f->store, &filter, stop_after_two, &n), -ECANCELED);
        assert_int_equal(n, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(combinations), TEST(combinations_with_any_ids), TEST(many_by_id), TEST(pages_without_gap), TEST(pages_downwards_without_gap),
                TEST(combinations), TEST(combinations_with_any_ids), TEST(many_by_id), TEST(pages_without_gap), TEST(pages_by_id_without_gap),
                TEST(unreadable_rows), TEST(callback_ends_list),
        };
        return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
