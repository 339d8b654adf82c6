/* clock.c: the two clocks, and times as people and JSON write them. Formatting is done several times for every HTTP
 * answer, hence plain arithmetic on days (the year is taken to begin in March, so that the leap day comes last)
 * rather than gmtime and strftime. */
#include "base/clock.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define SEC_PER_DAY 86400ULL
#define DAYS_PER_ERA 146097U            /* 400 years, after which the calendar repeats */
#define DAYS_TO_1970 719468U            /* from 0000-03-01 */
#define WALL_MAX (253402300800ULL * USEC_PER_SEC)       /* the first instant of the year 10000 */

static int64_t shift_wall, shift_boot;

static usec_t clock_read(clockid_t id, int64_t shift) {
        struct timespec ts;

        /* Cannot fail: both clocks exist on every kernel that has pidfds. */
        clock_gettime(id, &ts);
        return (usec_t) ((int64_t) ts.tv_sec * (int64_t) USEC_PER_SEC + ts.tv_nsec / 1000 + shift);
}

usec_t clock_wall(void) {
        return clock_read(CLOCK_REALTIME, shift_wall);
}

usec_t clock_boot(void) {
        return clock_read(CLOCK_BOOTTIME, shift_boot);
}

void clock_shift(int64_t wall, int64_t boot) {
        shift_wall = wall;
        shift_boot = boot;
}

const char *clock_boot_id(void) {
        static char id[33];
        static bool known;
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        if (known)
                return id;
        known = true;
        if (fd_read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 128, &text, NULL) < 0)
                return id;
        for (const char *p = text; *p && *p != '\n'; p++) {
                if (*p == '-')
                        continue;
                if (!isxdigit((unsigned char) *p) || n == sizeof id - 1) {
                        n = 0;
                        break;
                }
                id[n++] = (char) tolower((unsigned char) *p);
        }
        if (n != sizeof id - 1)
                memset(id, 0, sizeof id);
        return id;
}

/* Two decimal digits. */
static char *put2(char *p, unsigned v) {
        p[0] = (char) ('0' + v / 10 % 10);
        p[1] = (char) ('0' + v % 10);
        return p + 2;
}

char *clock_format(usec_t wall, char buf[static CLOCK_STR_MAX]) {
        uint64_t sec;
        unsigned usec, sod, z, doe, yoe, doy, mp, day, month, year;
        char *p = buf;

        if (wall >= WALL_MAX)
                wall = WALL_MAX - 1;
        sec = wall / USEC_PER_SEC;
        usec = (unsigned) (wall % USEC_PER_SEC);
        sod = (unsigned) (sec % SEC_PER_DAY);

        z = (unsigned) (sec / SEC_PER_DAY) + DAYS_TO_1970;
        doe = z % DAYS_PER_ERA;
        yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
        doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        mp = (5 * doy + 2) / 153;                       /* 0 is March */
        day = doy - (153 * mp + 2) / 5 + 1;
        month = mp < 10 ? mp + 3 : mp - 9;
        year = yoe + z / DAYS_PER_ERA * 400 + (month <= 2);

        p = put2(p, year / 100);
        p = put2(p, year % 100);
        *p++ = '-';
        p = put2(p, month);
        *p++ = '-';
        p = put2(p, day);
        *p++ = 'T';
        p = put2(p, sod / 3600);
        *p++ = ':';
        p = put2(p, sod / 60 % 60);
        *p++ = ':';
        p = put2(p, sod % 60);
        *p++ = '.';
        p = put2(p, usec / 10000);
        p = put2(p, usec / 100 % 100);
        p = put2(p, usec % 100);
        *p++ = 'Z';
        *p = 0;
        return buf;
}

/* Exactly n digits at *s, which is moved behind them. */
static int take_digits(const char **s, unsigned n, unsigned *ret) {
        unsigned v = 0;

        for (unsigned i = 0; i < n; i++) {
                if (!isdigit((unsigned char) (*s)[i]))
                        return -EINVAL;
                v = v * 10 + (unsigned) ((*s)[i] - '0');
        }
        *s += n;
        *ret = v;
        return 0;
}

static bool take_char(const char **s, char c) {
        if (**s != c)
                return false;
        (*s)++;
        return true;
}

static unsigned days_of_month(unsigned year, unsigned month) {
        static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
                return 29;
        return days[month - 1];
}

/* Days since 1970-01-01; the year is 1970 or later. */
static int64_t days_from_civil(unsigned year, unsigned month, unsigned day) {
        unsigned y = year - (month <= 2), yoe = y % 400;
        unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

        return (int64_t) (y / 400 * DAYS_PER_ERA + yoe * 365 + yoe / 4 - yoe / 100 + doy) - DAYS_TO_1970;
}

/* Nothing, "Z", "+05:30" or "+0530": seconds east of Greenwich. */
static int take_offset(const char **s, int64_t *ret) {
        unsigned h, m;
        bool west;

        *ret = 0;
        if (!**s || take_char(s, 'Z') || take_char(s, 'z'))
                return 0;
        west = **s == '-';
        if (!take_char(s, '-') && !take_char(s, '+'))
                return -EINVAL;
        if (take_digits(s, 2, &h) < 0)
                return -EINVAL;
        (void) take_char(s, ':');
        if (take_digits(s, 2, &m) < 0 || h > 23 || m > 59)
                return -EINVAL;
        *ret = (int64_t) (h * 3600 + m * 60) * (west ? -1 : 1);
        return 0;
}

int clock_parse(const char *s, usec_t *ret_wall) {
        unsigned year, month, day, hour, minute, second, usec = 0, scale = 100000;
        int64_t t, offset;

        if (take_digits(&s, 4, &year) < 0 || !take_char(&s, '-') ||
            take_digits(&s, 2, &month) < 0 || !take_char(&s, '-') ||
            take_digits(&s, 2, &day) < 0 || (!take_char(&s, 'T') && !take_char(&s, 't') && !take_char(&s, ' ')) ||
            take_digits(&s, 2, &hour) < 0 || !take_char(&s, ':') ||
            take_digits(&s, 2, &minute) < 0 || !take_char(&s, ':') ||
            take_digits(&s, 2, &second) < 0)
                return -EINVAL;
        if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
            hour > 23 || minute > 59 || second > 60)
                return -EINVAL;
        if (take_char(&s, '.')) {
                unsigned n = 0;

                for (; isdigit((unsigned char) *s); s++, n++) {
                        usec += (unsigned) (*s - '0') * scale;  /* past the sixth digit scale is 0 */
                        scale /= 10;
                }
                if (n < 1 || n > 9)
                        return -EINVAL;
        }
        if (take_offset(&s, &offset) < 0 || *s)
                return -EINVAL;

        t = year < 1970 ? -1 : days_from_civil(year, month, day) * (int64_t) SEC_PER_DAY + hour * 3600 + minute * 60 + second - offset;
        /* A leap second stands at the end of a UTC day only; it becomes the first second of the next. */
        if (second == 60 && t % (int64_t) SEC_PER_DAY != 0)
                return -EINVAL;
        if (t >= 0 && (usec_t) t >= WALL_MAX / USEC_PER_SEC)
                return -EINVAL;
        *ret_wall = t < 0 ? 0 : (usec_t) t * USEC_PER_SEC + usec;
        return 0;
}

/* "1.5s": v thousandths of a unit, without zeros at the end. */
static void format_thousandths(char *buf, uint64_t v, const char *unit) {
        unsigned frac = (unsigned) (v % 1000), digits = 3;

        for (; digits > 0 && frac % 10 == 0; digits--)
                frac /= 10;
        if (digits > 0)
                snprintf(buf, CLOCK_STR_MAX, "%u.%0*u%s", (unsigned) (v / 1000), (int) digits, frac, unit);
        else
                snprintf(buf, CLOCK_STR_MAX, "%u%s", (unsigned) (v / 1000), unit);
}

char *clock_format_span(usec_t span, char buf[static CLOCK_STR_MAX]) {
        static const struct {
                const char *name, *next_name;
                uint64_t sec, next_sec;
        } units[] = {
                { "d", "h", SEC_PER_DAY, 3600 },
                { "h", "min", 3600, 60 },
                { "min", "s", 60, 1 },
        };
        uint64_t sec = span / USEC_PER_SEC;

        if (span == USEC_INFINITY)
                snprintf(buf, CLOCK_STR_MAX, "infinity");
        else if (span == 0)
                snprintf(buf, CLOCK_STR_MAX, "0s");
        else if (span < USEC_PER_MSEC)
                snprintf(buf, CLOCK_STR_MAX, "%uus", (unsigned) span);
        else if (span < USEC_PER_SEC)
                format_thousandths(buf, span, "ms");
        else if (sec < 60)
                format_thousandths(buf, span / 1000, "s");
        else
                /* From a minute on the two largest units say enough. */
                for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                        uint64_t rest = sec % units[i].sec / units[i].next_sec;

                        if (sec < units[i].sec)
                                continue;
                        if (rest > 0)
                                snprintf(buf, CLOCK_STR_MAX, "%llu%s %llu%s", (unsigned long long) (sec / units[i].sec),
                                         units[i].name, (unsigned long long) rest, units[i].next_name);
                        else
                                snprintf(buf, CLOCK_STR_MAX, "%llu%s", (unsigned long long) (sec / units[i].sec),
                                         units[i].name);
                        break;
                }
        return buf;
}
