/* settings-value.c: one value of one setting: checked, then put where the table says. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "model/settings-table.h"

static int refuse(char **ret_reason, char *reason) {
        *ret_reason = reason;
        return reason ? -EINVAL : -ENOMEM;
}

static void *field(Settings *s, const Setting *t) {
        return (char *) s + t->offset;
}

static int text_set(char **p, const char *value) {
        char *copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(*p);
        *p = copy;
        return 0;
}

void path_simplify(char *path) {
        char *out = path;
        for (const char *in = path; *in;) {
                while (*in == '/')
                        in++;
                size_t n = strcspn(in, "/");
                if (n > 0 && !(n == 1 && *in == '.')) {
                        *out++ = '/';
                        memmove(out, in, n);
                        out += n;
                }
                in += n;
        }
        if (out == path)
                *out++ = '/';
        *out = 0;
}

static int path_check(const char *value, char **ret_path, char **ret_reason) {
        if (value[0] != '/')
                return refuse(ret_reason, strdup("the path must begin with a slash"));
        char *copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        path_simplify(copy);
        *ret_path = copy;
        return 0;
}

static bool port_valid(const char *s) {
        uint64_t port;
        return parse_u64(s, &port) == 0 && port <= 65535;
}

static bool host_valid(const char *s, size_t n) {
        if (n == 0 || n > 253)
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) s[i]) && !strchr(".-_", s[i]))
                        return false;
        return true;
}

static bool listen_valid(const char *s) {
        struct in6_addr address;

        if (strncmp(s, "unix:", 5) == 0)
                return s[5] == '/' && s[6] != 0;
        if (s[0] == '[') {
                const char *end = strchr(s, ']');
                char text[INET6_ADDRSTRLEN + 1];
                if (!end || end[1] != ':' || (size_t) (end - s) > sizeof text)
                        return false;
                snprintf(text, sizeof text, "%.*s", (int) (end - s - 1), s + 1);
                return inet_pton(AF_INET6, text, &address) == 1 && port_valid(end + 2);
        }
        const char *colon = strchr(s, ':');
        return colon && host_valid(s, (size_t) (colon - s)) && port_valid(colon + 1);
}

/* As a browser sends it: scheme, host, and a port that is not the usual one. Anything else would never match, and nobody would know why. */
static bool origin_valid(const char *s) {
        size_t scheme = strcspn(s, ":");

        if (STREQ(s, "null"))
                return true;
        if (!host_valid(s, scheme) || strncmp(s + scheme, "://", 3) != 0)
                return false;
        const char *host = s + scheme + 3, *end = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":");
        if (!end || (*host != '[' && !host_valid(host, (size_t) (end - host))))
                return false;
        end += *host == '[';
        if (strncasecmp(s, "http:", 5) == 0 ? STREQ(end, ":80") : strncasecmp(s, "https:", 6) == 0 && STREQ(end, ":443"))
                return false;
        return !*end || (*end == ':' && port_valid(end + 1));
}

static int role_add(Settings *s, const Setting *t, const char *value, char **ret_reason) {
        const char *colon = strchr(value, ':');
        uint64_t slots = 0;

        if (colon && (parse_u64(colon + 1, &slots) < 0 || slots < t->min || slots > t->max))
                return refuse(ret_reason, str_new("the number of slots must be %llu to %llu", (unsigned long long) t->min, (unsigned long long) t->max));
        _cleanup_free_ char *name = strndup(value, colon ? (size_t) (colon - value) : strlen(value));
        if (!name)
                return -ENOMEM;
        if (!name_valid(name))
                return refuse(ret_reason, strdup("the name of a role is 1 to 64 characters of A-Z a-z 0-9 _ . -"));
        for (size_t i = 0; i < s->n_roles; i++)
                if (STREQ(s->roles[i].name, name))
                        return refuse(ret_reason, str_new("role \"%s\" is given twice", name));

        RoleSlots *roles = reallocarray(s->roles, s->n_roles + 1, sizeof *roles);
        if (!roles)
                return -ENOMEM;
        s->roles = roles;
        roles[s->n_roles++] = (RoleSlots) { .name = TAKE_PTR(name), .slots = (unsigned) slots };
        return 0;
}

static int number_set(Settings *s, const Setting *t, const char *value, char **ret_reason) {
        char low[CLOCK_STR_MAX], high[CLOCK_STR_MAX];
        unsigned long long min = t->min, max = t->max;
        uint64_t n;
        int r;

        switch (t->type) {
        case SETTING_UNSIGNED:
                r = parse_u64(value, &n);
                if (r < 0 || n < t->min || n > t->max)
                        return refuse(ret_reason, str_new("it must be a whole number from %llu to %llu", min, max));
                *(unsigned *) field(s, t) = (unsigned) n;
                return 0;
        case SETTING_SIZE:
                r = parse_size(value, &n);
                if (r < 0 || n < t->min || n > t->max)
                        return refuse(ret_reason, str_new("it must be a size in bytes, optionally with K, M or G after it, from %llu to %llu", min, max));
                *(uint64_t *) field(s, t) = n;
                return 0;
        default:
                r = parse_span(value, &n);
                if (r == 0 && n == USEC_INFINITY)
                        n = t->type == SETTING_AGE ? 0 : t->max;
                if (r < 0 || n < t->min || n > t->max)
                        return refuse(ret_reason, str_new("it must be a time such as 90, 30s or 5min, from %s to %s",
                                                          clock_format_span(t->min, low), clock_format_span(t->max, high)));
                *(usec_t *) field(s, t) = n;
                return 0;
        }
}

static int launcher_set(Settings *s, const char *value, char **ret_reason) {
        static const char *const names[_LAUNCHER_MAX] = { "auto", "scope", "subprocess" };
        for (LauncherKind k = 0; k < _LAUNCHER_MAX; k++)
                if (STREQ(names[k], value)) {
                        s->launcher = k;
                        return 0;
                }
        return refuse(ret_reason, strdup("it must be auto, scope or subprocess"));
}

static int bool_set(bool *p, const char *value, char **ret_reason) {
        if (parse_bool(value, p) < 0)
                return refuse(ret_reason, strdup("it must be yes or no"));
        return 0;
}

int setting_set(Settings *s, const Setting *t, const char *value, char **ret_reason) {
        _cleanup_free_ char *path = NULL;
        bool yes;
        int r;

        switch (t->type) {
        case SETTING_SYSTEM:
        case SETTING_USER:
                r = bool_set(&yes, value, ret_reason);
                if (r == 0)
                        s->user_mode = yes == (t->type == SETTING_USER);
                return r;
        case SETTING_BOOL:
                return bool_set(field(s, t), value, ret_reason);
        case SETTING_PATH:
                r = path_check(value, &path, ret_reason);
                if (r == 0) {
                        free(*(char **) field(s, t));
                        *(char **) field(s, t) = TAKE_PTR(path);
                }
                return r;
        case SETTING_PATHS:
                r = path_check(value, &path, ret_reason);
                return r < 0 ? r : strv_push(field(s, t), path);
        case SETTING_LISTEN:
                if (!listen_valid(value))
                        return refuse(ret_reason, strdup("it must be HOST:PORT, [IPV6]:PORT or unix:/PATH"));
                return strv_push(field(s, t), value);
        case SETTING_WORDS:
                return strv_push(field(s, t), value);
        case SETTING_ORIGINS:
                if (!origin_valid(value))
                        return refuse(ret_reason, strdup("it must be an origin as browsers send it, such as https://ui.example or "
                                                         "http://localhost:3000: without a path, or the port that is usual anyway"));
                return strv_push(field(s, t), value);
        case SETTING_USER_NAME:
                if (value[0] == '-' || value[strcspn(value, " \t:/\n")] != 0)
                        return refuse(ret_reason, strdup("this cannot be the name of a user"));
                return text_set(field(s, t), value);
        case SETTING_ROLES:
                return role_add(s, t, value, ret_reason);
        case SETTING_LAUNCHER:
                return launcher_set(s, value, ret_reason);
        case SETTING_LOG_LEVEL:
                if (log_level_parse(value, field(s, t)) < 0)
                        return refuse(ret_reason, strdup("it must be err, warning, notice, info or debug"));
                return 0;
        default:
                return number_set(s, t, value, ret_reason);
        }
}

void setting_clear(Settings *s, const Setting *t) {
        switch (t->type) {
        case SETTING_PATH:
        case SETTING_USER_NAME:
                free(*(char **) field(s, t));
                *(char **) field(s, t) = NULL;
                break;
        case SETTING_PATHS:
        case SETTING_LISTEN:
        case SETTING_WORDS:
        case SETTING_ORIGINS:
                strv_free(*(char ***) field(s, t));
                *(char ***) field(s, t) = NULL;
                break;
        case SETTING_ROLES:
                for (size_t i = 0; i < s->n_roles; i++)
                        free(s->roles[i].name);
                free(s->roles);
                s->roles = NULL;
                s->n_roles = 0;
                break;
        default:
                /* Values without memory behind them are overwritten by the default. */
                break;
        }
}
