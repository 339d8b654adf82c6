/* The launcher as a child: which program, with which arguments, descriptors, signals and environment. The program found beside ours is
 * a link to this test, which then plays the launcher. */
#include "fixture.h"
#include "tests/unit/pidfd.h"

#include <dirent.h>
#include <signal.h>

static char link_path[4096];

/* Reports what it is given in a hello's text, then stays until the connection ends (or leaves at once when asked to). */
static int play_launcher(int argc, char **argv) {
        LauncherReply r = { .verb = LAUNCHER_HELLO, .version = WIRE_VERSION, .flags = LAUNCHER_HOLDS_CGROUP, .pid = getpid() };
        _cleanup_str_ Str s = {};
        sigset_t mask;
        char c;

        for (int i = 1; i < argc; i++)
                str_printf(&s, "%s ", argv[i]);
        str_append(&s, "fds");
        for (int fd = 0; fd < 64; fd++)
                if (fcntl(fd, F_GETFD) >= 0)
                        str_printf(&s, " %d", fd);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        str_printf(&s, " mask %d ignored %d session %d notify %s kept %s", sigismember(&mask, SIGTERM),
                   signal(SIGPIPE, SIG_DFL) == SIG_IGN, getsid(0) == getpid(), getenv("NOTIFY_SOCKET") ? "yes" : "no",
                   getenv("JOBBERS_TEST_KEPT") ? "yes" : "no");
        snprintf(r.text, sizeof r.text, "%s", s.s);
        if (send(3, &r, sizeof r, 0) != sizeof r)
                return 1;
        if (argc > 3 && STREQ(argv[3], "--leave"))
                return 7;
        return recv(3, &c, 1, 0) == 0 ? 0 : 1;
}

static void spawn_start(Fixture *f, const char *argument) {
        char *argv[] = { (char *) "jobbersd", (char *) argument, (char *) "--x=a b", NULL };
        fixture_dirs(f);
        assert_int_equal(launch_new(&f->launch, &f->settings, 3, argv), 0);
}

static void what_it_is_given(void **state) {
        Fixture f = {};
        LauncherReply r;
        sigset_t mask, before;
        int extra = open("/dev/null", O_RDONLY);        /* not even close-on-exec */

        assert_int_equal(setenv("NOTIFY_SOCKET", "/run/x", 1), 0);
        assert_int_equal(setenv("JOBBERS_TEST_KEPT", "1", 1), 0);
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, &before);
        signal(SIGPIPE, SIG_IGN);
        spawn_start(&f, "--user");
        sigprocmask(SIG_SETMASK, &before, NULL);
        signal(SIGPIPE, SIG_DFL);
        close(extra);
        assert_int_equal(recv(f.launch->sock, &r, sizeof r, 0), sizeof r);
        assert_string_equal(r.text, "--launcher --launcher-fd=3 --user --x=a b fds 0 1 2 3 mask 0 ignored 0 session 1 notify no kept yes");

        /* It ends with the connection, and is collected. */
        pid_t pid = f.launch->child;
        void *p = memcpy(malloc(sizeof f), &f, sizeof f);
        fixture_teardown(&p);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void its_death_is_told(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        void *p = f;
        spawn_start(f, "--leave");
        assert_int_equal(launch_attach(f->launch, f->event, &seen_callbacks, f), 0);
        UNTIL(f, f->n_dead == 1);
        settle(f);
        assert_int_equal(f->n_dead, 1);
        fixture_teardown(&p);
}

static void no_program(void **state) {
        Fixture f = {};
        char *argv[] = { (char *) "jobbersd", NULL };
        if (access(JOBBERS_BINDIR "/jobbers-run", F_OK) >= 0)
                skip();
        fixture_dirs(&f);
        assert_int_equal(unlink(link_path), 0);
        assert_int_equal(launch_new(&f.launch, &f.settings, 1, argv), -ENOENT);
        void *p = memcpy(malloc(sizeof f), &f, sizeof f);
        fixture_teardown(&p);
}

int main(int argc, char **argv) {
        char self[4096];
        if (argc > 1 && STREQ(argv[1], "--launcher"))
                return play_launcher(argc, argv);
        if (!have_pidfds())
                return EXIT_SKIPPED;
        log_init("test-spawn");
        log_set_level(LOG_CRIT);
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        if (n <= 0)
                return 1;
        self[n] = '\0';
        snprintf(link_path, sizeof link_path, "%.*s/jobbers-run", (int) (strrchr(self, '/') - self), self);
        (void) unlink(link_path);
        if (symlink(self, link_path) < 0)
                return 1;
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_it_is_given),
                cmocka_unit_test(its_death_is_told),
                cmocka_unit_test(no_program),
        };
        int r = cmocka_run_group_tests(tests, NULL, NULL);
        (void) unlink(link_path);
        return r;
}
