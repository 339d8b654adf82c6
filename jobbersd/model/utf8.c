/* utf8.c: see utf8.h. */
#include "model/utf8.h"

size_t utf8_length(const char *text, size_t n) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *s = (const unsigned char *) text;
        size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
        if (len == 0 || len > n)
                return 0;
        if (len == 1)
                return 1;
        uint32_t c = s[0] & (0xffU >> (len + 1));
        for (size_t i = 1; i < len; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3f);
        }
        return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

void utf8_clean(char *s) {
        for (size_t i = 0, n = strlen(s); i < n;) {
                size_t len = utf8_length(s + i, n - i);
                if (len == 0)
                        s[i] = '?';
                i += len ?: 1;
        }
}

void utf8_disarm(char *s) {
        char *to = s;
        for (size_t i = 0; s[i];) {
                unsigned char c = (unsigned char) s[i];
                if (c == 0xc2 && (unsigned char) s[i + 1] >= 0x80 && (unsigned char) s[i + 1] < 0xa0) {
                        *to++ = ' ';
                        i += 2;
                } else {
                        *to++ = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? ' ' : s[i];
                        i++;
                }
        }
        *to = 0;
}

char *utf8_copy(const char *s, size_t max) {
        size_t n = strlen(s);
        if (n > max) {
                /* Not into the middle of a character: back over what continues one. */
                n = max;
                while (n > 0 && ((unsigned char) s[n] & 0xc0) == 0x80)
                        n--;
        }
        return strndup(s, n);
}
