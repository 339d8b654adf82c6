/* ulid.c: ids that sort by the time they were made. The 26 characters hold 130 bits, so the first may not exceed 7. */
#include "base/ulid.h"

#include <sys/random.h>

#include "base/clock.h"

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static int fill_random(void *data, size_t n) {
        for (;;) {
                ssize_t k = getrandom(data, n, 0);

                /* Requests of up to 256 bytes come whole or not at all. */
                if (k == (ssize_t) n)
                        return 0;
                if (k < 0 && errno != EINTR)
                        return -errno;
        }
}

int ulid_new(Ulid *ret) {
        static Ulid last;
        static uint64_t last_ms = UINT64_MAX;
        uint64_t ms = clock_wall() / USEC_PER_MSEC;
        int r;

        if (ms == last_ms) {
                /* The last one plus one: the carry runs into the time after 2^80 ids, which is not this millisecond. */
                for (size_t i = sizeof last.b; i-- > 0 && ++last.b[i] == 0;)
                        ;
        } else {
                Ulid fresh;

                r = fill_random(fresh.b + 6, sizeof fresh.b - 6);
                if (r < 0)
                        return r;
                for (unsigned i = 0; i < 6; i++)
                        fresh.b[i] = (uint8_t) (ms >> (40 - 8 * i));
                last = fresh;
                last_ms = ms;
        }
        *ret = last;
        return 0;
}

/* The value of a character, above 31 for none. */
static unsigned digit_value(char c) {
        static const uint8_t values[256] = {    /* one more than the value, so that 0 is "none" */
                ['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9,
                ['9'] = 10, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['G'] = 17,
                ['H'] = 18, ['J'] = 19, ['K'] = 20, ['M'] = 21, ['N'] = 22, ['P'] = 23, ['Q'] = 24, ['R'] = 25,
                ['S'] = 26, ['T'] = 27, ['V'] = 28, ['W'] = 29, ['X'] = 30, ['Y'] = 31, ['Z'] = 32,
                ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['g'] = 17,
                ['h'] = 18, ['j'] = 19, ['k'] = 20, ['m'] = 21, ['n'] = 22, ['p'] = 23, ['q'] = 24, ['r'] = 25,
                ['s'] = 26, ['t'] = 27, ['v'] = 28, ['w'] = 29, ['x'] = 30, ['y'] = 31, ['z'] = 32,
                ['I'] = 2, ['i'] = 2, ['L'] = 2, ['l'] = 2, ['O'] = 1, ['o'] = 1,
        };

        return (unsigned) values[(uint8_t) c] - 1U;
}

int ulid_parse(const char *s, Ulid *ret) {
        Ulid id;
        unsigned acc, bits = 3;
        size_t n = 0;

        acc = digit_value(s[0]);
        if (acc > 7)
                return -EINVAL;
        for (size_t i = 1; i < ULID_LEN; i++) {
                unsigned v = digit_value(s[i]);         /* the terminating NUL is no digit: ends here */

                if (v > 31)
                        return -EINVAL;
                acc = (acc << 5 | v) & 0xfff;
                bits += 5;
                if (bits >= 8) {
                        bits -= 8;
                        id.b[n++] = (uint8_t) (acc >> bits);
                }
        }
        if (s[ULID_LEN])
                return -EINVAL;
        if (ret)
                *ret = id;
        return 0;
}

char *ulid_format(const Ulid *id, char buf[static ULID_STR_MAX]) {
        unsigned acc = 0, bits = 2;     /* two zero bits in front make 130 */
        size_t n = 0;

        for (size_t i = 0; i < sizeof id->b; i++) {
                acc = (acc << 8 | id->b[i]) & 0xfff;
                bits += 8;
                while (bits >= 5) {
                        bits -= 5;
                        buf[n++] = digits[acc >> bits & 31];
                }
        }
        buf[n] = 0;
        return buf;
}
