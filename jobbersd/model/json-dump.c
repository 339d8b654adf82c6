/* json-dump.c: see json-dump.h. jansson writes all reals of a value with the same number of digits: with 17, which are always enough, or with
 * fewer, which are enough for most. So the text with 17 is gone through, and each number in it is made as short as it can be by itself. */
#include "model/json-dump.h"

#include <locale.h>
#include <stdio.h>

#include "base/macro.h"

#define REAL_MAX 32             /* bytes; 17 digits, sign, point and exponent are fewer */

/* "1e+30" and "1e-07" as "1e30" and "1e-7", as jansson has them. */
static void trim_exponent(char *text) {
        char *e = strchr(text, 'e'), *from = e ? e + 1 : NULL;

        if (!e)
                return;
        e++;
        if (*from == '-')
                e++;
        from++;                         /* printf always writes a sign */
        from += strspn(from, "0");
        memmove(e, from, strlen(from) + 1);
}

/* The number in s[0..n] into `out`, in fewer digits where these say the same: the new length. The locale must be C. */
static size_t shorten(const char *s, size_t n, char out[static REAL_MAX]) {
        char text[REAL_MAX];

        memcpy(out, s, n);
        if (n >= sizeof text)
                return n;
        memcpy(text, s, n);
        text[n] = '\0';
        double value = strtod(text, NULL);
        for (int digits = 15; digits < 17; digits++) {
                (void) snprintf(text, sizeof text, "%.*g", digits, value);
                if (strpbrk(text, ".e"))
                        trim_exponent(text);
                else
                        strcat(text, ".0");     /* "5" would read back as an integer */
                size_t len = strlen(text);
                if (len <= n && strtod(text, NULL) == value) {
                        memcpy(out, text, len);
                        return len;
                }
        }
        return n;
}

/* In place, since nothing gets longer. */
static void shorten_all(char *text) {
        locale_t c = (locale_t) 0, before = (locale_t) 0;
        bool in_string = false;
        char number[REAL_MAX];
        char *to = text;

        for (const char *s = text; *s;) {
                size_t n = in_string || (*s != '-' && (*s < '0' || *s > '9')) ? 0 : strspn(s, "+-.0123456789eE");
                bool real = n > 0 && n < REAL_MAX && (memchr(s, '.', n) || memchr(s, 'e', n));
                if (real && !c) {
                        c = newlocale(LC_NUMERIC_MASK, "C", (locale_t) 0);
                        if (!c)
                                return;         /* nothing is changed yet, and long numbers are right, too */
                        before = uselocale(c);
                }
                if (real) {
                        size_t len = shorten(s, n, number);
                        memcpy(to, number, len);
                        to += len;
                        s += n;
                        continue;
                }
                if (*s == '"')
                        in_string = !in_string;
                else if (in_string && *s == '\\')
                        *to++ = *s++;
                for (n = MAX(n, (size_t) 1); n > 0; n--)
                        *to++ = *s++;
        }
        *to = '\0';
        if (c) {
                (void) uselocale(before);
                freelocale(c);
        }
}

char *json_dump_text(const json_t *value, size_t flags) {
        /* What most tasks have for parameters. */
        if (json_is_object(value) && json_object_size(value) == 0)
                return strdup("{}");
        char *text = json_dumps(value, flags);
        if (text)
                shorten_all(text);
        return text;
}
