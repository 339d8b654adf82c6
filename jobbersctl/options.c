/* options.c: see options.h. */
#include "jobbersctl/options.h"

#include <getopt.h>
#include <stdio.h>

#include "base/str.h"

static const CtlVerb verbs[] = {
#define GROUP(title) { .group = title },
#define VERB(function, name, min, max, words, options, flags, help, more) { name, verb_##function, min, max, words, options, flags, help, more, NULL },
#define OPTION(ident, name, letter, argument, common, help)
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION
};

typedef struct CtlOption {
        const char *name;
        char letter;
        const char *argument;
        bool common;
        const char *help;
} CtlOption;

static const CtlOption options[] = {
#define GROUP(title)
#define VERB(function, name, min, max, words, options, flags, help, more)
#define OPTION(ident, name, letter, argument, common, help) { name, letter, argument, common, help },
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION
};

/* ── help ── */

/* Columns of a UTF-8 text. */
static int width(const char *s) {
        int n = 0;
        for (; *s; s++)
                n += ((unsigned char) *s & 0xc0) != 0x80;
        return n;
}

/* `left`, then text from `column` on, folded at 80 columns. */
static void print_item(const char *left, int column, const char *text) {
        int at = width(left);
        fputs(left, stdout);
        if (at > 0 && at + 2 > column) {
                putchar('\n');
                at = 0;
        }
        printf("%*s", column - at, "");
        at = column;
        while (*text) {
                size_t n = strcspn(text, " ");
                char word[128];
                snprintf(word, sizeof word, "%.*s", (int) n, text);
                if (at > column && at + 1 + width(word) > 80) {
                        printf("\n%*s", column, "");
                        at = column;
                } else if (at > column) {
                        putchar(' ');
                        at++;
                }
                fputs(word, stdout);
                at += width(word);
                text += n + (text[n] == ' ');
        }
        putchar('\n');
}

static void print_option(const CtlOption *o) {
        char left[64], letter[4] = { '-', o->letter, ' ', '\0' };
        snprintf(left, sizeof left, "  %s--%s%s%s", o->letter ? letter : "   ", o->name, *o->argument ? "=" : "", o->argument);
        print_item(left, 28, o->help);
}

void options_print_help(void) {
        printf("jobbersctl [OPTIONS…] VERB …\n\nHave jobbersd run tasks, and see what becomes of them. Without a verb: list.\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                char left[96];
                if (verbs[i].group) {
                        printf("\n%s:\n", verbs[i].group);
                        continue;
                }
                snprintf(left, sizeof left, "  %s%s%s", verbs[i].name, *verbs[i].words ? " " : "", verbs[i].words);
                print_item(left, 28, verbs[i].help);
        }
        printf("\nOptions (`jobbersctl VERB --help` shows those of a verb):\n");
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (options[i].common)
                        print_option(options + i);
        printf("\nSee jobbersctl(1).\n");
}

static bool takes(const CtlVerb *verb, const char *option) {
        size_t n = strlen(option);
        for (const char *p = verb->options; *p; p += strcspn(p, " "), p += *p == ' ')
                if (strncmp(p, option, n) == 0 && (p[n] == ' ' || p[n] == '\0'))
                        return true;
        return false;
}

void verb_print_help(const CtlVerb *verb) {
        printf("jobbersctl %s%s%s%s\n\n", verb->name, *verb->options ? " [OPTIONS…]" : "", *verb->words ? " " : "", verb->words);
        print_item("", 0, verb->help);
        if (*verb->more) {
                putchar('\n');
                print_item("", 0, verb->more);
        }
        if (*verb->options)
                printf("\nOptions (and those of `jobbersctl --help`):\n");
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (takes(verb, options[i].name))
                        print_option(options + i);
}

/* ── suggestions ── */

/* Edits between two words; what is beyond 32 letters of the second does not count. */
static size_t distance(const char *a, const char *b) {
        size_t row[33];
        size_t n = MIN(strlen(b), 32U);
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t up = row[j];
                        row[j] = MIN(MIN(row[j - 1], up) + 1, diagonal + (a[i - 1] != b[j - 1]));
                        diagonal = up;
                }
        }
        return row[n];
}

const char *name_nearest(const char *name, const void *names, size_t n, name_at_fn at) {
        const char *nearest = NULL;
        size_t best = strlen(name) > 5 ? 4 : 3;         /* short words are near to everything */
        for (size_t i = 0; i < n; i++) {
                const char *candidate = at(names, i);
                size_t d = candidate ? distance(name, candidate) : SIZE_MAX;
                if (d < best && d < strlen(name)) {
                        best = d;
                        nearest = candidate;
                }
        }
        return nearest;
}

static const char *verb_at(const void *names, size_t i) {
        return ((const CtlVerb *) names)[i].name;
}

const CtlVerb *verb_get(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (verbs[i].name && STREQ(verbs[i].name, name))
                        return verbs + i;
        return NULL;
}

const CtlVerb *verb_find(const char *name) {
        const CtlVerb *verb = verb_get(name);
        if (verb)
                return verb;
        const char *near = name_nearest(name, verbs, ARRAY_SIZE(verbs), verb_at);
        if (near)
                fprintf(stderr, "jobbersctl: there is no verb \"%s\". Did you mean \"%s\"?\n", name, near);
        else
                fprintf(stderr, "jobbersctl: there is no verb \"%s\". See: jobbersctl --help\n", name);
        return NULL;
}

int verb_check(const CtlVerb *verb, const Ctl *ctl, int n_words) {
        for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (ctl_given(ctl, (CtlOptionId) i) && !options[i].common && !takes(verb, options[i].name)) {
                        fprintf(stderr, "jobbersctl: %s takes no --%s. See: jobbersctl %s --help\n", verb->name, options[i].name, verb->name);
                        return -EINVAL;
                }
        if (n_words < verb->min || (verb->max >= 0 && n_words > verb->max)) {
                fprintf(stderr, "jobbersctl: %s: jobbersctl %s%s%s\n", n_words < verb->min ? "something is missing after the verb" : "too many words",
                        verb->name, *verb->words ? " " : "", verb->words);
                return -EINVAL;
        }
        return 0;
}

/* ── the command line ── */

static int number(CtlOptionId option, const char *s, long min, long max, long *ret) {
        int64_t v;
        if (parse_i64(s, &v) < 0 || v < min || v > max) {
                fprintf(stderr, "jobbersctl: --%s= takes a whole number from %ld to %ld, not \"%s\".\n", options[option].name, min, max, s);
                return -EINVAL;
        }
        *ret = (long) v;
        return 0;
}

static int json_mode(Ctl *ctl, const char *mode) {
        if (STREQ(mode, "pretty"))
                ctl->json = JSON_PRETTY;
        else if (STREQ(mode, "short"))
                ctl->json = JSON_SHORT;
        else if (STREQ(mode, "off"))
                ctl->json = JSON_OFF;
        else {
                fprintf(stderr, "jobbersctl: --json= takes pretty, short or off, not \"%s\".\n", mode);
                return -EINVAL;
        }
        return 0;
}

static int option_apply(Ctl *ctl, CtlOptionId option, const char *value) {
        switch (option) {
        case OPT_HOST: ctl->address.host = value; return 0;
        case OPT_TOKEN_FILE: ctl->address.token_file = value; return 0;
        case OPT_SOCKET:
                if (!*value) {
                        fprintf(stderr, "jobbersctl: --socket= is empty.\n");
                        return -EINVAL;
                }
                ctl->address.socket = value;
                return 0;
        case OPT_SYSTEM: ctl->address.mode = CLIENT_SYSTEM; return 0;
        case OPT_USER: ctl->address.mode = CLIENT_USER; return 0;
        case OPT_JSON: return json_mode(ctl, value);
        case OPT_NO_LEGEND: ctl->no_legend = true; return 0;
        case OPT_NO_PAGER: ctl->no_pager = true; return 0;
        case OPT_QUIET: ctl->quiet = true; return 0;
        case OPT_HELP: ctl->help = true; return 0;
        case OPT_VERSION: ctl->version = true; return 0;
        case OPT_AT: ctl->at = value; return 0;
        case OPT_QUEUE: ctl->queue = value; return 0;
        case OPT_PRIORITY: return number(option, value, -100, 100, &ctl->priority);
        case OPT_TASK_VERSION: return number(option, value, 0, UINT32_MAX, &ctl->task_version);
        case OPT_ID: ctl->id = value; return 0;
        case OPT_WAIT: ctl->wait = true; return 0;
        case OPT_FOLLOW: ctl->follow = true; return 0;
        case OPT_ALL: ctl->all = true; return 0;
        case OPT_STATUS: ctl->status = value; return 0;
        case OPT_TASK: ctl->task = value; return 0;
        case OPT_SINCE: ctl->since = value; return 0;
        case OPT_LIMIT: return number(option, value, 1, 1000000, &ctl->limit);
        case OPT_LINES: return number(option, value, 0, 1000000, &ctl->lines);
        case OPT_NO_LIFECYCLE: ctl->no_lifecycle = true; return 0;
        case OPT_DRY_RUN: ctl->dry_run = true; return 0;
        case OPT_KEEP_RETRIES: ctl->keep_retries = true; return 0;
        case OPT_FORCE: ctl->force = true; return 0;
        case OPT_INTERVAL: return number(option, value, 1, 3600, &ctl->interval);
        case OPT_ONCE: ctl->once = true; return 0;
        case _OPT_MAX: break;
        }
        return -EINVAL;
}

/* What getopt_long() objects to. */
typedef struct Objection {
        int sign, option;               /* what it returned, and optopt */
        const char *word;
} Objection;

static const char *option_at(const void *names, size_t i) {
        return ((const CtlOption *) names)[i].name;
}

static void say_objection(const Objection *o, const CtlVerb *verb) {
        size_t i = o->option >= 256 ? (size_t) o->option - 256 : ARRAY_SIZE(options);
        for (size_t k = 0; o->option < 256 && k < ARRAY_SIZE(options); k++)
                if (o->option > 0 && options[k].letter == o->option)
                        i = k;
        char see[64];
        snprintf(see, sizeof see, "See: jobbersctl %s%s--help", verb ? verb->name : "", verb ? " " : "");

        if (i < ARRAY_SIZE(options) && o->sign == ':')
                fprintf(stderr, "jobbersctl: --%s needs a value: --%s=%s\n", options[i].name, options[i].name, options[i].argument);
        else if (i < ARRAY_SIZE(options))
                fprintf(stderr, "jobbersctl: --%s takes no value. %s\n", options[i].name, see);
        else if (o->option > 0 && verb && STREQ(verb->name, "set-role"))        /* what is added with + is not taken away with - */
                fprintf(stderr, "jobbersctl: there is no option -%c. To take a queue from a role, name those that it keeps: jobbersctl set-role ROLE QUEUE…\n",
                        o->option);
        else if (o->option > 0)
                fprintf(stderr, "jobbersctl: there is no option -%c. %s\n", o->option, see);
        else {
                _cleanup_free_ char *name = strndup(o->word + 2, strcspn(o->word + 2, "="));
                const char *near = name ? name_nearest(name, options, ARRAY_SIZE(options), option_at) : NULL;
                if (near)
                        fprintf(stderr, "jobbersctl: there is no option --%s. Did you mean --%s?\n", name, near);
                else
                        fprintf(stderr, "jobbersctl: there is no option --%s. %s\n", name ? name : "", see);
        }
}

int options_parse(Ctl *ctl, int argc, char **argv, int *ret_first) {
        struct option table[ARRAY_SIZE(options) + 1] = { 0 };
        char letters[2 * ARRAY_SIZE(options) + 2] = ":", *p = letters + 1;
        Objection objection = { 0 };
        int c, r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
                bool value = *options[i].argument;
                table[i] = (struct option) { options[i].name, value ? required_argument : no_argument, NULL, 256 + (int) i };
                if (options[i].letter) {
                        *p++ = options[i].letter;
                        if (value)
                                *p++ = ':';
                }
        }
        opterr = 0;
        while ((c = getopt_long(argc, argv, letters, table, NULL)) >= 0) {
                size_t i = (size_t) c - 256;
                if (c < 256)
                        for (i = 0; i < ARRAY_SIZE(options) && options[i].letter != c;)
                                i++;
                if (r < 0) {            /* said already; but the exit status depends on these (main.c) */
                        ctl->wait = ctl->wait || i == OPT_WAIT;
                        ctl->follow = ctl->follow || i == OPT_FOLLOW;
                } else if (i >= ARRAY_SIZE(options)) {
                        objection = (Objection) { c, optopt, argv[optind - 1] };
                        r = -EINVAL;
                } else {
                        ctl->given |= 1ULL << i;
                        r = option_apply(ctl, (CtlOptionId) i, optarg);
                }
        }
        *ret_first = optind;
        if (objection.sign)
                say_objection(&objection, optind < argc ? verb_get(argv[optind]) : NULL);
        return r;
}
