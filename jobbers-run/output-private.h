/* output-private.h: the two places that output.c brings output to. */
#pragma once

#include "base/clock.h"
#include "jobbers-run/output.h"

/* output-file.c: what cannot be written counts as dropped. */
void output_file_add(Output *o, const char *data, size_t n);

/* output-journal.c. How many bytes are done with; the others are the rest, and have to be there until journald has room. */
size_t output_journal_add(Output *o, const char *data, size_t n);
/* Waits for that. False: there is no rest, or no more patience. */
bool output_journal_wait(Output *o);
/* Nothing more is there for the moment: ends an unfinished line, and returns when journald has read all. */
void output_journal_settle(Output *o);
/* The attempt is over: what journald has not taken in is lost. */
void output_journal_drop(Output *o);
