/* notify.h: what a task says through NOTIFY_SOCKET: parsing (fuzzed), and receiving with proof of who sent it. */
#pragma once

#include "base/macro.h"

#define NOTIFY_SIZE_MAX 4096
#define NOTIFY_STATUS_MAX 1024          /* bytes kept of a STATUS= */

typedef struct NotifyMessage {
        bool watchdog;
        bool has_status;
        char status[NOTIFY_STATUS_MAX + 1];     /* valid UTF-8, control characters replaced by blanks */
        int progress;                           /* 0..100, -1 none */
        usec_t extend;                          /* EXTEND_TIMEOUT_USEC, 0 none */
} NotifyMessage;

/* Any bytes; what is not understood is skipped. */
void notify_parse(const char *data, size_t len, NotifyMessage *ret);

/* One datagram without waiting: 1, 0 when there is none (or passed_busy()), -errno. Descriptors that came along are to be closed, by
 * notify_datagram_close, after the message was processed: that is what BARRIER=1 waits for. sender 0: unknown. */
#define NOTIFY_FDS_MAX 253              /* SCM_MAX_FD: the kernel passes no more, so nothing is cut off and lost */
typedef struct NotifyDatagram {
        char data[NOTIFY_SIZE_MAX + 1];
        size_t len;
        pid_t sender;
        int fds[NOTIFY_FDS_MAX];
        size_t n_fds;
} NotifyDatagram;
int notify_receive(int fd, NotifyDatagram *ret);
void notify_datagram_close(NotifyDatagram *d);
/* Nobody is to be heard any more: takes what is still there, so that closing the socket closes nothing that makes us wait. False when
 * something does all the same; the socket must then stay open until the process ends. */
bool notify_finish(int fd);
