/* test-clock.c: times out of and into text, against the C library's calendar; the shiftable clocks. */
#include "base/clock.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

static void assert_time(const char *s, const char *canonical) {
        char buf[CLOCK_STR_MAX];
        usec_t t;

        assert_int_equal(clock_parse(s, &t), 0);
        assert_string_equal(clock_format(t, buf), canonical);
}

static void format_agrees_with_libc(void **state) {
        /* A step of a bit over a day, not a multiple of anything: every month, leap days and both ends of days. */
        for (uint64_t sec = 0; sec < 253402300800ULL; sec += 99991 * 7) {
                char buf[CLOCK_STR_MAX], want[80];
                usec_t back, t = sec * USEC_PER_SEC + sec % USEC_PER_SEC;
                time_t tt = (time_t) sec;
                struct tm tm;

                gmtime_r(&tt, &tm);
                snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                         tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned) (sec % USEC_PER_SEC));
                assert_string_equal(clock_format(t, buf), want);
                assert_int_equal(clock_parse(buf, &back), 0);
                assert_true(back == t);
        }
}

static void format_every_day_of_some_years(void **state) {
        char buf[CLOCK_STR_MAX], want[80];

        /* 1999-12-01 … 2005, and the turn of a century that has no leap day (2100). */
        for (unsigned day = 0; day < 2000; day++)
                for (unsigned era = 0; era < 2; era++) {
                        time_t tt = (time_t) ((era ? 46751 : 10926) + day) * 86400 + 86399;
                        struct tm tm;

                        gmtime_r(&tt, &tm);
                        strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.999999Z", &tm);
                        assert_string_equal(clock_format((usec_t) tt * USEC_PER_SEC + 999999, buf), want);
                }
}

static void format_ends(void **state) {
        char buf[CLOCK_STR_MAX];

        assert_string_equal(clock_format(0, buf), "1970-01-01T00:00:00.000000Z");
        assert_string_equal(clock_format(USEC_INFINITY, buf), "9999-12-31T23:59:59.999999Z");
        assert_ptr_equal(clock_format(1, buf), buf);
}

static void parse_accepts(void **state) {
        assert_time("2026-03-12T10:00:00Z", "2026-03-12T10:00:00.000000Z");
        assert_time("2026-03-12t10:00:00z", "2026-03-12T10:00:00.000000Z");
        assert_time("2026-03-12 10:00:00", "2026-03-12T10:00:00.000000Z");
        assert_time("2026-03-12T10:00:00.5+02:00", "2026-03-12T08:00:00.500000Z");
        assert_time("2026-03-12T10:00:00-0530", "2026-03-12T15:30:00.000000Z");
        assert_time("2026-03-12T23:30:00-01:00", "2026-03-13T00:30:00.000000Z");
        assert_time("2024-02-29T00:00:00.123456789Z", "2024-02-29T00:00:00.123456Z");
        assert_time("2000-02-29T00:00:00.000001", "2000-02-29T00:00:00.000001Z");
        assert_time("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z");
        assert_time("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00.000000Z");
        assert_time("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z");
        assert_time("1969-12-31T23:59:59.5Z", "1970-01-01T00:00:00.000000Z");
        assert_time("1970-01-01T00:00:00+00:01", "1970-01-01T00:00:00.000000Z");
        assert_time("0000-02-29T00:00:00Z", "1970-01-01T00:00:00.000000Z");
        assert_time("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z");
}

static void parse_refuses(void **state) {
        static const char *const bad[] = {
                "", "2026", "2026-03-12", "2026-03-12T10:00", "2026-03-12T10:00Z", "2026-3-12T10:00:00Z",
                "2026-03-12T10:00:00Zx", "2026-03-12T10:00:00 Z", " 2026-03-12T10:00:00Z", "2026-03-12T10:00:00Z ",
                "2026-03-12_10:00:00Z", "2026-00-12T10:00:00Z", "2026-13-12T10:00:00Z", "2026-03-00T10:00:00Z",
                "2026-03-32T10:00:00Z", "2026-04-31T10:00:00Z", "2025-02-29T10:00:00Z", "2100-02-29T10:00:00Z",
                "2026-03-12T24:00:00Z", "2026-03-12T10:60:00Z", "2026-03-12T10:00:60Z", "2026-03-12T10:00:61Z",
                "2026-03-12T10:00:00.Z", "2026-03-12T10:00:00.1234567890Z", "2026-03-12T10:00:00,5Z",
                "2026-03-12T10:00:00+24:00", "2026-03-12T10:00:00+02:60", "2026-03-12T10:00:00+02", "2026-03-12T10:00:00+2:00",
                "2026-03-12T10:00:00+", "2026-03-12T10:00:00+02:00Z", "1969-13-31T23:59:59Z", "1969-02-29T00:00:00Z", "1969-12-31T23:59:60Z",
                "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "-026-03-12T10:00:00Z", "now", "1773309600",
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                usec_t t = 42;

                if (clock_parse(bad[i], &t) != -EINVAL || t != 42)
                        fail_msg("\"%s\" was accepted, or changed the result", bad[i]);
        }
}

static void spans(void **state) {
        static const struct {
                usec_t span;
                const char *text;
        } cases[] = {
                { 0, "0s" }, { 1, "1us" }, { 999, "999us" }, { 1000, "1ms" }, { 1500, "1.5ms" }, { 120000, "120ms" },
                { 999999, "999.999ms" }, { 1000000, "1s" }, { 1500000, "1.5s" }, { 1050000, "1.05s" }, { 1000001, "1s" },
                { 59999999, "59.999s" }, { 60000000, "1min" }, { 182 * USEC_PER_SEC, "3min 2s" },
                { 3600 * USEC_PER_SEC, "1h" }, { 3659 * USEC_PER_SEC, "1h" }, { 7500 * USEC_PER_SEC, "2h 5min" },
                { 86400 * USEC_PER_SEC, "1d" }, { 97200 * USEC_PER_SEC, "1d 3h" }, { USEC_INFINITY, "infinity" },
                { USEC_INFINITY - 1, "213503982d 8h" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char buf[CLOCK_STR_MAX];

                assert_string_equal(clock_format_span(cases[i].span, buf), cases[i].text);
        }
}

static void clocks_run_and_shift(void **state) {
        usec_t wall = clock_wall(), boot = clock_boot();
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        assert_in_range(wall, (usec_t) ts.tv_sec * USEC_PER_SEC - 60 * USEC_PER_SEC, (usec_t) (ts.tv_sec + 1) * USEC_PER_SEC);
        assert_true(clock_boot() >= boot);

        clock_shift(-3600 * (int64_t) USEC_PER_SEC, 7200 * (int64_t) USEC_PER_SEC);
        assert_in_range(clock_wall(), wall - 3600 * USEC_PER_SEC, wall - 3540 * USEC_PER_SEC);
        assert_in_range(clock_boot(), boot + 7200 * USEC_PER_SEC, boot + 7260 * USEC_PER_SEC);
        clock_shift(0, 0);
        assert_in_range(clock_boot(), boot, boot + 60 * USEC_PER_SEC);
}

static void boot_id(void **state) {
        const char *id = clock_boot_id();
        char text[64] = "", joined[64] = "";
        FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

        assert_non_null(f);
        assert_non_null(fgets(text, sizeof text, f));
        fclose(f);
        for (char *p = text, *q = joined; *p; p++)
                if (*p != '-' && *p != '\n')
                        *q++ = *p;
        assert_int_equal(strlen(id), 32);
        assert_string_equal(id, joined);
        assert_ptr_equal(clock_boot_id(), id);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(format_agrees_with_libc), cmocka_unit_test(format_every_day_of_some_years),
                cmocka_unit_test(format_ends),             cmocka_unit_test(parse_accepts),
                cmocka_unit_test(parse_refuses),           cmocka_unit_test(spans),
                cmocka_unit_test(clocks_run_and_shift),    cmocka_unit_test(boot_id),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
