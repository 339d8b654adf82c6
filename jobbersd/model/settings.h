/* settings.h: what the daemon, the launcher and jobbers-run can be told (SPEC 10): one table for the file, the flags, --help, the
 * manual page and the checks. Flags win over jobbersd.conf.d (*.conf, by file name) over jobbersd.conf. */
#pragma once

#include <stdio.h>

#include "base/macro.h"

typedef enum LauncherKind {
        LAUNCHER_AUTO,
        LAUNCHER_SCOPE,
        LAUNCHER_SUBPROCESS,
        _LAUNCHER_MAX,
} LauncherKind;

typedef struct RoleSlots {
        char *name;
        unsigned slots;                 /* 0: the value of --slots */
} RoleSlots;

typedef struct Settings {
        bool user_mode;                 /* --user; default for anyone but root and the user "jobbers" */
        char *config;                   /* --config */
        char *state_dir;
        char **task_dirs;               /* in order of precedence; complete after settings_load */
        char *libexec_dir;
        char **listen;                  /* complete after settings_load */
        bool listen_is_default;
        char *token_file;
        bool no_auth;
        char **allow_hosts, **allow_origins;
        RoleSlots *roles;
        size_t n_roles;
        unsigned slots;
        LauncherKind launcher;
        char *default_user;
        usec_t shutdown_timeout;
        usec_t completed_task_age, dlq_age, log_age;    /* 0 keeps for ever */
        uint64_t max_body, max_parameters, max_result, max_log;
        unsigned max_connections;
        usec_t header_timeout, request_timeout;
        int log_level;

        /* derived by settings_load, not settable */
        char *run_dir;                  /* /run/jobbers; $XDG_RUNTIME_DIR/jobbers; else state_dir/run */
        char *attempt_dir;              /* run_dir/attempts, with "-HASH" of the state directory's path unless that is the default */
        char *record_dir;               /* run_dir/records, as above: what attempts leave behind, in memory */
        char *saved_dir;                /* state_dir/records: of that, what no daemon was there to take */
        char *log_dir;                  /* state_dir/logs */
        char *database;                 /* state_dir/jobbers.db */
        char *api_socket;               /* run_dir/jobbers.sock */
        char *launcher_socket;          /* run_dir/launcher.sock */
        char *instance;                 /* "jobbers", with "-HASH" as above: names cgroups */
} Settings;

/* Defaults, then files, then argv (only --flags of the table, "--flag=value" or "--flag value"; argv[0] is skipped).
 * `extra` is asked first about every argument: returns 1 when it took it, 0 when not its own, < 0 refuses.
 * On a bad value: -EINVAL and one sentence on stderr naming file and line or flag; so for every other failure, without a line. */
typedef int (*settings_extra_fn)(void *userdata, const char *arg);
int settings_load(Settings *s, int argc, char **argv, settings_extra_fn extra, void *userdata);
void settings_free(Settings *s);

/* The flags for --help at 80 columns; the same table as troff for the manual pages ("man"). */
void settings_print_help(FILE *f);
/* As jobbersd(8) has them, flags; or as jobbersd.conf(5) has them, keys. */
typedef enum SettingsPage { SETTINGS_FLAGS, SETTINGS_KEYS } SettingsPage;
void settings_print_man(FILE *f, SettingsPage page);

/* The identities (SPEC 1): uid/gid of "jobbers" in system mode, one's own in user mode. -ESRCH with the sentence that names the
 * command that creates them, on stderr. */
typedef struct Identity {
        uid_t uid;
        gid_t gid;
} Identity;
/* -errno when one of the users that are needed is not there; said on standard error, with the command that creates them. */
int settings_identity(const Settings *s, Identity *ret);
