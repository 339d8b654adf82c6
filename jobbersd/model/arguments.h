/* arguments.h: parameters as people type them: KEY=VALUE, typed by [Parameters], and KEY:=JSON for anything. Pure. */
#pragma once

#include <jansson.h>

#include "model/definition.h"

/* Turns words into a JSON object (new reference). KEY=VALUE becomes what `parameters` says of KEY; unnamed keys, and all keys where
 * n is 0, become strings. -EINVAL with one sentence naming the word in *ret_sentence (caller frees); -ENOMEM. */
int arguments_parse(const Parameter *parameters, size_t n, char *const *words, size_t n_words, json_t **ret, char **ret_sentence);
