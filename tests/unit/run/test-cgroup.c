/* cgroups by hand, with real processes; without a v2 hierarchy to write to there is nothing to test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/cgroup.h"

static CgroupBase base;

static int base_setup(void **state) {
        char instance[64];
        snprintf(instance, sizeof instance, "jobbers-unit-test-%d", (int) getpid());
        if (cgroup_base_open(&base, instance) < 0)
                print_message("no cgroup v2 that we may write to\n");
        return 0;
}

static int base_teardown(void **state) {
        if (base.fd >= 0) {
                assert_int_equal(rmdir(base.path), 0);
                cgroup_base_close(&base);
        }
        return 0;
}

static int make(const char *name) {
        if (base.fd < 0)
                skip();
        assert_int_equal(mkdirat(base.fd, name, 0755), 0);
        int fd = openat(base.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

/* A process in there, surely there when this returns. */
static pid_t spawn_in(int fd) {
        int pipes[2];
        char byte;
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid_t pid = fork();
        if (pid == 0) {
                if (cgroup_write(fd, "cgroup.procs", "0") < 0)
                        _exit(1);
                (void) !write(pipes[1], "x", 1);
                for (;;)
                        pause();
        }
        close(pipes[1]);
        assert_int_equal(read(pipes[0], &byte, 1), 1);
        close(pipes[0]);
        return pid;
}

static int end_of(pid_t pid) {
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        return WTERMSIG(status);
}

static void wait_empty(int events) {
        struct pollfd p = { .fd = events, .events = POLLPRI };
        while (cgroup_populated(events) > 0)
                assert_int_equal(poll(&p, 1, 10000), 1);
}

static void test_signal_reaches_all_below(void **state) {
        _cleanup_close_ int fd = make("a");
        assert_int_equal(mkdirat(fd, "below", 0755), 0);
        _cleanup_close_ int below = openat(fd, "below", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        pid_t one = spawn_in(fd), two = spawn_in(below);
        _cleanup_close_ int events = cgroup_open_events(fd);
        assert_int_equal(cgroup_populated(events), 1);
        assert_int_equal(cgroup_remove(base.fd, "a"), -EBUSY);
        assert_int_equal(cgroup_signal(fd, SIGUSR1), 2);
        assert_int_equal(end_of(one), SIGUSR1);
        assert_int_equal(end_of(two), SIGUSR1);
        wait_empty(events);
        assert_int_equal(cgroup_signal(fd, SIGUSR1), 0);
        assert_int_equal(cgroup_remove(base.fd, "a"), 0);
        assert_int_equal(cgroup_remove(base.fd, "a"), 0);
}

static void test_kill(void **state) {
        _cleanup_close_ int fd = make("b");
        pid_t pid = spawn_in(fd);
        _cleanup_close_ int events = cgroup_open_events(fd);
        assert_int_equal(cgroup_kill(fd), 0);
        assert_int_equal(end_of(pid), SIGKILL);
        wait_empty(events);
        assert_int_equal(cgroup_remove(base.fd, "b"), 0);
        assert_int_equal(cgroup_populated(events), 0);
}

static void test_of_pid(void **state) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = make("c");
        pid_t pid = spawn_in(fd);
        assert_int_equal(cgroup_of_pid(pid, &name), 0);
        assert_true(cgroup_name_within(name, base.name));
        assert_string_equal(strrchr(name, '/'), "/c");
        assert_int_equal(cgroup_kill(fd), 0);
        (void) end_of(pid);
        _cleanup_close_ int events = cgroup_open_events(fd);
        wait_empty(events);
        assert_int_equal(cgroup_remove(base.fd, "c"), 0);
}

static void test_name_within(void **state) {
        assert_true(cgroup_name_within("/a/b", "/a/b"));
        assert_true(cgroup_name_within("/a/b/c", "/a/b"));
        assert_false(cgroup_name_within("/a/bc", "/a/b"));
        assert_false(cgroup_name_within("/a", "/a/b"));
}

static void test_files(void **state) {
        char path[] = "/tmp/jobbers-test-cgroup-XXXXXX";
        uint64_t value = 0;
        assert_non_null(mkdtemp(path));
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_write_file_at(fd, "number", "42\n", 3, 0600, false), 0);
        assert_int_equal(fd_write_file_at(fd, "max", "max\n", 4, 0600, false), 0);
        assert_int_equal(fd_write_file_at(fd, "keys", "oom 1\noom_kill 3\n", 17, 0600, false), 0);
        const char *io = "8:0 rbytes=10 wbytes=1 rios=9\n8:16 rbytes=32 wbytes=2\n";
        assert_int_equal(fd_write_file_at(fd, "io", io, strlen(io), 0600, false), 0);
        assert_int_equal(cgroup_read_u64(fd, "number", &value), 0);
        assert_int_equal(value, 42);
        assert_int_equal(cgroup_read_u64(fd, "max", &value), 0);
        assert_true(value == UINT64_MAX);
        assert_int_equal(cgroup_read_u64(fd, "missing", &value), -ENOENT);
        assert_int_equal(cgroup_read_key(fd, "keys", "oom_kill", &value), 0);
        assert_int_equal(value, 3);
        assert_int_equal(cgroup_read_key(fd, "keys", "oom_kil", &value), -ENOENT);
        assert_int_equal(cgroup_read_pairs(fd, "io", "rbytes", &value), 0);
        assert_int_equal(value, 42);
        assert_int_equal(fd_write_file_at(fd, "words", "cpuset cpu memory pid\n", 22, 0600, false), 0);
        CgroupControllers found = 0;
        assert_int_equal(cgroup_controllers(fd, "words", &found), 0);
        assert_int_equal(found, CGROUP_CPU | CGROUP_MEMORY);
        assert_int_equal(cgroup_controllers(fd, "missing", &found), -ENOENT);
        _cleanup_close_ int tmp = open("/tmp", O_PATH | O_DIRECTORY);
        assert_int_equal(fd_remove_tree_at(tmp, strrchr(path, '/') + 1), 0);
}

/* What it says of both versions is all that the kernel says. */
static void test_of_self(void **state) {
        char *v1, *v2, *text, whole[8192];
        size_t len;
        if (base.fd < 0)
                skip();
        assert_int_equal(fd_read_file_at(AT_FDCWD, "/proc/self/cgroup", sizeof whole, &text, &len), 0);
        assert_int_equal(cgroup_v1_of_self(&v1), 0);
        assert_int_equal(cgroup_of_pid(0, &v2), 0);
        snprintf(whole, sizeof whole, "%s0::%s\n", v1, v2);
        assert_string_equal(whole, text);
        free(v1);
        free(v2);
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signal_reaches_all_below),
                cmocka_unit_test(test_kill),
                cmocka_unit_test(test_of_pid),
                cmocka_unit_test(test_of_self),
                cmocka_unit_test(test_name_within),
                cmocka_unit_test(test_files),
        };
        return cmocka_run_group_tests(tests, base_setup, base_teardown);
}
