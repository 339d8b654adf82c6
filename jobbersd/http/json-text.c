/* json-text.c: see json-text.h. Failures to grow are kept by the Str (`failed`) and looked at once, when the answer is sent. */
#include "http/json-text.h"

/* How many bytes of valid UTF-8 stand at s (1..4), 0 when what stands there is not valid. */
static size_t utf8_len(const unsigned char *s) {
        if (s[0] < 0x80)
                return 1;
        if (s[0] >= 0xc2 && s[0] <= 0xdf)
                return (s[1] & 0xc0) == 0x80 ? 2 : 0;
        if (s[0] >= 0xe0 && s[0] <= 0xef) {
                unsigned char low = s[0] == 0xe0 ? 0xa0 : 0x80, high = s[0] == 0xed ? 0x9f : 0xbf;
                return s[1] >= low && s[1] <= high && (s[2] & 0xc0) == 0x80 ? 3 : 0;
        }
        if (s[0] >= 0xf0 && s[0] <= 0xf4) {
                unsigned char low = s[0] == 0xf0 ? 0x90 : 0x80, high = s[0] == 0xf4 ? 0x8f : 0xbf;
                return s[1] >= low && s[1] <= high && (s[2] & 0xc0) == 0x80 && (s[3] & 0xc0) == 0x80 ? 4 : 0;
        }
        return 0;
}

static void put_escape(Str *b, unsigned char c) {
        switch (c) {
        case '"':  (void) str_append_n(b, "\\\"", 2); return;
        case '\\': (void) str_append_n(b, "\\\\", 2); return;
        case '\n': (void) str_append_n(b, "\\n", 2); return;
        case '\r': (void) str_append_n(b, "\\r", 2); return;
        case '\t': (void) str_append_n(b, "\\t", 2); return;
        default: {
                static const char hex[] = "0123456789abcdef";
                char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
                (void) str_append_n(b, u, sizeof u);
        }
        }
}

void json_put_string(Str *b, const char *s) {
        if (!s) {
                (void) str_append_n(b, "null", 4);
                return;
        }
        (void) str_append_n(b, "\"", 1);
        const unsigned char *p = (const unsigned char *) s, *plain = p;
        while (*p) {
                size_t n = *p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f ? 0 : utf8_len(p);
                if (n > 0) {
                        p += n;
                        continue;
                }
                (void) str_append_n(b, plain, (size_t) (p - plain));
                if (*p < 0x80)
                        put_escape(b, *p);
                else
                        (void) str_append_n(b, "\xef\xbf\xbd", 3);
                plain = ++p;
        }
        (void) str_append_n(b, plain, (size_t) (p - plain));
        (void) str_append_n(b, "\"", 1);
}

void json_put_time(Str *b, usec_t wall) {
        char buf[CLOCK_STR_MAX + 2];
        if (wall == 0) {
                (void) str_append_n(b, "null", 4);
                return;
        }
        buf[0] = '"';
        clock_format(wall, buf + 1);
        size_t n = strlen(buf);
        buf[n] = '"';
        (void) str_append_n(b, buf, n + 1);
}

void json_put_int(Str *b, int64_t v) {
        char buf[24], *p = buf + sizeof buf;
        uint64_t u = v < 0 ? -(uint64_t) v : (uint64_t) v;
        do
                *--p = (char) ('0' + u % 10);
        while ((u /= 10) > 0);
        if (v < 0)
                *--p = '-';
        (void) str_append_n(b, p, (size_t) (buf + sizeof buf - p));
}

void json_put_next(Str *b) {
        char last = b->len > 0 ? b->s[b->len - 1] : '{';
        if (last != '{' && last != '[' && last != ',')
                (void) str_append_n(b, ",", 1);
}

void json_put_key(Str *b, const char *key) {
        json_put_next(b);
        (void) str_append_n(b, "\"", 1);
        (void) str_append(b, key);
        (void) str_append_n(b, "\":", 2);
}
