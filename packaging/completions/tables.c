/* tables.c: copies a completion script from standard input to standard output and puts the table of jobbersctl's verbs and options, from the same
 * verbs.def that serves them, in the place of the line "@TABLE@": a few shell functions that bash and zsh both understand. In the place of
 * "@VALUES@" comes the file that the command line names, which is shell for both too. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/macro.h"

typedef struct Verb {
        const char *name, *words, *options, *help, *more;
} Verb;

typedef struct Option {
        const char *name;
        char letter;
        const char *argument;
        bool common;
        const char *help;
} Option;

static const Verb verbs[] = {
#define GROUP(title)
#define VERB(function, name, min, max, words, options, flags, help, more) { name, words, options, help, more },
#define OPTION(ident, name, letter, argument, common, help)
#include "jobbersctl/verbs.def"
#undef VERB
#undef OPTION
};

static const Option options[] = {
#define VERB(function, name, min, max, words, options, flags, help, more)
#define OPTION(ident, name, letter, argument, common, help) { name, letter, argument, common, help },
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION
};

/* For single quotes. */
static void print_quoted(const char *s) {
        for (; *s; s++)
                if (*s == '\'')
                        fputs("'\\''", stdout);
                else
                        putchar(*s);
}

static bool list_has(const char *list, const char *word) {
        size_t n = strlen(word);
        for (const char *p = list; (p = strstr(p, word)); p += n)
                if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
                        return true;
        return false;
}

static void print_option(const Option *o) {
        printf(" --%s%s", o->name, *o->argument ? "=" : "");
        if (o->letter)
                printf(" -%c", o->letter);
}

/* What stands where, from the notation of `words`: capitals are kinds (ID, NAME, KEY, …), lower case is meant literally. */
static void print_words(const Verb *v) {
        char text[256], kinds[8][16], literal[128] = "";
        size_t n_kinds = 0;
        bool several = strstr(v->words, "…") != NULL;

        snprintf(text, sizeof text, "%s", v->words);
        /* Everything but letters, digits and - separates; what follows "=" is the value of a KEY. */
        for (char *p = text, *word; (word = p + strcspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")), *word; p = word) {
                size_t n = 0;
                while (isalnum((unsigned char) word[n]) || word[n] == '-')
                        n++;
                bool value = word > text && word[-1] == '=';
                if (!value && isupper((unsigned char) *word) && n_kinds < ARRAY_SIZE(kinds))
                        snprintf(kinds[n_kinds++], sizeof *kinds, "%.*s", (int) n, word);
                else if (!value)
                        snprintf(literal + strlen(literal), sizeof literal - strlen(literal), " %.*s", (int) n, word);
                word += n;
        }
        if (*literal)
                printf(" first='LITERAL%s' rest='%s'", literal, n_kinds > 0 ? kinds[0] : "");
        else
                printf(" first='%s' rest='%s'", n_kinds > 0 ? kinds[0] : "", n_kinds > 1 ? kinds[1] : several && n_kinds > 0 ? kinds[0] : "");
}

/* The keys of KEY=VALUE where they are not a task's parameters: those that `more` explains. */
static void print_keys(const Verb *v) {
        printf(" keys='");
        for (const char *p = strchr(v->more, '='); strstr(v->words, "QUEUE [KEY") && p; p = strchr(p + 1, '=')) {
                const char *begin = p;
                while (begin > v->more && (islower((unsigned char) begin[-1]) || begin[-1] == '_'))
                        begin--;
                if (begin < p)
                        printf(" %.*s", (int) (p - begin), begin);
        }
        printf("'");
}

static void print_table(void) {
        printf("# The verbs and their options, from jobbersctl's own table.\n_jobbersctl_verbs() {\n        cat <<'END'\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                printf("%s:%s\n", verbs[i].name, verbs[i].help);
        printf("END\n}\n# VERB: what its first word and the others are, which keys they have, the options it takes besides the common ones.\n"
               "_jobbersctl_verb() {\n        first='' rest='' keys='' own=''\n        case $1 in\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                printf("        %s)", verbs[i].name);
                print_words(verbs + i);
                print_keys(verbs + i);
                printf(" own='");
                for (size_t k = 0; k < ARRAY_SIZE(options); k++)
                        if (!options[k].common && list_has(verbs[i].options, options[k].name))
                                print_option(options + k);
                printf("' ;;\n");
        }
        printf("        *) return 1 ;;\n        esac\n}\n_jobbersctl_common='");
        for (size_t k = 0; k < ARRAY_SIZE(options); k++)
                if (options[k].common)
                        print_option(options + k);
        printf("'\n# OPTION: what its value is (QUEUE, FILE, …), if it takes one, and what it is for.\n_jobbersctl_option() {\n"
               "        argument='' help=''\n        case $1 in\n");
        for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
                printf("        --%s", options[k].name);
                if (options[k].letter)
                        printf(" | -%c", options[k].letter);
                printf(") argument='");
                print_quoted(options[k].argument);
                printf("' help='");
                print_quoted(options[k].help);
                printf("' ;;\n");
        }
        printf("        *) return 1 ;;\n        esac\n}\n");
}

static void copy(FILE *f, const char *values) {
        char line[1024];
        while (fgets(line, sizeof line, f)) {
                if (STREQ(line, "@TABLE@\n"))
                        print_table();
                else if (STREQ(line, "@VALUES@\n") && values) {
                        FILE *v = fopen(values, "re");
                        if (!v) {
                                perror(values);
                                exit(EXIT_FAILURE);
                        }
                        copy(v, NULL);
                        fclose(v);
                }
                else
                        fputs(line, stdout);
        }
}

int main(int argc, char **argv) {
        copy(stdin, argc > 1 ? argv[1] : NULL);
        return fflush(stdout) != 0;
}
