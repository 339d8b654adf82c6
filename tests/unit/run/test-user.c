/* From User= and Group= to ids. What depends on who we are is asked in a child that has become somebody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "jobbers-run/user.h"

#define NOBODY 65534
#define NO_ENTRY 54321          /* a container's made-up uid */

/* Stands for a directory server that does not answer. */
static int lookup_error;

int getpwnam_r(const char *name, struct passwd *pw, char *buf, size_t size, struct passwd **found) {
        static int (*real)(const char *, struct passwd *, char *, size_t, struct passwd **);
        *found = NULL;
        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "getpwnam_r");
        return lookup_error ?: real(name, pw, buf, size, found);
}

int getgrnam_r(const char *name, struct group *gr, char *buf, size_t size, struct group **found) {
        static int (*real)(const char *, struct group *, char *, size_t, struct group **);
        *found = NULL;
        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "getgrnam_r");
        if (size < 100000)
                return ERANGE;          /* a group of very many */
        return lookup_error ?: real(name, gr, buf, size, found);
}

typedef struct Case {
        uid_t as;
        const char *default_user, *user, *group;
        int result;
        uid_t uid;
        gid_t gid;
        const char *name, *sentence;
} Case;

static bool holds(const Case *c) {
        Settings settings = { .default_user = (char *) c->default_user };
        Definition d = { .name = (char *) "t", .user = (char *) c->user, .group = (char *) c->group };
        char *sentence = NULL;
        RunUser u = {};
        int r = run_user_resolve(&settings, &d, &u, &sentence);
        bool good = r == c->result;
        if (r >= 0)
                good = good && u.uid == c->uid && u.gid == c->gid && u.change == (c->as == 0) && u.home && u.home[0] == '/' &&
                       (!c->name || STREQ(u.name, c->name));
        else
                good = good && sentence && strstr(sentence, c->sentence);
        free(sentence);
        run_user_done(&u);
        return good;
}

static void check(const Case *c) {
        int status;
        if (c->as != geteuid() && geteuid() != 0)
                return;
        pid_t pid = fork();
        if (pid == 0) {
                if (c->as != geteuid() && (setgroups(0, NULL) < 0 || setresgid(c->as, c->as, c->as) < 0 || setresuid(c->as, c->as, c->as) < 0))
                        exit(3);
                exit(holds(c) ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void test_as_root(void **state) {
        static const Case cases[] = {
                { .default_user = "nobody", .uid = NOBODY, .gid = NOBODY, .name = "nobody" },
                { .default_user = "nobody", .user = "root", .uid = 0, .gid = 0, .name = "root" },
                { .default_user = "nobody", .user = "65534", .uid = NOBODY, .gid = NOBODY, .name = "nobody" },
                { .user = "nobody", .group = "root", .uid = NOBODY, .gid = 0 },
                { .user = "nobody", .group = "777", .uid = NOBODY, .gid = 777 },
                { .user = "no-such-user", .result = -ESRCH, .sentence = "no user \"no-such-user\"" },
                { .user = "54321", .result = -ESRCH, .sentence = "no user \"54321\"" },
                { .user = "4294967295", .result = -ESRCH, .sentence = "no user" },
                { .user = "-1", .result = -ESRCH, .sentence = "no user" },
                { .user = "nobody", .group = "no-such-group", .result = -ESRCH, .sentence = "no group \"no-such-group\"" },
                { .user = "nobody", .group = "4294967295", .result = -ESRCH, .sentence = "no group" },
        };
        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check(cases + i);
}

static void test_as_oneself(void **state) {
        static const Case cases[] = {
                { .as = NOBODY, .uid = NOBODY, .gid = NOBODY, .name = "nobody" },
                { .as = NOBODY, .user = "nobody", .uid = NOBODY, .gid = NOBODY },
                { .as = NOBODY, .user = "root", .result = -EPERM, .sentence = "only a daemon started as root" },
                { .as = NOBODY, .user = "nobody", .group = "root", .result = -EPERM, .sentence = "nobody:root" },
                { .as = NO_ENTRY, .default_user = "54321", .uid = NO_ENTRY, .gid = NO_ENTRY, .name = "54321" },
                { .as = NO_ENTRY, .user = "54321", .result = -ESRCH, .sentence = "no user" },
                { .as = NO_ENTRY, .result = -ESRCH, .sentence = "no user" },
        };
        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check(cases + i);
}

/* That passes, and must not cost a task its life. */
static void test_no_answer(void **state) {
        static const Case cases[] = {
                { .user = "nobody", .result = -EAGAIN, .sentence = "the user \"nobody\" cannot be looked up just now: Input/output error" },
                { .default_user = "nobody", .result = -EAGAIN, .sentence = "cannot be looked up" },
                { .as = NO_ENTRY, .default_user = "54321", .uid = NO_ENTRY, .gid = NO_ENTRY },  /* as itself */
        };
        if (geteuid() != 0)
                skip();
        lookup_error = EIO;
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                check(cases + i);
        lookup_error = 0;
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_as_root), cmocka_unit_test(test_as_oneself), cmocka_unit_test(test_no_answer) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
