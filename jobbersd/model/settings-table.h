/* settings-table.h: the one table of settings, shared by the parts of settings: values, loading, printing. Private to them. */
#pragma once

#include "model/settings.h"

typedef enum SettingType {
        SETTING_SYSTEM, SETTING_USER,   /* --system and --user, without value */
        SETTING_BOOL,
        SETTING_UNSIGNED,
        SETTING_SIZE,
        SETTING_SPAN,
        SETTING_AGE,                    /* a span, 0 for ever */
        SETTING_PATH,
        SETTING_PATHS,
        SETTING_LISTEN,
        SETTING_WORDS,
        SETTING_ORIGINS,
        SETTING_USER_NAME,
        SETTING_ROLES,
        SETTING_LAUNCHER,
        SETTING_LOG_LEVEL,
} SettingType;

typedef struct Setting {
        const char *flag;               /* "state-dir"; in the file also as "StateDir" */
        const char *value;              /* what the help calls its value; NULL takes none */
        SettingType type;
        size_t offset;                  /* in Settings */
        uint64_t min, max;              /* numbers, sizes (bytes), spans (µs) */
        /* Defaults in the syntax of the setting, words of lists parted by blanks. $XDG_CONFIG_HOME, $XDG_STATE_HOME, $STATE_DIR and
         * $RUN_DIR at the start of a path are replaced. A default in (parentheses) is worked out in code; NULL: none. `user` NULL:
         * the same as `system`. */
        const char *system, *user;
        bool flag_only;                 /* decides which file is read, so it cannot stand in it */
        const char *help;               /* one or more sentences */
} Setting;

#define N_SETTINGS 27
extern const Setting settings_table[N_SETTINGS];

const Setting *setting_find(const char *name, size_t len);      /* any spelling: "state-dir", "StateDir"; NULL unknown */
bool setting_is_list(const Setting *t);

/* Sets one value, or appends one to a list. -EINVAL and the reason, fit to follow "NAME=VALUE: ", in *ret_reason (caller frees);
 * -ENOMEM. */
int setting_set(Settings *s, const Setting *t, const char *value, char **ret_reason);
/* As if it had never been set. */
void setting_clear(Settings *s, const Setting *t);

/* An absolute path, in place: no double slashes, no "." components, no slash at the end; so that one directory has one spelling (and
 * one hash). */
void path_simplify(char *path);
