/* journal-send.c: systemd.io/JOURNAL_NATIVE_PROTOCOL. The socket is connected, since only then does it poll by the queue of its peer; so it has
 * to be connected again after a journald whose socket was closed. A mere restart of journald is not such a case: its socket stays with PID 1. */
#include "base/journal-send.h"

#include <endian.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"

#define SEND_BUFFER (8 * 1024 * 1024)   /* as libsystemd's: the length of journald's queue decides, and not its bytes */

static int connect_journal(void) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int size = SEND_BUFFER, r;

        if (fd < 0)
                return -errno;
        r = fd_connect_unix(fd, JOURNAL_SOCKET);
        if (r < 0)
                return r;
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
                (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        return TAKE_FD(fd);
}

static int send_once(int fd, struct iovec *iov, size_t n) {
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = n };
        ssize_t k;

        do
                k = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (k < 0 && errno == EINTR);
        return k < 0 ? -errno : 0;
}

int journal_send(int *fd, const struct iovec *fields, size_t n) {
        struct iovec iov[5 * JOURNAL_FIELDS_MAX], newline = { (char *) "\n", 1 };
        uint64_t lengths[JOURNAL_FIELDS_MAX];
        size_t k = 0;
        int r;

        if (n > JOURNAL_FIELDS_MAX)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                char *text = fields[i].iov_base, *sign = memchr(text, '=', fields[i].iov_len);

                if (!sign)
                        return -EINVAL;
                if (memchr(text, '\n', fields[i].iov_len)) {
                        size_t name_len = (size_t) (sign - text), value_len = fields[i].iov_len - name_len - 1;

                        lengths[i] = htole64(value_len);
                        iov[k++] = (struct iovec) { text, name_len };
                        iov[k++] = newline;
                        iov[k++] = (struct iovec) { &lengths[i], sizeof lengths[i] };
                        iov[k++] = (struct iovec) { sign + 1, value_len };
                } else
                        iov[k++] = fields[i];
                iov[k++] = newline;
        }
        for (bool again = *fd >= 0;; again = false) {
                if (*fd < 0) {
                        r = connect_journal();
                        if (r < 0)
                                return r;
                        *fd = r;
                }
                r = send_once(*fd, iov, k);
                if (r != -ECONNREFUSED && r != -ENOTCONN && r != -ECONNRESET && r != -EPIPE)
                        return r;
                *fd = fd_close(*fd);
                if (!again)
                        return r;
        }
}

int journal_wait(int fd, usec_t until) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int r;

        do {
                usec_t now = clock_boot();

                if (now >= until)
                        return -ETIMEDOUT;
                r = poll(&p, 1, (int) MIN((until - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t) 60000));
        } while (r == 0 || (r < 0 && errno == EINTR));
        return r < 0 ? -errno : 0;
}
