/* PID namespaces on a host that is short of processes for a moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/process.h"
#include "jobbers-run/containment.h"

static unsigned forks_fail;
static bool namespace_dies;

/* The C library's own, but for those that fail; a late failure takes the namespace along, as does the end of its first process. */
pid_t fork(void) {
        bool fail = forks_fail > 0;
        if (fail && !namespace_dies) {
                forks_fail--;
                errno = EAGAIN;
                return -1;
        }
        pid_t pid = (pid_t) syscall(SYS_clone, (unsigned long) SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid == 0 && fail)
                _exit(0);
        if (pid > 0 && fail) {
                (void) waitpid(pid, NULL, 0);
                forks_fail--;
                errno = EAGAIN;
                return -1;
        }
        return pid;
}

static int directory_new(char *path) {
        assert_non_null(mkdtemp(path));
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

/* In a process of its own, since it goes in for good. What it says: how often it had to be tried, 100: it failed for good. */
static int attempts(unsigned failures, bool dies) {
        char path[] = "/tmp/jobbers-pidns-XXXXXX";
        AttemptDir dir = ATTEMPT_DIR_INIT;
        int status;
        dir.fd = directory_new(path);
        pid_t pid = fork();
        if (pid == 0) {
                Containment c = CONTAINMENT_INIT;
                char *sentence = NULL;
                int n = 1, r;
                forks_fail = failures;
                namespace_dies = dies;
                while ((r = containment_pidns.prepare(&c, &dir, &sentence)) == -EAGAIN || r == -ENOMEM) {
                        free(sentence);
                        n++;
                }
                /* Tried again for another reason, in a directory made anew: it is the same init. */
                pid_t init = c.init_pid;
                (void) unlinkat(dir.fd, "init", 0);
                if (r >= 0 && (containment_pidns.prepare(&c, &dir, &sentence) < 0 || c.init_pid != init || kill(init, 0) < 0))
                        n = 99;
                containment_pidns.cleanup(&c);
                if (r >= 0 && waitpid(init, NULL, 0) != init)
                        n = 98;
                _exit(r < 0 ? 100 : n);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        (void) unlinkat(dir.fd, "init", 0);
        fd_close(dir.fd);
        assert_int_equal(rmdir(path), 0);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void test_tried_again(void **state) {
        if (!containment_pidns_works())
                skip();
        assert_int_equal(attempts(0, false), 1);
        assert_int_equal(attempts(3, false), 4);
}

/* Only root gets out of it. Others at least do not try for ever. */
static void test_a_namespace_that_died(void **state) {
        if (!containment_pidns_works())
                skip();
        assert_int_equal(attempts(1, true), geteuid() == 0 ? 2 : 100);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tried_again),
                cmocka_unit_test(test_a_namespace_that_died),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
