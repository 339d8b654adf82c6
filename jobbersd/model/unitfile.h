/* unitfile.h: a reader for systemd's unit-file syntax: sections, KEY=VALUE, comments (# or ;) at line start,
 * continuation by a trailing backslash (comment lines inside a continuation are skipped). Fuzzed. */
#pragma once

#include "base/macro.h"

/* Called per assignment, in order; value has no surrounding blanks; "" is an empty assignment. section is "" before the
 * first header. Called with key NULL for each section header, so that an empty section can be told from none. Return < 0 to stop. */
typedef int (*unitfile_assign_fn)(void *userdata, unsigned line, const char *section, const char *key, const char *value);
/* Called per syntax error or by the owner for a bad value: one sentence without a full stop. */
typedef void (*unitfile_error_fn)(void *userdata, unsigned line, const char *sentence);

#define UNITFILE_SIZE_MAX (1024 * 1024)
#define UNITFILE_LINE_MAX (64 * 1024)

/* Reads text (need not be NUL-terminated; NUL bytes and invalid UTF-8 are errors). Returns the number of syntax errors (>= 0) or
 * what the callback returned below 0. */
int unitfile_parse(const char *text, size_t len, unitfile_assign_fn assign, unitfile_error_fn error, void *userdata);
