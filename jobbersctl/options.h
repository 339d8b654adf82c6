/* options.h: the table of verbs and options (verbs.def) at work: finding a verb, reading the command line, help. */
#pragma once

#include "jobbersctl/ctl.h"

/* Reads the options; on return argv[*ret_first] is the verb, or argc when there is none, also when it is -EINVAL after a sentence. */
int options_parse(Ctl *ctl, int argc, char **argv, int *ret_first);

/* The verb of this name; NULL where there is none. */
const CtlVerb *verb_get(const char *name);
/* The same; NULL after a sentence, with a suggestion where one is near. */
const CtlVerb *verb_find(const char *name);
/* Does it take the options that were given, and that many words? 0, or -EINVAL after a sentence. */
int verb_check(const CtlVerb *verb, const Ctl *ctl, int n_words);

void options_print_help(void);
void verb_print_help(const CtlVerb *verb);

/* The nearest of some names to a mistyped one, NULL when none is near. */
typedef const char *(*name_at_fn)(const void *names, size_t i);
const char *name_nearest(const char *name, const void *names, size_t n, name_at_fn at);
