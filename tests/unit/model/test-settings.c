/* test-settings.c: defaults of both modes, files, drop-ins and flags over each other, each refusal and what it says on stderr. */
#include <fcntl.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "model/settings-table.h"

/* A home of its own, and what the last load said. */
typedef struct Fixture {
        char root[64];
        Settings s;
        char *said;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);
        assert_non_null(f);
        snprintf(f->root, sizeof f->root, "/tmp/test-settings.XXXXXX");
        assert_non_null(mkdtemp(f->root));
        setenv("HOME", f->root, 1);
        unsetenv("XDG_CONFIG_HOME");
        unsetenv("XDG_STATE_HOME");
        unsetenv("XDG_RUNTIME_DIR");
        unsetenv("WORKER_ROLE");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        settings_free(&f->s);
        assert_int_equal(fd_remove_tree_at(tmp, f->root + strlen("/tmp/")), 0);
        free(f->said);
        free(f);
        return 0;
}

static void put(const Fixture *f, const char *name, const char *text) {
        _cleanup_free_ char *path = str_new("%s/%s", f->root, name), *dir = strdup(path);
        *strrchr(dir, '/') = 0;
        assert_int_equal(fd_mkdirs(dir, 0755), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, false), 0);
}

static int take_positional(void *userdata, const char *arg) {
        if (STREQ(arg, "--refuse"))
                return -ECANCELED;
        if (STREQ(arg, "--launcher-mode") || arg[0] != '-') {
                ++*(int *) userdata;
                return 1;
        }
        return 0;
}

/* Loads with the flags in `line`, parted by blanks ("@" stands for the root); what goes to stderr is kept. */
static int load(Fixture *f, const char *line) {
        _cleanup_strv_ char **words = NULL;
        _cleanup_free_ char *log = str_new("%s/stderr", f->root);
        char *argv[32] = { (char *) "/usr/sbin/jobbersd" };
        int argc = 1;

        assert_int_equal(split_command(line, &words), 0);
        for (size_t i = 0; words[i]; i++) {
                char *at = strchr(words[i], '@');
                argv[argc++] = at ? str_new("%.*s%s%s", (int) (at - words[i]), words[i], f->root, at + 1) : strdup(words[i]);
        }
        settings_free(&f->s);
        fflush(stderr);
        int saved = fcntl(2, F_DUPFD_CLOEXEC, 3), fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(saved >= 0 && fd >= 0);
        assert_true(dup2(fd, 2) == 2);
        int r = settings_load(&f->s, argc, argv, NULL, NULL);
        fflush(stderr);
        assert_true(dup2(saved, 2) == 2);
        close(saved);
        free(f->said);
        f->said = NULL;
        size_t n;
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(fd_read_all(fd, 65536, &f->said, &n), 0);
        close(fd);
        for (int i = 1; i < argc; i++)
                free(argv[i]);
        return r;
}

static void good(Fixture *f, const char *line) {
        if (load(f, line) != 0)
                fail_msg("%s: %s", line, f->said);
        assert_string_equal(f->said, "");
}

static void bad(Fixture *f, const char *line, const char *what) {
        int r = load(f, line);
        if (r >= 0 || !strstr(f->said, what) || strncmp(f->said, "jobbersd: ", 10) != 0)
                fail_msg("%s: %d, \"%s\" does not say \"%s\"", line, r, f->said, what);
        assert_null(f->s.state_dir);
}

static void below_root(const Fixture *f, const char *path, const char *name) {
        _cleanup_free_ char *expected = str_new("%s/%s", f->root, name);
        assert_string_equal(path, expected);
}

static void system_defaults(void **state) {
        Fixture *f = *state;
        Settings *s = &f->s;

        /* Environments of users do not reach the system's daemon. */
        setenv("XDG_STATE_HOME", f->root, 1);
        setenv("XDG_CONFIG_HOME", f->root, 1);
        setenv("XDG_RUNTIME_DIR", f->root, 1);
        /* --config, since the host may have one. */
        good(f, "--system --config=/dev/null");
        assert_false(s->user_mode);
        assert_string_equal(s->state_dir, "/var/lib/jobbers");
        assert_string_equal(s->task_dirs[0], "/etc/jobbers/tasks.d");
        assert_string_equal(s->task_dirs[1], "/run/jobbers/tasks.d");
        assert_string_equal(s->task_dirs[2], "/usr/local/lib/jobbers/tasks.d");
        assert_string_equal(s->task_dirs[3], "/usr/lib/jobbers/tasks.d");
        assert_null(s->task_dirs[4]);
        assert_string_equal(s->libexec_dir, "/usr/libexec/jobbers");
        assert_string_equal(s->listen[0], "127.0.0.1:8000");
        assert_string_equal(s->listen[1], "unix:/run/jobbers/jobbers.sock");
        assert_null(s->listen[2]);
        assert_true(s->listen_is_default);
        assert_string_equal(s->token_file, "/etc/jobbers/token");
        assert_false(s->no_auth);
        assert_null(s->allow_hosts);
        assert_null(s->allow_origins);
        assert_int_equal(s->n_roles, 1);
        assert_string_equal(s->roles[0].name, "default");
        assert_int_equal(s->roles[0].slots, 0);
        assert_true(s->slots >= 2 && s->slots % 2 == 0);
        assert_int_equal(s->launcher, LAUNCHER_AUTO);
        assert_string_equal(s->default_user, "jobbers-task");
        assert_int_equal(s->shutdown_timeout, 90 * USEC_PER_SEC);
        assert_int_equal(s->completed_task_age, 7 * 86400 * USEC_PER_SEC);
        assert_int_equal(s->dlq_age, 30 * 86400 * USEC_PER_SEC);
        assert_int_equal(s->log_age, 7 * 86400 * USEC_PER_SEC);
        assert_int_equal(s->max_body, 1 << 20);
        assert_int_equal(s->max_parameters, 256 << 10);
        assert_int_equal(s->max_result, 1 << 20);
        assert_int_equal(s->max_log, 16 << 20);
        assert_int_equal(s->max_connections, 512);
        assert_int_equal(s->header_timeout, 10 * USEC_PER_SEC);
        assert_int_equal(s->request_timeout, 30 * USEC_PER_SEC);
        assert_int_equal(s->log_level, LOG_INFO);
        assert_string_equal(s->run_dir, "/run/jobbers");
        assert_string_equal(s->attempt_dir, "/run/jobbers/attempts");
        assert_string_equal(s->record_dir, "/run/jobbers/records");
        assert_string_equal(s->saved_dir, "/var/lib/jobbers/records");
        assert_string_equal(s->log_dir, "/var/lib/jobbers/logs");
        assert_string_equal(s->database, "/var/lib/jobbers/jobbers.db");
        assert_string_equal(s->api_socket, "/run/jobbers/jobbers.sock");
        assert_string_equal(s->launcher_socket, "/run/jobbers/launcher.sock");
        assert_string_equal(s->instance, "jobbers");
}

static void user_defaults(void **state) {
        Fixture *f = *state;
        Settings *s = &f->s;
        struct passwd *pw = getpwuid(geteuid());

        good(f, "--user");
        assert_true(s->user_mode);
        below_root(f, s->config, ".config/jobbers/jobbersd.conf");
        below_root(f, s->state_dir, ".local/state/jobbers");
        below_root(f, s->task_dirs[0], ".config/jobbers/tasks.d");
        assert_string_equal(s->task_dirs[1], "/etc/jobbers/tasks.d");
        assert_int_equal(strv_len(s->task_dirs), 5);
        below_root(f, s->token_file, ".local/state/jobbers/token");
        below_root(f, s->run_dir, ".local/state/jobbers/run");
        below_root(f, s->listen[1] + strlen("unix:"), ".local/state/jobbers/run/jobbers.sock");
        if (pw)
                assert_string_equal(s->default_user, pw->pw_name);
        assert_string_equal(s->instance, "jobbers");

        /* XDG's, where absolute; a state directory said otherwise takes the token with it. */
        _cleanup_free_ char *x = str_new("%s/x//", f->root);
        setenv("XDG_CONFIG_HOME", x, 1);
        setenv("XDG_STATE_HOME", x, 1);
        setenv("XDG_RUNTIME_DIR", x, 1);
        good(f, "--user");
        below_root(f, s->config, "x/jobbers/jobbersd.conf");
        below_root(f, s->task_dirs[0], "x/jobbers/tasks.d");
        below_root(f, s->state_dir, "x/jobbers");
        below_root(f, s->run_dir, "x/jobbers");
        assert_string_equal(s->instance, "jobbers");
        good(f, "--user --state-dir=@/s");
        below_root(f, s->token_file, "s/token");
        below_root(f, s->database, "s/jobbers.db");
        setenv("XDG_STATE_HOME", "relative", 1);
        good(f, "--user");
        below_root(f, s->state_dir, ".local/state/jobbers");

        /* Who is neither root nor "jobbers" need not say so. */
        pw = getpwnam("jobbers");
        good(f, "--config=/dev/null");
        assert_int_equal(s->user_mode, geteuid() != 0 && (!pw || pw->pw_uid != geteuid()));
}

/* Two daemons with different state directories do not meet; one directory has one name, however it is spelled. */
static void instances(void **state) {
        Fixture *f = *state;

        good(f, "--system --config=/dev/null --state-dir=/var//lib/./jobbers/");
        assert_string_equal(f->s.instance, "jobbers");
        assert_string_equal(f->s.state_dir, "/var/lib/jobbers");
        good(f, "--system --config=/dev/null --state-dir=/srv/a");
        _cleanup_free_ char *a = strdup(f->s.instance), *dir = str_new("/run/jobbers/attempts%s", a + strlen("jobbers"));
        assert_int_equal(strlen(a), strlen("jobbers-01234567"));
        assert_string_equal(f->s.attempt_dir, dir);
        good(f, "--system --config=/dev/null --state-dir=/srv/a/");
        assert_string_equal(f->s.instance, a);
        good(f, "--system --config=/dev/null --state-dir=/srv/b");
        assert_string_not_equal(f->s.instance, a);
        /* What is typed on the command line may be relative. */
        _cleanup_free_ char *cwd = getcwd(NULL, 0), *here = str_new("%s/state", cwd);
        good(f, "--system --config=/dev/null --state-dir=state");
        assert_string_equal(f->s.state_dir, here);
}

static void flags(void **state) {
        Fixture *f = *state;
        Settings *s = &f->s;

        good(f, "--user --task-dir=/a --task-dir /b//c --libexec-dir=/l --listen=0.0.0.0:0 --listen=[::1]:65535 --listen=unix:/x --listen=localhost:1 "
                "--token-file=/t --no-auth --allow-host=a.example --allow-host=b --allow-origin=https://c --allow-origin=http://[::1]:3000 --role=heavy:4 --role=light --slots=7 "
                "--launcher=scope --default-user=backup --shutdown-timeout=5min --completed-task-age=0 --dlq-age=infinity --log-age=1w "
                "--max-body=2M --max-parameters=1000 --max-result=1K");
        assert_string_equal(s->task_dirs[0], "/a");
        assert_string_equal(s->task_dirs[1], "/b/c");
        assert_null(s->task_dirs[2]);
        assert_string_equal(s->libexec_dir, "/l");
        assert_int_equal(strv_len(s->listen), 4);
        assert_string_equal(s->listen[1], "[::1]:65535");
        assert_false(s->listen_is_default);
        assert_string_equal(s->token_file, "/t");
        assert_true(s->no_auth);
        assert_string_equal(s->allow_hosts[1], "b");
        assert_string_equal(s->allow_origins[0], "https://c");
        assert_string_equal(s->allow_origins[1], "http://[::1]:3000");
        assert_int_equal(s->n_roles, 2);
        assert_string_equal(s->roles[0].name, "heavy");
        assert_int_equal(s->roles[0].slots, 4);
        assert_string_equal(s->roles[1].name, "light");
        assert_int_equal(s->roles[1].slots, 0);
        assert_int_equal(s->slots, 7);
        assert_int_equal(s->launcher, LAUNCHER_SCOPE);
        assert_string_equal(s->default_user, "backup");
        assert_int_equal(s->shutdown_timeout, 300 * USEC_PER_SEC);
        assert_true(s->completed_task_age == 0 && s->dlq_age == 0 && s->log_age == 7 * 86400 * USEC_PER_SEC);
        assert_true(s->max_body == 2 << 20 && s->max_parameters == 1000 && s->max_result == 1024);

        good(f, "--user --no-auth=no --slots 3 --slots=9 --log-level=debug --max-log=1G --max-connections=1 --header-timeout=500ms --request-timeout=1s --launcher=subprocess");
        assert_true(!s->no_auth && s->slots == 9 && s->log_level == LOG_DEBUG && s->max_log == 1 << 30 && s->max_connections == 1);
        assert_true(s->header_timeout == 500000 && s->request_timeout == 1000000 && s->launcher == LAUNCHER_SUBPROCESS);
        /* The last mode counts; an empty value takes back. */
        good(f, "--config=/dev/null --user --system --slots=3 --slots=");
        assert_true(!s->user_mode && s->slots != 3);
}

static void files(void **state) {
        Fixture *f = *state;
        Settings *s = &f->s;

        /* Any spelling, with or without the section; lists add up and can be emptied. */
        put(f, "c/x.conf", "# comment\nSlots=5\n[Daemon]\nStateDir=/s\nlog-level = debug\nlisten=127.0.0.1:1 unix:/a\nListen=127.0.0.1:2\n"
                           "DLQAge=1d\nNoAuth=yes\nRole=a b:2\nAllowHost=\"x\"\n");
        good(f, "--user --config=@/c/x.conf");
        assert_int_equal(s->slots, 5);
        assert_string_equal(s->state_dir, "/s");
        assert_int_equal(s->log_level, LOG_DEBUG);
        assert_int_equal(strv_len(s->listen), 3);
        assert_string_equal(s->listen[2], "127.0.0.1:2");
        assert_false(s->listen_is_default);
        assert_int_equal(s->dlq_age, 86400 * USEC_PER_SEC);
        assert_true(s->no_auth && s->n_roles == 2 && s->roles[1].slots == 2);
        assert_string_equal(s->allow_hosts[0], "x");

        /* Drop-ins in order of name; flags over all, a list of flags instead of a list of files. */
        put(f, "c/x.conf.d/20.conf", "Slots=20\nListen=127.0.0.1:3\n");
        put(f, "c/x.conf.d/10.conf", "Slots=10\nListen=\nListen=127.0.0.1:4\n");
        put(f, "c/x.conf.d/30.txt", "Slots=30\n");
        good(f, "--user --config=@/c/x.conf");
        assert_int_equal(s->slots, 20);
        assert_int_equal(strv_len(s->listen), 2);
        assert_string_equal(s->listen[0], "127.0.0.1:4");
        good(f, "--user --slots=1 --listen=unix:/b --listen=unix:/c --config=@/c/x.conf --role=z");
        assert_int_equal(s->slots, 1);
        assert_int_equal(strv_len(s->listen), 2);
        assert_string_equal(s->listen[0], "unix:/b");
        assert_true(s->n_roles == 1 && STREQ(s->roles[0].name, "z"));
        /* What was taken back has its default again. */
        put(f, "c/x.conf.d/20.conf", "Slots=\nListen=\nLogLevel=\nRole=\nStateDir=\n");
        good(f, "--user --config=@/c/x.conf");
        assert_true(s->slots != 10 && s->listen_is_default && s->log_level == LOG_INFO && s->n_roles == 1);
        below_root(f, s->state_dir, ".local/state/jobbers");

        /* The usual file, where it is; and none is as good. */
        put(f, ".config/jobbers/jobbersd.conf", "Slots=77\n");
        good(f, "--user");
        assert_int_equal(s->slots, 77);
}

static void file_refusals(void **state) {
        Fixture *f = *state;
        static const struct {
                const char *text, *what;
        } cases[] = {
                { "\nSlots=many\n", "x.conf:2: Slots=many: it must be a whole number from 1 to 65536" },
                { "[Daemon]\nSlot=5\n", "x.conf:2: unknown setting \"Slot\"" },
                { "[Service]\nSlots=5\n", "x.conf:1: unknown section [Service]" },
                { "Config=/x\n", "x.conf:1: Config= can only be given as a flag" },
                { "user=yes\n", "x.conf:1: user= can only be given as a flag" },
                { "StateDir=relative\n", "x.conf:1: StateDir=relative: the path must begin with a slash" },
                { "nonsense\n", "x.conf:1: this is neither" },
                { "Listen=\"127.0.0.1:1\n", "x.conf:1: unclosed quote, or a backslash before a character that cannot be escaped" },
                { "Listen=127.0.0.1:1 8000\n", "x.conf:1: Listen=8000: it must be HOST:PORT" },
                { "NoAuth=maybe\n", "x.conf:1: NoAuth=maybe: it must be yes or no" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                put(f, "x.conf", cases[i].text);
                bad(f, "--user --config=@/x.conf", cases[i].what);
        }
        put(f, "x.conf", "");
        put(f, "x.conf.d/1.conf", "Slots=0\n");
        bad(f, "--user --config=@/x.conf", "x.conf.d/1.conf:1: Slots=0");
        bad(f, "--user --config=@/none.conf", "cannot read");
        bad(f, "--user --config=@", "it is not a regular file");
}

static void flag_refusals(void **state) {
        Fixture *f = *state;
        static const struct {
                const char *line, *what;
        } cases[] = {
                { "--slot=1", "unknown flag \"--slot=1\"" },
                { "-x", "unexpected argument \"-x\"" },
                { "report", "unexpected argument \"report\"" },
                { "--", "unexpected argument \"--\"" },
                { "--slots", "--slots needs a value" },
                { "--slots=0", "--slots=0: it must be" },
                { "--slots=1e3", "--slots=1e3" },
                { "--no-auth=perhaps", "yes or no" },
                { "--listen=8000", "--listen=8000: it must be HOST:PORT" },
                { "--listen=:8000", "HOST:PORT" },
                { "--listen=127.0.0.1:65536", "HOST:PORT" },
                { "--listen=::1:80", "HOST:PORT" },
                { "--listen=[::1]", "HOST:PORT" },
                { "--listen=[1.2.3.4]:80", "HOST:PORT" },
                { "--listen=[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1", "HOST:PORT" },
                { "--listen=unix:x", "HOST:PORT" },
                { "--listen=unix:", "HOST:PORT" },
                { "--listen=http://localhost:80", "HOST:PORT" },
                { "--allow-origin=*", "--allow-origin=*: it must be an origin" },
                { "--allow-origin=foo", "it must be an origin" },
                { "--allow-origin=ui.example:3000", "it must be an origin" },
                { "--allow-origin=https://*.example", "it must be an origin" },
                { "--allow-origin=https://ui.example/", "it must be an origin" },
                { "--allow-origin=https://ui.example:443", "it must be an origin" },
                { "--allow-origin=https://:3000", "it must be an origin" },
                { "--role=a:0", "the number of slots must be 1 to 65536" },
                { "--role=a:", "the number of slots" },
                { "--role=:3", "the name of a role" },
                { "--role=a/b", "the name of a role" },
                { "--role=a --role=a:2", "role \"a\" is given twice" },
                { "--launcher=docker", "auto, scope or subprocess" },
                { "--default-user=a:b", "the name of a user" },
                { "--log-level=loud", "err, warning, notice, info or debug" },
                { "--shutdown-timeout=soon", "it must be a time" },
                { "--header-timeout=0", "it must be a time" },
                { "--dlq-age=-1", "it must be a time" },
                { "--max-body=0", "it must be a size" },
                { "--max-body=2G", "it must be a size" },
                { "--max-result=infinity", "it must be a size" },
                { "--max-connections=70000", "1 to 65536" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *line = str_new("--user %s", cases[i].line);
                bad(f, line, cases[i].what);
        }
}

static void roles_from_environment(void **state) {
        Fixture *f = *state;
        setenv("WORKER_ROLE", "heavy-workers:3", 1);
        good(f, "--user");
        assert_true(f->s.n_roles == 1 && STREQ(f->s.roles[0].name, "heavy-workers") && f->s.roles[0].slots == 3);
        good(f, "--user --role=x");
        assert_true(f->s.n_roles == 1 && STREQ(f->s.roles[0].name, "x"));
        setenv("WORKER_ROLE", "a b", 1);
        bad(f, "--user", "WORKER_ROLE=a b: the name of a role");
        setenv("WORKER_ROLE", "", 1);
        good(f, "--user");
        assert_string_equal(f->s.roles[0].name, "default");
}

static void extra_arguments(void **state) {
        Fixture *f = *state;
        int taken = 0;
        char *argv[] = { (char *) "jobbers-run", (char *) "--user", (char *) "report", (char *) "--slots", (char *) "5", (char *) "--launcher-mode", (char *) "id=1", NULL };
        assert_int_equal(settings_load(&f->s, 7, argv, take_positional, &taken), 0);
        assert_int_equal(taken, 3);
        assert_int_equal(f->s.slots, 5);
        settings_free(&f->s);
        argv[1] = (char *) "--refuse";
        assert_int_equal(settings_load(&f->s, 7, argv, take_positional, &taken), -ECANCELED);
}

static void identity(void **state) {
        Fixture *f = *state;
        Identity id;

        good(f, "--user");
        assert_int_equal(settings_identity(&f->s, &id), 0);
        assert_true(id.uid == geteuid() && id.gid == getegid());
        good(f, "--system --config=/dev/null");
        struct passwd *pw = getpwnam("jobbers");
        uid_t uid = pw ? pw->pw_uid : 0;
        int r = settings_identity(&f->s, &id);
        assert_int_equal(r, pw ? 0 : -ESRCH);
        if (pw)
                assert_int_equal(id.uid, uid);
        good(f, "--system --config=/dev/null --default-user=no-such-user");
        assert_int_equal(settings_identity(&f->s, &id), -ESRCH);
}

/* Help and manual name every setting, and the help fits a terminal. */
static void printed(void **state) {
        char *help = NULL, *man = NULL, *keys = NULL;
        size_t n;
        FILE *h = open_memstream(&help, &n), *m = open_memstream(&man, &n), *k = open_memstream(&keys, &n);
        assert_true(h && m && k);
        settings_print_help(h);
        settings_print_man(m, SETTINGS_FLAGS);
        settings_print_man(k, SETTINGS_KEYS);
        fclose(h);
        fclose(m);
        fclose(k);
        for (size_t i = 0; i < N_SETTINGS; i++) {
                _cleanup_free_ char *flag = str_new("  --%s", settings_table[i].flag);
                assert_non_null(strstr(help, flag));
                assert_ptr_equal(setting_find(settings_table[i].flag, strlen(settings_table[i].flag)), settings_table + i);
        }
        assert_non_null(strstr(man, "\\-\\-task\\-dir="));
        assert_non_null(strstr(help, "Default: 2 per CPU."));
        assert_non_null(strstr(help, "$XDG_RUNTIME_DIR/jobbers/jobbers.sock"));
        assert_null(strstr(help, "$RUN_DIR"));          /* our own names for what the table refers to */
        assert_null(strstr(help, "$STATE_DIR"));
        assert_non_null(strstr(keys, ".B TaskDir=\\fIDIR\\fP"));
        assert_null(strstr(keys, "Config="));
        for (char *line = help, *end; (end = strchr(line, '\n')); line = end + 1)
                if (end - line > 79)
                        fail_msg("too wide: %.*s", (int) (end - line), line);
        free(help);
        free(keys);
        free(man);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(system_defaults), TEST(user_defaults), TEST(instances), TEST(flags), TEST(files), TEST(file_refusals), TEST(flag_refusals),
                TEST(roles_from_environment), TEST(extra_arguments), TEST(identity), TEST(printed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
