/* log-mark.h: the first line of a task's log file whose beginning was cut. The supervisor writes it, whoever reads the file needs it to
 * know where in the whole log he is (SPEC 6). */
#pragma once

#include "base/macro.h"

#define LOG_MARK_MAX 128

/* Writes the line for that many bytes cut since the beginning into ret; returns its length. */
size_t log_mark_format(char ret[static LOG_MARK_MAX], uint64_t cut);

/* Bytes cut by the file's first line, and that line's length; 0 and 0 where nothing was. The file's offset stays where it is. */
uint64_t log_mark_read(int fd, uint64_t *ret_len);
