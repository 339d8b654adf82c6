/* definition-values.c: the kinds of value that keys of a definition have: each is read, written so that reading it again gives the same,
 * and released. What a field holds when nothing is set is definition.h's word. */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/definition-keys.h"
#include "model/retry-on.h"

static int refuse(char **ret_reason, char *reason) {
        *ret_reason = reason;
        return reason ? -EINVAL : -ENOMEM;
}

#define PARSE(name) static int name##_parse(const DefinitionReader *r, const DefinitionKey *k, const char *value, void *field, char **ret_reason)
#define PRINT(name) static void name##_print(Str *b, const DefinitionKey *k, const void *field)
#define CLEAR(name) static void name##_clear(const DefinitionKey *k, void *field)
#define TYPE(name) const ValueType type_##name = { name##_parse, name##_print, name##_clear }

/* ── texts ── */

static int text_put(void *field, const char *value) {
        char *copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*(char **) field);
        *(char **) field = copy;
        return 0;
}

PARSE(text) {
        return text_put(field, value);
}
PRINT(text) {
        if (*(char *const *) field)
                str_printf(b, "%s=%s\n", k->name, *(char *const *) field);
}
CLEAR(text) {
        free(*(char **) field);
        *(char **) field = NULL;
}
TYPE(text);

PARSE(name) {
        if (!name_valid(value))
                return refuse(ret_reason, strdup("a name is 1 to 64 characters of A-Z a-z 0-9 _ . -"));
        return text_put(field, value);
}
const ValueType type_name = { name_parse, text_print, text_clear };

static bool has_dot_dot(const char *path) {
        for (const char *p = path; (p = strstr(p, "..")); p += 2)
                if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == 0))
                        return true;
        return false;
}

PARSE(directory) {
        if (*value != '/' || has_dot_dot(value))
                return refuse(ret_reason, strdup("it must be an absolute path without \"..\""));
        return text_put(field, value);
}
const ValueType type_directory = { directory_parse, text_print, text_clear };

/* A name or a number; whether there is such a user or group is asked when a task starts. */
PARSE(account) {
        size_t n = strlen(value);
        bool ok = n <= 64 && *value != '-' && *value != '.';
        for (size_t i = 0; i < n; i++)
                ok = ok && (isalnum((unsigned char) value[i]) || strchr("_.-", value[i]) || (value[i] == '$' && i == n - 1));
        if (!ok)
                return refuse(ret_reason, strdup("it must be a name or a number"));
        return text_put(field, value);
}
const ValueType type_account = { account_parse, text_print, text_clear };

/* ── commands and environments ── */

/* In double quotes where split_command() would not leave it as it is. */
static void print_quoted(Str *b, const char *s, bool always) {
        static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-";

        if (!always && *s && s[strspn(s, safe)] == 0) {
                str_append(b, s);
                return;
        }
        str_append(b, "\"");
        for (; *s; s++) {
                unsigned char c = (unsigned char) *s;
                if (c == '"' || c == '\\')
                        str_printf(b, "\\%c", c);
                else if (c == '\n')
                        str_append(b, "\\n");
                else if (c < 0x20 || c >= 0x7f)
                        str_printf(b, "\\x%02x", c);
                else
                        str_append_n(b, s, 1);
        }
        str_append(b, "\"");
}

static int words_split(const char *value, char ***ret, char **ret_reason) {
        int r = split_command(value, ret);
        if (r == -EINVAL)
                return refuse(ret_reason, strdup("unclosed quote, or a backslash before a character that cannot be escaped"));
        return r;
}

PARSE(command) {
        _cleanup_strv_ char **words = NULL;
        int n = words_split(value, &words, ret_reason);
        if (n < 0)
                return n;
        if (!words || !words[0] || !*words[0])
                return refuse(ret_reason, strdup("it names no executable"));
        if (strchr("-@:+!|", *words[0]))
                return refuse(ret_reason, str_new("the prefix %c, known from systemd units, is not supported here", *words[0]));
        size_t len = strlen(words[0]);
        if (has_dot_dot(words[0]) || words[0][len - 1] == '/')
                return refuse(ret_reason, strdup("the executable must be a path to a file, without \"..\""));
        if (*words[0] != '/') {
                char *path = str_new("%s/%s", r->libexec_dir, words[0]);
                if (!path)
                        return -ENOMEM;
                free(words[0]);
                words[0] = path;
        }
        strv_free(*(char ***) field);
        *(char ***) field = TAKE_PTR(words);
        return 0;
}
PRINT(command) {
        char *const *argv = *(char **const *) field;
        if (!argv)
                return;
        str_printf(b, "%s=", k->name);
        for (size_t i = 0; argv[i]; i++) {
                if (i > 0)
                        str_append(b, " ");
                print_quoted(b, argv[i], false);
        }
        str_append(b, "\n");
}
CLEAR(strings) {
        strv_free(*(char ***) field);
        *(char ***) field = NULL;
}
const ValueType type_command = { command_parse, command_print, strings_clear };

/* What the supervisor sets; a definition that did would break the task's link to it. */
static bool variable_is_ours(const char *s, size_t n) {
        static const char *const ours[] = { "JOBBERS_TASK_ID", "JOBBERS_TASK_NAME", "JOBBERS_TASK_VERSION", "JOBBERS_QUEUE", "JOBBERS_ATTEMPT",
                                            "JOBBERS_RETRY_ATTEMPT", "JOBBERS_PARAMETERS", "JOBBERS_RESULT", "NOTIFY_SOCKET", "WATCHDOG_USEC" };
        for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
                if (strlen(ours[i]) == n && memcmp(ours[i], s, n) == 0)
                        return true;
        return false;
}

static int variable_put(char ***list, const char *assignment, char **ret_reason) {
        const char *eq = strchr(assignment, '=');
        size_t n = eq ? (size_t) (eq - assignment) : 0;

        for (size_t i = 0; i < n; i++)
                if (!isalpha((unsigned char) assignment[i]) && assignment[i] != '_' && (i == 0 || !isdigit((unsigned char) assignment[i])))
                        n = 0;
        if (n == 0)
                return refuse(ret_reason, str_new("\"%s\" is not NAME=VALUE", assignment));
        if (variable_is_ours(assignment, n))
                return refuse(ret_reason, str_new("%.*s is set by jobbers", (int) n, assignment));
        /* The last one wins, in the first one's place. */
        for (size_t i = 0; i < strv_len(*list); i++)
                if (strncmp((*list)[i], assignment, n + 1) == 0)
                        return text_put(*list + i, assignment);
        return strv_push(list, assignment);
}

PARSE(environment) {
        _cleanup_strv_ char **words = NULL;
        int n = words_split(value, &words, ret_reason);
        for (size_t i = 0; n >= 0 && words && words[i]; i++)
                n = variable_put(field, words[i], ret_reason);
        return n < 0 ? n : 0;
}
PRINT(environment) {
        char *const *list = *(char **const *) field;
        for (size_t i = 0; list && list[i]; i++) {
                str_printf(b, "%s=", k->name);
                print_quoted(b, list[i], true);
                str_append(b, "\n");
        }
}
const ValueType type_environment = { environment_parse, environment_print, strings_clear, .is_list = true };

PARSE(environment_file) {
        const char *path = *value == '-' ? value + 1 : value;
        if (*path != '/' || has_dot_dot(path))
                return refuse(ret_reason, strdup("it must be an absolute path without \"..\", with a - before it if the file may be missing"));
        return strv_push(field, value);
}
PRINT(environment_file) {
        char *const *list = *(char **const *) field;
        for (size_t i = 0; list && list[i]; i++)
                str_printf(b, "%s=%s\n", k->name, list[i]);
}
const ValueType type_environment_file = { environment_file_parse, environment_file_print, strings_clear, .is_list = true };

/* ── numbers ── */

PARSE(version) {
        uint64_t n;
        if (parse_u64(value, &n) < 0 || n > INT32_MAX)
                return refuse(ret_reason, strdup("it must be a whole number from 0 to 2147483647"));
        *(uint32_t *) field = (uint32_t) n;
        return 0;
}
PRINT(version) {
        str_printf(b, "%s=%u\n", k->name, *(const uint32_t *) field);
}
CLEAR(version) {
        *(uint32_t *) field = 0;
}
TYPE(version);

static int count_put(const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        uint64_t n;
        if (parse_u64(value, &n) < 0 || n < k->min || n > k->max)
                return refuse(ret_reason, str_new("it must be a whole number from %llu to %llu", (unsigned long long) k->min, (unsigned long long) k->max));
        *(unsigned *) field = (unsigned) n;
        return 0;
}

PARSE(count) {
        return count_put(k, value, field, ret_reason);
}
PRINT(count) {
        str_printf(b, "%s=%u\n", k->name, *(const unsigned *) field);
}
CLEAR(count) {
        *(unsigned *) field = 0;
}
TYPE(count);

/* 0 is no limit. */
PARSE(limit_count) {
        return count_put(k, STREQ(value, "infinity") ? "0" : value, field, ret_reason);
}
PRINT(limit_count) {
        unsigned n = *(const unsigned *) field;
        if (n == 0)
                str_printf(b, "%s=infinity\n", k->name);
        else
                str_printf(b, "%s=%u\n", k->name, n);
}
const ValueType type_limit_count = { limit_count_parse, limit_count_print, count_clear };

/* ── times ── */

/* Exact, in the largest unit that is. */
static void print_span(Str *b, const DefinitionKey *k, usec_t span) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = { { "h", 3600 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC }, { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC }, { "us", 1 } };
        size_t i = 0;
        while (span % units[i].usec != 0)
                i++;
        if (span == 0)
                str_printf(b, "%s=0\n", k->name);
        else
                str_printf(b, "%s=%llu%s\n", k->name, (unsigned long long) (span / units[i].usec), units[i].name);
}

static int span_put(const DefinitionKey *k, const char *value, void *field, char **ret_reason) {
        usec_t span;
        if (parse_span(value, &span) < 0)
                return refuse(ret_reason, strdup("it must be a time such as 90, 30s or \"5min 20s\""));
        if (span > k->max)
                return refuse(ret_reason, strdup(span == USEC_INFINITY ? "this time cannot be infinite" : "this time is too long"));
        *(usec_t *) field = span;
        return 0;
}

PARSE(time) {
        return span_put(k, value, field, ret_reason);
}
PRINT(time) {
        if (*(const usec_t *) field != USEC_INFINITY)
                print_span(b, k, *(const usec_t *) field);
}
CLEAR(time) {
        *(usec_t *) field = USEC_INFINITY;
}
TYPE(time);

/* 0 and infinity both mean: there is none. */
PARSE(time_or_none) {
        usec_t span = USEC_INFINITY;
        int n = STREQ(value, "infinity") ? 0 : span_put(k, value, &span, ret_reason);
        if (n == 0)
                *(usec_t *) field = span > 0 ? span : USEC_INFINITY;
        return n;
}
const ValueType type_time_or_none = { time_or_none_parse, time_print, time_clear };

/* "none" is not 0: 0 waits through the schedule, none does not. */
PARSE(delay) {
        if (STREQ(value, "none")) {
                *(usec_t *) field = USEC_INFINITY;
                return 0;
        }
        return span_put(k, value, field, ret_reason);
}
const ValueType type_delay = { delay_parse, time_print, time_clear };

/* ── words ── */

static int word_find(const DefinitionKey *k, const char *value, char **ret_reason) {
        _cleanup_str_ Str b = {};
        for (int i = 0; k->words[i]; i++) {
                if (STREQ(k->words[i], value))
                        return i;
                str_printf(&b, "%s%s", i == 0 ? "it must be " : k->words[i + 1] ? ", " : " or ", k->words[i]);
        }
        return refuse(ret_reason, str_take(&b));
}

/* The enumerations of definition.h; all are as wide as an unsigned. */
PARSE(word) {
        int i = word_find(k, value, ret_reason);
        if (i < 0)
                return i;
        *(unsigned *) field = (unsigned) i;
        return 0;
}
PRINT(word) {
        str_printf(b, "%s=%s\n", k->name, k->words[*(const unsigned *) field]);
}
const ValueType type_word = { word_parse, word_print, count_clear };
_Static_assert(sizeof(OnShutdown) == sizeof(unsigned) && sizeof(KillMode) == sizeof(unsigned) && sizeof(BackoffStrategy) == sizeof(unsigned) &&
               sizeof(LauncherKind) == sizeof(unsigned), "type_word writes them as unsigned");

PARSE(save) {
        int i = word_find(k, value, ret_reason);
        if (i < 0)
                return i;
        *(bool *) field = i == 1;
        return 0;
}
PRINT(save) {
        str_printf(b, "%s=%s\n", k->name, k->words[*(const bool *) field]);
}
CLEAR(save) {
        *(bool *) field = false;
}
TYPE(save);

PARSE(retry_on) {
        _cleanup_strv_ char **words = NULL;
        int n = words_split(value, &words, ret_reason);
        for (size_t i = 0; n >= 0 && words && words[i]; i++)
                n = retry_on_add(field, words[i], ret_reason);
        return n < 0 ? n : 0;
}
PRINT(retry_on_line) {
        str_printf(b, "%s=", k->name);
        retry_on_print(b, field);
        str_append(b, "\n");
}
CLEAR(retry_on_line) {
        retry_on_clear(field);
}
const ValueType type_retry_on = { retry_on_parse, retry_on_line_print, retry_on_line_clear, .is_list = true };

PARSE(signal) {
        int signal = parse_signal(value);
        if (signal <= 0 || signal > 64)
                return refuse(ret_reason, strdup("it must be a signal such as SIGTERM"));
        *(int *) field = signal;
        return 0;
}
PRINT(signal) {
        int signal = *(const int *) field;
        const char *name = signal_name(signal);
        if (STREQ(name, "SIG?"))
                str_printf(b, "%s=%d\n", k->name, signal);
        else
                str_printf(b, "%s=%s\n", k->name, name);
}
CLEAR(signal) {
        *(int *) field = 0;
}
TYPE(signal);

PARSE(mode) {
        mode_t mode;
        if (parse_mode(value, &mode) < 0 || mode > 0777)
                return refuse(ret_reason, strdup("it must be an octal mode such as 0022"));
        *(mode_t *) field = mode;
        return 0;
}
PRINT(mode) {
        str_printf(b, "%s=%04o\n", k->name, (unsigned) *(const mode_t *) field);
}
CLEAR(mode) {
        *(mode_t *) field = 0;
}
TYPE(mode);
