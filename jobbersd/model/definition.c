/* definition.c: the keys of a *.task file as one table, the reader that goes by it, and a definition's canonical text. What is in the
 * table is read, checked, hashed, shown and documented; nothing else is. */
#include "model/definition-keys.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include "model/hash.h"
#include "model/parameters.h"
#include "model/retry-on.h"
#include "model/unitfile.h"

#define CENTURY (UINT64_C(36525) * 86400 * USEC_PER_SEC)
#define FIELD(member) .offset = offsetof(Definition, member)

static const char *const on_shutdown_words[_ON_SHUTDOWN_MAX + 1] = { "stop", "resubmit", "continue" };
static const char *const kill_mode_words[_KILL_MODE_MAX + 1] = { "control-group", "mixed" };
static const char *const backoff_words[_BACKOFF_MAX + 1] = { "constant", "linear", "exponential", "exponential_jitter" };
static const char *const launcher_words[_LAUNCHER_MAX + 1] = { "auto", "scope", "subprocess" };
static const char *const save_words[] = { "none", "save", NULL };

const DefinitionKey definition_keys[N_DEFINITION_KEYS] = {
        { "Task", "Name", &type_name, FIELD(name), .required = true, .help = "What clients call the task: 1 to 64 characters of A-Z a-z 0-9 _ . -" },
        { "Task", "Version", &type_version, FIELD(version), .required = true,
          .help = "A whole number. Name and version together are unique; several versions live side by side." },
        { "Task", "Description", &type_text, FIELD(description), .help = "One line that tells people what the task does." },
        { "Task", "Documentation", &type_text, FIELD(documentation), .help = "Where to read more." },
        { "Task", "ExecStart", &type_command, FIELD(argv), .required = true,
          .help = "The executable and its arguments, split as systemd does, never by a shell. A path that is not absolute begins in "
                  "/usr/libexec/jobbers. Neither %-specifiers nor $VARIABLES are expanded: they reach the program as they stand." },
        { "Task", "MaxRetries", &type_count, FIELD(max_retries), "3", .max = 1000000,
          .help = "How often the task is tried again after an expected failure." },
        { "Task", "RetryDelaySec", &type_delay, FIELD(retry_delay), .max = CENTURY,
          .help = "The base of the delay before a retry. Not set: retry at once." },
        { "Task", "BackoffStrategy", &type_word, FIELD(backoff), "exponential", .words = backoff_words,
          .help = "How the delay b grows with the number n of the retry: constant b, linear b*n, exponential b*2^n, exponential_jitter a "
                  "random part of that." },
        { "Task", "MaxRetryDelaySec", &type_time, FIELD(max_retry_delay), "1h", .max = CENTURY, .help = "No delay is longer than this." },
        { "Task", "RetryOn", &type_retry_on, FIELD(retry_on), "TEMPFAIL",
          .help = "Which failures are expected and so worth another try: exit statuses by number or sysexits name, signals such as SIGKILL, "
                  "oom (the kernel took a process for lack of memory, and the task failed), and error types that the task names in its result. "
                  "A type that differs from one of these only by its case or a missing SIG (KILL, tempfail) is refused, as a likely mistake. "
                  "With an empty value only timeouts are retried." },
        { "Task", "TimeoutSec", &type_time_or_none, FIELD(timeout), .max = CENTURY,
          .help = "An attempt that runs longer is stopped, which is an expected failure. 0 or infinity: no limit." },
        { "Task", "DeadLetterPolicy", &type_save, FIELD(dead_letter_save), "none", .words = save_words,
          .help = "save keeps tasks that failed for good in the dead letter queue." },
        { "Task", "MaxHeartbeatIntervalSec", &type_time_or_none, FIELD(max_heartbeat_interval), .max = CENTURY,
          .help = "An attempt that sends no heartbeat for longer is stopped, and its task becomes stalled. 0 or infinity: no heartbeats are needed." },
        { "Task", "MaxConcurrent", &type_limit_count, FIELD(max_concurrent), "1", .max = 1000000,
          .help = "Attempts of this task at once, per daemon. 0 or infinity: no limit." },
        { "Task", "OnShutdown", &type_word, FIELD(on_shutdown), "stop", .words = on_shutdown_words,
          .help = "What happens to a running attempt when the daemon stops: stop ends it and stalls its task, resubmit ends it and queues its "
                  "task again at no cost, continue lets it run." },
        { "Task", "KillSignal", &type_signal, FIELD(kill_signal), "SIGTERM", .help = "The signal that asks an attempt to end." },
        { "Task", "KillMode", &type_word, FIELD(kill_mode), "control-group", .words = kill_mode_words,
          .help = "Which processes get KillSignal=: control-group, every process of the attempt; mixed, the main process alone, and when it has "
                  "ended the rest get SIGKILL." },
        { "Task", "KillGraceSec", &type_time, FIELD(kill_grace), "10s", .max = CENTURY,
          .help = "How long after KillSignal= the remaining processes get SIGKILL." },
        { "Task", "User", &type_account, FIELD(user), .help = "The user that the task runs as. Not set: --default-user= of the daemon." },
        { "Task", "Group", &type_account, FIELD(group), .help = "The group that the task runs as. Not set: that of the user." },
        { "Task", "WorkingDirectory", &type_directory, FIELD(working_directory), .help = "The directory in which the task starts. Not set: /." },
        { "Task", "UMask", &type_mode, FIELD(umask), "0022", .help = "The task's file mode creation mask, in octal." },
        { "Task", "Environment", &type_environment, FIELD(environment),
          .help = "NAME=VALUE, quoted if it contains blanks. A line can hold several, and there can be several lines." },
        { "Task", "EnvironmentFile", &type_environment_file, FIELD(environment_files),
          .help = "A file of lines NAME=VALUE, read at each start as systemd reads one: only a quote that begins the value quotes, and it must be "
                  "closed. With a - before its path it may be missing. Can be given several times." },
        { "Task", "Launcher", &type_word, FIELD(launcher), "auto", .words = launcher_words,
          .help = "scope or subprocess, whatever --launcher= says; auto leaves the choice to --launcher=. A task that asks for a scope fails "
                  "where there is no systemd." },
        { "Resources", "MemoryMax", &type_memory, FIELD(memory_max),
          .help = "The memory limit, such as 512M, 20% or infinity. A task that exceeds it is killed." },
        { "Resources", "MemoryHigh", &type_memory, FIELD(memory_high),
          .help = "With more memory than this the task is slowed down rather than killed." },
        { "Resources", "CPUQuota", &type_percent, FIELD(cpu_quota), .min = 100, .max = 1000000000,
          .help = "The limit on CPU time, in percent of one CPU, such as 150% or 12.5%." },
        { "Resources", "CPUWeight", &type_cpu_weight, FIELD(cpu_weight),
          .help = "The share of CPU time that the task gets when CPU time is short: 1 to 10000, usually 100; idle: only what nobody else wants." },
        { "Resources", "IOWeight", &type_weight, FIELD(io_weight),
          .help = "The share of disk I/O that the task gets when disks are busy: 1 to 10000, usually 100." },
        { "Resources", "TasksMax", &type_tasks, FIELD(tasks_max), .help = "The most processes and threads at once." },
        { "Resources", "LimitNOFILE", &type_nofile, FIELD(limit_nofile_soft), .help = "The most open files of one process: SOFT or SOFT:HARD." },
};

const char *on_shutdown_to_string(OnShutdown v) {
        return (unsigned) v < _ON_SHUTDOWN_MAX ? on_shutdown_words[v] : NULL;
}
const char *kill_mode_to_string(KillMode v) {
        return (unsigned) v < _KILL_MODE_MAX ? kill_mode_words[v] : NULL;
}

static void *key_field(const Definition *d, const DefinitionKey *k) {
        return (char *) d + k->offset;
}

/* ── a definition's life ── */

Definition *definition_ref(Definition *d) {
        d->n_ref++;
        return d;
}

Definition *definition_unref(Definition *d) {
        if (!d || --d->n_ref > 0)
                return NULL;
        for (size_t i = 0; i < N_DEFINITION_KEYS; i++)
                definition_keys[i].type->clear(definition_keys + i, key_field(d, definition_keys + i));
        parameters_clear(d);
        free(d->path);
        free(d);
        return NULL;
}

void definition_unref_p(Definition **d) {
        *d = definition_unref(*d);
}

/* Its default, or nothing. */
static int key_reset(const DefinitionReader *r, Definition *d, const DefinitionKey *k) {
        _cleanup_free_ char *reason = NULL;
        k->type->clear(k, key_field(d, k));
        return k->fallback ? k->type->parse(r, k, k->fallback, key_field(d, k), &reason) : 0;
}

/* All defaults. NULL without memory. */
static Definition *definition_new(const char *path) {
        _cleanup_(definition_unref_p) Definition *d = calloc(1, sizeof *d);
        if (!d)
                return NULL;
        d->n_ref = 1;
        d->path = strdup(path);
        for (size_t i = 0; i < N_DEFINITION_KEYS; i++)
                if (key_reset(NULL, d, definition_keys + i) < 0)
                        return NULL;
        return d->path ? TAKE_PTR(d) : NULL;
}

/* ── its text ── */

/* The lines of a section, each key only where it says something else than a fresh definition would. */
static void section_print(Str *b, const Definition *d, const Definition *fresh, const char *section, Str *line, Str *usual) {
        bool any = false;

        for (const DefinitionKey *k = definition_keys; k < definition_keys + N_DEFINITION_KEYS; k++) {
                if (!STREQ(k->section, section))
                        continue;
                str_reset(line);
                str_reset(usual);
                k->type->print(line, k, key_field(d, k));
                k->type->print(usual, k, key_field(fresh, k));
                /* A line that got lost would be another definition. */
                if (line->failed || usual->failed)
                        b->failed = true;
                if (line->len == 0 || (!k->required && line->len == usual->len && STREQ(line->s, usual->s)))
                        continue;
                if (!any)
                        str_printf(b, "[%s]\n", section);
                any = true;
                str_append(b, line->s);
        }
}

char *definition_text(const Definition *d) {
        _cleanup_(definition_unref_p) Definition *fresh = definition_new("");
        _cleanup_str_ Str b = {}, line = {}, usual = {};

        if (!fresh)
                return NULL;
        section_print(&b, d, fresh, "Task", &line, &usual);
        section_print(&b, d, fresh, "Resources", &line, &usual);
        if (d->has_parameters) {
                str_append(&b, "[Parameters]\n");
                parameters_print(&b, d);
        }
        return b.failed ? NULL : str_take(&b);
}

/* ── the reader ── */

int definition_reader_begin(DefinitionReader *r, const char *path, const char *libexec_dir, definition_problem_fn problem, void *userdata) {
        *r = (DefinitionReader) { .libexec_dir = libexec_dir, .problem = problem, .userdata = userdata };
        r->d = definition_new(path);
        return r->d ? 0 : -ENOMEM;
}

void definition_reader_end(DefinitionReader *r) {
        r->d = definition_unref(r->d);
        free(r->exec_path);
        r->exec_path = NULL;
}

void definition_reader_problem(DefinitionReader *r, const char *path, unsigned line, const char *format, ...) {
        char sentence[1024];
        va_list ap;

        r->problems++;
        if (!r->problem)
                return;
        va_start(ap, format);
        vsnprintf(sentence, sizeof sentence, format, ap);
        va_end(ap);
        r->problem(r->userdata, path, line, sentence);
}

static void reader_syntax_error(void *userdata, unsigned line, const char *sentence) {
        DefinitionReader *r = userdata;
        definition_reader_problem(r, r->path, line, "%s", sentence);
}

static void unknown_key(DefinitionReader *r, unsigned line, const char *section, const char *name) {
        for (size_t i = 0; i < N_DEFINITION_KEYS; i++)
                if (strcasecmp(definition_keys[i].name, name) == 0) {
                        definition_reader_problem(r, r->path, line, "unknown key %s= in [%s]; there is %s= in [%s]", name, section,
                                                  definition_keys[i].name, definition_keys[i].section);
                        return;
                }
        definition_reader_problem(r, r->path, line, "unknown key %s= in [%s]", name, section);
}

static int key_assign(DefinitionReader *r, const DefinitionKey *k, unsigned line, const char *value) {
        _cleanup_free_ char *reason = NULL;
        bool *given = r->given + (k - definition_keys);
        int n;

        if (*value == 0) {
                /* What a list is emptied to stays empty; anything else has its default again. */
                *given = k->type->is_list;
                if (!k->type->is_list)
                        return key_reset(r, r->d, k);
                k->type->clear(k, key_field(r->d, k));
                return 0;
        }
        if (k->type->is_list && !*given)
                k->type->clear(k, key_field(r->d, k));
        *given = true;
        n = k->type->parse(r, k, value, key_field(r->d, k), &reason);
        if (n == -EINVAL) {
                definition_reader_problem(r, r->path, line, "%s=%s: %s", k->name, value, reason);
                return 0;
        }
        if (n >= 0 && STREQ(k->name, "ExecStart")) {
                char *path = strdup(r->path);
                if (!path)
                        return -ENOMEM;
                free(r->exec_path);
                r->exec_path = path;
                r->exec_line = line;
        }
        return n;
}

static int parameter_assign(DefinitionReader *r, unsigned line, const char *name, const char *value) {
        _cleanup_free_ char *reason = NULL;
        int n = parameter_declare(r->d, name, value, &reason);
        if (n == -EINVAL)
                definition_reader_problem(r, r->path, line, "%s=%s: %s", name, value, reason);
        return n == -EINVAL ? 0 : n;
}

static void section_begin(DefinitionReader *r, unsigned line, const char *section) {
        /* Sections and keys of others, as systemd has it. */
        r->in_ignored = strncmp(section, "X-", 2) == 0;
        if (STREQ(section, "Parameters"))
                r->d->has_parameters = true;
        else if (!r->in_ignored && !STREQ(section, "Task") && !STREQ(section, "Resources")) {
                definition_reader_problem(r, r->path, line, "unknown section [%s]; there are [Task], [Resources] and [Parameters]", section);
                r->in_ignored = true;
        }
}

static int reader_assign(void *userdata, unsigned line, const char *section, const char *key, const char *value) {
        DefinitionReader *r = userdata;

        if (!key) {
                section_begin(r, line, section);
                return 0;
        }
        if (*section == 0) {
                definition_reader_problem(r, r->path, line, "%s= is before the first [Section]", key);
                return 0;
        }
        if (r->in_ignored)
                return 0;
        if (STREQ(section, "Parameters"))
                return parameter_assign(r, line, key, value);
        for (const DefinitionKey *k = definition_keys; k < definition_keys + N_DEFINITION_KEYS; k++)
                if (STREQ(k->section, section) && STREQ(k->name, key))
                        return key_assign(r, k, line, value);
        if (strncmp(key, "X-", 2) != 0)
                unknown_key(r, line, section, key);
        return 0;
}

int definition_reader_read(DefinitionReader *r, const char *path, const char *text, size_t len) {
        r->path = path;
        r->in_ignored = false;
        int n = unitfile_parse(text, len, reader_assign, reader_syntax_error, r);
        r->path = NULL;
        return n < 0 ? n : 0;
}

/* Read from the store it must fit the limits of a file again. */
static bool text_fits(const char *text) {
        if (strlen(text) > UNITFILE_SIZE_MAX)
                return false;
        for (const char *end; (end = strchr(text, '\n')); text = end + 1)
                if (end - text > UNITFILE_LINE_MAX)
                        return false;
        return true;
}

int definition_reader_finish(DefinitionReader *r, Definition **ret) {
        for (size_t i = 0; i < N_DEFINITION_KEYS; i++)
                if (definition_keys[i].required && !r->given[i] && !r->unread)
                        definition_reader_problem(r, r->d->path, 0, "%s= is missing in [%s]", definition_keys[i].name, definition_keys[i].section);
        *ret = NULL;
        if (r->problems > 0)
                return 0;

        _cleanup_free_ char *text = definition_text(r->d);
        if (!text)
                return -ENOMEM;
        if (!text_fits(text)) {
                definition_reader_problem(r, r->d->path, 0, "the definition is too large");
                return 0;
        }
        r->d->hash = hash_text(text);
        *ret = definition_ref(r->d);
        return 0;
}

int definition_from_text(const char *text, const char *libexec_dir, Definition **ret) {
        _cleanup_(definition_reader_end) DefinitionReader r = {};
        Definition *d = NULL;

        int n = definition_reader_begin(&r, "", libexec_dir, NULL, NULL);
        if (n >= 0)
                n = definition_reader_read(&r, "", text, strlen(text));
        if (n >= 0)
                n = definition_reader_finish(&r, &d);
        if (n < 0)
                return n;
        if (!d)
                return -EINVAL;
        *ret = d;
        return 0;
}

/* ── the manual page ── */

static void print_troff(FILE *f, const char *s) {
        for (; *s; s++)
                if (*s == '-')
                        fputs("\\-", f);
                else if (*s == '\\')
                        fputs("\\e", f);
                else if (*s == '^')
                        fputs("\\(ha", f);
                else
                        fputc(*s, f);
}

void definition_print_man(FILE *f) {
        const char *section = "";

        for (const DefinitionKey *k = definition_keys; k < definition_keys + N_DEFINITION_KEYS; k++) {
                if (!STREQ(k->section, section))
                        fprintf(f, ".SH [%s]\n", k->section);
                section = k->section;
                fprintf(f, ".TP\n.B %s=\n", k->name);
                print_troff(f, k->help);
                if (k->fallback) {
                        fputs("\nDefault: ", f);
                        print_troff(f, k->fallback);
                        fputc('.', f);
                } else if (k->required)
                        fputs("\nRequired.", f);
                fputc('\n', f);
        }
        fputs(".SH [Parameters]\nEach line is\n.IB NAME \" = \" TYPE\nor\n.IB NAME \" = \" TYPE \", required\" ,\nwith the types "
              "string, integer, number, boolean, object and array.\nParameters given at submission are checked against it, and others are "
              "refused.\nWithout the section any object is accepted.\n", f);
}
