/* utf8.h: what tasks and files hand us as text, before it is shown to anybody: JSON can carry nothing but UTF-8. */
#pragma once

#include "base/macro.h"

/* Length of the sequence at s (1 to 4), 0 when it is none within n bytes. Strict: no long forms, no surrogates. n > 0. */
size_t utf8_length(const char *s, size_t n);
/* In place: each byte that belongs to no sequence becomes a question mark. */
void utf8_clean(char *s);
/* In place, valid UTF-8: what a terminal may take for a command (C0 but for newline and tab, DEL, C1) becomes a blank. May get shorter. */
void utf8_disarm(char *s);
/* A copy of at most `max` bytes, cut between characters; NULL without memory. */
char *utf8_copy(const char *s, size_t max);
