/* The directories of attempts: who may own them, what is refused, what one attempt finds in its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/attempt-dir.h"
#include "launch/wire.h"
#include "in-memory.h"

#define KEY "01ARZ3NDEKTSV4RRFFQ69G5FAV.1"

typedef struct Fixture {
        char root[128];
        Settings settings;
        Identity self;
        Place place;
} Fixture;

static char *below(const Fixture *f, const char *name) {
        char *path = str_new("%s/%s", f->root, name);
        assert_non_null(path);
        return path;
}

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        log_init("test");
        log_set_level(LOG_CRIT);
        strcpy(f->root, "/tmp/jobbers-place-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        f->self = (Identity) { .uid = geteuid(), .gid = getegid() };
        f->settings = (Settings) { .state_dir = below(f, "state"), .run_dir = str_new("%s/run", f->root), .attempt_dir = str_new("%s/run/place-%d", f->root, (int) getpid()), .record_dir = str_new("%s/run/records-place-%d", f->root, (int) getpid()),
                                   .saved_dir = below(f, "state/records"),
                                   .log_dir = below(f, "state/logs"), .max_parameters = 100 };
        f->place = PLACE_INIT;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
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

static int parameters(size_t n) {
        int fd = memfd_create("parameters", MFD_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, (off_t) n), 0);
        return fd;
}

static mode_t mode_of(int dir_fd, const char *name) {
        struct stat st;
        assert_int_equal(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
        return st.st_mode & 07777;
}

static void test_all_is_made(void **state) {
        Fixture *f = *state;
        AttemptDir d = ATTEMPT_DIR_INIT;
        _cleanup_close_ int from = parameters(100);
        struct stat st;

        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, NULL, from, geteuid(), getegid()), 0);
        assert_int_equal(mode_of(f->place.attempts_fd, KEY), 0711);
        assert_int_equal(mode_of(d.fd, "work"), 0700);
        assert_int_equal(mode_of(d.fd, "control"), 0660);
        assert_int_equal(mode_of(d.work.fd, "parameters"), 0444);
        assert_int_equal(fstat(d.work.parameters_fd, &st), 0);
        assert_int_equal(st.st_size, 100);
        _cleanup_free_ char *address = attempt_dir_notify_address(&d);
        assert_non_null(strstr(address, "/" KEY "/notify"));
        attempt_dir_remove(&d);
        assert_true(d.clean);
        assert_int_equal(faccessat(f->place.attempts_fd, KEY, F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

/* The launcher looked at its size; who sent it may still make it grow. */
static void test_parameters_that_grew(void **state) {
        Fixture *f = *state;
        AttemptDir d = ATTEMPT_DIR_INIT;
        _cleanup_close_ int from = parameters(101), pipe_end = -1;
        int ends[2];

        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, NULL, from, geteuid(), getegid()), -EFBIG);
        attempt_dir_remove(&d);
        assert_int_equal(faccessat(f->place.attempts_fd, KEY, F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        close(ends[0]);
        pipe_end = ends[1];
        assert_true(attempt_dir_make(&d, &f->place, KEY, NULL, -1, geteuid(), getegid()) < 0);
        attempt_dir_remove(&d);
}

static void test_a_record_says_it_ran(void **state) {
        Fixture *f = *state;
        static const char *const names[] = { KEY, KEY ".started" };
        AttemptDir d = ATTEMPT_DIR_INIT;
        _cleanup_close_ int from = parameters(1);

        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(mkdirat(f->place.attempts_fd, KEY, 0711), 0);          /* a living supervisor's, or one's that was killed */
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_int_equal(fd_write_file_at(f->place.records_fd, names[i], "x", 1, 0640, false), 0);
                assert_int_equal(attempt_dir_make(&d, &f->place, KEY, NULL, from, geteuid(), getegid()), -EEXIST);
                attempt_dir_remove(&d);
                assert_int_equal(faccessat(f->place.attempts_fd, KEY, F_OK, 0), 0);
                assert_int_equal(unlinkat(f->place.records_fd, names[i], 0), 0);
        }
}

/* Left by a supervisor that was killed at its gate; with whatever somebody has put in there. */
static void test_a_left_directory_is_replaced(void **state) {
        Fixture *f = *state;
        AttemptDir d = ATTEMPT_DIR_INIT;
        _cleanup_close_ int from = parameters(1);

        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(mkdirat(f->place.attempts_fd, KEY, 0711), 0);
        _cleanup_close_ int old = openat(f->place.attempts_fd, KEY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(mkdirat(old, "work", 0700), 0);
        assert_int_equal(symlinkat("/etc", old, "etc"), 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, NULL, from, geteuid(), getegid()), 0);
        assert_int_equal(faccessat(d.fd, "etc", F_OK, AT_SYMLINK_NOFOLLOW), -1);
        /* What the task leaves behind goes as well, and what it links to stays. */
        assert_int_equal(symlinkat("/etc", d.work.fd, "link"), 0);
        assert_int_equal(mkdirat(d.work.fd, "deep", 0), 0);
        assert_int_equal(attempt_dir_set_cgroup(&d, "/sys/fs/cgroup/x"), 0);
        assert_int_equal(attempt_dir_set_init(&d, 12, 34), 0);
        attempt_dir_remove(&d);
        assert_int_equal(faccessat(f->place.attempts_fd, KEY, F_OK, AT_SYMLINK_NOFOLLOW), -1);
        assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void test_a_long_path(void **state) {
        Fixture *f = *state;
        AttemptDir d = ATTEMPT_DIR_INIT;
        _cleanup_close_ int from = parameters(1);

        free(f->settings.attempt_dir);
        f->settings.attempt_dir = below(f, "run/a-directory-whose-name-is-so-long-that-no-address-of-a-socket-could-ever-hold-it");
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, NULL, from, geteuid(), getegid()), 0);
        _cleanup_free_ char *address = attempt_dir_notify_address(&d);
        assert_int_equal(address[0], '@');
        attempt_dir_remove(&d);
}

/* Whoever connected to a notify socket may send to it for ever: it is kept for its own user, and for nobody else. */
static void test_a_kept_socket_stays_with_its_user(void **state) {
        Fixture *f = *state;
        AttemptDir d = ATTEMPT_DIR_INIT;
        AttemptKeep keep = ATTEMPT_KEEP_INIT;
        _cleanup_close_ int from = parameters(1), sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const struct sockaddr_un notify = { .sun_family = AF_UNIX, .sun_path = "notify" };
        struct stat st;

        if (geteuid() != 0)
                skip();
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, &keep, from, 12345, 12345), 0);
        assert_int_equal(connect(sender, (const struct sockaddr *) &notify, sizeof notify), 0);         /* it is the present directory */
        attempt_dir_remove(&d);
        assert_true(keep.fd >= 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, &keep, from, 12345, 12345), 0);
        assert_int_equal(send(sender, "WATCHDOG=1", 10, 0), 10);
        attempt_dir_remove(&d);
        assert_true(keep.fd >= 0);
        assert_int_equal(attempt_dir_make(&d, &f->place, KEY, &keep, from, 12346, 12346), 0);
        assert_int_equal(send(sender, "WATCHDOG=1", 10, MSG_NOSIGNAL), -1);
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(fstatat(d.fd, "notify", &st, 0), 0);
        assert_int_equal(st.st_uid, 12346);
        attempt_dir_remove(&d);
        attempt_keep_done(&keep, &f->place);
}

/* ── refusals ── */

static void refused(Fixture *f) {
        assert_true(place_open(&f->place, &f->settings, &f->self) < 0);
        assert_int_equal(f->place.attempts_fd, -1);
        assert_int_equal(f->place.records_fd, -1);
}

static void test_directories_of_others(void **state) {
        Fixture *f = *state;
        char *const dirs[] = { f->settings.attempt_dir, f->settings.record_dir, f->settings.saved_dir, f->settings.log_dir };

        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        place_close(&f->place);
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                char real[256] = "";
                if (readlink(dirs[i], real, sizeof real - 1) <= 0)
                        strcpy(real, dirs[i]);
                else if (geteuid() == 0)
                        continue;               /* test_somebody_was_first_in_memory */
                struct stat st;
                assert_int_equal(stat(real, &st), 0);
                assert_int_equal(chmod(real, 0777), 0);
                refused(f);
                assert_int_equal(chmod(real, st.st_mode & 07777), 0);
                if (geteuid() == 0) {
                        assert_int_equal(chown(real, 12345, (gid_t) -1), 0);
                        refused(f);
                        assert_int_equal(chown(real, 0, (gid_t) -1), 0);
                }
        }
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
}

/* The state directory is the daemon's: a link that it puts there leads root nowhere. */
static void test_links_are_not_followed(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *elsewhere = below(f, "elsewhere");

        assert_int_equal(mkdir(elsewhere, 0755), 0);
        assert_int_equal(mkdir(f->settings.state_dir, 0700), 0);
        assert_int_equal(symlink(elsewhere, f->settings.saved_dir), 0);
        refused(f);
        assert_int_equal(unlink(f->settings.saved_dir), 0);
        assert_int_equal(symlink(elsewhere, f->settings.log_dir), 0);
        refused(f);
        assert_int_equal(unlink(f->settings.log_dir), 0);
        place_close(&f->place);
}

/* Anybody may have made something of that name in /dev/shm since the last boot: a directory, a file, a link. */
static void test_somebody_was_first_in_memory(void **state) {
        Fixture *f = *state;
        char target[256] = "";
        struct stat st;

        for (unsigned what = 0; what < 3; what++) {
                assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
                if (geteuid() != 0 || readlink(f->settings.attempt_dir, target, sizeof target - 1) <= 0)
                        skip();         /* /tmp is memory itself here, or there is no /dev/shm */
                place_close(&f->place);
                assert_int_equal(rmdir(target), 0);
                if (what == 0)
                        assert_int_equal(mkdir(target, 0700), 0);
                else if (what == 1)
                        assert_int_equal(mknod(target, S_IFREG | 0600, 0), 0);
                else
                        assert_int_equal(symlink("/etc", target), 0);
                assert_int_equal(lchown(target, 12345, 12345), 0);
                assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
                assert_int_equal(lstat(f->settings.attempt_dir, &st), 0);
                assert_true(S_ISDIR(st.st_mode));
                assert_int_equal(fstat(f->place.attempts_fd, &st), 0);
                assert_int_equal(st.st_uid, 0);
                assert_int_equal(what == 0 ? rmdir(target) : unlink(target), 0);
                place_close(&f->place);
        }
}

/* Root in user mode has names of its own, which in /dev/shm would be the system's. */
static void test_user_mode_has_nothing_in_shm(void **state) {
        Fixture *f = *state;
        struct stat st;
        f->settings.user_mode = true;
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(lstat(f->settings.attempt_dir, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(lstat(f->settings.record_dir, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
}

/* What a daemon of another group had, the one of now can read. */
static void test_the_daemon_has_another_group(void **state) {
        Fixture *f = *state;
        struct stat st;
        if (geteuid() != 0)
                skip();
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(fchown(f->place.records_fd, 0, 12345), 0);
        assert_int_equal(fchownat(f->place.records_fd, RECORDS_BIRTH, 0, 12345, 0), 0);
        place_close(&f->place);
        assert_int_equal(place_open(&f->place, &f->settings, &f->self), 0);
        assert_int_equal(fstat(f->place.records_fd, &st), 0);
        assert_int_equal(st.st_gid, f->self.gid);
        assert_int_equal(fstatat(f->place.records_fd, RECORDS_BIRTH, &st, 0), 0);
        assert_int_equal(st.st_gid, f->self.gid);
}

static void test_paths_that_are_no_directories(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int root = open(f->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(fd_write_file_at(root, "file", "x", 1, 0644, false), 0);
        free(f->settings.state_dir);
        f->settings.state_dir = below(f, "file/state");
        refused(f);
        free(f->settings.state_dir);
        f->settings.state_dir = below(f, "state");
        free(f->settings.log_dir);
        f->settings.log_dir = below(f, "file/logs");
        refused(f);
        free(f->settings.log_dir);
        f->settings.log_dir = below(f, "logs/");
        refused(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_all_is_made),
                TEST(test_parameters_that_grew),
                TEST(test_a_record_says_it_ran),
                TEST(test_a_left_directory_is_replaced),
                TEST(test_a_long_path),
                TEST(test_a_kept_socket_stays_with_its_user),
                TEST(test_directories_of_others),
                TEST(test_links_are_not_followed),
                TEST(test_somebody_was_first_in_memory),
                TEST(test_user_mode_has_nothing_in_shm),
                TEST(test_the_daemon_has_another_group),
                TEST(test_paths_that_are_no_directories),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
