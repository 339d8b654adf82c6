/* What an answered commit is worth: over kill -9 at any moment, and on a disk that is full. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "fixture.h"

/* ── kill -9 ── */
typedef struct Told {
        int64_t seq;
        Ulid id;
        TaskStatus status;
} Told;

/* Commits turn after turn and tells each through the pipe, until it is killed. */
static void worker(const char *path, int out) {
        Store *s;
        char *sentence = NULL;
        if (store_open(&s, path, &sentence) < 0)
                _exit(9);
        int64_t before = 0;
        for (;;) {
                Told told[2] = { 0 };
                _cleanup_task_ Task t = task_make("q", "n", 0, store_next_position(s));
                if (store_task_add(s, &t) < 0)
                        _exit(8);
                told[0] = (Told) { t.seq, t.id, TASK_SUBMITTED };
                size_t n = 1;
                if (before > 0) {
                        _cleanup_task_ Task b = { 0 };
                        if (store_task_get_seq(s, before, false, &b) < 0)
                                _exit(7);
                        b.status = TASK_COMPLETED;
                        b.completed_at = 1;
                        if (store_task_move(s, &b, TASK_SUBMITTED) < 0)
                                _exit(6);
                        told[n++] = (Told) { b.seq, b.id, TASK_COMPLETED };
                }
                before = t.seq;
                if (store_commit(s) < 0)
                        _exit(5);
                if (write(out, told, n * sizeof *told) != (ssize_t) (n * sizeof *told))
                        _exit(4);
        }
}

static void kill_loses_nothing(void **state) {
        Fixture *f = *state;
        store_close(f->store);
        f->store = NULL;
        enum { MAX = 20000 };
        Told *told = calloc(MAX, sizeof *told);
        assert_non_null(told);
        size_t n = 0;
        for (unsigned round = 0; round < 8; round++) {
                int fds[2];
                assert_int_equal(pipe(fds), 0);
                pid_t pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        worker(f->path, fds[1]);
                close(fds[1]);
                /* Killed in the midst of its work, after so many reports; what it still said after that counts as well. */
                size_t until = n + 20 + 111 * round;
                for (;;) {
                        ssize_t k = read(fds[0], (char *) &told[n], sizeof *told);
                        if (k == 0)
                                break;
                        assert_int_equal(k, sizeof *told);
                        assert_true(++n < MAX);
                        if (n == until)
                                assert_int_equal(kill(pid, SIGKILL), 0);
                }
                close(fds[0]);
                int status;
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_true(n >= until);
        }
        fixture_open(f);
        for (size_t i = 0; i < n; i++) {
                _cleanup_task_ Task t = { 0 };
                assert_int_equal(store_task_get(f->store, &told[i].id, true, &t), 0);
                assert_int_equal(t.seq, told[i].seq);
                /* What was said later about a task holds; at most the last turn, whose report never came, went further. */
                if (told[i].status == TASK_COMPLETED)
                        assert_int_equal(t.status, TASK_COMPLETED);
        }
        free(told);
}

/* ── a full disk ── */
typedef struct Tiny {
        Fixture f;
        bool mounted;
} Tiny;

static int tiny_setup(void **state) {
        Tiny *t = calloc(1, sizeof *t);
        assert_non_null(t);
        *state = t;
        snprintf(t->f.directory, sizeof t->f.directory, "/tmp/test-store-XXXXXX");
        assert_non_null(mkdtemp(t->f.directory));
        snprintf(t->f.path, sizeof t->f.path, "%s/jobbers.db", t->f.directory);
        /* In a mount namespace of our own: nothing is left behind, whatever happens. */
        t->mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0 &&
                     mount("tmpfs", t->f.directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=6m,mode=0700") == 0;
        if (!t->mounted)
                print_message("no tiny disk can be mounted here: %s\n", strerror(errno));
        return 0;
}

static int tiny_teardown(void **state) {
        Tiny *t = *state;
        store_close(t->f.store);
        if (t->mounted)
                assert_int_equal(umount2(t->f.directory, MNT_DETACH), 0);
        assert_int_equal(rmdir(t->f.directory), 0);
        free(t);
        return 0;
}

static void need_mount(const Tiny *t) {
        if (t->mounted)
                return;
        const char *strict = getenv("STRICT");
        if (strict && STREQ(strict, "1"))
                fail_msg("STRICT=1: a tiny disk is needed");
        skip();
}

static uint64_t space(const Fixture *f) {
        struct statvfs st;
        assert_int_equal(statvfs(f->directory, &st), 0);
        return (uint64_t) st.f_bavail * st.f_bsize;
}

/* A file that takes all but `leave` bytes. */
static void fill_disk(const Fixture *f, uint64_t leave) {
        char path[128];
        snprintf(path, sizeof path, "%s/filler", f->directory);
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        char block[4096] = { 1 };
        while (space(f) > leave)
                if (write(fd, block, sizeof block) <= 0)
                        break;
        close(fd);
}

static void free_disk(const Fixture *f) {
        char path[128];
        snprintf(path, sizeof path, "%s/filler", f->directory);
        assert_int_equal(unlink(path), 0);
}

static bool has_ballast(const Fixture *f) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "%s/ballast", f->directory);
        return stat(path, &st) == 0 && st.st_blocks * 512 >= 1 << 20;
}

static int add_one(Store *s, int64_t *ret_seq) {
        _cleanup_task_ Task t = task_make("q", "n", 0, store_next_position(s));
        free(t.parameters);
        t.parameters = calloc(1, 1000);
        memset(t.parameters, 'x', 999);
        int r = store_has_room(s) ? store_task_add(s, &t) : -ENOSPC;
        *ret_seq = t.seq;
        return r;
}

/* Durable so far, and only that, is there after a crash. */
static void check_rows(Fixture *f, const int64_t *seqs, size_t n, TaskStatus status) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_task_ Task t = { 0 };
                assert_int_equal(store_task_get_seq(f->store, seqs[i], true, &t), 0);
                assert_int_equal(t.status, status);
        }
        int64_t count;
        TaskFilter all = { .version = -1, .status = _TASK_STATUS_MAX, .limit = 1 };
        assert_int_equal(store_task_count(f->store, &all, &count), 0);
        assert_int_equal(count, n);
}

static void full_disk(void **state) {
        Tiny *tiny = *state;
        need_mount(tiny);
        Fixture *f = &tiny->f;
        fixture_open(f);
        assert_true(has_ballast(f));
        enum { RUNNING = 100 };
        int64_t seqs[8192];
        size_t n = 0;
        for (; n < RUNNING; n++) {
                assert_int_equal(add_one(f->store, &seqs[n]), 0);
                task_to(f->store, seqs[n], TASK_STARTED);
        }
        assert_int_equal(store_commit(f->store), 0);

        /* Until it is full: refused as such, and what was staged is gone as a whole. */
        fill_disk(f, 256 << 10);
        int r = 0;
        size_t turns = 0;
        while (r == 0 && n + 5 < ARRAY_SIZE(seqs)) {
                int64_t fresh[5];
                size_t staged = 0;
                for (; r == 0 && staged < 5; staged++)
                        r = add_one(f->store, &fresh[staged]);
                if (r == 0)
                        r = store_commit(f->store);
                else
                        store_rollback(f->store);
                if (r == 0) {
                        memcpy(seqs + n, fresh, sizeof fresh);
                        n += 5;
                        turns++;
                }
        }
        assert_int_equal(r, -ENOSPC);
        assert_true(turns > 0);
        assert_false(store_staged(f->store));
        assert_false(has_ballast(f));

        /* New tasks are refused, but all that runs can be recorded in the space that was kept. */
        int64_t seq;
        assert_int_equal(add_one(f->store, &seq), -ENOSPC);
        for (size_t i = 0; i < RUNNING; i++) {
                task_to(f->store, seqs[i], TASK_COMPLETED);
                assert_int_equal(store_commit(f->store), 0);
        }
        for (size_t i = RUNNING; i < n; i++)
                task_to(f->store, seqs[i], TASK_COMPLETED);
        assert_int_equal(store_commit(f->store), 0);
        check_rows(f, seqs, n, TASK_COMPLETED);

        /* With space again it goes on by itself, the reserve included. */
        free_disk(f);
        clock_shift(0, 2 * (int64_t) USEC_PER_SEC);
        assert_int_equal(add_one(f->store, &seqs[n]), 0);
        task_to(f->store, seqs[n++], TASK_COMPLETED);
        assert_int_equal(store_commit(f->store), 0);
        assert_true(has_ballast(f));
        fixture_reopen(f);
        check_rows(f, seqs, n, TASK_COMPLETED);
}

/* The whole disk, reserve and all: nothing works, nothing breaks; it opens, and it resumes. */
static void really_full_disk(void **state) {
        Tiny *tiny = *state;
        need_mount(tiny);
        Fixture *f = &tiny->f;
        fixture_open(f);
        int64_t seqs[8192];
        size_t n = 0;
        for (; n < 200; n++)
                assert_int_equal(add_one(f->store, &seqs[n]), 0);
        assert_int_equal(store_commit(f->store), 0);
        fill_disk(f, 0);
        /* One transaction larger than SQLite's page cache and what is left: the database gives it up in the middle. */
        int r = 0;
        bool staged_failed = false;
        for (size_t i = 0; r == 0 && i < 20000; i++) {
                int64_t seq;
                r = add_one(f->store, &seq);
                staged_failed = r < 0;
        }
        assert_int_equal(r == 0 ? store_commit(f->store) : r, -ENOSPC);
        if (staged_failed) {
                assert_true(store_staged(f->store));
                assert_int_equal(store_commit(f->store), -ENOSPC);
        }
        assert_false(store_staged(f->store));
        check_rows(f, seqs, n, TASK_SUBMITTED);
        fill_disk(f, 0);
        store_close(f->store);
        f->store = NULL;
        fill_disk(f, 0);
        fixture_open(f);
        check_rows(f, seqs, n, TASK_SUBMITTED);
        int64_t seq;
        assert_int_equal(add_one(f->store, &seq), -ENOSPC);
        store_rollback(f->store);
        free_disk(f);
        clock_shift(0, 4 * (int64_t) USEC_PER_SEC);
        assert_int_equal(add_one(f->store, &seqs[n++]), 0);
        assert_int_equal(store_commit(f->store), 0);
        fixture_reopen(f);
        check_rows(f, seqs, n, TASK_SUBMITTED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(kill_loses_nothing, fixture_setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(full_disk, tiny_setup, tiny_teardown),
                cmocka_unit_test_setup_teardown(really_full_disk, tiny_setup, tiny_teardown),
        };
        return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
