/* clock.h: every time the house reads comes from here, so that tests can set it. Wall time stamps records;
 * boot time (CLOCK_BOOTTIME: monotonic, counts suspend) decides delays, timeouts and windows (SPEC 2). */
#pragma once

#include "base/macro.h"

usec_t clock_wall(void);
usec_t clock_boot(void);
/* Tests only: shift what the two functions above return, in microseconds. */
void clock_shift(int64_t wall, int64_t boot);

/* This boot's id, 32 lower-case hex digits; "" if unreadable. Read once, kept. */
const char *clock_boot_id(void);

/* RFC 3339, UTC, microseconds, ending in Z: "2026-03-12T10:00:00.000000Z". Returns buf. */
#define CLOCK_STR_MAX 32
char *clock_format(usec_t wall, char buf[static CLOCK_STR_MAX]);
/* RFC 3339 with any offset, 0 to 9 digits of fraction, 'T' or blank; no offset means UTC. Up to the year 9999; what is before
 * 1970 becomes the first moment of that year. -EINVAL. */
int clock_parse(const char *s, usec_t *ret_wall);
/* "1.5s", "3min 2s", "120ms": for sentences people read. Returns buf. */
char *clock_format_span(usec_t span, char buf[static CLOCK_STR_MAX]);
