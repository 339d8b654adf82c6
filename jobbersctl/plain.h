/* plain.h: what a task printed, fit for a terminal: root looks at the output of others, which must not move the cursor, clear what stands
 * there or answer in root's name. As with journalctl, escape sequences are left out; other control characters but newline and tab become
 * blanks. */
#pragma once

#include "base/macro.h"

typedef enum PlainState {
        PLAIN_TEXT,
        PLAIN_RETURN,           /* behind a carriage return, which is part of a newline or a blank */
        PLAIN_C2,               /* behind the first byte of a C1 control character, or of a letter */
        PLAIN_ESCAPE,           /* behind ESC */
        PLAIN_SEQUENCE,         /* in ESC [ … */
        PLAIN_STRING,           /* in ESC ] … and its like */
        PLAIN_STRING_ESCAPE,    /* in its end, ESC \ */
} PlainState;

typedef struct Plain {
        PlainState state;       /* a text may come in pieces */
} Plain;

#define PLAIN_ROOM(n) (2 * (n))
/* Writes what is left of `n` bytes to `out`, which has PLAIN_ROOM(n); returns how many that are. */
size_t plain_text(Plain *p, const char *data, size_t n, char *out);
