/* textfile.h: how configuration files are found and read: links are followed, only regular files count, and an empty file or
 * /dev/null means "as if it were not there" (a mask). */
#pragma once

#include <sys/stat.h>

#include "base/macro.h"

/* 0 and the text (NUL-terminated, caller frees); 1 for a mask, with nothing; -EFBIG above `max` bytes; -EINVAL for what is neither
 * regular nor /dev/null; -errno of open and read. *ret_st (may be NULL) is of the file that was read. */
int text_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct stat *ret_st);

/* The names in `dir` that end in `suffix` and have more than that, hidden ones left out, sorted. NULL-terminated, strv_free. No such
 * directory is an empty list. -errno. */
int text_file_list(const char *dir, const char *suffix, char ***ret);
