/* Routes, bodies, cursors, JSON text and log files: what can be tested of HTTP without a daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "http/cursor.h"
#include "http/json-text.h"
#include "http/log-file.h"
#include "http/routes.h"
#include "http/task-json.h"

/* ── routes ── */

static const Route *find(Request *r, const char *method, const char *path, Reply *reply) {
        free(r->path);
        r->path = strdup(path);
        reply_done(reply);
        *reply = (Reply) {};
        return route_find(r, method, reply);
}

static void routes_are_found(void **state) {
        Request r = {};
        Reply reply = {};

        for (size_t i = 0; i < N_ROUTES; i++) {
                char path[128] = "", *to = path;
                for (const char *s = ROUTES[i].pattern; *s; s++)
                        if (*s == '{') {
                                *to++ = 'x';
                                s = strchr(s, '}');
                        } else
                                *to++ = *s;
                assert_ptr_equal(find(&r, ROUTES[i].method, path, &reply), &ROUTES[i]);
        }
        assert_string_equal(find(&r, "GET", "/queues/a/config", &reply)->pattern, "/queues/{queue_name}/config");
        assert_string_equal(r.args[0], "a");
        assert_string_equal(find(&r, "GET", "/queues/config", &reply)->pattern, "/queues/{role}");
        assert_string_equal(r.args[0], "config");
        assert_string_equal(find(&r, "GET", "/definitions/a.b/7", &reply)->pattern, "/definitions/{task_name}/{task_version}");
        assert_string_equal(r.args[1], "7");
        assert_string_equal(find(&r, "HEAD", "/health", &reply)->pattern, "/health");
        request_done(&r);
        reply_done(&reply);
}

static void routes_are_refused(void **state) {
        static const char *const nowhere[] = { "/x", "/queues/", "/queues//config", "//", "/task-status", "/task-status/a/b", "/a/b/c/d/e/f/g/h/i/j",
                                               "", "queues", "/Queues", "/queues/a/config/" };
        Request r = {};
        Reply reply = {};

        for (size_t i = 0; i < ARRAY_SIZE(nowhere); i++) {
                assert_null(find(&r, "GET", nowhere[i], &reply));
                assert_int_equal(reply.status, 404);
        }
        assert_null(find(&r, "GET", "/submit-task", &reply));
        assert_int_equal(reply.status, 405);
        assert_string_equal(reply.allow, "POST");
        assert_null(find(&r, "PATCH", "/queues/a", &reply));
        assert_string_equal(reply.allow, "PUT, DELETE, GET, HEAD, POST");
        request_done(&r);
        reply_done(&reply);
}

/* ── bodies ── */

static int parse(const char *text, size_t len) {
        Request r = {};
        Reply reply = {};
        int e = request_parse_json(&r, text, len, &reply);

        assert_true((e == 0) == (reply.status == 0));
        if (e < 0)
                assert_int_equal(reply.status, 400);
        request_done(&r);
        reply_done(&reply);
        return e;
}

static void depth(void **state) {
        char text[200000];

        memset(text, '[', sizeof text);
        assert_int_equal(parse(text, sizeof text), -EINVAL);
        for (int n = 30; n <= 34; n++) {
                memset(text, '[', (size_t) n);
                memset(text + n, ']', (size_t) n);
                assert_int_equal(parse(text, 2 * (size_t) n), n <= JSON_DEPTH_MAX ? 0 : -EINVAL);
        }
        const char *quoted = "{\"a\": \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"}";
        assert_int_equal(parse(quoted, strlen(quoted)), 0);
        const char *bad[] = { "{", "nul", "\"\\", "{\"a\":1,}", "1 2", "\xff", "\"\\u0000\"", "1e999" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(parse(bad[i], strlen(bad[i])), -EINVAL);
        assert_int_equal(parse("", 0), 0);
        assert_int_equal(parse("{\0}", 3), -EINVAL);
}

/* ── JSON text ── */

static void strings(void **state) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "", "\"\"" }, { "a\"b\\c\n\t\r\x01\x7f", "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u007f\"" }, { "ü€😀", "\"ü€😀\"" },
                { "\xff", "\"\xef\xbf\xbd\"" }, { "a\xc3", "\"a\xef\xbf\xbd\"" }, { "\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
                { "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" }, { "\xf5\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" }, { NULL, "null" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_str_ Str b = {};
                json_put_string(&b, cases[i].in);
                assert_string_equal(b.s, cases[i].out);
                json_t *j = json_loads(b.s, JSON_DECODE_ANY, NULL);
                assert_non_null(j);
                json_decref(j);
        }
}

static void numbers(void **state) {
        static const struct {
                int64_t in;
                const char *out;
        } cases[] = { { 0, "0" }, { -1, "-1" }, { INT64_MAX, "9223372036854775807" }, { INT64_MIN, "-9223372036854775808" } };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_str_ Str b = {};
                json_put_int(&b, cases[i].in);
                assert_string_equal(b.s, cases[i].out);
        }
        _cleanup_str_ Str b = {};
        str_append(&b, "{");
        json_put_key_int(&b, "a", 1);
        json_put_key_time(&b, "b", 1773309600ULL * USEC_PER_SEC);
        json_put_key_time(&b, "c", 0);
        json_put_key_bool(&b, "d", true);
        json_put_key_raw(&b, "e", NULL, "{}");
        str_append(&b, "}");
        assert_string_equal(b.s, "{\"a\":1,\"b\":\"2026-03-12T10:00:00.000000Z\",\"c\":null,\"d\":true,\"e\":{}}");
}

static void summaries(void **state) {
        _cleanup_str_ Str b = {};
        Task t = { .name = (char *) "n", .queue = (char *) "q", .version = 3, .status = TASK_FAILED, .retry_attempt = 2, .priority = -4,
                   .submitted_at = 1773309600ULL * USEC_PER_SEC, .completed_at = 1773309601ULL * USEC_PER_SEC,
                   .last_error = (char *) "it \"broke\"", .parameters = (char *) "{\"a\":[1]}", .progress = -1 };

        ulid_parse("01JBKR2E5F3G4H5J6K718M9N0P", &t.id);
        task_put_summary(&b, &t);
        json_t *j = json_loads(b.s, 0, NULL);
        assert_non_null(j);
        assert_string_equal(json_string_value(json_object_get(j, "id")), "01JBKR2E5F3G4H5J6K718M9N0P");
        assert_string_equal(json_string_value(json_object_get(j, "status")), "failed");
        assert_string_equal(json_string_value(json_object_get(j, "last_error")), "it \"broke\"");
        assert_int_equal(json_array_size(json_object_get(json_object_get(j, "parameters"), "a")), 1);
        assert_null(json_object_get(j, "started_at"));
        json_decref(j);
        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++)
                assert_string_equal(TASK_STATUS_NAMES[s], task_status_to_string(s));
        assert_null(TASK_STATUS_NAMES[_TASK_STATUS_MAX]);
}

static void ends(void **state) {
        static const struct {
                Attempt a;
                const char *text;
        } cases[] = {
                { { .end_reason = END_EXIT, .exit_status = 75 }, "exit status 75" },
                { { .end_reason = END_SIGNAL, .exit_status = -1, .term_signal = 9 }, "killed by SIGKILL" },
                { { .end_reason = END_OOM, .exit_status = -1, .term_signal = 9 }, "killed by SIGKILL (oom)" },
                { { .end_reason = END_TIMEOUT, .exit_status = 0 }, "exit status 0 (timeout)" },
                { { .end_reason = END_HOST_LOST, .exit_status = -1 }, "host-lost" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_str_ Str b = {};
                attempt_put_end(&b, &cases[i].a);
                assert_string_equal(b.s, cases[i].text);
        }
}

/* ── cursors ── */

static void cursors(void **state) {
        Task t = { .seq = 1234567890123 };
        TaskFilter f = {}, by_id = { .order_by_id = true }, newest = { .newest_first = true }, g;
        char buf[CURSOR_STR_MAX];

        ulid_parse("01JBKR2E5F3G4H5J6K718M9N0P", &t.id);
        g = f;
        assert_int_equal(cursor_parse(cursor_format(&f, &t, buf), &g), 0);
        assert_true(g.has_after && g.after_seq == t.seq);
        g = by_id;
        assert_int_equal(cursor_parse(cursor_format(&by_id, &t, buf), &g), 0);
        assert_int_equal(ulid_cmp(&g.after_id, &t.id), 0);
        assert_int_equal(cursor_parse(buf, &f), -EINVAL);               /* of the other order */
        g = newest;
        assert_int_equal(cursor_parse(cursor_format(&newest, &t, buf), &g), 0);
        assert_true(g.has_after && g.after_seq == t.seq);
        g = (TaskFilter) {};
        assert_int_equal(cursor_parse(buf, &g), -EINVAL);
        static const char *const bad[] = { "", "s", "s-1", "sx", "5", "i", "s99999999999999999999" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                g = (TaskFilter) {};
                assert_int_equal(cursor_parse(bad[i], &g), -EINVAL);
        }
}

/* ── log files ── */

static void put_file(const char *path, const char *text, int flags) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static void expect(LogFile *f, const char *text) {
        char buf[4096] = "";
        size_t n = 0;
        ssize_t k;

        while ((k = log_file_read(f, buf + n, 7)) > 0)
                n += (size_t) k;
        buf[n] = '\0';
        assert_string_equal(buf, text);
}

static void log_files(void **state) {
        char dir[] = "/tmp/jobbers-log-XXXXXX";
        assert_non_null(mkdtemp(dir));
        Ulid id;
        LogFile f;
        ulid_parse("01JBKR2E5F3G4H5J6K718M9N0P", &id);
        assert_int_equal(log_file_init(&f, dir, &id), 0);
        _cleanup_free_ char *new_path = str_new("%s/new", dir);

        expect(&f, "");                                                 /* no file yet */
        put_file(f.path, "one\ntwo\n", O_APPEND);
        expect(&f, "one\ntwo\n");
        put_file(f.path, "three\n", O_APPEND);
        expect(&f, "three\n");
        /* the writer cuts "one\ntwo\n" and goes on: the reader misses nothing and sees nothing twice */
        put_file(new_path, "-- jobbers: the oldest 8 bytes of this log were cut --\nthree\nfour\n", O_TRUNC);
        assert_int_equal(rename(new_path, f.path), 0);
        expect(&f, "four\n");
        /* it cuts more than was read: the mark says so */
        put_file(new_path, "-- jobbers: the oldest 100 bytes of this log were cut --\nlate\n", O_TRUNC);
        assert_int_equal(rename(new_path, f.path), 0);
        expect(&f, "-- jobbers: the oldest 100 bytes of this log were cut --\nlate\n");
        put_file(new_path, "-- jobbers: the oldest 102 bytes of this log were cut --\nte\nlater\n", O_TRUNC);
        assert_int_equal(rename(new_path, f.path), 0);
        expect(&f, "later\n");
        /* emptied, as it is done without space for a second file */
        assert_int_equal(truncate(f.path, 0), 0);
        put_file(f.path, "new\n", O_APPEND);
        expect(&f, "new\n");
        log_file_done(&f);
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_remove_tree_at(tmp, dir + strlen("/tmp/")), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(routes_are_found), cmocka_unit_test(routes_are_refused), cmocka_unit_test(depth), cmocka_unit_test(strings),
                cmocka_unit_test(numbers), cmocka_unit_test(summaries), cmocka_unit_test(ends), cmocka_unit_test(cursors),
                cmocka_unit_test(log_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
