/* result.h: what a task wrote to its result file (SPEC 4). Not trusted: any bytes may be there. */
#pragma once

#include "base/macro.h"

#define RESULT_DEPTH_MAX 32

/* A successful task's result: 0 and the object's compact text (NULL text, which is no file: "{}"); -EINVAL and one sentence that says what
 * it is instead; -ENOMEM. Numbers and the order of keys stay exactly as the task wrote them. Both are the caller's to free. */
int result_read(const char *text, size_t len, uint64_t max, char **ret_text, char **ret_sentence);
/* A failed task's {"error": {"type": …, "message": …}}: each NULL where it is not there, cut where it is very long. -ENOMEM. */
int result_read_error(const char *text, size_t len, uint64_t max, char **ret_type, char **ret_message);
