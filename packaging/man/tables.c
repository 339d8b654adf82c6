/* tables.c: a manual page from standard input to standard output, with what the programs' own tables print in place of the lines
 * "@SETTINGS@", "@KEYS@" and so on, and with the version and date in place of "@VERSION@" and "@DATE@". So a page cannot disagree with the
 * program. Text is folded at 80 bytes, as tools for manual pages like it. */
#include <stdio.h>

#include "base/str.h"
#include "model/definition.h"
#include "model/settings.h"

/* ── jobbersctl's verbs and options ── */

typedef struct Verb {
        const char *group, *name, *words, *options, *help, *more;
} Verb;

typedef struct Option {
        const char *name;
        char letter;
        const char *argument;
        bool common;
        const char *help;
} Option;

static const Verb verbs[] = {
#define GROUP(title) { .group = title },
#define VERB(function, name, min, max, words, options, flags, help, more) { NULL, name, words, options, help, more },
#define OPTION(ident, name, letter, argument, common, help)
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION
};

static const Option options[] = {
#define GROUP(title)
#define VERB(function, name, min, max, words, options, flags, help, more)
#define OPTION(ident, name, letter, argument, common, help) { name, letter, argument, common, help },
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION
};

static bool is_capital(char c) {
        return (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_letter(char c) {
        return is_capital(c) || (c >= 'a' && c <= 'z') || c == '-';
}

/* One byte, or "…", as troff has it; returns how many bytes it was. */
static size_t put_char(FILE *f, const char *s) {
        if (strncmp(s, "…", strlen("…")) == 0) {
                fputs("...", f);
                return strlen("…");
        }
        if (*s == '-')
                fputs("\\-", f);
        else if (*s == '\\')
                fputs("\\e", f);
        else if (*s == '\'')
                fputs("\\(aq", f);
        else
                fputc(*s, f);
        return 1;
}

/* Text with `literal` words in bold. */
static void put_text(FILE *f, const char *s) {
        bool bold = false;
        while (*s)
                if (*s == '`') {
                        bold = !bold;
                        fputs(bold ? "\\fB" : "\\fP", f);
                        s++;
                } else
                        s += put_char(f, s);
}

/* "[list | history ID]": capitals stand for something, lower case is meant literally. */
static void put_words(FILE *f, const char *s) {
        while (*s) {
                if (!is_letter(*s)) {
                        s += put_char(f, s);
                        continue;
                }
                bool capital = is_capital(*s);
                fputs(capital ? "\\fI" : "\\fB", f);
                while (is_letter(*s) && is_capital(*s) == capital)
                        s += put_char(f, s);
                fputs("\\fP", f);
        }
}

static void put_option_name(FILE *f, const Option *o) {
        if (o->letter)
                fprintf(f, "\\fB\\-%c\\fP, ", o->letter);
        fputs("\\fB\\-\\-", f);
        for (const char *s = o->name; *s;)
                s += put_char(f, s);
        fputs(*o->argument ? "=\\fP" : "\\fP", f);
        put_words(f, o->argument);
}

static const Option *option_find(const char *name, size_t n) {
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (strlen(options[i].name) == n && strncmp(options[i].name, name, n) == 0)
                        return options + i;
        return NULL;
}

static void verbs_print_man(FILE *f) {
        for (const Verb *v = verbs; v < verbs + ARRAY_SIZE(verbs); v++) {
                if (v->group) {
                        fprintf(f, ".SS %s\n", v->group);
                        continue;
                }
                fputs(".TP\n\\fB", f);
                for (const char *s = v->name; *s;)
                        s += put_char(f, s);
                fputs(*v->words ? "\\fP " : "\\fP", f);
                put_words(f, v->words);
                fputc('\n', f);
                put_text(f, v->help);
                fputs(".\n", f);
                put_text(f, v->more);
                fputs(*v->more ? "\n" : "", f);
                const char *before = "Options: ";
                for (const char *p = v->options; *p; p += strspn(p, " ")) {
                        size_t n = strcspn(p, " ");
                        const Option *o = option_find(p, n);
                        fputs(before, f);
                        if (o)
                                put_option_name(f, o);
                        before = "; ";
                        p += n;
                }
                fputs(*v->options ? ".\n" : "", f);
        }
}

static void options_print_man(FILE *f, bool common) {
        for (const Option *o = options; o < options + ARRAY_SIZE(options); o++) {
                if (o->common != common)
                        continue;
                fputs(".TP\n", f);
                put_option_name(f, o);
                fputc('\n', f);
                put_text(f, o->help);
                fputs(".\n", f);
        }
}

/* ── libjobbers ── */

/* The prototypes of a part of jobbers.h ("── clients ──"), without what is remarked about them. */
static int prototypes_print_man(FILE *f, const char *part) {
        _cleanup_free_ char *heading = str_new("/* ── %s ", part);
        FILE *h = fopen("libjobbers/jobbers.h", "re");
        char line[1024];
        bool here = false;

        if (!h || !heading)
                return -errno;
        while (fgets(line, sizeof line, h)) {
                if (strncmp(line, "/* ── ", strlen("/* ── ")) == 0)
                        here = strncmp(line, heading, strlen(heading)) == 0;
                char *end = strstr(line, ");");
                if (!here || !end || !((*line >= 'a' && *line <= 'z')) || strncmp(line, "typedef", 7) == 0)
                        continue;
                int column = 0;
                end[2] = '\0';
                fputs("\\fB", f);
                for (const char *s = line; *s;) {
                        /* Folded after a comma, where the page would be wider than a terminal. */
                        if (*s == ' ' && s > line && s[-1] == ',' && column + 1 + (int) strcspn(s + 1, ",;") > 70) {
                                fputs("\n    ", f);
                                column = 4;
                                s++;
                                continue;
                        }
                        s += put_char(f, s);
                        column++;
                }
                fputs("\\fP\n", f);
        }
        return fclose(h);
}

/* ── the page ── */

static void substitute(FILE *f, const char *line, const char *version, const char *date) {
        while (*line)
                if (strncmp(line, "@VERSION@", 9) == 0) {
                        fputs(version, f);
                        line += 9;
                } else if (strncmp(line, "@DATE@", 6) == 0) {
                        fputs(date, f);
                        line += 6;
                } else
                        fputc(*line++, f);
}

/* Lines of text, folded at blanks; macros and what stands between .nf and .fi stay as they are. */
static void print_folded(const char *page) {
        bool filled = true, tag = false;        /* a tag is the one line below .TP */

        for (const char *line = page, *end; (end = strchr(line, '\n')); line = end + 1) {
                if (strncmp(line, ".nf", 3) == 0 || strncmp(line, ".EX", 3) == 0)
                        filled = false;
                if (strncmp(line, ".fi", 3) == 0 || strncmp(line, ".EE", 3) == 0)
                        filled = true;
                if (strncmp(line, ".TH", 3) == 0 || strncmp(line, ".S", 2) == 0) {
                        /* Words are not cut, and blanks are not stretched. A heading would set that back. */
                        printf("%.*s\n.nh\n.ad l\n", (int) (end - line), line);
                        continue;
                }
                bool whole = tag || !filled || *line == '.';
                tag = strncmp(line, ".TP", 3) == 0;
                while (!whole && end - line > 79) {
                        const char *at = line + 79;
                        /* A line must not begin with a dot, which would make a macro of it. */
                        while (at > line && (*at != ' ' || at[1] == '.' || at[1] == '\''))
                                at--;
                        if (at == line)
                                break;
                        printf("%.*s\n", (int) (at - line), line);
                        line = at + 1;
                }
                printf("%.*s\n", (int) (end - line), line);
        }
}

int main(int argc, char **argv) {
        char line[4096], part[32], *page = NULL;
        size_t n;
        FILE *f;

        if (argc != 3) {
                fprintf(stderr, "usage: man-tables VERSION DATE <PAGE.in >PAGE\n");
                return 2;
        }
        f = open_memstream(&page, &n);
        if (!f)
                return 1;
        while (fgets(line, sizeof(line), stdin))
                if (STREQ(line, "@SETTINGS@\n"))
                        settings_print_man(f, SETTINGS_FLAGS);
                else if (STREQ(line, "@SETTINGS_KEYS@\n"))
                        settings_print_man(f, SETTINGS_KEYS);
                else if (STREQ(line, "@KEYS@\n"))
                        definition_print_man(f);
                else if (sscanf(line, "@PROTOTYPES %31[^@]@", part) == 1) {
                        if (prototypes_print_man(f, part) < 0) {
                                fprintf(stderr, "man-tables: cannot read libjobbers/jobbers.h; run it in the top directory\n");
                                return 1;
                        }
                } else if (STREQ(line, "@VERBS@\n"))
                        verbs_print_man(f);
                else if (STREQ(line, "@COMMON_OPTIONS@\n"))
                        options_print_man(f, true);
                else if (STREQ(line, "@VERB_OPTIONS@\n"))
                        options_print_man(f, false);
                else
                        substitute(f, line, argv[1], argv[2]);
        if (fclose(f) != 0)
                return 1;
        print_folded(page);
        free(page);
        return fflush(stdout) == 0 ? 0 : 1;
}
