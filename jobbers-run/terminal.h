/* terminal.h: `jobbers-run NAME [KEY=VALUE…]`: one run of a registered task, in a terminal, under the same contract. */
#pragma once

#include "model/settings.h"

/* words: NAME or NAME@VERSION, then parameters. Returns the exit status. */
#define STATUS_USAGE 2          /* the command line or a setting is wrong */

int terminal_run(const Settings *settings, char **words, size_t n_words);
