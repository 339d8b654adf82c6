/* From clone to exec, where a system call fails on the way. */
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbers-run/child.h"

static long (*real_syscall)(long number, ...);
static int keyctl_error;

/* The C library's own, but for keyctl; and nothing changes its user. */
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
        return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The exit status of /bin/true as a task that changes its user. */
static int status_of_true(ChildFailure **ret) {
        char *argv[] = { (char *) "/bin/true", NULL }, *envp[] = { NULL };
        const Definition d = { .argv = argv, .umask = 022, .limit_nofile_soft = UINT64_MAX };
        const RunUser user = { .change = true, .name = (char *) "somebody" };
        _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        ChildPlan plan = { .definition = &d, .user = &user, .envp = envp, .stdin_fd = null, .output_fd = null, .cgroup_fd = -1,
                           .failure = child_failure_get() };
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

int main(void) {
        real_syscall = (long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall");
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_without_a_keyring) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
