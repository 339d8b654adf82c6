/* table.c: see table.h. */
#include "jobbersctl/table.h"

#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

bool on_terminal(void) {
        static int is = -1;
        if (is < 0)
                is = isatty(STDOUT_FILENO);
        return is;
}

bool colour_wanted(void) {
        static int wanted = -1;
        if (wanted < 0) {
                const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
                wanted = on_terminal() && !(no && *no) && term && !STREQ(term, "dumb");
        }
        return wanted;
}

const char *colour(Colour c) {
        static const char *const escapes[] = {
                [COLOUR_NONE] = "\033[0m",      [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",  [COLOUR_GREEN] = "\033[32m",
                [COLOUR_YELLOW] = "\033[33m", [COLOUR_RED] = "\033[31m", [COLOUR_BLUE] = "\033[34m",
        };
        return colour_wanted() ? escapes[c] : "";
}

Colour colour_of_status(const char *status) {
        if (!status)
                return COLOUR_NONE;
        if (STREQ(status, "started"))
                return COLOUR_GREEN;
        if (STREQ(status, "failed") || STREQ(status, "stalled") || STREQ(status, "dropped"))
                return COLOUR_RED;
        if (STREQ(status, "cancelled"))
                return COLOUR_YELLOW;
        if (STREQ(status, "scheduled") || STREQ(status, "submitted"))
                return COLOUR_BLUE;
        return COLOUR_NONE;
}

int terminal_width(void) {
        static int last;                /* of a pager's terminal, once stdout is a pipe to it */
        struct winsize w;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
                last = w.ws_col;
        return last;
}

char *text_clean(char *s) {
        for (unsigned char *p = (unsigned char *) s; *p; p++)
                if (*p < ' ' || *p == 0x7f)
                        *p = ' ';
                else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)           /* C1, of which some begin sequences as ESC does */
                        p[0] = p[1] = ' ';
        return s;
}

/* Columns that a UTF-8 text takes; bytes where it is no valid text. */
static size_t text_width(const char *s) {
        wchar_t wide[1024];
        size_t n = mbstowcs(wide, s, ARRAY_SIZE(wide) - 1);
        if (n == (size_t) -1 || n >= ARRAY_SIZE(wide) - 1)
                return strlen(s);
        int w = wcswidth(wide, n);
        return w < 0 ? strlen(s) : (size_t) w;
}

/* The bytes of the next character, and its columns. */
static size_t next_char(const char *s, mbstate_t *state, size_t *ret_columns) {
        wchar_t c;
        size_t n = mbrtowc(&c, s, MB_CUR_MAX, state);
        if (n == (size_t) -1 || n == (size_t) -2 || n == 0) {
                n = 1;
                c = L'?';
                *state = (mbstate_t) { 0 };
        }
        *ret_columns = (size_t) MAX(wcwidth(c), 0);
        return n;
}

/* Prints at most `width` columns of text, with "…" where something was cut, and fills up unless `last`. */
static void cell_print(FILE *f, const char *s, size_t width, bool right, bool last) {
        size_t w = text_width(s);
        if (w <= width) {
                int fill = (int) (width - w);
                if (right)
                        fprintf(f, "%*s%s", fill, "", s);
                else
                        fprintf(f, "%s%*s", s, last ? 0 : fill, "");
                return;
        }
        mbstate_t state = { 0 };
        size_t used = 0;
        while (*s) {
                size_t columns, n = next_char(s, &state, &columns);
                if (used + columns + 1 > width)
                        break;
                fwrite(s, 1, n, f);
                used += columns;
                s += n;
        }
        fprintf(f, "%s%*s", MB_CUR_MAX > 1 ? "…" : "~", (int) (width - used - 1), "");
}

void print_folded(const char *text, size_t at, size_t indent, size_t lines) {
        size_t width = (size_t) terminal_width();
        if (width < indent + 20) {      /* no terminal, or none to fold in */
                fputs(text, stdout);
                return;
        }
        for (size_t line = 1; *text; line++) {
                const char *end = text, *blank = NULL;
                mbstate_t state = { 0 };
                size_t room = width - MIN(at, width), used = 0, columns;
                while (*end) {
                        size_t n = next_char(end, &state, &columns);
                        if (used + columns > room)
                                break;
                        if (*end == ' ')
                                blank = end;
                        used += columns;
                        end += n;
                }
                if (*end && line == lines) {
                        cell_print(stdout, text, room, false, true);
                        return;
                }
                if (*end && *end != ' ')
                        end = blank ? blank : at > indent ? text : end;
                fwrite(text, 1, (size_t) (end - text), stdout);
                text = end + strspn(end, " ");
                if (*text)
                        printf("\n%*s", (int) indent, "");
                at = indent;
        }
}

void table_init(Table *t, const char *titles) {
        *t = (Table) { 0 };
        for (const char *p = titles; p; p = strchr(p, '|')) {
                if (*p == '|')
                        p++;
                size_t i = t->n_columns++;
                if (*p == '>')
                        t->right[i] = true, p++;
                else if (*p == '*')
                        t->flexible[i] = true, p++;
                t->titles[i] = p;
        }
}

void table_add(Table *t, Colour c, const char *text) {
        if (t->n_cells == t->cap) {
                size_t cap = MAX(64U, t->cap * 2);
                char **cells = reallocarray(t->cells, cap, sizeof *cells);
                if (cells)
                        t->cells = cells;
                Colour *colours = reallocarray(t->colours, cap, sizeof *colours);
                if (colours)
                        t->colours = colours;
                if (!cells || !colours)
                        abort();
                t->cap = cap;
        }
        t->cells[t->n_cells] = strdup(text ? text : "-");
        if (!t->cells[t->n_cells])
                abort();
        text_clean(t->cells[t->n_cells]);
        t->colours[t->n_cells++] = c;
}

void table_addf(Table *t, Colour c, const char *format, ...) {
        char *text = NULL;
        va_list ap;
        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                abort();
        va_end(ap);
        table_add(t, c, text);
        free(text);
}

size_t table_rows(const Table *t) {
        return t->n_cells / t->n_columns;
}

void table_print(const Table *t, FILE *f, bool legend) {
        size_t widths[TABLE_COLUMNS_MAX] = { 0 }, sum = 0;
        char title[64];

        if (t->n_cells == 0)
                return;
        for (size_t i = 0; i < t->n_columns; i++) {
                if (legend)
                        widths[i] = strcspn(t->titles[i], "|");
                for (size_t c = i; c < t->n_cells; c += t->n_columns)
                        widths[i] = MAX(widths[i], text_width(t->cells[c]));
                sum += widths[i] + (i > 0);
        }
        size_t room = (size_t) terminal_width();
        for (; room > 0 && sum > room; sum--) {
                size_t widest = SIZE_MAX;
                for (size_t i = 0; i < t->n_columns; i++)
                        if (t->flexible[i] && widths[i] > 8 && (widest == SIZE_MAX || widths[i] >= widths[widest]))
                                widest = i;
                if (widest == SIZE_MAX)
                        break;
                widths[widest]--;
        }

        if (legend) {
                fputs(colour(COLOUR_BOLD), f);
                for (size_t i = 0; i < t->n_columns; i++) {
                        snprintf(title, sizeof title, "%.*s", (int) strcspn(t->titles[i], "|"), t->titles[i]);
                        if (i > 0 && *title)
                                fputc(' ', f);
                        cell_print(f, title, widths[i], t->right[i], i + 1 == t->n_columns);
                }
                fprintf(f, "%s\n", colour(COLOUR_NONE));
        }
        for (size_t c = 0; c < t->n_cells; c++) {
                size_t i = c % t->n_columns;
                if (i > 0 && (*t->cells[c] || i + 1 < t->n_columns))
                        fputc(' ', f);
                if (t->colours[c] != COLOUR_NONE)
                        fputs(colour(t->colours[c]), f);
                cell_print(f, t->cells[c], widths[i], t->right[i], i + 1 == t->n_columns);
                if (t->colours[c] != COLOUR_NONE)
                        fputs(colour(COLOUR_NONE), f);
                if (i + 1 == t->n_columns)
                        fputc('\n', f);
        }
}

void table_done(Table *t) {
        for (size_t c = 0; c < t->n_cells; c++)
                free(t->cells[c]);
        free(t->cells);
        free(t->colours);
        *t = (Table) { 0 };
}
