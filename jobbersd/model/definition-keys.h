/* definition-keys.h: the table of a definition's keys and their types of value, and the reader that fills a Definition from files.
 * Private to the definition*.c files. */
#pragma once

#include "base/str.h"
#include "model/definition.h"

typedef struct DefinitionKey DefinitionKey;
typedef struct DefinitionReader DefinitionReader;

/* How values of a kind are read, written and released. */
typedef struct ValueType {
        /* Sets the field, or appends to it. `value` is never empty. -EINVAL with the reason, fit to follow "KEY=VALUE: " (caller frees);
         * -ENOMEM. */
        int (*parse)(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason);
        /* Appends "KEY=VALUE\n", or several such lines, or nothing for what is not set. Failure shows in b->failed. */
        void (*print)(Str *b, const DefinitionKey *k, const void *field);
        /* Empties the field; from then on it may be forgotten. */
        void (*clear)(const DefinitionKey *k, void *field);
        bool is_list;                   /* the first assignment replaces the default, further ones add, an empty one empties */
} ValueType;

struct DefinitionKey {
        const char *section, *name;
        const ValueType *type;
        size_t offset;                  /* in Definition */
        const char *fallback;           /* the default, as it would be written; NULL: not set */
        bool required;
        uint64_t min, max;              /* numbers and times (µs) */
        const char *const *words;       /* enumerations: NULL-terminated, by value */
        const char *help;
};

extern const ValueType type_name, type_version, type_text, type_command, type_count, type_limit_count, type_time, type_time_or_none,
        type_delay, type_word, type_save, type_retry_on, type_signal, type_directory, type_account, type_mode, type_environment,
        type_environment_file, type_memory, type_tasks, type_percent, type_weight, type_cpu_weight, type_nofile;

#define N_DEFINITION_KEYS 32
extern const DefinitionKey definition_keys[N_DEFINITION_KEYS];

/* Reads a file and its drop-ins into one definition. */
struct DefinitionReader {
        Definition *d;
        const char *libexec_dir;
        const char *path;               /* of the file being read */
        definition_problem_fn problem;  /* may be NULL */
        void *userdata;
        int problems;
        bool given[N_DEFINITION_KEYS];
        char *exec_path;                /* where ExecStart= was found */
        unsigned exec_line;
        bool in_ignored;                /* an [X-…] section */
        bool unread;                    /* a part could not be read at all: what is missing may be in it */
};

int definition_reader_begin(DefinitionReader *r, const char *path, const char *libexec_dir, definition_problem_fn problem, void *userdata);
void definition_reader_end(DefinitionReader *r);
/* Problems are counted and reported; < 0 only without memory. */
int definition_reader_read(DefinitionReader *r, const char *path, const char *text, size_t len);
/* Reports what is missing. The definition when there was no problem at all, else NULL; -ENOMEM. */
int definition_reader_finish(DefinitionReader *r, Definition **ret);
void definition_reader_problem(DefinitionReader *r, const char *path, unsigned line, const char *format, ...) _printf_(4, 5);
