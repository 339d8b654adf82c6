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
 * goes on with the next one; blanks at the end are cut unless quoted. A quote opens only where the value begins, or after the end of another:
 * anywhere else it is a character like any other. -EINVAL with *at where the quote opens that is never closed. */
static int value_read(const char **at, Str *value) {
        const char *s = *at, *open = s;
        bool begins = true;
        char quote = 0;
        size_t keep = 0;        /* what must not be cut */
        for (; *s && (quote || *s != '\n'); s++) {
                if (quote && *s == quote) {
                        quote = 0;
                        begins = true;
                        continue;
                }
                if (begins && !quote && (*s == '"' || *s == '\'')) {
                        quote = *s;
                        open = s;
                        continue;
                }
                if (begins && !quote && isspace((unsigned char) *s))
                        continue;
                begins = false;
                if (*s == '\\' && s[1] && quote != '\'') {
                        s++;
                        /* Inside double quotes a backslash is itself before anything but these. */
                        if (quote && !strchr("\"\\$`\n", *s))
                                (void) str_append_n(value, "\\", 1);
                        if (*s != '\n')
                                (void) str_append_n(value, s, 1);
                        keep = value->len;
                } else {
                        (void) str_append_n(value, s, 1);
                        if (quote || !isspace((unsigned char) *s))
                                keep = value->len;
                }
        }
        *at = quote ? open : s;
        if (value->failed)
                return -ENOMEM;
        if (value->s) {
                value->len = keep;
                value->s[keep] = '\0';
        }
        return quote ? -EINVAL : 0;
}

static unsigned line_of(const char *text, const char *at) {
        unsigned line = 1;
        for (; text < at; text++)
                line += *text == '\n';
        return line;
}

int environment_parse(const char *text, char ***env, unsigned *ret_line) {
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
                _cleanup_str_ Str line = {};
                (void) str_append_n(&line, name, n);
                (void) str_append_n(&line, "=", 1);
                _cleanup_str_ Str value = {};
                int r = value_read(&s, &value);
                if (r < 0) {
                        *ret_line = line_of(text, s);
                        return r;
                }
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
