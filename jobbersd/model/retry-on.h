/* retry-on.h: RetryOn= (SPEC 3): which failures are expected. Words: an exit status by number or sysexits name, a signal by its SIG
 * name, "oom", or an error type as tasks name it in {"error": {"type": …}}. A word that is one of the first three but for its case or its
 * SIG is no error type. */
#pragma once

#include "base/str.h"
#include "model/definition.h"

/* "TEMPFAIL" for 75 and so on, as in <sysexits.h> without the EX_; NULL for a status without a name. */
const char *exit_status_name(int status);

/* Adds one word. -EINVAL with the reason (caller frees); -ENOMEM. */
int retry_on_add(RetryOn *r, const char *word, char **ret_reason);
void retry_on_clear(RetryOn *r);
/* Appends the words, parted by blanks, always in the same order. */
void retry_on_print(Str *b, const RetryOn *r);

bool retry_on_has_status(const RetryOn *r, int status);
bool retry_on_has_signal(const RetryOn *r, int signal);
bool retry_on_has_type(const RetryOn *r, const char *type);     /* NULL is in no set */
