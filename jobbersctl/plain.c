/* plain.c: see plain.h. */
#include "jobbersctl/plain.h"

/* A byte that belongs to no sequence. */
static char *put(Plain *p, unsigned char c, char *out) {
        p->state = c == 0x1b ? PLAIN_ESCAPE : c == '\r' ? PLAIN_RETURN : c == 0xc2 ? PLAIN_C2 : PLAIN_TEXT;
        if (p->state == PLAIN_TEXT)
                *out++ = (c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? ' ' : (char) c;
        return out;
}

size_t plain_text(Plain *p, const char *data, size_t n, char *out) {
        char *at = out;
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) data[i];
                /* No sequence goes over a line: one without an end would hide the lines behind it, our own too. */
                if (c == '\n') {
                        p->state = PLAIN_TEXT;
                        *at++ = '\n';
                        continue;
                }
                switch (p->state) {
                case PLAIN_TEXT:
                        at = put(p, c, at);
                        break;
                case PLAIN_RETURN:
                        *at++ = ' ';
                        at = put(p, c, at);
                        break;
                case PLAIN_C2:
                        if (c >= 0x80 && c < 0xa0) {
                                *at++ = ' ';
                                p->state = PLAIN_TEXT;
                        } else {
                                *at++ = (char) 0xc2;
                                at = put(p, c, at);
                        }
                        break;
                case PLAIN_ESCAPE:
                        p->state = c == '[' ? PLAIN_SEQUENCE : c && strchr("]PX^_", c) ? PLAIN_STRING : c >= ' ' && c < '0' ? PLAIN_ESCAPE : PLAIN_TEXT;
                        break;
                case PLAIN_SEQUENCE:
                        if (c >= 0x40 && c < 0x7f)
                                p->state = PLAIN_TEXT;
                        break;
                case PLAIN_STRING:
                        p->state = c == 0x07 ? PLAIN_TEXT : c == 0x1b ? PLAIN_STRING_ESCAPE : PLAIN_STRING;
                        break;
                case PLAIN_STRING_ESCAPE:
                        p->state = c == '\\' ? PLAIN_TEXT : c == 0x1b ? PLAIN_STRING_ESCAPE : PLAIN_STRING;
                        break;
                }
        }
        return (size_t) (at - out);
}
