/* output-private.h: the two places that output.c brings output to. */
#pragma once

#include "base/clock.h"
#include "jobbers-run/output.h"

#define OUTPUT_CHUNK (64 * 1024)        /* moved at a time */

/* output-file.c: what cannot be written counts as dropped. */
void output_file_add(Output *o, const char *data, size_t n);

/* output-journal.c. How many bytes are done with; the others are the rest, and have to be there until journald has room. */
size_t output_journal_add(Output *o, const char *data, size_t n);
/* Sends an unfinished line on. False: there is no room for it now. */
bool output_journal_end_line(Output *o);
/* Waits for that, at most until then (boot). False: there is no rest, or journald has no room. */
bool output_journal_wait(Output *o, usec_t until);
/* The attempt is over: returns when journald has read what was said. What it does not take in until then is lost. */
void output_journal_finish(Output *o, usec_t until);
