/* retry.c: backoff, SPEC 2. Integers throughout: a delay that was computed once is computed alike for ever. */
#include "model/retry.h"

static const char *const names[_BACKOFF_MAX] = {
        [BACKOFF_CONSTANT] = "constant",
        [BACKOFF_LINEAR] = "linear",
        [BACKOFF_EXPONENTIAL] = "exponential",
        [BACKOFF_EXPONENTIAL_JITTER] = "exponential_jitter",
};

const char *backoff_to_string(BackoffStrategy s) {
        return (unsigned) s < _BACKOFF_MAX ? names[s] : NULL;
}

BackoffStrategy backoff_from_string(const char *s) {
        for (BackoffStrategy i = 0; s && i < _BACKOFF_MAX; i++)
                if (STREQ(names[i], s))
                        return i;
        return _BACKOFF_MAX;
}

static usec_t times(usec_t a, uint64_t b) {
        usec_t product;
        return __builtin_mul_overflow(a, b, &product) ? USEC_INFINITY : product;
}

usec_t retry_delay(BackoffStrategy strategy, usec_t base, usec_t max, unsigned n, uint64_t random) {
        usec_t delay = base;

        switch (strategy) {
        case BACKOFF_LINEAR:
                delay = times(base, n);
                break;
        case BACKOFF_EXPONENTIAL:
        case BACKOFF_EXPONENTIAL_JITTER:
                delay = times(base, n < 64 ? UINT64_C(1) << n : UINT64_MAX);
                /* The high half of random × (delay + 1) is uniform in 0 … delay. */
                if (strategy == BACKOFF_EXPONENTIAL_JITTER)
                        delay = (usec_t) ((unsigned __int128) random * ((unsigned __int128) delay + 1) >> 64);
                break;
        default:
                break;
        }
        return MIN(delay, max);
}
