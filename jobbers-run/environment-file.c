/* environment-file.c: the text of an EnvironmentFile=, as systemd reads one. Pure, and fuzzed: the file is the administrator's, but a program may
 * have written it. */
#include "jobbers-run/environment.h"

#include <ctype.h>

#include "base/str.h"

int environment_put(char ***env, const char *assignment) {
        size_t n = (size_t) (strchrnul(assignment, '=') - assignment);
        for (char **e = *env; e && *e; e++)
                if (strncmp(*e, assignment, n) == 0 && (*e)[n] == '=') {
                        char *copy = strdup(assignment);
                        if (!copy)
                                return -ENOMEM;
                        free(*e);
                        *e = copy;
                        return 0;
                }
        return strv_push(env, assignment);
}

static bool name_is_valid(const char *s, size_t n) {
        if (n == 0 || isdigit((unsigned char) s[0]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) s[i]) && s[i] != '_')
                        return false;
        return true;
}

/* One value from *at on, up to an unquoted end of line: "double" and 'single' quotes, backslashes; a backslash before the end of line
 * goes on with the next one; blanks at the end are cut unless quoted. */
static int value_read(const char **at, Str *value) {
        const char *s = *at;
        char quote = 0;
        size_t keep = 0;        /* what must not be cut */
        while (*s && (quote || *s != '\n')) {
                if (quote == '\'') {
                        if (*s == quote)
                                quote = 0;
                        else
                                (void) str_append_n(value, s, 1);
                        keep = value->len;
                } else if (*s == '\\' && s[1]) {
                        s++;
                        /* Inside double quotes a backslash is itself before anything but these. */
                        if (quote && !strchr("\"\\$`\n", *s))
                                (void) str_append_n(value, "\\", 1);
                        if (*s != '\n')
                                (void) str_append_n(value, s, 1);
                        keep = value->len;
                } else if (*s == '"' || (*s == '\'' && !quote)) {
                        quote = quote ? 0 : *s;
                        keep = value->len;
                } else {
                        (void) str_append_n(value, s, 1);
                        if (quote || !isspace((unsigned char) *s))
                                keep = value->len;
                }
                s++;
        }
        *at = s;
        if (value->failed)
                return -ENOMEM;
        if (value->s) {
                value->len = keep;
                value->s[keep] = '\0';
        }
        return 0;
}

int environment_parse(const char *text, char ***env) {
        for (const char *s = text; *s;) {
                while (*s && isspace((unsigned char) *s))
                        s++;
                if (!*s)
                        break;
                const char *name = s;
                size_t n = strcspn(s, "=\n");
                if (*s == '#' || *s == ';' || s[n] != '=') {
                        s += strcspn(s, "\n");
                        continue;
                }
                s += n + 1;
                while (n > 0 && isspace((unsigned char) name[n - 1]))
                        n--;
                while (*s == ' ' || *s == '\t')
                        s++;
                _cleanup_str_ Str line = {};
                (void) str_append_n(&line, name, n);
                (void) str_append_n(&line, "=", 1);
                _cleanup_str_ Str value = {};
                int r = value_read(&s, &value);
                if (r < 0)
                        return r;
                if (!name_is_valid(name, n))
                        continue;
                r = str_append(&line, value.s ?: "");
                if (r >= 0)
                        r = line.failed ? -ENOMEM : environment_put(env, line.s);
                if (r < 0)
                        return r;
        }
        return 0;
}
