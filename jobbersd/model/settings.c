/* settings.c: from defaults, files and flags to one Settings. Flags are gathered first, since they say which file is read and for whom
 * the defaults are; then files, flags and defaults are applied in that order, each default only where nothing was said. */
#include "model/settings.h"

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "model/account.h"
#include "model/hash.h"
#include "model/settings-table.h"
#include "model/textfile.h"
#include "model/unitfile.h"

typedef enum Origin { FROM_NOTHING, FROM_FILE, FROM_FLAG } Origin;

typedef struct Loader {
        Settings *s;
        const char *program;
        Origin origin[N_SETTINGS];      /* who spoke last */
        const char *path;               /* of the file being read */
        char *xdg_config, *xdg_state;   /* user mode */
} Loader;

static void loader_done(Loader *l) {
        free(l->xdg_config);
        free(l->xdg_state);
}

static Origin *loader_origin(Loader *l, const Setting *t) {
        return &l->origin[t - settings_table];
}

/* ── for whom ── */

static bool user_mode_default(void) {
        struct passwd *pw;
        uid_t uid = geteuid();
        if (uid == 0)
                return false;
        pw = getpwnam("jobbers");
        return !pw || pw->pw_uid != uid;
}

static int home_find(char **ret) {
        const char *home = getenv("HOME");
        if (!home || home[0] != '/') {
                struct passwd *pw = getpwuid(geteuid());
                home = pw && pw->pw_dir && pw->pw_dir[0] == '/' ? pw->pw_dir : NULL;
        }
        if (!home)
                return -ENOENT;
        *ret = strdup(home);
        return *ret ? 0 : -ENOMEM;
}

/* $NAME where it is an absolute path, else HOME/fallback. */
static int xdg_find(const char *name, const char *fallback, char **ret) {
        const char *value = getenv(name);
        if (value && value[0] == '/') {
                *ret = strdup(value);
        } else {
                _cleanup_free_ char *home = NULL;
                int r = home_find(&home);
                if (r < 0)
                        return r;
                *ret = str_new("%s/%s", home, fallback);
        }
        return *ret ? 0 : -ENOMEM;
}

/* ── values ── */

static int complain_oom(const Loader *l) {
        fprintf(stderr, "%s: not enough memory\n", l->program);
        return -ENOMEM;
}

/* `value` with a leading $NAME (also after "unix:") replaced. */
static char *default_expand(const Loader *l, const char *value) {
        const struct {
                const char *name, *text;
        } vars[] = {
                { "$XDG_CONFIG_HOME/", l->xdg_config },
                { "$XDG_STATE_HOME/", l->xdg_state },
                { "$STATE_DIR/", l->s->state_dir },
                { "$RUN_DIR/", l->s->run_dir },
        };
        const char *dollar = strchr(value, '$');
        for (size_t i = 0; dollar && i < ARRAY_SIZE(vars); i++) {
                size_t n = strlen(vars[i].name);
                if (vars[i].text && strncmp(dollar, vars[i].name, n) == 0)
                        return str_new("%.*s%s/%s", (int) (dollar - value), value, vars[i].text, dollar + n);
        }
        return strdup(value);
}

static const char *default_of(const Settings *s, const Setting *t) {
        return s->user_mode && t->user ? t->user : t->system;
}

/* What the table says where nobody said anything. */
static int default_apply(Loader *l, const Setting *t) {
        const char *text = default_of(l->s, t);
        _cleanup_strv_ char **words = NULL;

        if (*loader_origin(l, t) != FROM_NOTHING || !text || text[0] == '(')
                return 0;
        int r = split_command(text, &words);
        for (size_t i = 0; r >= 0 && words[i]; i++) {
                _cleanup_free_ char *value = default_expand(l, words[i]), *reason = NULL;
                r = value ? setting_set(l->s, t, value, &reason) : -ENOMEM;
                /* An odd $HOME, or an odd table. */
                if (r == -EINVAL)
                        fprintf(stderr, "%s: the default --%s=%s: %s\n", l->program, t->flag, value, reason);
        }
        return r == -ENOMEM ? complain_oom(l) : r;
}

/* "FILE:LINE: " of a file, "--" of a flag. */
static void print_place(const Loader *l, unsigned line) {
        if (l->path)
                fprintf(stderr, "%s: %s:%u: ", l->program, l->path, line);
        else
                fprintf(stderr, "%s: --", l->program);
}

/* One assignment as the user wrote it (`name` too); "" takes back what was said before. */
static int value_apply(Loader *l, const Setting *t, const char *name, const char *value, Origin origin, unsigned line) {
        _cleanup_free_ char *reason = NULL;
        Origin *before = loader_origin(l, t);

        if (*value == 0) {
                setting_clear(l->s, t);
                *before = FROM_NOTHING;
                return 0;
        }
        /* The first flag of a list replaces what files said. */
        if (setting_is_list(t) && *before < origin)
                setting_clear(l->s, t);
        *before = origin;

        int r = setting_set(l->s, t, value, &reason);
        if (r == -EINVAL) {
                print_place(l, line);
                fprintf(stderr, "%s=%s: %s\n", name, value, reason);
        }
        return r == -ENOMEM ? complain_oom(l) : r;
}

/* ── files ── */

static void file_error(void *userdata, unsigned line, const char *sentence) {
        Loader *l = userdata;
        print_place(l, line);
        fprintf(stderr, "%s\n", sentence);
}

static int file_assign(void *userdata, unsigned line, const char *section, const char *key, const char *value) {
        Loader *l = userdata;
        _cleanup_strv_ char **words = NULL;

        if (*section && strcasecmp(section, "Daemon") != 0 && strcasecmp(section, "jobbersd") != 0) {
                print_place(l, line);
                fprintf(stderr, "unknown section [%s]: settings belong in [Daemon]\n", section);
                return -EINVAL;
        }
        if (!key)
                return 0;
        const Setting *t = setting_find(key, strlen(key));
        if (!t || t->flag_only) {
                print_place(l, line);
                fprintf(stderr, t ? "%s= can only be given as a flag\n" : "unknown setting \"%s\"; see jobbersd(8)\n", key);
                return -EINVAL;
        }
        if (!setting_is_list(t) || *value == 0)
                return value_apply(l, t, key, value, FROM_FILE, line);

        int r = split_command(value, &words);
        if (r == -EINVAL)
                file_error(l, line, "unclosed quote, or a backslash before a character that cannot be escaped");
        for (size_t i = 0; r >= 0 && words[i]; i++)
                r = words[i][0] ? value_apply(l, t, key, words[i], FROM_FILE, line) : 0;
        return r;
}

static int file_load(Loader *l, const char *path, bool required) {
        _cleanup_free_ char *text = NULL;
        size_t len = 0;

        int r = text_file_read(path, UNITFILE_SIZE_MAX, &text, &len, NULL);
        if (r == 1 || (r == -ENOENT && !required))
                return 0;
        if (r < 0) {
                fprintf(stderr, "%s: cannot read %s: %s\n", l->program, path, r == -EINVAL ? "it is not a regular file" : strerror(-r));
                return r;
        }
        l->path = path;
        r = unitfile_parse(text, len, file_assign, file_error, l);
        l->path = NULL;
        return r > 0 ? -EINVAL : r;
}

static int files_load(Loader *l, bool required) {
        _cleanup_strv_ char **names = NULL;
        _cleanup_free_ char *dir = str_new("%s.d", l->s->config);

        int r = file_load(l, l->s->config, required);
        if (r < 0)
                return r;
        r = dir ? text_file_list(dir, ".conf", &names) : -ENOMEM;
        if (r < 0)
                fprintf(stderr, "%s: cannot list %s.d: %s\n", l->program, l->s->config, strerror(-r));
        for (size_t i = 0; r >= 0 && names[i]; i++) {
                _cleanup_free_ char *path = str_new("%s/%s", dir, names[i]);
                r = path ? file_load(l, path, true) : complain_oom(l);
        }
        return r;
}

/* ── flags ── */

typedef struct Flag {
        const Setting *setting;
        char *value;
} Flag;

typedef struct Flags {
        Flag *items;
        size_t n;
} Flags;

static void flags_done(Flags *f) {
        for (size_t i = 0; i < f->n; i++)
                free(f->items[i].value);
        free(f->items);
}

/* Paths on the command line are relative to where it was typed. */
static char *flag_value(const Setting *t, const char *value) {
        if ((t->type != SETTING_PATH && t->type != SETTING_PATHS) || *value == '/' || *value == 0)
                return strdup(value);
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        return cwd ? str_new("%s/%s", cwd, value) : NULL;
}

/* Takes argv[*i], and the next one where that is its value. */
static int flag_read(Loader *l, Flags *flags, int argc, char **argv, int *i) {
        const char *arg = argv[*i], *eq = strchr(arg, '='), *value;

        if (strncmp(arg, "--", 2) != 0 || arg[2] == 0) {
                fprintf(stderr, "%s: unexpected argument \"%s\". See: %s --help\n", l->program, arg, l->program);
                return -EINVAL;
        }
        const Setting *t = setting_find(arg + 2, eq ? (size_t) (eq - arg - 2) : strlen(arg + 2));
        if (!t) {
                fprintf(stderr, "%s: unknown flag \"%s\". See: %s --help\n", l->program, arg, l->program);
                return -EINVAL;
        }
        if (eq)
                value = eq + 1;
        else if (!t->value)
                value = "yes";
        else if (*i + 1 < argc)
                value = argv[++*i];
        else {
                fprintf(stderr, "%s: --%s needs a value: --%s=%s\n", l->program, t->flag, t->flag, t->value);
                return -EINVAL;
        }
        Flag *items = reallocarray(flags->items, flags->n + 1, sizeof *items);
        if (!items)
                return complain_oom(l);
        flags->items = items;
        items[flags->n] = (Flag) { .setting = t, .value = flag_value(t, value) };
        if (!items[flags->n].value)
                return complain_oom(l);
        flags->n++;
        return 0;
}

static int flags_read(Loader *l, Flags *flags, int argc, char **argv, settings_extra_fn extra, void *userdata) {
        int r = 0;
        for (int i = 1; r >= 0 && i < argc; i++) {
                r = extra ? extra(userdata, argv[i]) : 0;
                if (r == 0)
                        r = flag_read(l, flags, argc, argv, &i);
        }
        return r < 0 ? r : 0;
}

/* Those that say which file is read (`early`), or all others. */
static int flags_apply(Loader *l, const Flags *flags, bool early) {
        int r = 0;
        for (size_t i = 0; r >= 0 && i < flags->n; i++)
                if (flags->items[i].setting->flag_only == early)
                        r = value_apply(l, flags->items[i].setting, flags->items[i].setting->flag, flags->items[i].value, FROM_FLAG, 0);
        return r;
}

/* ── what is worked out ── */

static unsigned cpus(void) {
        cpu_set_t set;
        if (sched_getaffinity(0, sizeof set, &set) == 0)
                return (unsigned) CPU_COUNT(&set);
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        return n > 0 ? (unsigned) n : 1;
}

static char *caller_name(void) {
        struct passwd *pw = getpwuid(geteuid());
        return pw ? strdup(pw->pw_name) : str_new("%lu", (unsigned long) geteuid());
}

/* WORKER_ROLE is how the Python original was told its role. */
static int role_from_environment(Loader *l) {
        const Setting *t = setting_find("role", strlen("role"));
        const char *value = getenv("WORKER_ROLE");
        _cleanup_free_ char *reason = NULL;

        if (*loader_origin(l, t) != FROM_NOTHING || !value || !*value)
                return 0;
        int r = setting_set(l->s, t, value, &reason);
        *loader_origin(l, t) = FROM_FLAG;
        if (r == -EINVAL)
                fprintf(stderr, "%s: WORKER_ROLE=%s: %s\n", l->program, value, reason);
        return r == -ENOMEM ? complain_oom(l) : r;
}

/* Directories that follow from the state directory and the mode. */
static int derive(Loader *l) {
        Settings *s = l->s;
        const Setting *t = setting_find("state-dir", strlen("state-dir"));
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char suffix[16] = "";

        _cleanup_free_ char *usual = default_expand(l, default_of(s, t));
        if (!usual)
                return complain_oom(l);
        path_simplify(usual);
        if (!STREQ(usual, s->state_dir)) {
                uint64_t h = hash_text(s->state_dir);
                snprintf(suffix, sizeof suffix, "-%08x", (unsigned) (h ^ h >> 32));
        }
        if (!s->user_mode)
                s->run_dir = strdup("/run/jobbers");
        else if (runtime && runtime[0] == '/')
                s->run_dir = str_new("%s/jobbers", runtime);
        else
                s->run_dir = str_new("%s/run", s->state_dir);
        if (!s->run_dir)
                return complain_oom(l);
        path_simplify(s->run_dir);
        s->attempt_dir = str_new("%s/attempts%s", s->run_dir, suffix);
        s->record_dir = str_new("%s/records%s", s->run_dir, suffix);
        s->saved_dir = str_new("%s/records", s->state_dir);
        s->log_dir = str_new("%s/logs", s->state_dir);
        s->database = str_new("%s/jobbers.db", s->state_dir);
        s->api_socket = str_new("%s/jobbers.sock", s->run_dir);
        s->launcher_socket = str_new("%s/launcher.sock", s->run_dir);
        s->instance = str_new("jobbers%s", suffix);
        if (!s->attempt_dir || !s->record_dir || !s->saved_dir || !s->log_dir || !s->database || !s->api_socket || !s->launcher_socket || !s->instance)
                return complain_oom(l);
        return 0;
}

/* Defaults for what nobody set, in the order of the table; other directories follow from the state directory, once that is known. */
static int complete(Loader *l) {
        Settings *s = l->s;
        const Setting *state_dir = setting_find("state-dir", strlen("state-dir"));

        int r = role_from_environment(l);
        if (r >= 0)
                r = default_apply(l, state_dir);
        if (r >= 0)
                r = derive(l);
        s->listen_is_default = !s->listen;
        for (const Setting *t = settings_table; r >= 0 && t < settings_table + N_SETTINGS; t++)
                if (!t->flag_only && t != state_dir)
                        r = default_apply(l, t);
        if (r < 0)
                return r;
        if (*loader_origin(l, setting_find("slots", strlen("slots"))) == FROM_NOTHING)
                s->slots = 2 * cpus();
        if (!s->default_user) {
                s->default_user = caller_name();
                if (!s->default_user)
                        return complain_oom(l);
        }
        return 0;
}

static int load(Loader *l, const Flags *flags) {
        Settings *s = l->s;
        const Setting *config = setting_find("config", strlen("config"));

        s->user_mode = user_mode_default();
        int r = flags_apply(l, flags, true);
        if (r < 0)
                return r;
        if (s->user_mode) {
                r = xdg_find("XDG_CONFIG_HOME", ".config", &l->xdg_config);
                if (r >= 0)
                        r = xdg_find("XDG_STATE_HOME", ".local/state", &l->xdg_state);
                if (r == -ENOENT)
                        fprintf(stderr, "%s: HOME is not set, so there is no place for files of this user. Set it to an absolute path.\n", l->program);
                if (r < 0)
                        return r == -ENOMEM ? complain_oom(l) : -EINVAL;
        }
        bool required = *loader_origin(l, config) == FROM_FLAG;
        r = default_apply(l, config);
        if (r >= 0)
                r = files_load(l, required);
        if (r >= 0)
                r = flags_apply(l, flags, false);
        return r < 0 ? r : complete(l);
}

int settings_load(Settings *s, int argc, char **argv, settings_extra_fn extra, void *userdata) {
        const char *slash = argc > 0 && argv[0] ? strrchr(argv[0], '/') : NULL;
        _cleanup_(loader_done) Loader l = { .s = s, .program = slash ? slash + 1 : argc > 0 && argv[0] ? argv[0] : "jobbersd" };
        _cleanup_(flags_done) Flags flags = {};

        *s = (Settings) {};
        int r = flags_read(&l, &flags, argc, argv, extra, userdata);
        if (r >= 0)
                r = load(&l, &flags);
        if (r < 0)
                settings_free(s);
        return r < 0 ? r : 0;
}

void settings_free(Settings *s) {
        for (const Setting *t = settings_table; t < settings_table + N_SETTINGS; t++)
                setting_clear(s, t);
        free(s->run_dir);
        free(s->attempt_dir);
        free(s->record_dir);
        free(s->saved_dir);
        free(s->log_dir);
        free(s->database);
        free(s->api_socket);
        free(s->launcher_socket);
        free(s->instance);
        *s = (Settings) {};
}

/* Those of a source tree, when we run from there, else those of the package. */
static char *sysusers_file(void) {
        char program[4096];
        ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
        program[MAX(n, 0)] = '\0';
        for (unsigned up = 0; up < 2; up++) {
                char *slash = strrchr(program, '/');
                if (slash)
                        *slash = '\0';
        }
        _cleanup_free_ char *path = str_new("%s/units/jobbers.sysusers", program);
        if (!path || access(path, F_OK) < 0) {
                free(path);
                path = strdup("/usr/lib/sysusers.d/jobbers.conf");
        }
        return path && access(path, F_OK) >= 0 && access("/usr/bin/systemd-sysusers", X_OK) >= 0 ? TAKE_PTR(path) : NULL;
}

static void user_complain(int r, const char *name, const char *purpose) {
        _cleanup_free_ char *path = NULL;
        if (r == -EAGAIN) {
                fprintf(stderr, "The user \"%s\", %s, cannot be looked up: %s.\n", name, purpose, strerror(errno));
                return;
        }
        fprintf(stderr, "There is no user \"%s\" on this system, %s.\n", name, purpose);
        if (!STREQ(name, "jobbers") && !STREQ(name, "jobbers-task")) {
                fprintf(stderr, "Create it, or name another with --default-user=.\n");
                return;
        }
        path = sysusers_file();
        if (path)
                fprintf(stderr, "Create the users \"jobbers\" and \"jobbers-task\" as root with:\n  systemd-sysusers %s\n", path);
        else
                fprintf(stderr, "Create the users \"jobbers\" and \"jobbers-task\" as root, in the source tree of jobbers, with:\n  make deps\n");
}

int settings_identity(const Settings *s, Identity *ret) {
        _cleanup_(account_done) Account daemon = {}, tasks = {};
        if (s->user_mode) {
                *ret = (Identity) { .uid = geteuid(), .gid = getegid() };
                return 0;
        }
        int r = account_find_user("jobbers", &daemon);
        if (r < 0) {
                user_complain(r, "jobbers", "as which jobbersd runs");
                return r;
        }
        r = account_find_user(s->default_user, &tasks);
        if (r < 0) {
                user_complain(r, s->default_user, "as which tasks run whose definition has no User=");
                return r;
        }
        *ret = (Identity) { .uid = daemon.uid, .gid = daemon.gid };
        return 0;
}
