/* Logs that cannot be read: the client sees that they are cut, and not what looks like a task's end. */
#include <sys/resource.h>

#include "../dispatch/fixture.h"
#include "http/routes.h"

/* All of it, up to what ends it. */
static ssize_t read_log(Fixture *f, const Ulid *id, bool follow, Str *text) {
        char buf[4096], s[ULID_STR_MAX];
        Request r = { .engine = f->engine, .store = f->store, .event = f->event, .path = str_new("/task/%s/logs", ulid_format(id, s)) };
        Args query = { (char *) "follow", (char *) (follow ? "true" : "false") };
        Reply reply = {};
        ssize_t n;

        r.route = route_find(&r, "GET", &reply);
        assert_non_null(r.route);
        r.query = &query;
        r.n_query = 1;
        assert_int_equal(request_check(&r, &reply), 0);
        assert_int_equal(r.route->handler(&r, &reply), 0);
        assert_int_equal(reply.status, 200);
        while ((n = reply.stream->read(reply.stream, buf, sizeof buf)) > 0)
                assert_int_equal(str_append_n(text, buf, (size_t) n), 0);
        reply_done(&reply);
        r.query = NULL;
        r.n_query = 0;
        request_done(&r);
        return n;
}

static void no_journalctl(void **state) {
        Fixture *f = *state;
        _cleanup_str_ Str running = {}, over = {};

        assert_int_equal(setenv("JOBBERS_JOURNALCTL", "/nowhere/journalctl", 1), 0);
        f->launcher_flags = LAUNCHER_HAS_JOURNAL;
        engine_stop(f);
        engine_start(f, true);
        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        assert_int_equal(read_log(f, &id, true, &running), STREAM_CUT);
        assert_non_null(strstr(running.s, "attempt 1 started"));
        finish(f, &id, 0);
        assert_int_equal(read_log(f, &id, true, &over), STREAM_CUT);
        assert_null(strstr(over.s, "ended"));
        str_reset(&over);
        assert_int_equal(read_log(f, &id, false, &over), STREAM_CUT);
}

static void no_descriptor_for_the_file(void **state) {
        Fixture *f = *state;
        _cleanup_str_ Str text = {};
        char s[ULID_STR_MAX];
        struct rlimit was, none;

        Ulid id = submit(f, "many", NULL);
        assert_int_equal(run(f), 0);
        finish(f, &id, 0);
        _cleanup_free_ char *path = str_new("%s/%s.log", f->settings.log_dir, ulid_format(&id, s));
        assert_int_equal(read_log(f, &id, false, &text), -1);           /* without a file it has printed nothing */
        assert_int_equal(fd_write_file_at(AT_FDCWD, path, "hello\n", 6, 0644, false), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        none = (struct rlimit) { .rlim_cur = 3, .rlim_max = was.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        ssize_t n = read_log(f, &id, false, &text);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        assert_int_equal(n, STREAM_CUT);
        assert_null(strstr(text.s, "hello"));
        assert_int_equal(read_log(f, &id, false, &text), -1);
        assert_non_null(strstr(text.s, "hello"));
}

int main(void) {
        const struct CMUnitTest tests[] = { TEST(no_journalctl), TEST(no_descriptor_for_the_file) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
