/* test-parse.c: the value parsers. Every refusal also checks that the result was left alone. */
#include "base/str.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

typedef struct Case {
        const char *text;
        int r;
        uint64_t value;
} Case;

static void check(const char *what, int (*parse)(const char *s, uint64_t *ret), const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                uint64_t v = 0xabcdef;
                int r = parse(cases[i].text, &v);

                if (r != cases[i].r || v != (r == 0 ? cases[i].value : 0xabcdef))
                        fail_msg("%s(\"%s\"): %d, %" PRIu64, what, cases[i].text, r, v);
        }
}

static void u64(void **state) {
        static const Case cases[] = {
                { "0", 0, 0 }, { "7", 0, 7 }, { "0042", 0, 42 }, { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE }, { "99999999999999999999999", -ERANGE },
                { "99999999999999999999999x", -EINVAL }, { "", -EINVAL }, { "-1", -EINVAL }, { "+1", -EINVAL }, { " 1", -EINVAL },
                { "1 ", -EINVAL }, { "0x10", -EINVAL }, { "1.0", -EINVAL }, { "1e3", -EINVAL }, { "one", -EINVAL },
        };

        check("parse_u64", parse_u64, cases, ARRAY_SIZE(cases));
}

static int i64_as_u64(const char *s, uint64_t *ret) {
        return parse_i64(s, (int64_t *) ret);
}

static void i64(void **state) {
        static const Case cases[] = {
                { "0", 0, 0 }, { "-0", 0, 0 }, { "+5", 0, 5 }, { "-5", 0, (uint64_t) -5 },
                { "9223372036854775807", 0, INT64_MAX }, { "-9223372036854775808", 0, (uint64_t) INT64_MIN },
                { "9223372036854775808", -ERANGE }, { "-9223372036854775809", -ERANGE }, { "99999999999999999999", -ERANGE },
                { "", -EINVAL }, { "-", -EINVAL }, { "--1", -EINVAL }, { "+-1", -EINVAL }, { "- 1", -EINVAL }, { "1-", -EINVAL },
        };

        check("parse_i64", i64_as_u64, cases, ARRAY_SIZE(cases));
}

static int bool_as_u64(const char *s, uint64_t *ret) {
        bool b;
        int r = parse_bool(s, &b);

        if (r == 0)
                *ret = b;
        return r;
}

static void booleans(void **state) {
        static const Case cases[] = {
                { "1", 0, 1 }, { "yes", 0, 1 }, { "Y", 0, 1 }, { "True", 0, 1 }, { "t", 0, 1 }, { "ON", 0, 1 },
                { "0", 0, 0 }, { "no", 0, 0 }, { "n", 0, 0 }, { "FALSE", 0, 0 }, { "f", 0, 0 }, { "off", 0, 0 },
                { "", -EINVAL }, { "2", -EINVAL }, { "ye", -EINVAL }, { "yes ", -EINVAL }, { "00", -EINVAL }, { "enabled", -EINVAL },
        };

        check("parse_bool", bool_as_u64, cases, ARRAY_SIZE(cases));
}

static void sizes(void **state) {
        static const Case cases[] = {
                { "0", 0, 0 }, { "1024", 0, 1024 }, { "1K", 0, 1024 }, { "512M", 0, 512ULL << 20 }, { "2G", 0, 2ULL << 30 },
                { "3T", 0, 3ULL << 40 }, { "1.5G", 0, 3ULL << 29 }, { "0.5K", 0, 512 }, { "0.001K", 0, 1 },
                { "1.00000000000000000001K", 0, 1024 }, { "infinity", 0, UINT64_MAX }, { "16777215T", 0, 16777215ULL << 40 },
                { "16777216T", -ERANGE }, { "18446744073709551614", 0, UINT64_MAX - 1 }, { "18446744073709551615", -ERANGE },
                { "18446744073709551616", -ERANGE }, { "99999999999999999999G", -ERANGE },
                { "", -EINVAL }, { "K", -EINVAL }, { "1k", -EINVAL }, { "1KB", -EINVAL }, { "1 K", -EINVAL }, { "1.5", -EINVAL },
                { "1.K", -EINVAL }, { ".5K", -EINVAL }, { "-1", -EINVAL }, { "1K ", -EINVAL }, { " 1K", -EINVAL }, { "1..5K", -EINVAL },
                { "Infinity", -EINVAL }, { "1G 1M", -EINVAL }, { "50%", -EINVAL },
        };

        check("parse_size", parse_size, cases, ARRAY_SIZE(cases));
}

#define S USEC_PER_SEC
static void spans(void **state) {
        static const Case cases[] = {
                { "0", 0, 0 }, { "90", 0, 90 * S }, { "1.5", 0, 1500000 }, { "5min 20s", 0, 320 * S }, { "5min20s", 0, 320 * S },
                { "5 min\t20 s", 0, 320 * S }, { "1.5h", 0, 5400 * S }, { "120ms", 0, 120000 }, { "3us", 0, 3 }, { "3usec", 0, 3 },
                { "3µs", 0, 3 }, { "3μs", 0, 3 }, { "2msec", 0, 2000 }, { "1 second", 0, S }, { "2 seconds", 0, 2 * S },
                { "1sec", 0, S }, { "1m", 0, 60 * S }, { "2minutes", 0, 120 * S }, { "1minute", 0, 60 * S }, { "1hr", 0, 3600 * S },
                { "2 hours", 0, 7200 * S }, { "1hour", 0, 3600 * S }, { "1d", 0, 86400 * S }, { "1day", 0, 86400 * S },
                { "2days", 0, 172800 * S }, { "1w", 0, 604800 * S }, { "1week", 0, 604800 * S }, { "2weeks", 0, 1209600 * S },
                { "1M", 0, 2629800 * S }, { "1month", 0, 2629800 * S }, { "2months", 0, 5259600 * S }, { "1y", 0, 31557600 * S },
                { "1year", 0, 31557600 * S }, { "2 years", 0, 63115200 * S }, { "1y 12month", 0, 2 * 31557600 * S },
                { "1h 30", 0, 3630 * S }, { "55s500ms", 0, 55500000 }, { "0.000001s", 0, 1 }, { "0.0000001s", 0, 0 },
                { "infinity", 0, USEC_INFINITY },
                { "18446744073709551614us", 0, UINT64_MAX - 1 }, { "18446744073709551615us", -ERANGE },
                { "584543y", -ERANGE }, { "584000y 600y", -ERANGE }, { "18446744073709551614us 1us", -ERANGE },
                { "99999999999999999999", -ERANGE },
                { "", -EINVAL }, { " ", -EINVAL }, { "s", -EINVAL }, { "-5s", -EINVAL }, { "5s ", -EINVAL }, { " 5s", -EINVAL },
                { "5 ", -EINVAL }, { "5 20", -EINVAL }, { "5 20s", -EINVAL }, { "5x", -EINVAL }, { "5S", -EINVAL }, { "5minsec", -EINVAL },
                { "1.s", -EINVAL }, { ".5s", -EINVAL }, { "5s,", -EINVAL }, { "5s infinity", -EINVAL }, { "5m\xc2", -EINVAL },
        };

        check("parse_span", parse_span, cases, ARRAY_SIZE(cases));
}

static void percents(void **state) {
        static const Case cases[] = {
                { "0%", 0, 0 }, { "150%", 0, 150 }, { "18446744073709551615%", 0, UINT64_MAX },
                { "18446744073709551616%", -ERANGE }, { "150", -EINVAL }, { "%", -EINVAL }, { "", -EINVAL }, { "1.5%", -EINVAL },
                { "5 %", -EINVAL }, { "5%%", -EINVAL }, { "-5%", -EINVAL },
        };

        check("parse_percent", parse_percent, cases, ARRAY_SIZE(cases));
}

static void permyriads(void **state) {
        static const Case cases[] = {
                { "0%", 0, 0 }, { "150%", 0, 15000 }, { "12.5%", 0, 1250 }, { "0.01%", 0, 1 }, { "33.33%", 0, 3333 }, { "33.330%", 0, 3333 },
                { "184467440737095516%", 0, 18446744073709551600U }, { "184467440737095517%", -ERANGE },
                { "0.001%", -EINVAL }, { "12.5", -EINVAL }, { "12.%", -EINVAL }, { ".5%", -EINVAL }, { "%", -EINVAL }, { "", -EINVAL }, { "1,5%", -EINVAL },
                { "12.5 %", -EINVAL }, { "-1.5%", -EINVAL },
        };

        check("parse_permyriad", parse_permyriad, cases, ARRAY_SIZE(cases));
}

static int mode_as_u64(const char *s, uint64_t *ret) {
        mode_t m;
        int r = parse_mode(s, &m);

        if (r == 0)
                *ret = m;
        return r;
}

static void modes(void **state) {
        static const Case cases[] = {
                { "0", 0, 0 }, { "22", 0, 022 }, { "0077", 0, 077 }, { "7777", 0, 07777 }, { "00000644", 0, 0644 },
                { "10000", -ERANGE }, { "77777777777777777777777", -ERANGE }, { "8", -EINVAL }, { "", -EINVAL }, { "-1", -EINVAL },
                { "u=rw", -EINVAL }, { "0o22", -EINVAL }, { "22 ", -EINVAL },
        };

        check("parse_mode", mode_as_u64, cases, ARRAY_SIZE(cases));
}

static void signals(void **state) {
        static const char *const bad[] = {
                "", "SIG", "SIGFOO", "sigterm", "SIGSIGTERM", "0", "-1", "65", "15 ", "+15", "15x", "RTMIN+", "RTMIN-1", "RTMAX+1",
                "RTMIN+31", "RTMAX-31", "SIGRTMIN+x", "SIG?", "SIGRT", "99999999999999999999",
        };

        assert_int_equal(parse_signal("SIGTERM"), SIGTERM);
        assert_int_equal(parse_signal("TERM"), SIGTERM);
        assert_int_equal(parse_signal("15"), SIGTERM);
        assert_int_equal(parse_signal("SIGUSR2"), SIGUSR2);
        assert_int_equal(parse_signal("SIGRTMIN"), SIGRTMIN);
        assert_int_equal(parse_signal("RTMIN+3"), SIGRTMIN + 3);
        assert_int_equal(parse_signal("SIGRTMAX"), SIGRTMAX);
        assert_int_equal(parse_signal("SIGRTMAX-2"), SIGRTMAX - 2);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (parse_signal(bad[i]) != -EINVAL)
                        fail_msg("\"%s\" was accepted", bad[i]);

        assert_string_equal(signal_name(SIGKILL), "SIGKILL");
        assert_string_equal(signal_name(SIGRTMIN + 4), "SIGRTMIN+4");
        for (int s = 1; s <= SIGRTMAX; s++) {
                if (s >= 32 && s < SIGRTMIN) {
                        assert_string_equal(signal_name(s), "SIG?");    /* the C library's own */
                        continue;
                }
                assert_int_equal(parse_signal(signal_name(s)), s);
        }
        assert_string_equal(signal_name(0), "SIG?");
        assert_string_equal(signal_name(-3), "SIG?");
        assert_string_equal(signal_name(SIGRTMAX + 1), "SIG?");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(u64),   cmocka_unit_test(i64),      cmocka_unit_test(booleans), cmocka_unit_test(sizes),
                cmocka_unit_test(spans), cmocka_unit_test(percents), cmocka_unit_test(permyriads), cmocka_unit_test(modes),    cmocka_unit_test(signals),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
