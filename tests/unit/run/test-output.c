/* Log files: made by the first byte, capped by cutting the oldest half, never in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/output.h"

#define LOG "01ARZ3NDEKTSV4RRFFQ69G5FAV.log"
#define CAP 8192

static bool disk_is_full;

/* The second file's: it is moved when it is complete. */
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        if (disk_is_full) {
                errno = ENOSPC;
                return -1;
        }
        return (int) syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

typedef struct Fixture {
        char path[64];
        int fd;
        Settings settings;
        Definition definition;
        Place place;
        Job job;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        snprintf(f->path, sizeof f->path, "/tmp/jobbers-test-output-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->settings.max_log = CAP;
        f->definition.name = (char *) "thing";
        f->place = PLACE_INIT;
        f->place.logs_fd = f->fd;
        f->place.own_uid = f->place.daemon.uid = geteuid();
        f->job = (Job) { .settings = &f->settings, .place = &f->place, .definition = &f->definition, .attempt = 1, .output = OUTPUT_FILE };
        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", &f->job.task_id), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int tmp = open("/tmp", O_PATH | O_DIRECTORY);
        assert_int_equal(fd_remove_tree_at(tmp, strrchr(f->path, '/') + 1), 0);
        close(f->fd);
        free(f);
        return 0;
}

static char *log_read(Fixture *f) {
        char *text = NULL;
        size_t len;
        int r = fd_read_file_at(f->fd, LOG, 1 << 20, &text, &len);
        return r < 0 ? NULL : text;
}

/* As a task would write it, in pieces that fit into a pipe. */
static void write_lines(Output *o, unsigned from, unsigned to) {
        for (unsigned i = from; i < to; i++) {
                char line[16];
                int n = snprintf(line, sizeof line, "line %06u\n", i);
                assert_int_equal(write(o->task_fd, line, (size_t) n), n);
                if (i % 100 == 0)
                        while (output_pump(o))
                                ;
        }
}

static void test_no_output_no_file(void **state) {
        Fixture *f = *state;
        Output o;
        assert_int_equal(output_open(&o, &f->job), 0);
        output_started(&o, 0);
        assert_int_equal(output_pump(&o), 0);
        output_finish(&o);
        assert_null(log_read(f));
}

static void test_attempts_are_marked(void **state) {
        Fixture *f = *state;
        for (f->job.attempt = 1; f->job.attempt <= 4; f->job.attempt++) {
                Output o;
                assert_int_equal(output_open(&o, &f->job), 0);
                if (f->job.attempt != 3)
                        write_lines(&o, f->job.attempt, f->job.attempt + 1);
                if (f->job.attempt == 2)
                        assert_int_equal(write(o.task_fd, "half", 4), 4);
                output_finish(&o);
        }
        _cleanup_free_ char *text = log_read(f);
        assert_string_equal(text, "line 000001\n-- jobbers: attempt 2 --\nline 000002\nhalf\n-- jobbers: attempt 4 --\nline 000004\n");
}

static void test_capped(void **state) {
        Fixture *f = *state;
        Output o;
        unsigned long long cut;
        const unsigned n = 5000;

        assert_int_equal(output_open(&o, &f->job), 0);
        write_lines(&o, 0, n / 2);
        output_finish(&o);
        /* A second attempt goes on counting. */
        assert_int_equal(output_open(&o, &f->job), 0);
        write_lines(&o, n / 2, n);
        output_finish(&o);
        _cleanup_free_ char *text = log_read(f);
        assert_true(strlen(text) <= CAP);
        assert_int_equal(sscanf(text, "-- jobbers: the oldest %llu bytes of this log were cut --", &cut), 1);
        const char *rest = strchr(text, '\n') + 1;
        /* Not a byte is lost between the mark and the end, and it starts with a whole line. */
        assert_int_equal(cut + strlen(rest), n * 12ULL);
        assert_int_equal(cut % 12, 0);
        char first[32];
        snprintf(first, sizeof first, "line %06llu\n", cut / 12);
        assert_memory_equal(rest, first, 12);
        assert_int_equal(faccessat(f->fd, LOG ".new", F_OK, 0), -1);
}

/* The cap holds, and nothing is left of the try to keep half. */
static void test_no_room_to_cut(void **state) {
        Fixture *f = *state;
        Output o;
        struct stat st;
        assert_int_equal(output_open(&o, &f->job), 0);
        disk_is_full = true;
        write_lines(&o, 0, 1000);
        disk_is_full = false;
        assert_true(o.dropped > 0);
        assert_int_equal(faccessat(f->fd, LOG ".new", F_OK, 0), -1);
        output_finish(&o);
        assert_int_equal(fstatat(f->fd, LOG, &st, 0), 0);
        assert_true(st.st_size <= CAP);
}

static void test_one_endless_line(void **state) {
        Fixture *f = *state;
        Output o;
        static char block[4096];
        unsigned long long cut;
        memset(block, 'x', sizeof block);
        assert_int_equal(output_open(&o, &f->job), 0);
        for (unsigned i = 0; i < 50; i++) {
                assert_int_equal(write(o.task_fd, block, sizeof block), sizeof block);
                while (output_pump(&o))
                        ;
        }
        output_finish(&o);
        _cleanup_free_ char *text = log_read(f);
        assert_true(strlen(text) <= CAP + 100);
        assert_int_equal(sscanf(text, "-- jobbers: the oldest %llu bytes of this log were cut --", &cut), 1);
        assert_int_equal(cut + strlen(strchr(text, '\n') + 1), 50 * sizeof block);
}

static void test_unwritable_is_counted(void **state) {
        Fixture *f = *state;
        Output o;
        assert_int_equal(mkdirat(f->fd, LOG, 0700), 0);
        assert_int_equal(output_open(&o, &f->job), 0);
        write_lines(&o, 0, 10);
        while (output_pump(&o))
                ;
        assert_int_equal(o.dropped, 120);
        output_finish(&o);
}

static void test_links_are_not_followed(void **state) {
        Fixture *f = *state;
        Output o;
        assert_int_equal(symlinkat("elsewhere", f->fd, LOG), 0);
        assert_int_equal(output_open(&o, &f->job), 0);
        write_lines(&o, 0, 1);
        while (output_pump(&o))
                ;
        assert_int_equal(o.dropped, 12);
        output_finish(&o);
        assert_int_equal(faccessat(f->fd, "elsewhere", F_OK, 0), -1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_no_output_no_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_attempts_are_marked, setup, teardown),
                cmocka_unit_test_setup_teardown(test_capped, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_room_to_cut, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_endless_line, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unwritable_is_counted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_links_are_not_followed, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
