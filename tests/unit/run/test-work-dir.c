/* The task's own directory: what of it goes from one attempt to the next, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "jobbers-run/work-dir.h"

#define SOMEBODY 12345

typedef struct Fixture {
        char root[32];
        int fd;                 /* the attempt's directory */
        Place place;
        WorkDir work;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        assert_non_null(f);
        snprintf(f->root, sizeof f->root, "/tmp/test-work-dir-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        f->fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        f->place = PLACE_INIT;
        f->place.max_parameters = 100000;
        f->place.privileged = geteuid() == 0;
        f->work = WORK_DIR_INIT;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        assert_true(work_dir_remove(&f->work, f->fd));
        assert_int_equal(rmdir(f->root), 0);
        fd_close(f->fd);
        free(f);
        return 0;
}

static int begin_as(Fixture *f, const char *parameters, size_t n, uid_t uid, gid_t gid) {
        _cleanup_close_ int from = memfd_create("parameters", MFD_CLOEXEC);
        assert_true(from >= 0);
        assert_int_equal(fd_write_all(from, parameters, n), 0);
        return work_dir_begin(&f->work, &f->place, f->fd, from, uid, gid);
}

/* An attempt begins, and finds its parameters by name and on standard input, and nothing else. */
static void begin(Fixture *f, const char *parameters) {
        _cleanup_free_ char *named = NULL, *given = NULL;
        size_t len;
        assert_int_equal(begin_as(f, parameters, strlen(parameters), SOMEBODY, SOMEBODY), 0);
        assert_int_equal(fd_read_file_at(f->work.fd, "parameters", 4096, &named, &len), 0);
        assert_string_equal(named, parameters);
        assert_int_equal(fd_read_all(f->work.parameters_fd, 4096, &given, &len), 0);
        assert_string_equal(given, parameters);
        assert_int_equal(fcntl(f->work.parameters_fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
        assert_int_equal(faccessat(f->work.fd, "result", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(faccessat(f->work.fd, "left", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static bool is_the_same(Fixture *f, const struct stat *old) {
        struct stat st;
        return f->work.fd >= 0 && fstat(f->work.fd, &st) >= 0 && st.st_ino == old->st_ino;
}

static void put(Fixture *f, const char *name) {
        assert_int_equal(fd_write_file_at(f->work.fd, name, "{}", 2, 0600, false), 0);
}

static void skip_unless_root(void) {
        if (geteuid() != 0)
                skip();
}

static void test_it_goes_to_the_next(void **state) {
        Fixture *f = *state;
        struct stat first;
        skip_unless_root();
        begin(f, "{\"a\": 1}");
        assert_int_equal(fstat(f->work.fd, &first), 0);
        assert_int_equal(first.st_uid, SOMEBODY);
        static const char *const next[] = { "{}", "{\"a\": 12345678, \"b\": [2]}", "" };
        for (size_t i = 0; i < ARRAY_SIZE(next); i++) {
                assert_true(work_dir_end(&f->work));
                assert_int_equal(f->work.parameters_fd, -1);
                begin(f, next[i]);
                assert_true(is_the_same(f, &first));
        }
}

static void test_a_result_does_not(void **state) {
        Fixture *f = *state;
        struct stat first;
        skip_unless_root();
        begin(f, "{}");
        assert_int_equal(fstat(f->work.fd, &first), 0);
        put(f, "result");
        assert_true(work_dir_end(&f->work));
        begin(f, "{}");
        assert_true(is_the_same(f, &first));
}

/* Each of them is nothing that the next task should find. */
static void leave_a_file(Fixture *f) {
        put(f, "left");
}

static void leave_many(Fixture *f) {
        for (unsigned i = 0; i < 100; i++) {
                char name[16];
                snprintf(name, sizeof name, "%u", i);
                put(f, name);
        }
}

static void leave_a_directory(Fixture *f) {
        assert_int_equal(mkdirat(f->work.fd, "left", 0700), 0);
}

static void leave_a_directory_as_result(Fixture *f) {
        assert_int_equal(mkdirat(f->work.fd, "result", 0700), 0);
}

static void leave_another_mode(Fixture *f) {
        assert_int_equal(fchmod(f->work.fd, 0755), 0);
}

static void leave_another_group(Fixture *f) {
        assert_int_equal(fchown(f->work.fd, (uid_t) -1, SOMEBODY + 1), 0);
}

static void leave_an_attribute(Fixture *f) {
        /* A list for others, which shows in no mode: rwx for the owner, nothing for the group and others, by default. */
        static const unsigned char acl[] = { 2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 0, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255 };
        if (fsetxattr(f->work.fd, "system.posix_acl_default", acl, sizeof acl, 0) < 0)
                skip();
}

static void test_what_was_touched_is_not_kept(void **state) {
        Fixture *f = *state;
        static void (*const leave[])(Fixture *) = { leave_a_file, leave_many, leave_a_directory, leave_a_directory_as_result, leave_another_mode,
                                                    leave_another_group, leave_an_attribute };
        skip_unless_root();
        for (size_t i = 0; i < ARRAY_SIZE(leave); i++) {
                begin(f, "{}");
                leave[i](f);
                assert_false(work_dir_end(&f->work));
                assert_true(work_dir_remove(&f->work, f->fd));
                assert_int_equal(faccessat(f->fd, "work", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        }
}

/* Between two attempts other processes of that user may do what they like. */
static void replace_by_nothing(Fixture *f) {
}

static void replace_by_a_file(Fixture *f) {
        put(f, "parameters");
}

static void replace_by_a_fifo(Fixture *f) {             /* whoever opens it for reading waits for ever */
        assert_int_equal(mkfifoat(f->work.fd, "parameters", 0600), 0);
}

static void replace_by_a_link(Fixture *f) {
        assert_int_equal(symlinkat("/etc/passwd", f->work.fd, "parameters"), 0);
}

static void test_parameters_that_were_replaced(void **state) {
        Fixture *f = *state;
        static void (*const replace[])(Fixture *) = { replace_by_nothing, replace_by_a_file, replace_by_a_fifo, replace_by_a_link };
        skip_unless_root();
        begin(f, "{}");
        for (size_t i = 0; i < ARRAY_SIZE(replace); i++) {
                assert_true(work_dir_end(&f->work));
                assert_int_equal(unlinkat(f->work.fd, "parameters", 0), 0);
                replace[i](f);
                begin(f, "{\"next\": 1}");
        }
}

static void test_parameters_with_another_name(void **state) {
        Fixture *f = *state;
        struct stat st;
        skip_unless_root();
        begin(f, "{\"old\": 1}");
        assert_int_equal(linkat(f->work.fd, "parameters", f->fd, "mine", 0), 0);
        assert_true(work_dir_end(&f->work));
        begin(f, "{\"new\": 2}");
        assert_int_equal(fstatat(f->fd, "mine", &st, 0), 0);
        assert_int_equal(st.st_size, 10);
        assert_int_equal(st.st_nlink, 1);
        assert_int_equal(unlinkat(f->fd, "mine", 0), 0);
}

static void test_another_group(void **state) {
        Fixture *f = *state;
        struct stat st;
        skip_unless_root();
        begin(f, "{}");
        assert_true(work_dir_end(&f->work));
        assert_int_equal(begin_as(f, "{}", 2, SOMEBODY, SOMEBODY + 1), 0);
        assert_int_equal(fstat(f->work.fd, &st), 0);
        assert_int_equal(st.st_gid, SOMEBODY + 1);
}

/* Root may have mounted something on it. */
static void test_roots_is_not_kept(void **state) {
        Fixture *f = *state;
        skip_unless_root();
        assert_int_equal(begin_as(f, "{}", 2, 0, 0), 0);
        assert_false(work_dir_end(&f->work));
}

static void test_large_parameters_are_not_kept(void **state) {
        Fixture *f = *state;
        size_t n = 50000;
        _cleanup_free_ char *large = malloc(n);
        assert_non_null(large);
        memset(large, 'x', n);
        skip_unless_root();
        assert_int_equal(begin_as(f, large, n, SOMEBODY, SOMEBODY), 0);
        assert_false(work_dir_end(&f->work));
        assert_true(work_dir_remove(&f->work, f->fd));
        /* Also in one that was kept. */
        begin(f, "{}");
        assert_true(work_dir_end(&f->work));
        assert_int_equal(begin_as(f, large, n, SOMEBODY, SOMEBODY), 0);
        assert_false(work_dir_end(&f->work));
        assert_true(work_dir_remove(&f->work, f->fd));
        begin(f, "{}");
        assert_true(work_dir_end(&f->work));
        f->place.max_parameters = 10;
        assert_int_equal(begin_as(f, large, 11, SOMEBODY, SOMEBODY), -EFBIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_it_goes_to_the_next, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_result_does_not, setup, teardown),
                cmocka_unit_test_setup_teardown(test_what_was_touched_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_parameters_that_were_replaced, setup, teardown),
                cmocka_unit_test_setup_teardown(test_parameters_with_another_name, setup, teardown),
                cmocka_unit_test_setup_teardown(test_another_group, setup, teardown),
                cmocka_unit_test_setup_teardown(test_roots_is_not_kept, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_parameters_are_not_kept, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
