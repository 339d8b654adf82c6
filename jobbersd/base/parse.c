/* parse.c: the values of settings, definitions and queries: numbers, sizes, spans of time, signals. One place, so that
 * "512M" and "5min" mean the same everywhere, and so that one fuzzer finds what is wrong with them. */
#include <ctype.h>
#include <signal.h>

#include "base/str.h"

/* The digits at *s, which is moved behind them; -EINVAL without any. */
static int take_u64(const char **s, uint64_t *ret) {
        uint64_t v = 0;
        const char *p = *s;

        if (!isdigit((unsigned char) *p))
                return -EINVAL;
        for (; isdigit((unsigned char) *p); p++)
                if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (unsigned) (*p - '0'), &v))
                        return -ERANGE;
        *s = p;
        *ret = v;
        return 0;
}

/* Digits, and what stands behind a decimal point as a number of `ret_scale`-ths (1 without a point). From the tenth
 * digit on a fraction is read but not counted. */
static int take_decimal(const char **s, uint64_t *ret_whole, uint64_t *ret_part, uint64_t *ret_scale) {
        const char *p = *s;
        uint64_t whole, part = 0, scale = 1;
        int r;

        r = take_u64(&p, &whole);
        if (r < 0)
                return r;
        if (*p == '.') {
                if (!isdigit((unsigned char) *++p))
                        return -EINVAL;
                for (; isdigit((unsigned char) *p); p++)
                        if (scale < 1000000000) {
                                part = part * 10 + (unsigned) (*p - '0');
                                scale *= 10;
                        }
        }
        *s = p;
        *ret_whole = whole;
        *ret_part = part;
        *ret_scale = scale;
        return 0;
}

/* whole.part units, in the smallest unit; UINT64_MAX itself means infinity and is out of range. */
static int scale_decimal(uint64_t whole, uint64_t part, uint64_t scale, uint64_t unit, uint64_t *ret) {
        unsigned __int128 v = (unsigned __int128) whole * unit + (unsigned __int128) part * unit / scale;

        if (v >= UINT64_MAX)
                return -ERANGE;
        *ret = (uint64_t) v;
        return 0;
}

int parse_u64(const char *s, uint64_t *ret) {
        uint64_t v;
        int r;

        r = take_u64(&s, &v);
        if (*s && r == 0)
                return -EINVAL;
        if (r < 0)
                /* "99…9x" is no number, whatever its size */
                return r == -ERANGE && s[strspn(s, "0123456789")] ? -EINVAL : r;
        *ret = v;
        return 0;
}

int parse_i64(const char *s, int64_t *ret) {
        bool negative = *s == '-';
        uint64_t v;
        int r;

        if (negative || *s == '+')
                s++;
        r = parse_u64(s, &v);
        if (r < 0)
                return r;
        if (v > (uint64_t) INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t) (0 - v) : (int64_t) v;
        return 0;
}

int parse_bool(const char *s, bool *ret) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
                if (strcasecmp(s, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (strcasecmp(s, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        }
        return -EINVAL;
}

int parse_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGT";
        uint64_t whole, part, scale, unit = 1;
        int r;

        if (STREQ(s, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        r = take_decimal(&s, &whole, &part, &scale);
        if (r < 0)
                return r;
        if (*s) {
                const char *k = strchr(suffixes, *s);

                if (!k || s[1])
                        return -EINVAL;
                unit = 1ULL << 10 * (k - suffixes + 1);
        } else if (scale > 1)
                return -EINVAL;         /* no fractions of a byte */
        return scale_decimal(whole, part, scale, unit, ret);
}

static const struct {
        const char *name;
        usec_t usec;
} span_units[] = {
        { "usec", 1 }, { "us", 1 }, { "µs", 1 }, { "μs", 1 },
        { "msec", 1000 }, { "ms", 1000 },
        { "seconds", USEC_PER_SEC }, { "second", USEC_PER_SEC }, { "sec", USEC_PER_SEC }, { "s", USEC_PER_SEC },
        { "minutes", 60 * USEC_PER_SEC }, { "minute", 60 * USEC_PER_SEC }, { "min", 60 * USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "hours", 3600 * USEC_PER_SEC }, { "hour", 3600 * USEC_PER_SEC }, { "hr", 3600 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "days", 86400 * USEC_PER_SEC }, { "day", 86400 * USEC_PER_SEC }, { "d", 86400 * USEC_PER_SEC },
        { "weeks", 604800 * USEC_PER_SEC }, { "week", 604800 * USEC_PER_SEC }, { "w", 604800 * USEC_PER_SEC },
        { "months", 2629800 * USEC_PER_SEC }, { "month", 2629800 * USEC_PER_SEC }, { "M", 2629800 * USEC_PER_SEC },
        { "years", 31557600 * USEC_PER_SEC }, { "year", 31557600 * USEC_PER_SEC }, { "y", 31557600 * USEC_PER_SEC },
};

/* A unit's name reaches to the next digit or blank. */
static int take_span_unit(const char **s, usec_t *ret) {
        size_t n = strcspn(*s, "0123456789 \t");

        for (size_t i = 0; i < ARRAY_SIZE(span_units); i++)
                if (strlen(span_units[i].name) == n && memcmp(span_units[i].name, *s, n) == 0) {
                        *s += n;
                        *ret = span_units[i].usec;
                        return 0;
                }
        return -EINVAL;
}

int parse_span(const char *s, usec_t *ret) {
        usec_t total = 0;

        if (STREQ(s, "infinity")) {
                *ret = USEC_INFINITY;
                return 0;
        }
        do {
                uint64_t whole, part, scale;
                usec_t unit = USEC_PER_SEC, v;
                int r;

                r = take_decimal(&s, &whole, &part, &scale);
                if (r < 0)
                        return r;
                if (*s) {
                        /* Text follows, so a unit must: "5 20" could mean anything. */
                        s += strspn(s, " \t");
                        r = take_span_unit(&s, &unit);
                        if (r < 0)
                                return r;
                        if (*s) {
                                s += strspn(s, " \t");
                                if (!*s)
                                        return -EINVAL;
                        }
                }
                r = scale_decimal(whole, part, scale, unit, &v);
                if (r < 0)
                        return r;
                if (__builtin_add_overflow(total, v, &total) || total == USEC_INFINITY)
                        return -ERANGE;
        } while (*s);
        *ret = total;
        return 0;
}

int parse_percent(const char *s, uint64_t *ret) {
        uint64_t v;
        int r;

        r = take_u64(&s, &v);
        if (r < 0)
                return r;
        if (!STREQ(s, "%"))
                return -EINVAL;
        *ret = v;
        return 0;
}

int parse_permyriad(const char *s, uint64_t *ret) {
        uint64_t whole, part, scale;
        int r;

        r = take_decimal(&s, &whole, &part, &scale);
        if (r < 0)
                return r;
        if (!STREQ(s, "%") || part * 100 % scale != 0)
                return -EINVAL;
        return scale_decimal(whole, part, scale, 100, ret);
}

int parse_mode(const char *s, mode_t *ret) {
        mode_t m = 0;

        if (!*s || s[strspn(s, "01234567")])
                return -EINVAL;
        for (; *s; s++) {
                m = m << 3 | (mode_t) (*s - '0');
                if (m > 07777)
                        return -ERANGE;
        }
        *ret = m;
        return 0;
}

static const char *const signal_names[] = {
        [SIGHUP] = "SIGHUP", [SIGINT] = "SIGINT", [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL", [SIGTRAP] = "SIGTRAP",
        [SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS", [SIGFPE] = "SIGFPE", [SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",
        [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2", [SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",
        [SIGTERM] = "SIGTERM", [SIGSTKFLT] = "SIGSTKFLT", [SIGCHLD] = "SIGCHLD", [SIGCONT] = "SIGCONT",
        [SIGSTOP] = "SIGSTOP", [SIGTSTP] = "SIGTSTP", [SIGTTIN] = "SIGTTIN", [SIGTTOU] = "SIGTTOU",
        [SIGURG] = "SIGURG", [SIGXCPU] = "SIGXCPU", [SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM",
        [SIGPROF] = "SIGPROF", [SIGWINCH] = "SIGWINCH", [SIGIO] = "SIGIO", [SIGPWR] = "SIGPWR", [SIGSYS] = "SIGSYS",
};

/* By distance from SIGRTMIN, which is known at run time only. */
#define RT(n) "SIGRTMIN+" #n
static const char *const rt_names[] = {
        "SIGRTMIN", RT(1), RT(2), RT(3), RT(4), RT(5), RT(6), RT(7), RT(8), RT(9), RT(10), RT(11), RT(12), RT(13), RT(14),
        RT(15), RT(16), RT(17), RT(18), RT(19), RT(20), RT(21), RT(22), RT(23), RT(24), RT(25), RT(26), RT(27), RT(28),
        RT(29), RT(30),
};

const char *signal_name(int signal) {
        if (signal > 0 && signal < (int) ARRAY_SIZE(signal_names) && signal_names[signal])
                return signal_names[signal];
        if (signal >= SIGRTMIN && signal <= SIGRTMAX && signal - SIGRTMIN < (int) ARRAY_SIZE(rt_names))
                return rt_names[signal - SIGRTMIN];
        return "SIG?";
}

/* "RTMIN", "RTMIN+3", "RTMAX-2" */
static int parse_rt_signal(const char *s) {
        uint64_t v = 0;
        bool from_max = strncmp(s, "RTMAX", 5) == 0;

        if (!from_max && strncmp(s, "RTMIN", 5) != 0)
                return -EINVAL;
        s += 5;
        if (*s && (*s != (from_max ? '-' : '+') || parse_u64(s + 1, &v) < 0))
                return -EINVAL;
        if (v > (uint64_t) (SIGRTMAX - SIGRTMIN))
                return -EINVAL;
        return from_max ? SIGRTMAX - (int) v : SIGRTMIN + (int) v;
}

int parse_signal(const char *s) {
        uint64_t v;

        if (isdigit((unsigned char) *s)) {
                if (parse_u64(s, &v) < 0 || v < 1 || v > (uint64_t) SIGRTMAX)
                        return -EINVAL;
                return (int) v;
        }
        if (strncmp(s, "SIG", 3) == 0)
                s += 3;
        for (size_t i = 1; i < ARRAY_SIZE(signal_names); i++)
                if (signal_names[i] && STREQ(s, signal_names[i] + 3))
                        return (int) i;
        return parse_rt_signal(s);
}
