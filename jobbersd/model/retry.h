/* retry.h: when a failed task runs again (SPEC 2, "Backoff"). Pure. */
#pragma once

#include "base/macro.h"

typedef enum BackoffStrategy {
        BACKOFF_CONSTANT,
        BACKOFF_LINEAR,
        BACKOFF_EXPONENTIAL,
        BACKOFF_EXPONENTIAL_JITTER,
        _BACKOFF_MAX,
} BackoffStrategy;

const char *backoff_to_string(BackoffStrategy s);
BackoffStrategy backoff_from_string(const char *s);     /* _BACKOFF_MAX when unknown */

/* Delay before retry number n (1, 2, …) in microseconds: base b: b; b·n; b·2ⁿ; uniform(0, b·2ⁿ) with `random`
 * (any 64 bits) as its source; capped at max; saturates instead of overflowing. */
usec_t retry_delay(BackoffStrategy strategy, usec_t base, usec_t max, unsigned n, uint64_t random);
