/* What is said of a host, by what its launcher has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "launch/shortfall.h"
#include "launch/wire.h"

/* Each word is in one sentence, in this order, and there are no more. */
static void said(uint32_t flags, const char *const *words) {
        size_t cursor = 0;
        const char *sentence;
        while ((sentence = launch_shortfall(flags, &cursor))) {
                if (!*words || !strstr(sentence, *words))
                        fail_msg("for %#x not expected: %s", flags, sentence);
                words++;
        }
        assert_null(*words);
}
#define SAID(flags, ...) said(flags, (const char *const[]) { __VA_ARGS__ __VA_OPT__(,) NULL })

static void sentences(void **state) {
        const uint32_t all = LAUNCHER_HAS_LIMITS;

        SAID(0);
        SAID(LAUNCHER_HOLDS_SCOPE | all);
        SAID(LAUNCHER_HOLDS_CGROUP | all);
        SAID(LAUNCHER_HOLDS_SCOPE, "without cgroup controllers");
        SAID(LAUNCHER_HOLDS_SCOPE | (all & ~LAUNCHER_HAS_CPU & ~LAUNCHER_HAS_IO), "CPUQuota=", "IOWeight=");
        SAID(LAUNCHER_HOLDS_CGROUP | LAUNCHER_HAS_PIDS, "MemoryMax=", "CPUQuota=", "IOWeight=");
        SAID(LAUNCHER_HOLDS_CGROUP | (all & ~LAUNCHER_HAS_PIDS), "TasksMax=");
        SAID(LAUNCHER_HOLDS_PIDNS | LAUNCHER_OWN_IDS_ONLY, "uid 65534 (nobody), and setuid programs", "without cgroup controllers");
        SAID(LAUNCHER_HOLDS_PIDNS, "without cgroup controllers");
        SAID(LAUNCHER_HOLDS_TREE, "may run beside them", "without cgroup controllers");
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(sentences) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
