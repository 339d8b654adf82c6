/* json-dump.h: a JSON value as text, with the numbers that people wrote: 19.99, where jansson would say 19.989999999999998. */
#pragma once

#include <jansson.h>

/* As json_dumps, but each real number is the shortest text that reads back as the same number. Caller frees; NULL without memory. */
char *json_dump_text(const json_t *value, size_t flags);
