/* ulid.h: task ids. 48 bits of wall-clock milliseconds, 80 random bits; 26 characters of Crockford's base 32. */
#pragma once

#include "base/macro.h"

typedef struct Ulid {
        uint8_t b[16];
} Ulid;

#define ULID_LEN 26
#define ULID_STR_MAX (ULID_LEN + 1)

/* A new id; ids made by one process within a millisecond still ascend. -errno only if the kernel gives no randomness. */
int ulid_new(Ulid *ret);
/* Accepts lower case and Crockford's aliases (I and L for 1, O for 0). -EINVAL for anything that is not
 * exactly 26 such characters or exceeds 128 bits. ret may be NULL (check only). */
int ulid_parse(const char *s, Ulid *ret);
/* Canonical form, upper case. Returns buf. */
char *ulid_format(const Ulid *id, char buf[static ULID_STR_MAX]);
static inline int ulid_cmp(const Ulid *a, const Ulid *b) {
        return memcmp(a->b, b->b, sizeof a->b);
}
