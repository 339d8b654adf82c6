/* split.c: a command line into arguments, as systemd's ExecStart= does it. Never a shell: no variables, no patterns. */
#include <ctype.h>

#include "base/str.h"

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* `digits` digits of a base at *p, which is moved behind them. */
static int take_number(const char **p, unsigned n_digits, unsigned base, uint32_t *ret) {
        uint32_t v = 0;

        for (unsigned i = 0; i < n_digits; i++, (*p)++) {
                char c = (char) tolower((unsigned char) **p);
                unsigned d = c >= '0' && c <= '9' ? (unsigned) (c - '0') : c >= 'a' && c <= 'f' ? (unsigned) (c - 'a') + 10 : 99;

                if (d >= base)
                        return -EINVAL;
                v = v * base + d;
        }
        *ret = v;
        return 0;
}

static int append_utf8(Str *b, uint32_t c) {
        char s[4];
        size_t n = 0;

        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return -EINVAL;
        if (c < 0x80)
                s[n++] = (char) c;
        else if (c < 0x800) {
                s[n++] = (char) (0xc0 | c >> 6);
                s[n++] = (char) (0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
                s[n++] = (char) (0xe0 | c >> 12);
                s[n++] = (char) (0x80 | (c >> 6 & 0x3f));
                s[n++] = (char) (0x80 | (c & 0x3f));
        } else {
                s[n++] = (char) (0xf0 | c >> 18);
                s[n++] = (char) (0x80 | (c >> 12 & 0x3f));
                s[n++] = (char) (0x80 | (c >> 6 & 0x3f));
                s[n++] = (char) (0x80 | (c & 0x3f));
        }
        return str_append_n(b, s, n);
}

/* What a backslash before *p means; moves *p behind it. -EINVAL for an escape that does not exist, *p then stays. */
static int take_escape(const char **p, Str *word) {
        static const char from[] = "abfnrtvs\\\"'", to[] = "\a\b\f\n\r\t\v \\\"'";
        const char *q = *p, *k;
        uint32_t v;
        char c;
        int r;

        if (!*q)
                return -EINVAL;
        k = strchr(from, *q);
        if (k) {
                q++;
                r = str_append_n(word, to + (k - from), 1);
        } else {
                if (*q == 'x')
                        q++, r = take_number(&q, 2, 16, &v);
                else if (*q == 'u')
                        q++, r = take_number(&q, 4, 16, &v);
                else if (*q == 'U')
                        q++, r = take_number(&q, 8, 16, &v);
                else
                        r = take_number(&q, 3, 8, &v);
                if (r < 0)
                        return r;
                if (v == 0)
                        return -EINVAL;         /* would end the argument */
                if (**p == 'u' || **p == 'U')
                        r = append_utf8(word, v);
                else if (v > 0xff)
                        return -EINVAL;
                else {
                        c = (char) v;
                        r = str_append_n(word, &c, 1);
                }
        }
        if (r == 0)
                *p = q;
        return r;
}

/* One argument, from its first character to the blank or end behind it. */
static int take_word(const char **s, Str *word) {
        const char *p = *s;
        char quote = 0;
        int r;

        for (; *p && (quote || !is_blank(*p)); ) {
                if (*p == '\\') {
                        p++;
                        r = take_escape(&p, word);
                        /* Single quotes are where people put patterns for sed and grep: what is no escape stays. */
                        if (r == -EINVAL && quote == '\'' && *p)
                                r = str_append(word, "\\");
                } else if (quote ? *p == quote : *p == '"' || *p == '\'') {
                        quote = quote ? 0 : *p;
                        p++;
                        r = 0;
                } else
                        r = str_append_n(word, p++, 1);
                if (r < 0)
                        return r;
        }
        if (quote)
                return -EINVAL;
        *s = p;
        return 0;
}

int split_command(const char *s, char ***ret) {
        _cleanup_strv_ char **v = calloc(4, sizeof *v);
        _cleanup_str_ Str word = {};
        int r;

        if (!v)
                return -ENOMEM;
        for (;;) {
                while (is_blank(*s))
                        s++;
                if (!*s)
                        break;
                str_reset(&word);
                if (s[0] == '\\' && s[1] == ';' && (!s[2] || is_blank(s[2]))) {
                        /* systemd's way to pass a semicolon, which alone would begin another command */
                        s += 2;
                        r = str_append(&word, ";");
                } else
                        r = take_word(&s, &word);
                if (r < 0)
                        return r;
                r = strv_push(&v, word.s ? word.s : "");
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(v);
        return 0;
}
