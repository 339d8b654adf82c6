/* hash.h: FNV-1a, 64 bits: names a definition's text and an instance's directory. Not against malice: the launcher reads definitions
 * itself, and a hash only asks whether both sides have read the same. */
#pragma once

#include "base/macro.h"

static inline uint64_t hash_text(const char *s) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);
        for (; *s; s++)
                h = (h ^ (unsigned char) *s) * UINT64_C(0x100000001b3);
        return h;
}
