/* str.c: the growing buffer, and arrays of strings. */
#include "base/str.h"

#include <stdio.h>

/* Room for n more bytes and the NUL. */
static int str_reserve(Str *b, size_t n) {
        size_t need, cap;
        char *s;

        if (__builtin_add_overflow(b->len, n, &need) || __builtin_add_overflow(need, 1, &need))
                goto fail;
        if (need <= b->cap)
                return 0;
        cap = MAX(b->cap, 256U);
        while (cap < need)
                if (__builtin_mul_overflow(cap, 2, &cap))
                        goto fail;
        s = realloc(b->s, cap);
        if (!s)
                goto fail;
        if (!b->s)
                s[0] = 0;
        b->s = s;
        b->cap = cap;
        return 0;
fail:
        b->failed = true;
        return -ENOMEM;
}

int str_append_n(Str *b, const void *data, size_t n) {
        if (str_reserve(b, n) < 0)
                return -ENOMEM;
        if (n > 0)
                memcpy(b->s + b->len, data, n);
        b->len += n;
        b->s[b->len] = 0;
        return 0;
}

int str_append(Str *b, const char *s) {
        return str_append_n(b, s, strlen(s));
}

int str_printf(Str *b, const char *format, ...) {
        va_list ap;
        int n;

        /* Most texts fit what is there already; the length of the others is known after the first try. */
        for (unsigned attempt = 0; attempt < 2; attempt++) {
                size_t room = b->cap - b->len;

                va_start(ap, format);
                n = vsnprintf(b->s ? b->s + b->len : NULL, b->s ? room : 0, format, ap);
                va_end(ap);
                if (n < 0)
                        break;
                if (b->s && (size_t) n < room) {
                        b->len += (size_t) n;
                        return 0;
                }
                if (b->s)
                        b->s[b->len] = 0;
                if (str_reserve(b, (size_t) n) < 0)
                        return -ENOMEM;
        }
        if (b->s)
                b->s[b->len] = 0;
        b->failed = true;
        return -ENOMEM;
}

void str_reset(Str *b) {
        b->len = 0;
        b->failed = false;
        if (b->s)
                b->s[0] = 0;
}

char *str_take(Str *b) {
        char *s;

        if (b->failed) {
                str_free(b);
                return NULL;
        }
        s = b->s ? b->s : strdup("");
        *b = (Str) {};
        return s;
}

void str_free(Str *b) {
        free(b->s);
        *b = (Str) {};
}

char *str_new(const char *format, ...) {
        va_list ap;
        char *s;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        return n < 0 ? NULL : s;
}

bool name_valid(const char *s) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
        size_t n = strspn(s, allowed);

        return n >= 1 && n <= NAME_LEN_MAX && !s[n] && !STREQ(s, ".") && !STREQ(s, "..");
}

void strv_free(char **v) {
        for (char **p = v; p && *p; p++)
                free(*p);
        free(v);
}

void strv_free_p(char ***v) {
        strv_free(*v);
}

size_t strv_len(char *const *v) {
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

int strv_push(char ***v, const char *s) {
        _cleanup_free_ char *copy = strdup(s);
        size_t n = strv_len(*v);

        if (!copy)
                return -ENOMEM;
        /* Room is there for 3, 7, 15, … entries and the NULL: the array is full when n + 1 is a power of two. */
        if (!*v || (n >= 3 && ((n + 1) & n) == 0)) {
                char **w = reallocarray(*v, *v ? 2 * (n + 1) : 4, sizeof *w);

                if (!w)
                        return -ENOMEM;
                *v = w;
        }
        (*v)[n] = TAKE_PTR(copy);
        (*v)[n + 1] = NULL;
        return 0;
}
