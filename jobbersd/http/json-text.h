/* json-text.h: JSON written straight into a Str. Answers are built as text rather than as trees of objects: a submission's answer is
 * on the hot path, and results and parameters are kept as JSON text already. */
#pragma once

#include "base/clock.h"
#include "base/str.h"

/* A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD: what a task says about itself may be anything. NULL: null. */
void json_put_string(Str *b, const char *s);
/* Wall microseconds as a string, null when 0. */
void json_put_time(Str *b, usec_t wall);
void json_put_int(Str *b, int64_t v);

/* `"key":` with a comma before it unless an object or array has just been opened. Keys are literals: no escaping. */
void json_put_key(Str *b, const char *key);
/* A comma unless an array has just been opened. */
void json_put_next(Str *b);

static inline void json_put_key_string(Str *b, const char *key, const char *s) {
        json_put_key(b, key);
        json_put_string(b, s);
}
static inline void json_put_key_time(Str *b, const char *key, usec_t wall) {
        json_put_key(b, key);
        json_put_time(b, wall);
}
static inline void json_put_key_int(Str *b, const char *key, int64_t v) {
        json_put_key(b, key);
        json_put_int(b, v);
}
static inline void json_put_key_bool(Str *b, const char *key, bool v) {
        json_put_key(b, key);
        (void) str_append(b, v ? "true" : "false");
}
/* Text that is JSON already. NULL: `fallback`. */
static inline void json_put_key_raw(Str *b, const char *key, const char *json, const char *fallback) {
        json_put_key(b, key);
        (void) str_append(b, json ? json : fallback);
}
