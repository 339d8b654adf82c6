/* json.c: JSON text from C values and back, for programs that have no JSON library of their own. */
#include "libjobbers/jobbers.h"

#include <jansson.h>
#include <stdarg.h>

#include "base/macro.h"
#include "model/json-dump.h"

#define REAL_EXACT 9007199254740992.0   /* 2^53: up to here a double holds every integer */

static void json_decref_p(json_t **j) {
        json_decref(*j);
}
#define _cleanup_json_ _cleanup_(json_decref_p)

char *jobbers_json_pack(const char *format, ...) {
        /* jansson's letters, but for those that take its objects. */
        if (!format || format[strspn(format, "siIfbn{}[]?*:, \t\n")] != '\0') {
                errno = EINVAL;
                return NULL;
        }
        json_error_t error;
        va_list ap;
        va_start(ap, format);
        _cleanup_json_ json_t *j = json_vpack_ex(&error, 0, format, ap);
        va_end(ap);
        if (!j) {
                errno = json_error_code(&error) == json_error_out_of_memory ? ENOMEM : EINVAL;
                return NULL;
        }
        char *text = json_dump_text(j, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!text)
                errno = ENOMEM;
        return text;
}

/* ── reading ── */

static int text_load(const char *text, json_t **ret) {
        json_error_t error;
        if (!text)
                return -EBADMSG;
        json_t *j = json_loads(text, JSON_DECODE_ANY, &error);
        /* Numbers have no end in JSON, jansson's integers do. */
        if (!j && json_error_code(&error) == json_error_numeric_overflow)
                j = json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
        if (!j)
                return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
        *ret = j;
        return 0;
}

/* The next segment of a path, with ~1 for a slash and ~0 for a tilde. NULL without memory. */
static char *segment_take(const char **path) {
        const char *p = *path;
        size_t n = strcspn(p, "/"), used = 0;
        char *key = malloc(n + 1);
        for (size_t i = 0; key && i < n; i++) {
                if (p[i] == '~' && i + 1 < n && (p[i + 1] == '0' || p[i + 1] == '1'))
                        key[used++] = p[++i] == '0' ? '~' : '/';
                else
                        key[used++] = p[i];
        }
        if (key)
                key[used] = '\0';
        *path = p + n;
        return key;
}

/* An array's index: digits alone, no leading zero. */
static bool index_parse(const char *s, size_t *ret) {
        size_t n = strspn(s, "0123456789");
        if (n == 0 || n > 9 || s[n] != '\0' || (n > 1 && *s == '0'))
                return false;
        *ret = (size_t) strtoul(s, NULL, 10);
        return true;
}

/* The value at `path`; borrowed from *ret_root, which the caller releases. */
static int value_find(const char *text, const char *path, json_t **ret_root, const json_t **ret) {
        int r = text_load(text, ret_root);
        if (r < 0)
                return r;
        const json_t *at = *ret_root;
        if (!path || (*path != '\0' && *path != '/'))
                return -EINVAL;
        while (*path == '/') {
                size_t i;
                path++;
                _cleanup_free_ char *key = segment_take(&path);
                if (!key)
                        return -ENOMEM;
                at = json_is_array(at) ? (index_parse(key, &i) ? json_array_get(at, i) : NULL) : json_object_get(at, key);
                if (!at)
                        return -ENOENT;
        }
        if (json_is_null(at))
                return -ENOENT;
        *ret = at;
        return 0;
}

int jobbers_json_get_string(const char *json, const char *path, char **ret) {
        _cleanup_json_ json_t *root = NULL;
        const json_t *v;
        int r = value_find(json, path, &root, &v);
        if (r < 0)
                return r;
        if (!json_is_string(v))
                return -EINVAL;
        char *copy = ret ? strdup(json_string_value(v)) : NULL;
        if (ret && !copy)
                return -ENOMEM;
        if (ret)
                *ret = copy;
        return 0;
}

int jobbers_json_get_integer(const char *json, const char *path, int64_t *ret) {
        _cleanup_json_ json_t *root = NULL;
        const json_t *v;
        int r = value_find(json, path, &root, &v);
        if (r < 0)
                return r;
        /* 2.0 is an integer too, and where a text holds one that is too large for jansson, all of them look like that. */
        double real = json_real_value(v);
        bool integral = json_is_real(v) && real >= -REAL_EXACT && real <= REAL_EXACT && (double) (int64_t) real == real;
        if (!json_is_integer(v) && !integral)
                return -EINVAL;
        if (ret)
                *ret = integral ? (int64_t) real : json_integer_value(v);
        return 0;
}

int jobbers_json_get_number(const char *json, const char *path, double *ret) {
        _cleanup_json_ json_t *root = NULL;
        const json_t *v;
        int r = value_find(json, path, &root, &v);
        if (r < 0)
                return r;
        if (!json_is_number(v))
                return -EINVAL;
        if (ret)
                *ret = json_number_value(v);
        return 0;
}

int jobbers_json_get_boolean(const char *json, const char *path, int *ret) {
        _cleanup_json_ json_t *root = NULL;
        const json_t *v;
        int r = value_find(json, path, &root, &v);
        if (r < 0)
                return r;
        if (!json_is_boolean(v))
                return -EINVAL;
        if (ret)
                *ret = json_is_true(v);
        return 0;
}

int jobbers_json_get_text(const char *json, const char *path, char **ret) {
        _cleanup_json_ json_t *root = NULL;
        const json_t *v;
        int r = value_find(json, path, &root, &v);
        if (r < 0)
                return r;
        char *text = ret ? json_dump_text(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        if (ret && !text)
                return -ENOMEM;
        if (ret)
                *ret = text;
        return 0;
}
