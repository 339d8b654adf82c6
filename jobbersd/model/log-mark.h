/* log-mark.h: our own lines in a task's log file (SPEC 4, Logs). The supervisor writes them; whoever reads the file needs them to know
 * which attempt printed what, and where in the whole log he is when its beginning was cut. */
#pragma once

#include "base/macro.h"

#define LOG_MARK_MAX 128

/* The first line of a file whose beginning was cut, by that many bytes in all; returns its length. */
size_t log_mark_format(char ret[static LOG_MARK_MAX], uint64_t cut);
/* Bytes cut by the file's first line, and that line's length; 0 and 0 where nothing was. The file's offset stays where it is. */
uint64_t log_mark_read(int fd, uint64_t *ret_len);

/* The line before the output of an attempt that is not the first; returns its length. */
size_t log_mark_format_attempt(char ret[static LOG_MARK_MAX], unsigned attempt);
/* Looks for that line at the beginning of the text, of n bytes: returns its length and the attempt, 0 when it is another line. */
size_t log_mark_attempt(const char *text, size_t n, unsigned *ret_attempt);
/* How many of the n bytes are before the next such line that does not begin the text. Where one may have begun at the end of the text,
 * the bytes before that; never 0 for n > 0. */
size_t log_mark_before(const char *text, size_t n);
