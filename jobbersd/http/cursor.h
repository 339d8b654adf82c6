/* cursor.h: where a page of a list ended, as the opaque word of `next` and `?cursor=`. It names the last row that was shown, not a
 * position: rows that come and go in between neither shift nor repeat the rest. */
#pragma once

#include "store/store.h"

#define CURSOR_STR_MAX (ULID_LEN + 2)
char *cursor_format(const TaskFilter *f, const Task *last, char buf[static CURSOR_STR_MAX]);
/* -EINVAL for anything that cursor_format has not made for this order. */
int cursor_parse(const char *s, TaskFilter *f);
