/* journal.h: a task's stream to journald, and waiting until journald has read what was said. */
#pragma once

#include "base/clock.h"

/* A connected stream for standard output and error. `identifier` names the lines; `unit` is whose they are when the process that wrote one
 * is gone before journald looks at it: journald takes that word from root only. The descriptor, or -errno. */
int journal_stream_open(const char *identifier, const char *unit);
/* The writers are gone: ends an unfinished line and returns when journald has taken all in, or after `patience`. 0, -ETIMEDOUT, -errno. */
int journal_stream_settle(int fd, usec_t patience);
/* The same for entries of journal_send(): from whomever, they stand in one line. */
int journal_messages_settle(usec_t patience);
