/* journal-send.h: entries for journald, in its native protocol. Never waits, as sd_journal_sendv(3) does: a journald that does not read would stop
 * whoever has something to say. */
#pragma once

#include <sys/uio.h>

#include "base/macro.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define JOURNAL_FIELDS_MAX 10

/* The fields are "NAME=value"; a value may hold any byte. All of them go in one datagram: a few hundred KiB at most. *fd is the caller's, -1 at
 * first; it is connected when it is needed, and again when its other end is gone. 0; -EAGAIN: there is no room for it now; -errno. */
int journal_send(int *fd, const struct iovec *fields, size_t n);
/* After -EAGAIN *fd polls as POLLOUT when there is room, or nobody to make any. Waits for that, at most until then (boot): 0, -ETIMEDOUT, -errno. */
int journal_wait(int fd, usec_t until);
