/* settings-table.c: every setting there is (SPEC 10). The file, the flags, --help, jobbersd(8) and the checks all come from here. */
#include "model/settings-table.h"

#include <ctype.h>
#include <stdio.h>

#include "base/str.h"

#define FIELD(member) .offset = offsetof(Settings, member)
#define KIB UINT64_C(1024)
#define GIB (KIB * KIB * KIB)
#define SECONDS(n) ((n) * USEC_PER_SEC)
#define CENTURY SECONDS(UINT64_C(36525) * 86400)
#define TASK_DIRS JOBBERS_SYSCONFDIR "/jobbers/tasks.d /run/jobbers/tasks.d /usr/local/lib/jobbers/tasks.d /usr/lib/jobbers/tasks.d"

const Setting settings_table[N_SETTINGS] = {
        { "config", "FILE", SETTING_PATH, FIELD(config), .flag_only = true,
          .system = JOBBERS_SYSCONFDIR "/jobbers/jobbersd.conf", .user = "$XDG_CONFIG_HOME/jobbers/jobbersd.conf",
          .help = "The settings file. FILE.d/*.conf are read after it." },
        { "system", NULL, SETTING_SYSTEM, FIELD(user_mode), .flag_only = true, .system = "(for root)",
          .help = "Run as the system's daemon, which needs the users jobbers and jobbers-task." },
        { "user", NULL, SETTING_USER, FIELD(user_mode), .flag_only = true, .system = "(for everyone else)",
          .help = "Run as the calling user's own daemon. Tasks run as that user: this is no security boundary." },
        { "state-dir", "DIR", SETTING_PATH, FIELD(state_dir), .system = "/var/lib/jobbers", .user = "$XDG_STATE_HOME/jobbers",
          .help = "Database, exit records and logs." },
        { "task-dir", "DIR", SETTING_PATHS, FIELD(task_dirs), .system = TASK_DIRS, .user = "$XDG_CONFIG_HOME/jobbers/tasks.d " TASK_DIRS,
          .help = "Where *.task files are; the first directory wins. Repeatable; replaces all of the defaults." },
        { "libexec-dir", "DIR", SETTING_PATH, FIELD(libexec_dir), .system = "/usr/libexec/jobbers",
          .help = "The directory that an ExecStart= which is not an absolute path begins in." },
        { "listen", "ADDRESS", SETTING_LISTEN, FIELD(listen), .system = "127.0.0.1:8000 unix:/run/jobbers/jobbers.sock",
          .user = "127.0.0.1:8000 unix:$RUN_DIR/jobbers.sock",
          .help = "HOST:PORT, [IPV6]:PORT or unix:/PATH. Repeatable; replaces the defaults. A user's own daemon "
                  "does without the default port where that is taken." },
        { "token-file", "FILE", SETTING_PATH, FIELD(token_file), .system = JOBBERS_SYSCONFDIR "/jobbers/token", .user = "$STATE_DIR/token",
          .help = "The file with the bearer token that TCP clients must send. It is created when it is missing: for root and the group "
                  "jobbers (mode 0640), in user mode for the caller alone (0600)." },
        { "no-auth", NULL, SETTING_BOOL, FIELD(no_auth), .system = "no",
          .help = "Require no token on TCP. For a developer's own machine: refused as root and on any address but loopback." },
        { "allow-host", "HOST", SETTING_WORDS, FIELD(allow_hosts),
          .help = "One more name that the Host header of requests over TCP may have. Repeatable." },
        { "allow-origin", "ORIGIN", SETTING_ORIGINS, FIELD(allow_origins),
          .help = "An Origin whose web pages may call the API. Repeatable." },
        { "role", "NAME[:SLOTS]", SETTING_ROLES, FIELD(roles), .min = 1, .max = 65536, .system = "default",
          .help = "Serve the queues of this role, with that many slots of its own. Repeatable. WORKER_ROLE in the environment does the "
                  "same where no role is set." },
        { "slots", "N", SETTING_UNSIGNED, FIELD(slots), .min = 1, .max = 65536, .system = "(2 per CPU)",
          .help = "Tasks that run at once in a role for which --role= gives no number." },
        { "launcher", "KIND", SETTING_LAUNCHER, FIELD(launcher), .system = "auto",
          .help = "scope: a transient systemd scope for each attempt; subprocess: a cgroup of its own where one can be made; auto: scope "
                  "where a systemd manager answers at the start. For definitions that do not say Launcher= themselves." },
        { "default-user", "USER", SETTING_USER_NAME, FIELD(default_user), .system = "jobbers-task", .user = "(the caller)",
          .help = "The user that runs tasks whose definition has no User=." },
        { "shutdown-timeout", "TIME", SETTING_SPAN, FIELD(shutdown_timeout), .max = CENTURY, .system = "90s",
          .help = "How long the daemon, when it stops, waits for subprocesses with OnShutdown=continue; they are then treated as OnShutdown=stop." },
        { "completed-task-age", "TIME", SETTING_AGE, FIELD(completed_task_age), .max = CENTURY, .system = "7d",
          .help = "How long tasks that have ended are kept. 0 keeps them for ever." },
        { "dlq-age", "TIME", SETTING_AGE, FIELD(dlq_age), .max = CENTURY, .system = "30d",
          .help = "How long dead letters are kept. 0 keeps them for ever." },
        { "log-age", "TIME", SETTING_AGE, FIELD(log_age), .max = CENTURY, .system = "7d",
          .help = "How long log files of tasks are kept. 0 keeps them for ever." },
        { "max-body", "SIZE", SETTING_SIZE, FIELD(max_body), .min = 1, .max = GIB, .system = "1M",
          .help = "Largest body of a request." },
        { "max-parameters", "SIZE", SETTING_SIZE, FIELD(max_parameters), .min = 1, .max = GIB, .system = "256K",
          .help = "Largest parameters of a task." },
        { "max-result", "SIZE", SETTING_SIZE, FIELD(max_result), .min = 1, .max = GIB, .system = "1M",
          .help = "Largest result of a task." },
        { "max-log", "SIZE", SETTING_SIZE, FIELD(max_log), .min = 1, .max = KIB * GIB, .system = "16M",
          .help = "Largest log file of a task; the oldest is cut, with a mark." },
        { "max-connections", "N", SETTING_UNSIGNED, FIELD(max_connections), .min = 1, .max = 65536, .system = "512",
          .help = "The most connections of clients at once, over TCP and over Unix sockets each." },
        { "header-timeout", "TIME", SETTING_SPAN, FIELD(header_timeout), .min = 1, .max = CENTURY, .system = "10s",
          .help = "How long a client may take over the headers of a request." },
        { "request-timeout", "TIME", SETTING_SPAN, FIELD(request_timeout), .min = 1, .max = CENTURY, .system = "30s",
          .help = "How long a whole request may take. Long polls and followed logs have limits of their own." },
        { "log-level", "LEVEL", SETTING_LOG_LEVEL, FIELD(log_level), .system = "info",
          .help = "err, warning, notice, info or debug." },
};

/* Letters and digits alone, so that StateDir, state-dir and STATE_DIR are one. */
static int next_letter(const char **s, const char *end) {
        while (*s < end && (**s == '-' || **s == '_'))
                ++*s;
        return *s < end ? tolower((unsigned char) *(*s)++) : 0;
}

static bool same_name(const char *a, const char *b, size_t b_len) {
        const char *a_end = a + strlen(a), *b_end = b + b_len;
        for (;;) {
                int x = next_letter(&a, a_end), y = next_letter(&b, b_end);
                if (x != y)
                        return false;
                if (x == 0)
                        return true;
        }
}

const Setting *setting_find(const char *name, size_t len) {
        for (size_t i = 0; i < N_SETTINGS; i++)
                if (same_name(settings_table[i].flag, name, len))
                        return settings_table + i;
        return NULL;
}

bool setting_is_list(const Setting *t) {
        return t->type == SETTING_PATHS || t->type == SETTING_LISTEN || t->type == SETTING_WORDS || t->type == SETTING_ORIGINS ||
               t->type == SETTING_ROLES;
}

/* ── printing ── */

#define HELP_INDENT 26
#define HELP_WIDTH 80

/* Words of `text` from column `column` on, lines broken before HELP_WIDTH. */
static void print_wrapped(FILE *f, const char *text, int column) {
        while (*text) {
                int n = (int) strcspn(text, " ");
                if (column > HELP_INDENT && column + 1 + n >= HELP_WIDTH) {
                        fprintf(f, "\n%*s", HELP_INDENT, "");
                        column = HELP_INDENT;
                } else if (column > HELP_INDENT) {
                        fputc(' ', f);
                        column++;
                }
                fprintf(f, "%.*s", n, text);
                column += n;
                text += n;
                text += strspn(text, " ");
        }
        fputc('\n', f);
}

/* A default as people know it: without parentheses, and our own names of directories in full. */
static void put_default(Str *b, const char *text) {
        static const struct {
                const char *name, *full;
        } ours[] = { { "$STATE_DIR", "$XDG_STATE_HOME/jobbers" }, { "$RUN_DIR", "$XDG_RUNTIME_DIR/jobbers" } };

        while (*text) {
                size_t n = 1;
                const char *full = NULL;
                for (size_t i = 0; i < ARRAY_SIZE(ours) && !full; i++)
                        if (strncmp(text, ours[i].name, strlen(ours[i].name)) == 0) {
                                full = ours[i].full;
                                n = strlen(ours[i].name);
                        }
                if (full)
                        (void) str_append(b, full);
                else if (*text != '(' && *text != ')')
                        (void) str_append_n(b, text, 1);
                text += n;
        }
}

/* "Default: X; in user mode Y." or "". */
static char *default_sentence(const Setting *t) {
        _cleanup_str_ Str b = {};

        if (!t->system)
                return strdup("");
        (void) str_append(&b, " Default: ");
        put_default(&b, t->system);
        if (t->user) {
                (void) str_append(&b, "; in user mode ");
                put_default(&b, t->user);
        }
        (void) str_append(&b, ".");
        return str_take(&b);
}

void settings_print_help(FILE *f) {
        for (size_t i = 0; i < N_SETTINGS; i++) {
                const Setting *t = settings_table + i;
                _cleanup_free_ char *tail = default_sentence(t), *text = tail ? str_new("%s%s", t->help, tail) : NULL;
                int n = fprintf(f, "  --%s%s%s", t->flag, t->value ? "=" : "", t->value ?: "");
                if (n >= HELP_INDENT)
                        fprintf(f, "\n%*s", HELP_INDENT, "");
                else
                        fprintf(f, "%*s", HELP_INDENT - n, "");
                print_wrapped(f, text ?: t->help, HELP_INDENT);
        }
}

static void print_troff(FILE *f, const char *s) {
        for (; *s; s++)
                if (*s == '-')
                        fputs("\\-", f);
                else if (*s == '\\')
                        fputs("\\e", f);
                else
                        fputc(*s, f);
}

/* The key as the file has it: "state-dir" is StateDir. */
static void print_key(FILE *f, const char *flag) {
        bool upper = true;
        for (; *flag; flag++) {
                if (*flag != '-')
                        fputc(upper ? toupper((unsigned char) *flag) : *flag, f);
                upper = *flag == '-';
        }
}

void settings_print_man(FILE *f, SettingsPage page) {
        for (size_t i = 0; i < N_SETTINGS; i++) {
                const Setting *t = settings_table + i;
                _cleanup_free_ char *tail = default_sentence(t);
                if (page == SETTINGS_KEYS && t->flag_only)
                        continue;
                fputs(".TP\n.B ", f);
                if (page == SETTINGS_KEYS) {
                        print_key(f, t->flag);
                        fputs("=", f);
                } else {
                        print_troff(f, "--");
                        print_troff(f, t->flag);
                        fputs(t->value ? "=" : "", f);
                }
                if (t->value) {
                        fputs("\\fI", f);
                        print_troff(f, t->value);
                        fputs("\\fP", f);
                } else if (page == SETTINGS_KEYS)
                        fputs("\\fIBOOL\\fP", f);
                fputc('\n', f);
                print_troff(f, t->help);
                print_troff(f, tail ?: "");
                fputc('\n', f);
        }
}
