/* The exit record's file, and taking results that somebody else made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/record.h"

#define KEY "01ARZ3NDEKTSV4RRFFQ69G5FAV.3"

typedef struct Fixture {
        char path[64];
        int fd;
        Place place;
        Definition definition;
        Job job;
        ExitRecord record;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        snprintf(f->path, sizeof f->path, "/tmp/jobbers-test-record-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(f->fd >= 0);
        assert_int_equal(mkdirat(f->fd, "saved", 0700), 0);
        f->place = PLACE_INIT;
        f->place.saved_fd = openat(f->fd, "saved", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->definition.name = (char *) "thing";
        f->job = (Job) { .place = &f->place, .definition = &f->definition, .attempt = 3 };
        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", &f->job.task_id), 0);
        f->record = (ExitRecord) { .task_id = f->job.task_id, .attempt = 3, .started_at = 1, .ended_at = 2, .end_reason = END_EXIT, .progress = -1,
                                   .cpu_usec = -1, .memory_peak = -1, .io_read = -1, .io_write = -1, .oom_kills = -1, .pids_peak = -1 };
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int tmp = open("/tmp", O_PATH | O_DIRECTORY);
        assert_int_equal(fd_remove_tree_at(tmp, strrchr(f->path, '/') + 1), 0);
        close(f->fd);
        close(f->place.saved_fd);
        free(f);
        return 0;
}

static bool is_there(const Fixture *f, const char *name) {
        return faccessat(f->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void test_begin_finish(void **state) {
        Fixture *f = *state;
        RecordFile r;
        struct stat st;
        _cleanup_exit_record_ ExitRecord read = {};
        _cleanup_free_ char *text = NULL;
        size_t len;

        assert_int_equal(record_file_begin(&r, f->fd, &f->job, NULL, KEY), 0);
        assert_true(is_there(f, KEY ".started") && !is_there(f, KEY));
        assert_int_equal(fstat(r.fd, &st), 0);
        assert_true(st.st_blocks * 512 >= 4096);
        assert_int_equal(record_file_finish(&r, &f->record, true), 0);
        record_file_close(&r);
        assert_true(!is_there(f, KEY ".started") && is_there(f, KEY));
        assert_int_equal(fd_read_file_at(f->fd, KEY, 1 << 20, &text, &len), 0);
        assert_int_equal(exit_record_decode(text, len, &read), 0);
        assert_int_equal(read.attempt, 3);
}

static bool is_saved(const Fixture *f) {
        return faccessat(f->place.saved_fd, KEY, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

/* In memory as long as a daemon is there to take it. */
static void test_saved_when_alone(void **state) {
        Fixture *f = *state;
        RecordFile r;
        _cleanup_exit_record_ ExitRecord read = {};
        _cleanup_free_ char *text = NULL;
        size_t len;

        assert_int_equal(record_file_begin(&r, f->fd, &f->job, NULL, KEY), 0);
        assert_int_equal(record_file_finish(&r, &f->record, false), 0);
        assert_true(is_there(f, KEY) && !is_saved(f));
        /* It has gone. */
        assert_int_equal(record_file_finish(&r, &f->record, true), 0);
        assert_true(is_there(f, KEY) && is_saved(f));
        assert_int_equal(fd_read_file_at(f->place.saved_fd, KEY, 1 << 20, &text, &len), 0);
        assert_int_equal(exit_record_decode(text, len, &read), 0);
        assert_int_equal(read.attempt, 3);
        /* Once is enough. */
        assert_int_equal(unlinkat(f->place.saved_fd, KEY, 0), 0);
        assert_int_equal(record_file_finish(&r, &f->record, true), 0);
        assert_false(is_saved(f));
        record_file_close(&r);
}

/* Another daemon has come meanwhile, taken it, and had it forgotten: it must not come back. */
static void test_not_saved_when_taken(void **state) {
        Fixture *f = *state;
        RecordFile r;
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, NULL, KEY), 0);
        assert_int_equal(record_file_finish(&r, &f->record, false), 0);
        assert_int_equal(unlinkat(f->fd, KEY, 0), 0);
        assert_int_equal(record_file_finish(&r, &f->record, true), 0);
        assert_false(is_saved(f));
        record_file_close(&r);
}

static void test_once(void **state) {
        Fixture *f = *state;
        RecordFile first, second;
        assert_int_equal(record_file_begin(&first, f->fd, &f->job, NULL, KEY), 0);
        assert_int_equal(record_file_begin(&second, f->fd, &f->job, NULL, KEY), -EEXIST);
        assert_true(is_there(f, KEY ".started"));
        assert_int_equal(record_file_finish(&first, &f->record, false), 0);
        assert_int_equal(record_file_begin(&second, f->fd, &f->job, NULL, KEY), -EEXIST);
        assert_true(is_there(f, KEY) && !is_there(f, KEY ".started"));
        record_file_close(&first);
}

static ino_t inode(const Fixture *f, const char *name) {
        struct stat st;
        return fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

#define NEXT "01ARZ3NDEKTSV4RRFFQ69G5FAV.4"

/* One that has written its record, and goes on. */
static void finish_and_keep(Fixture *f, RecordFile *r, RecordKeep *keep) {
        assert_int_equal(record_file_begin(r, f->fd, &f->job, NULL, KEY), 0);
        assert_int_equal(record_file_finish(r, &f->record, false), 0);
        record_file_keep(r, keep);
        record_file_close(r);
        assert_true(is_there(f, KEY));
}

static void test_keep(void **state) {
        Fixture *f = *state;
        RecordFile r;
        RecordKeep keep = RECORD_KEEP_INIT;
        char head[64] = "";

        /* No attempt before: nothing to use up. */
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, &keep, NEXT), 0);
        record_file_undo(&r);

        finish_and_keep(f, &r, &keep);
        ino_t old = inode(f, KEY);
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, &keep, NEXT), 0);
        assert_true(!is_there(f, KEY) && inode(f, NEXT ".started") == old);
        assert_int_equal(pread(r.fd, head, 18, 0), 18);
        assert_string_equal(head, "JOBBERS_STARTED=1\n");
        record_file_undo(&r);

        /* Forgotten all the same, and by now the file of another attempt: not a byte of it is changed. */
        finish_and_keep(f, &r, &keep);
        assert_int_equal(renameat(f->fd, KEY, f->fd, "another"), 0);
        old = inode(f, "another");
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, &keep, NEXT), 0);
        assert_true(inode(f, NEXT ".started") != old);
        _cleanup_free_ char *text = NULL;
        _cleanup_exit_record_ ExitRecord read = {};
        size_t len;
        assert_int_equal(fd_read_file_at(f->fd, "another", 1 << 20, &text, &len), 0);
        assert_int_equal(exit_record_decode(text, len, &read), 0);
        record_file_undo(&r);

        /* It does not replace the proof of a start. */
        finish_and_keep(f, &r, &keep);
        fd_close(openat(f->fd, NEXT ".started", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
        old = inode(f, NEXT ".started");
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, &keep, NEXT), -EEXIST);
        assert_true(inode(f, NEXT ".started") == old && !is_there(f, KEY));
        assert_int_equal(unlinkat(f->fd, NEXT ".started", 0), 0);

        /* The daemon did not say that it took it: it stays. */
        finish_and_keep(f, &r, &keep);
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, NULL, NEXT), 0);
        assert_true(is_there(f, KEY));
        assert_int_equal(record_file_finish(&r, &f->record, false), 0);
        record_file_keep(&r, &keep);
        record_file_close(&r);
        assert_true(is_there(f, KEY) && strcmp(keep.name, NEXT) == 0);
        fd_close(keep.fd);
}

/* Its file is too large to be used again, and goes. */
static void test_keep_large(void **state) {
        Fixture *f = *state;
        RecordFile r;
        RecordKeep keep = RECORD_KEEP_INIT;
        char result[5001];
        memset(result, 'x', 5000);
        result[5000] = 0;
        f->record.result = result;
        f->record.result_len = 5000;
        finish_and_keep(f, &r, &keep);
        assert_int_equal(keep.fd, -1);
        struct stat st;
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, &keep, NEXT), 0);
        assert_false(is_there(f, KEY));
        assert_int_equal(fstat(r.fd, &st), 0);
        assert_int_equal(st.st_size, 4096);
        record_file_undo(&r);
        f->record.result = NULL;
}

static void test_undo(void **state) {
        Fixture *f = *state;
        RecordFile r;
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, NULL, KEY), 0);
        record_file_undo(&r);
        assert_false(is_there(f, KEY ".started") || is_there(f, KEY));
}

static void test_large_result(void **state) {
        Fixture *f = *state;
        RecordFile r;
        _cleanup_exit_record_ ExitRecord read = {};
        _cleanup_free_ char *text = NULL, *result = malloc(1000001);
        size_t len;
        memset(result, 'x', 1000000);
        result[1000000] = 0;
        f->record.result = result;
        f->record.result_len = 1000000;
        assert_int_equal(record_file_begin(&r, f->fd, &f->job, NULL, KEY), 0);
        assert_int_equal(record_file_finish(&r, &f->record, false), 0);
        record_file_close(&r);
        assert_int_equal(fd_read_file_at(f->fd, KEY, 1 << 21, &text, &len), 0);
        assert_int_equal(exit_record_decode(text, len, &read), 0);
        assert_int_equal(read.result_len, 1000000);
        assert_memory_equal(read.result, result, 1000000);
}

/* ── results ── */

static int take(Fixture *f, uid_t owner, char **ret) {
        _cleanup_free_ char *why = NULL;
        size_t len;
        int r = result_take(f->fd, owner, 100, ret, &len, &why);
        /* A refusal has its sentence, and nothing else has. */
        assert_int_equal(r < 0, why != NULL);
        if (*ret)
                assert_int_equal(strlen(*ret), len);
        else
                assert_int_equal(len, 0);
        return r;
}

static void result_put(Fixture *f, const char *text) {
        assert_int_equal(fd_write_file_at(f->fd, "result", text, strlen(text), 0600, false), 0);
}

static void test_result(void **state) {
        Fixture *f = *state;
        char *got = NULL;
        assert_int_equal(take(f, geteuid(), &got), 0);
        assert_null(got);
        result_put(f, "{}");
        assert_int_equal(take(f, geteuid(), &got), 0);
        assert_string_equal(got, "{}");
        free(TAKE_PTR(got));
        result_put(f, "");
        assert_int_equal(take(f, geteuid(), &got), 0);
        assert_string_equal(got, "");
        free(got);
}

static void test_result_refused(void **state) {
        Fixture *f = *state;
        char *got = NULL;
        char large[102] = "";
        result_put(f, "{}");
        assert_true(take(f, geteuid() + 1, &got) < 0);
        memset(large, 'x', 101);
        result_put(f, large);
        assert_int_equal(take(f, geteuid(), &got), -EFBIG);
        large[100] = 0;
        result_put(f, large);
        assert_int_equal(take(f, geteuid(), &got), 0);
        free(TAKE_PTR(got));
        assert_int_equal(linkat(f->fd, "result", f->fd, "other", 0), 0);
        assert_true(take(f, geteuid(), &got) < 0);
        assert_int_equal(unlinkat(f->fd, "result", 0), 0);
        assert_int_equal(symlinkat("other", f->fd, "result"), 0);
        assert_true(take(f, geteuid(), &got) < 0);
        assert_int_equal(unlinkat(f->fd, "result", 0), 0);
        assert_int_equal(mkfifoat(f->fd, "result", 0600), 0);
        assert_true(take(f, geteuid(), &got) < 0);      /* and does not hang */
        assert_int_equal(unlinkat(f->fd, "result", 0), 0);
        assert_int_equal(mkdirat(f->fd, "result", 0700), 0);
        assert_true(take(f, geteuid(), &got) < 0);
        assert_null(got);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_begin_finish, setup, teardown),
                cmocka_unit_test_setup_teardown(test_saved_when_alone, setup, teardown),
                cmocka_unit_test_setup_teardown(test_not_saved_when_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(test_once, setup, teardown),
                cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
                cmocka_unit_test_setup_teardown(test_keep_large, setup, teardown),
                cmocka_unit_test_setup_teardown(test_undo, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_result, setup, teardown),
                cmocka_unit_test_setup_teardown(test_result, setup, teardown),
                cmocka_unit_test_setup_teardown(test_result_refused, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
