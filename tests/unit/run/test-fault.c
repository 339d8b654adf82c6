/* jobbers-run when system calls and memory fail: each call of a step in turn. It succeeds or says why, and leaves nothing behind. */
#include "tests/unit/inject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/cgroup.h"
#include "jobbers-run/environment.h"
#include "jobbers-run/record.h"
#include "in-memory.h"

#define KEY "01ARZ3NDEKTSV4RRFFQ69G5FAV.1"
#define CALLS_MAX 400

/* More of what a disk can do. */
static Injection pwrite_fails, fsync_fails, renameat_fails, mkdirat_fails;
static bool pwrite_is_short;

ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
        if (inject(&pwrite_fails))
                return -1;
        return (ssize_t) syscall(SYS_pwrite64, fd, data, pwrite_is_short && n > 7 ? 7 : n, at);
}
int fsync(int fd) {
        return inject(&fsync_fails) ? -1 : (int) syscall(SYS_fsync, fd);
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        return inject(&renameat_fails) ? -1 : (int) syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}
int mkdirat(int fd, const char *path, mode_t mode) {
        return inject(&mkdirat_fails) ? -1 : (int) syscall(SYS_mkdirat, fd, path, mode);
}

typedef struct Fixture {
        char root[128];
        Settings settings;
        Identity self;
        Place place;
        Definition definition;
        RunUser user;
        Job job;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        inject_nothing();
        pwrite_is_short = false;
        strcpy(f->root, "/tmp/jobbers-fault-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        f->self = (Identity) { .uid = geteuid(), .gid = getegid() };
        f->settings = (Settings) { .state_dir = str_new("%s/state", f->root), .run_dir = str_new("%s/run", f->root), .attempt_dir = str_new("%s/run/fault-%d", f->root, (int) getpid()),
                                   .record_dir = str_new("%s/run/records-fault-%d", f->root, (int) getpid()), .saved_dir = str_new("%s/state/records", f->root),
                                   .log_dir = str_new("%s/state/logs", f->root),
                                   .max_parameters = 100 };
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        f->definition.name = (char *) "thing";
        f->user = (RunUser) { .name = (char *) "me", .home = (char *) "/" };
        f->job = (Job) { .settings = &f->settings, .place = &f->place, .definition = &f->definition, .user = &f->user, .attempt = 1, .queue = "q" };
        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", &f->job.task_id), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        inject_nothing();
        place_close(&f->place);
        (void) !chdir("/");
        in_memory_remove(&f->settings);
        (void) fd_remove_tree_at(tmp, f->root + strlen("/tmp/"));
        free(f->settings.state_dir);
        free(f->settings.run_dir);
        free(f->settings.attempt_dir);
        free(f->settings.record_dir);
        free(f->settings.saved_dir);
        free(f->settings.log_dir);
        free(f);
        return 0;
}

static bool there(int fd, const char *name) {
        return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

/* ── the attempt's directory ── */

static void directory_sweep(Fixture *f, Injection *where, int error) {
        _cleanup_close_ int from = memfd_create("parameters", MFD_CLOEXEC);
        unsigned refused = 0;
        for (unsigned n = 1; n < CALLS_MAX; n++) {
                AttemptDir d = ATTEMPT_DIR_INIT;
                *where = (Injection) { n, error };
                int r = attempt_dir_make(&d, &f->place, KEY, NULL, from, geteuid(), getegid());
                bool reached = where->nth == 0;
                *where = (Injection) {};
                assert_int_equal(r, reached ? -error : 0);
                refused += r < 0;
                attempt_dir_remove(&d);
                assert_false(there(f->place.attempts_fd, KEY));
                if (!reached)
                        break;
        }
        assert_true(refused > 0);
}

static void test_directory_without_descriptors(void **state) {
        directory_sweep(*state, &injected.openat, EMFILE);
        directory_sweep(*state, &injected.socket, ENFILE);
}

static void test_directory_on_a_full_disk(void **state) {
        directory_sweep(*state, &mkdirat_fails, ENOSPC);
}

/* One that is kept is gone on with, or nothing of it is left. */
static void test_kept_directory_without_descriptors(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int from = memfd_create("parameters", MFD_CLOEXEC);
        AttemptKeep keep = ATTEMPT_KEEP_INIT;
        unsigned reached = 0;
        if (geteuid() != 0)
                skip();
        for (unsigned n = 1; n < CALLS_MAX; n++) {
                AttemptDir d = ATTEMPT_DIR_INIT;
                assert_int_equal(attempt_dir_make(&d, &f->place, KEY, &keep, from, 12345, 12345), 0);
                attempt_dir_remove(&d);
                assert_true(keep.fd >= 0);
                injected.openat = (Injection) { n, EMFILE };
                int r = attempt_dir_make(&d, &f->place, KEY, &keep, from, 12345, 12345);
                bool done = injected.openat.nth != 0;
                injected.openat = (Injection) {};
                assert_true(r == 0 || r == -EMFILE);
                assert_true(r < 0 || there(d.work.fd, "parameters"));
                reached += !done;
                attempt_dir_remove(&d);
                assert_false(there(f->place.attempts_fd, KEY));
                if (done)
                        break;
        }
        assert_true(reached > 0);
        attempt_keep_done(&keep, &f->place);
        assert_false(there(f->place.attempts_fd, keep.name));
}

static void test_directories_that_cannot_be_opened(void **state) {
        Fixture *f = *state;
        unsigned refused = 0;
        for (unsigned n = 1; n < CALLS_MAX; n++) {
                place_close(&f->place);
                injected.openat = (Injection) { n, EMFILE };
                int r = place_open(&f->place, &f->settings, &f->self);
                bool reached = injected.openat.nth == 0;
                inject_nothing();
                refused += r < 0;
                /* that of attempts may stay where it is when it cannot be moved into memory */
                assert_true(r == 0 || (reached && f->place.attempts_fd < 0 && f->place.records_fd < 0 && f->place.logs_fd < 0));
                if (!reached)
                        break;
        }
        assert_true(refused >= 3);
}

static void test_directories_without_memory(void **state) {
        Fixture *f = *state;
        if (!inject_works())
                skip();
        for (unsigned n = 1; n < CALLS_MAX; n++) {
                place_close(&f->place);
                injected.memory = (Injection) { n, ENOMEM };
                int r = place_open(&f->place, &f->settings, &f->self);
                bool reached = injected.memory.nth == 0;
                inject_nothing();
                assert_true(r == 0 || (reached && r == -ENOMEM));
                if (!reached)
                        break;
        }
}

/* ── the record ── */

static ExitRecord ended(const Fixture *f) {
        ExitRecord r = { .task_id = f->job.task_id, .attempt = 1, .started_at = 1, .ended_at = 2, .end_reason = END_EXIT, .progress = -1, .cpu_usec = -1, .memory_peak = -1,
                              .io_read = -1, .io_write = -1, .oom_kills = -1, .pids_peak = -1 };
        snprintf(r.boot_id, sizeof r.boot_id, "%s", clock_boot_id());
        return r;
}

/* Before the task exists: no start, no trace. */
static void test_record_that_cannot_be_begun(void **state) {
        Fixture *f = *state;
        const struct {
                Injection *where;
                int error;
        } cases[] = { { &injected.openat, ENOSPC }, { &pwrite_fails, ENOSPC }, { &pwrite_fails, EIO } };
        RecordFile file;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                *cases[i].where = (Injection) { 1, cases[i].error };
                assert_int_equal(record_file_begin(&file, f->place.records_fd, &f->job, NULL, KEY), -cases[i].error);
                assert_int_equal(cases[i].where->nth, 0);
                assert_false(there(f->place.records_fd, KEY ".started"));
        }
        pwrite_is_short = true;                 /* the rest did not fit */
        assert_int_equal(record_file_begin(&file, f->place.records_fd, &f->job, NULL, KEY), -ENOSPC);
        pwrite_is_short = false;
        assert_false(there(f->place.records_fd, KEY ".started"));
}

/* That of the attempt before cannot be written over: neither is left, and a new one is made, or not. */
static void test_kept_record_that_cannot_be_written(void **state) {
        Fixture *f = *state;
        for (unsigned i = 0; i < 2; i++) {
                RecordKeep keep = { .name = "before" };
                RecordFile file;
                assert_int_equal(fd_write_file_at(f->place.records_fd, "before", "old", 3, 0640, false), 0);
                keep.fd = openat(f->place.records_fd, "before", O_RDWR | O_CLOEXEC);
                assert_true(keep.fd >= 0);
                pwrite_fails = (Injection) { 1, EIO };
                injected.openat = (Injection) { i, EMFILE };    /* the second time */
                assert_int_equal(record_file_begin(&file, f->place.records_fd, &f->job, &keep, KEY), i == 0 ? 0 : -EMFILE);
                assert_int_equal(injected.openat.nth, 0);
                assert_false(there(f->place.records_fd, "before"));
                assert_int_equal(there(f->place.records_fd, KEY ".started"), i == 0);
                if (i == 0)
                        record_file_undo(&file);
        }
}

/* It is the only witness: whatever fails at the end is tried again, until it is all there. */
static void test_record_is_finished_in_the_end(void **state) {
        Fixture *f = *state;
        const struct {
                Injection *where;
                unsigned nth;
                int error;
        } cases[] = { { &pwrite_fails, 1, ENOSPC }, { &pwrite_fails, 1, EINTR }, { &fsync_fails, 1, EIO },
                      { &fsync_fails, 2, EIO }, { &renameat_fails, 1, ENOSPC }, { &injected.memory, 1, ENOMEM }, { &injected.memory, 2, ENOMEM } };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                ExitRecord r = ended(f), back = {};
                _cleanup_free_ char *text = NULL;
                RecordFile file;
                size_t len;
                if (cases[i].where == &injected.memory && !inject_works())
                        continue;
                r.status_text = (char *) "it says so";
                assert_int_equal(record_file_begin(&file, f->place.records_fd, &f->job, NULL, KEY), 0);
                *cases[i].where = (Injection) { cases[i].nth, cases[i].error };
                int e = record_file_finish(&file, &r, true);
                bool reached = cases[i].where->nth == 0;
                *cases[i].where = (Injection) {};
                /* What fails in memory succeeds on the disk. */
                assert_true(e == 0 ? !reached || cases[i].error == EINTR || cases[i].error == ENOSPC : e == -cases[i].error);
                if (e == 0)
                        assert_true(there(f->place.saved_fd, KEY));
                /* What is in memory is the launcher's to save. */
                bool left = e < 0 && file.renamed;
                assert_true(left || e != -EIO);
                assert_int_equal(record_file_finish(&file, &r, true), 0);
                record_file_close(&file);
                assert_false(there(f->place.records_fd, KEY ".started"));
                assert_true(left || there(f->place.saved_fd, KEY));
                assert_int_equal(fd_read_file_at(left ? f->place.records_fd : f->place.saved_fd, KEY, 8192, &text, &len), 0);
                assert_int_equal(exit_record_decode(text, len, &back), 0);
                assert_string_equal(back.status_text, "it says so");
                exit_record_done(&back);
                assert_int_equal(unlinkat(f->place.records_fd, KEY, 0), 0);
                (void) unlinkat(f->place.saved_fd, KEY, 0);
        }
}

/* /run is full, and the daemon is there: the disk has it, if not for ever. When the daemon goes after that, for ever. */
static void test_record_without_room_in_memory(void **state) {
        Fixture *f = *state;
        ExitRecord r = ended(f);
        RecordFile file;
        assert_int_equal(record_file_begin(&file, f->place.records_fd, &f->job, NULL, KEY), 0);
        pwrite_fails = (Injection) { 1, ENOSPC };
        fsync_fails = (Injection) { 1, EIO };           /* not called */
        assert_int_equal(record_file_finish(&file, &r, false), 0);
        assert_int_equal(fsync_fails.nth, 1);
        assert_true(there(f->place.saved_fd, KEY) && !there(f->place.records_fd, KEY));
        assert_false(file.renamed || file.saved);
        pwrite_fails = (Injection) { 1, ENOSPC };
        assert_int_equal(record_file_finish(&file, &r, true), -EIO);
        assert_int_equal(record_file_finish(&file, &r, true), 0);
        assert_true(file.saved);
        record_file_close(&file);
        assert_int_equal(unlinkat(f->place.records_fd, KEY, 0), 0);
        assert_int_equal(unlinkat(f->place.saved_fd, KEY, 0), 0);
}

/* ── the environment, cgroups ── */

static void test_environment_without_memory(void **state) {
        Fixture *f = *state;
        AttemptDir d = { .place = &f->place, .key = KEY };
        unsigned refused = 0;
        if (!inject_works())
                skip();
        for (unsigned n = 1; n < CALLS_MAX; n++) {
                char **env = NULL, *sentence = NULL;
                injected.memory = (Injection) { n, ENOMEM };
                int r = environment_build(&f->job, &d, &env, &sentence);
                bool reached = injected.memory.nth == 0;
                inject_nothing();
                assert_true(r == 0 || (reached && r == -ENOMEM));       /* vasprintf() does without what it only wants to give back */
                refused += r < 0;
                strv_free(env);
                free(sentence);
                if (!reached)
                        break;
        }
        assert_true(refused > 10);
}

/* A directory that looks like a cgroup: what is asked of it fails with a number, never with a wrong answer. */
static void test_cgroup_files(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int root = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *name = NULL;
        uint64_t value = 7;

        assert_int_equal(cgroup_write(root, "cgroup.kill", "1"), -ENOENT);
        assert_int_equal(cgroup_read_u64(root, "memory.peak", &value), -ENOENT);
        assert_int_equal(cgroup_read_key(root, "memory.events", "oom_kill", &value), -ENOENT);
        assert_int_equal(cgroup_read_pairs(root, "io.stat", "rbytes", &value), -ENOENT);
        assert_true(cgroup_signal(root, SIGTERM) < 0);
        assert_true(cgroup_kill(root) < 0);
        assert_int_equal(value, 7);
        assert_int_equal(fd_write_file_at(root, "memory.peak", "max\n", 4, 0644, false), 0);
        assert_int_equal(cgroup_read_u64(root, "memory.peak", &value), 0);
        assert_true(value == UINT64_MAX);
        assert_int_equal(fd_write_file_at(root, "memory.events", "low 1\noom_kill_x 3\noom_kill 2\n", 30, 0644, false), 0);
        assert_int_equal(cgroup_read_key(root, "memory.events", "oom_kill", &value), 0);
        assert_int_equal(value, 2);
        assert_int_equal(cgroup_read_key(root, "memory.events", "oom", &value), -ENOENT);
        /* A process of another PID namespace (0) and nonsense are nobody. */
        assert_int_equal(fd_write_file_at(root, "cgroup.procs", "0\nx\n-1\n99999999999\n", 19, 0644, false), 0);
        assert_int_equal(cgroup_signal(root, SIGTERM), 0);
        assert_int_equal(cgroup_of_pid(INT32_MAX, &name), -ENOENT);
        for (unsigned n = 1; n < 3; n++) {
                injected.openat = (Injection) { n, EMFILE };
                int r = cgroup_signal(root, SIGTERM);
                assert_true(r == 0 || r == -EMFILE);
                inject_nothing();
        }
        if (inject_works())
                for (unsigned n = 1; n < 20; n++) {
                        injected.memory = (Injection) { n, ENOMEM };
                        const char *mount;
                        int r = cgroup_mount_point(&mount);
                        bool reached = injected.memory.nth == 0;
                        inject_nothing();
                        assert_true(r == 0 || r == -ENOENT || r == -ENOMEM);
                        if (!reached)
                                break;
                }
}

int main(void) {
        log_init("test");
        log_set_level(LOG_CRIT);
        (void) clock_boot_id();         /* reads a file, once */
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(test_directory_without_descriptors), T(test_kept_directory_without_descriptors), T(test_directory_on_a_full_disk),
                T(test_directories_that_cannot_be_opened),
                T(test_directories_without_memory), T(test_record_that_cannot_be_begun), T(test_kept_record_that_cannot_be_written),
                T(test_record_is_finished_in_the_end),
                T(test_record_without_room_in_memory), T(test_environment_without_memory), T(test_cgroup_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
