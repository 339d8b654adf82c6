/* notify.c: sd_notify datagrams of tasks. Everything in them is untrusted; the sender is who the kernel says it is. */
#include "jobbers-run/notify.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "jobbers-run/passed.h"
#include "model/utf8.h"

#define FINISH_MAX 4096                 /* more than a socket holds; another task of the same user may go on sending */

/* What is not text becomes "?", control characters blanks; a long one ends at a whole character. */
static void status_copy(char to[static NOTIFY_STATUS_MAX + 1], const char *s, size_t n) {
        size_t used = 0;
        for (size_t i = 0; i < n;) {
                size_t len = utf8_length(s + i, n - i);
                size_t take = len ?: 1;
                if (used + take > NOTIFY_STATUS_MAX)
                        break;
                if (len == 0)
                        to[used++] = '?';
                else if (s[i] == '\0' || s[i] == '\t')         /* a newline ended it */
                        to[used++] = ' ';
                else {
                        memcpy(to + used, s + i, len);
                        used += len;
                }
                i += take;
        }
        to[used] = '\0';
        utf8_disarm(to);
}

/* A decimal number that is all of the value. */
static bool number_parse(const char *s, size_t n, uint64_t *ret) {
        char buf[24];
        if (n == 0 || n >= sizeof buf)
                return false;
        memcpy(buf, s, n);
        buf[n] = '\0';
        return strlen(buf) == n && parse_u64(buf, ret) >= 0;
}

static bool starts(const char *line, size_t n, const char *key, const char **ret_value, size_t *ret_len) {
        size_t k = strlen(key);
        if (n < k || memcmp(line, key, k) != 0)
                return false;
        *ret_value = line + k;
        *ret_len = n - k;
        return true;
}

void notify_parse(const char *data, size_t len, NotifyMessage *ret) {
        *ret = (NotifyMessage) { .progress = -1 };
        for (size_t at = 0; at < len;) {
                const char *line = data + at, *value;
                const char *end = memchr(line, '\n', len - at);
                size_t n = end ? (size_t) (end - line) : len - at, value_len;
                uint64_t number;

                at += n + 1;
                if (n == strlen("WATCHDOG=1") && memcmp(line, "WATCHDOG=1", n) == 0)
                        ret->watchdog = true;
                else if (starts(line, n, "STATUS=", &value, &value_len)) {
                        ret->has_status = true;
                        status_copy(ret->status, value, value_len);
                } else if (starts(line, n, "X_JOBBERS_PROGRESS=", &value, &value_len)) {
                        if (number_parse(value, value_len, &number) && number <= 100)
                                ret->progress = (int) number;
                } else if (starts(line, n, "EXTEND_TIMEOUT_USEC=", &value, &value_len)) {
                        if (number_parse(value, value_len, &number) && number < USEC_INFINITY)
                                ret->extend = number;
                }
        }
}

int notify_receive(int fd, NotifyDatagram *ret) {
        union {
                struct cmsghdr align;
                char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(NOTIFY_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = ret->data, .iov_len = NOTIFY_SIZE_MAX };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
        ssize_t n;

        ret->n_fds = 0;
        ret->sender = 0;
        if (passed_busy() >= 0)
                return 0;
        do
                n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level != SOL_SOCKET)
                        continue;
                if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
                        struct ucred sender;
                        memcpy(&sender, CMSG_DATA(c), sizeof sender);
                        ret->sender = sender.pid;
                } else if (c->cmsg_type == SCM_RIGHTS) {
                        size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                        for (size_t i = 0; i < k; i++) {
                                int passed;
                                memcpy(&passed, CMSG_DATA(c) + i * sizeof passed, sizeof passed);
                                if (ret->n_fds < NOTIFY_FDS_MAX)
                                        ret->fds[ret->n_fds++] = passed;
                        }
                }
        }
        /* Cut short: half a message says nothing. */
        ret->len = message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? 0 : (size_t) n;
        ret->data[ret->len] = '\0';
        return 1;
}

void notify_datagram_close(NotifyDatagram *d) {
        passed_close(d->fds, d->n_fds);
        d->n_fds = 0;
}

bool notify_finish(int fd) {
        static NotifyDatagram rest;
        for (unsigned i = 0; i < FINISH_MAX && passed_finish() && notify_receive(fd, &rest) > 0; i++)
                notify_datagram_close(&rest);
        return passed_finish();
}
