/* definition.h: registered tasks: *.task files (SPEC 3), read by the daemon for its policies and by the launcher for what it runs.
 * One table of keys makes the reader, the canonical text, `jobbersctl cat` and the manual page. */
#pragma once

#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/macro.h"
#include "model/retry.h"
#include "model/settings.h"

typedef enum OnShutdown { ON_SHUTDOWN_STOP, ON_SHUTDOWN_RESUBMIT, ON_SHUTDOWN_CONTINUE, _ON_SHUTDOWN_MAX } OnShutdown;
typedef enum KillMode { KILL_CONTROL_GROUP, KILL_MIXED, _KILL_MODE_MAX } KillMode;
typedef enum ParameterType { PARAM_STRING, PARAM_INTEGER, PARAM_NUMBER, PARAM_BOOLEAN, PARAM_OBJECT, PARAM_ARRAY, _PARAM_TYPE_MAX } ParameterType;

const char *on_shutdown_to_string(OnShutdown v);
const char *kill_mode_to_string(KillMode v);
const char *parameter_type_to_string(ParameterType t);

typedef struct Parameter {
        char *name;
        ParameterType type;
        bool required;
} Parameter;

/* RetryOn= as sets; error types are what tasks name in {"error": {"type": …}}. */
typedef struct RetryOn {
        uint64_t statuses[4];           /* bit n: exit status n */
        uint64_t signals;               /* bit n: signal n */
        bool oom;
        char **error_types;
} RetryOn;

#define CPU_WEIGHT_IDLE UINT64_MAX      /* CPUWeight=idle */

/* Read-only once loaded; reference-counted, since running attempts keep theirs. */
typedef struct Definition {
        unsigned n_ref;
        uint64_t hash;                  /* of the canonical text */
        char *path;                     /* the file it came from, for messages */
        char *name;
        uint32_t version;
        char *description, *documentation;
        char **argv;                    /* [0] is absolute */
        unsigned max_retries;
        usec_t retry_delay;             /* USEC_INFINITY: none set, retry at once */
        BackoffStrategy backoff;
        usec_t max_retry_delay;
        RetryOn retry_on;
        usec_t timeout;                 /* USEC_INFINITY: none */
        bool dead_letter_save;
        usec_t max_heartbeat_interval;  /* USEC_INFINITY: none */
        unsigned max_concurrent;        /* 0: no limit */
        OnShutdown on_shutdown;
        int kill_signal;
        KillMode kill_mode;
        usec_t kill_grace;
        char *user, *group, *working_directory;         /* NULL: default user, its group, "/" */
        mode_t umask;                   /* 0022 */
        char **environment;             /* NAME=VALUE */
        char **environment_files;       /* absolute, a leading '-' tolerates absence */
        LauncherKind launcher;          /* LAUNCHER_AUTO: the daemon's */
        /* [Resources]; UINT64_MAX or 0 as said: not set */
        uint64_t memory_max, memory_high, tasks_max;    /* UINT64_MAX: not set */
        uint64_t cpu_quota;             /* hundredths of a percent of one CPU; 0: not set */
        uint64_t cpu_weight, io_weight; /* 0: not set; CPU_WEIGHT_IDLE */
        uint64_t limit_nofile_soft, limit_nofile_hard;  /* UINT64_MAX: not set */
        bool has_parameters;            /* [Parameters] is there */
        Parameter *parameters;
        size_t n_parameters;
} Definition;

Definition *definition_ref(Definition *d);
Definition *definition_unref(Definition *d);            /* returns NULL; NULL is fine */
void definition_unref_p(Definition **d);

/* The effective definition as *.task text, keys in table order, defaults left out: what is hashed, kept in the store, shown by
 * `cat`. Parsing it again gives the same definition. Caller frees; NULL without memory. */
char *definition_text(const Definition *d);
/* A definition from such a text (recovery: the policies an attempt started with). -EINVAL. */
int definition_from_text(const char *text, const char *libexec_dir, Definition **ret);

/* Checks given parameters against [Parameters]. 0, or -EINVAL with one sentence naming the parameter in *ret_sentence (caller frees). */
int definition_check_parameters(const Definition *d, const json_t *parameters, char **ret_sentence);

/* Prints the keys as troff for jobbers.task(5). */
void definition_print_man(FILE *f);

/* ── the set of all registered definitions ── */

typedef struct DefinitionSet DefinitionSet;

/* A problem found while reading: file, line (0: the whole file), one sentence. */
typedef void (*definition_problem_fn)(void *userdata, const char *path, unsigned line, const char *sentence);

DefinitionSet *definition_set_new(void);
void definition_set_free(DefinitionSet *set);
/* Reads all directories anew: same file name in an earlier directory overrides, NAME.task.d/<*.conf> drop-ins from all directories
 * apply in order of file name; a file of length 0 or a link to /dev/null masks. A file that is now bad keeps its last good
 * version in force and is reported; a file that is gone is forgotten. In system mode ownership is checked (SPEC 3, last
 * sentence; executables too). Returns the number of problems, or -ENOMEM. */
int definition_set_load(DefinitionSet *set, const Settings *settings, definition_problem_fn problem, void *userdata);
/* The definition (borrowed: ref to keep) or NULL. */
Definition *definition_set_get(const DefinitionSet *set, const char *name, uint32_t version);
Definition *definition_set_get_hash(const DefinitionSet *set, uint64_t hash);
/* True when a broken file might be the one that defines this name: its tasks then wait rather than being dropped. */
bool definition_set_may_define(const DefinitionSet *set, const char *name);
/* The file that defines the newest version of this name, or would if it had no errors. Borrowed, NULL without one. */
const char *definition_set_path(const DefinitionSet *set, const char *name);
/* Sorted by name, then version. */
size_t definition_set_size(const DefinitionSet *set);
Definition *definition_set_at(const DefinitionSet *set, size_t i);
/* Checks single files (`jobbersctl verify FILE…`). Returns the number of problems. */
int definition_verify_file(const char *path, const Settings *settings, definition_problem_fn problem, void *userdata);
