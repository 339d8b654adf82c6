/* Log files that go by their age: so few in a turn that nobody waits for them, and all in the end. */
#include <dirent.h>
#include <sys/time.h>

#include "fixture.h"

#define FILES 3000

static size_t count(const char *path) {
        DIR *d = opendir(path);
        size_t n = 0;
        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n - 2;
}

static void log_write(Fixture *f, const Ulid *id, time_t at) {
        char s[ULID_STR_MAX];
        struct timeval times[2] = { { .tv_sec = at }, { .tv_sec = at } };
        _cleanup_free_ char *path = str_new("%s/%s.log", f->settings.log_dir, ulid_format(id, s));
        assert_int_equal(fd_write_file_at(AT_FDCWD, path, "x", 1, 0644, false), 0);
        assert_int_equal(utimes(path, times), 0);
}

static void many_logs(void **state) {
        Fixture *f = *state;
        time_t now = (time_t) (clock_wall() / USEC_PER_SEC);

        f->settings.log_age = 86400 * USEC_PER_SEC;
        Ulid running = submit(f, "many", NULL), fresh, old;
        assert_int_equal(run(f), 0);
        log_write(f, &running, now - 100000);
        assert_int_equal(ulid_new(&fresh), 0);
        log_write(f, &fresh, now - 10);
        for (unsigned i = 0; i < FILES; i++) {
                assert_int_equal(ulid_new(&old), 0);
                log_write(f, &old, now - 100000);
        }

        f->engine->expire_at = clock_boot();    /* it is time */
        assert_int_equal(expire_run(f->engine), 0);
        assert_true(count(f->settings.log_dir) >= FILES - 300);
        assert_true(f->engine->expire_more);
        for (unsigned turn = 0; f->engine->expire_more; turn++) {
                assert_true(turn < FILES);
                assert_int_equal(run(f), 0);
        }
        assert_int_equal(count(f->settings.log_dir), 2);
        assert_null(f->engine->expire_logs);
        assert_true(f->engine->expire_at > clock_boot());
}

int main(void) {
        const struct CMUnitTest tests[] = { TEST(many_logs) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
