/* journal.h: a task's stream to journald, and waiting until journald has read what was said. Nothing here waits for longer than it says. */
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/clock.h"

/* A connected stream, on which nothing waits. `identifier` names the lines; `unit` is whose they are when the process that wrote one
 * is gone before journald looks at it: journald takes that word from root only. The descriptor, or -errno. */
int journal_stream_open(const char *identifier, const char *unit);
/* How many bytes it has taken; -EAGAIN: no room now; -errno. `as`: whose lines they are: it has to be there, if only as a zombie (-ESRCH), and to
 * speak for somebody else takes a privilege (-EPERM). NULL: ours. */
ssize_t journal_stream_send(int fd, const struct iovec *parts, size_t n, const struct ucred *as);
/* Ends an unfinished line and returns when journald has taken all in, or after `patience`. 0, -ETIMEDOUT, -errno. */
int journal_stream_settle(int fd, const struct ucred *as, usec_t patience);
/* The same for entries of journal_send(): from whomever, they stand in one line. */
int journal_messages_settle(usec_t patience);
