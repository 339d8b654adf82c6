/* tail.c: see tail.h. */
#include "jobbersctl/tail.h"

int tail_init(Tail *t, size_t lines) {
        *t = (Tail) { .cap = lines, .lines = calloc(lines + 1, sizeof(Str)) };
        return t->lines ? 0 : -ENOMEM;
}

bool tail_write(void *tail, const char *data, size_t n) {
        Tail *t = tail;
        while (n > 0 && t->cap > 0) {
                const char *end = memchr(data, '\n', n);
                size_t len = end ? (size_t) (end - data) : n;
                if (!t->open)
                        str_reset(&t->lines[t->n++ % t->cap]);
                if (str_append_n(&t->lines[(t->n - 1) % t->cap], data, len) < 0)
                        return false;
                t->open = !end;
                len += end != NULL;
                data += len;
                n -= len;
        }
        return true;
}

void tail_print(const Tail *t, FILE *f) {
        for (size_t i = t->n > t->cap ? t->n - t->cap : 0; i < t->n; i++) {
                const Str *line = &t->lines[i % t->cap];
                if (line->s)
                        fwrite(line->s, 1, line->len, f);
                fputc('\n', f);
        }
}

void tail_done(Tail *t) {
        for (size_t i = 0; t->lines && i < t->cap; i++)
                str_free(&t->lines[i]);
        free(t->lines);
        *t = (Tail) { 0 };
}
