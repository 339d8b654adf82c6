/* From clone to exec, where a system call fails on the way. */
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/child.h"

static long (*real_syscall)(long number, ...);
static int keyctl_error;
static bool chdir_hangs, execve_hangs;

static void hang(void) {
        for (;;)
                (void) real_syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

int chdir(const char *path) {
        if (chdir_hangs)
                hang();
        return (int) real_syscall(SYS_chdir, path);
}

/* The C library's own, but for keyctl and what hangs; and nothing changes its user. */
long syscall(long number, ...) {
        long a[6];
        va_list ap;
        va_start(ap, number);
        for (size_t i = 0; i < ARRAY_SIZE(a); i++)
                a[i] = va_arg(ap, long);
        va_end(ap);
        if (number == SYS_setgroups || number == SYS_setresgid || number == SYS_setresuid)
                return 0;
        if (number == SYS_keyctl) {
                errno = keyctl_error;
                return keyctl_error == 0 ? 1 : -1;
        }
        if (number == SYS_execve && execve_hangs)
                hang();
        return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The exit status of /bin/true as a task that changes its user. */
static int status_of_true(ChildFailure **ret) {
        char *argv[] = { (char *) "/bin/true", NULL }, *envp[] = { NULL };
        const Definition d = { .argv = argv, .umask = 022, .limit_nofile_soft = UINT64_MAX };
        const RunUser user = { .change = true, .name = (char *) "somebody" };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        ChildPlan plan = { .definition = &d, .user = &user, .envp = envp, .stdin_fd = null, .output_fd = null, .cgroup_fd = -1,
                           .patience = 30 * USEC_PER_SEC, .failure = child_failure_get() };
        int status;
        pid_t pid = child_spawn(&plan, 0);
        assert_true(pid > 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        *ret = plan.failure;
        return WEXITSTATUS(status);
}

/* A kernel or a filter that knows no keyrings, and a quota that is used up, cost no task its start. */
static void test_without_a_keyring(void **state) {
        static const int harmless[] = { 0, ENOSYS, EPERM, EDQUOT };
        ChildFailure *failure;
        for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
                keyctl_error = harmless[i];
                assert_int_equal(status_of_true(&failure), 0);
                assert_int_equal(failure->status, 0);
        }
        keyctl_error = ENOMEM;
        assert_int_equal(status_of_true(&failure), CHILD_EXIT_KEYRING);
        assert_int_equal(failure->error, ENOMEM);
        _cleanup_free_ char *sentence = child_failure_sentence(failure, NULL, NULL);
        assert_string_equal(sentence, "cannot make its session keyring: Cannot allocate memory");
}

/* Whoever waits for it gets it back in time. */
static void test_in_time(void **state) {
        char *argv[] = { (char *) "/bin/true", NULL }, *envp[] = { NULL };
        Definition d = { .argv = argv, .umask = 022, .limit_nofile_soft = UINT64_MAX };
        const RunUser user = { .name = (char *) "somebody" };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        static const struct {
                const char *directory;          /* no such one: whoever cannot tell stays awake */
                bool chdir, execve;
                int step;
                const char *sentence;
        } cases[] = {
                { NULL, true, false, CHILD_EXIT_CHDIR, "its working directory / does not answer" },
                { "/nowhere", true, false, CHILD_EXIT_CHDIR, "its working directory /nowhere does not answer" },
                { NULL, false, true, CHILD_EXIT_EXEC, "its program /bin/true does not answer" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                ChildPlan plan = { .definition = &d, .user = &user, .envp = envp, .stdin_fd = null, .output_fd = null, .cgroup_fd = -1,
                                   .patience = 100 * USEC_PER_MSEC, .failure = child_failure_get() };
                int status;
                d.working_directory = (char *) cases[i].directory;
                chdir_hangs = cases[i].chdir;
                execve_hangs = cases[i].execve;
                usec_t begun = clock_boot();
                (void) alarm(20);
                pid_t pid = child_spawn(&plan, 0);
                bool awake = clock_boot() - begun < plan.patience;
                chdir_hangs = execve_hangs = false;
                assert_true(pid > 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                (void) alarm(0);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGKILL);
                if (cases[i].directory)
                        assert_true(awake);
                if (cases[i].execve && awake)
                        continue;               /* a sanitizer: nobody had to wait, and it may as well be the program that was killed */
                assert_true(child_failure_is_late(plan.failure, status));
                assert_int_equal(plan.failure->status, cases[i].step);
                _cleanup_free_ char *sentence = child_failure_sentence(plan.failure, &d, &user);
                assert_string_equal(sentence, cases[i].sentence);
        }
}

/* A program that was killed was not late. */
static void test_killed_later(void **state) {
        char *argv[] = { (char *) "/bin/sh", (char *) "-c", (char *) "kill -9 $$", NULL }, *envp[] = { NULL };
        Definition d = { .argv = argv, .umask = 022, .limit_nofile_soft = UINT64_MAX };
        const RunUser user = { .name = (char *) "somebody" };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        static const char *const directories[] = { NULL, "/", "/proc" };        /* the last is on no disk */
        for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
                ChildPlan plan = { .definition = &d, .user = &user, .envp = envp, .stdin_fd = null, .output_fd = null, .cgroup_fd = -1,
                                   .patience = 30 * USEC_PER_SEC, .failure = child_failure_get() };
                int status;
                d.working_directory = (char *) directories[i];
                pid_t pid = child_spawn(&plan, 0);
                assert_true(pid > 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_false(child_failure_is_late(plan.failure, status));
                assert_int_equal(plan.failure->status, 0);
        }
}

int main(void) {
        real_syscall = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_a_keyring),
                cmocka_unit_test(test_in_time),
                cmocka_unit_test(test_killed_later),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
