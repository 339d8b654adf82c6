/* tail.c: see tail.h. */
#include "jobbersctl/tail.h"

#include <unistd.h>

#include "base/fd.h"
#include "jobbersctl/table.h"

int tail_init(Tail *t, size_t lines) {
        *t = (Tail) { .cap = lines, .lines = calloc(lines + 1, sizeof(Str)) };
        return t->lines ? 0 : -ENOMEM;
}

bool tail_write(Tail *t, const char *data, size_t n) {
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

void tail_print(const Tail *t, FILE *f, bool end) {
        for (size_t i = t->n > t->cap ? t->n - t->cap : 0; i < t->n; i++) {
                const Str *line = &t->lines[i % t->cap];
                if (line->s)
                        fwrite(line->s, 1, line->len, f);
                if (end || !t->open || i + 1 < t->n)
                        fputc('\n', f);
        }
}

void tail_done(Tail *t) {
        for (size_t i = 0; t->lines && i < t->cap; i++)
                str_free(&t->lines[i]);
        free(t->lines);
        *t = (Tail) { 0 };
}

bool log_output_write(void *output, const char *data, size_t n) {
        LogOutput *o = output;
        _cleanup_free_ char *plain = on_terminal() ? malloc(PLAIN_ROOM(n) + 1) : NULL;
        o->seen += n;
        if (on_terminal()) {
                if (!plain)
                        return false;
                n = plain_text(&o->plain, data, n, plain);
                data = plain;
        }
        return o->tail ? tail_write(o->tail, data, n) : fd_write_all(STDOUT_FILENO, data, n) >= 0;
}
