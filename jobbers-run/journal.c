/* journal.c: what libsystemd does not offer. Its stream cannot say whose output it carries, so that a line of a process which ended at once
 * would belong to nobody, and it waits for room; and journald reads when it comes to it, while the log of a task has to be complete once the
 * task is final. `journalctl --sync` would be an answer for that and forces the whole journal to disk, each time. The kernel knows it for
 * nothing: how many bytes of a socket its reader has not taken yet. */
#include "jobbers-run/journal.h"

#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/journal-send.h"
#include "base/str.h"

#define STREAM_SOCKET "/run/systemd/journal/stdout"
#define LOOK_FIRST 20U                  /* µs; journald is awake by then, mostly */
#define LOOK_LAST (10 * USEC_PER_MSEC)

int journal_stream_open(const char *identifier, const char *unit) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        int r = fd_connect_unix(fd, STREAM_SOCKET);
        if (r < 0)
                return r;
        (void) shutdown(fd, SHUT_RD);
        /* Identifier, unit, priority, whether "<3>" at the start of a line is one, and three places to copy lines to. */
        _cleanup_free_ char *head = str_new("%s\n%s\n%d\n0\n0\n0\n0\n", identifier, unit, LOG_INFO);
        if (!head)
                return -ENOMEM;
        r = fd_write_all(fd, head, strlen(head));
        return r < 0 ? r : TAKE_FD(fd);
}

ssize_t journal_stream_send(int fd, const struct iovec *parts, size_t n, const struct ucred *as) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof *as)];
        } control = {};
        struct msghdr m = { .msg_iov = (struct iovec *) parts, .msg_iovlen = n };
        ssize_t k;

        if (as) {
                control.header = (struct cmsghdr) { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS, .cmsg_len = CMSG_LEN(sizeof *as) };
                memcpy(CMSG_DATA(&control.header), as, sizeof *as);
                m.msg_control = &control;
                m.msg_controllen = sizeof control.space;
        }
        do
                k = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (k < 0 && errno == EINTR);
        return k < 0 ? -errno : k;
}

/* Nothing tells when a reader has read; so look, at growing intervals. */
static int taken_wait(int fd, usec_t until) {
        for (usec_t pause = LOOK_FIRST;; pause = MIN(pause * 2, LOOK_LAST)) {
                int left;
                if (ioctl(fd, SIOCOUTQ, &left) < 0)
                        return -errno;
                if (left == 0)
                        return 0;
                if (clock_boot() >= until)
                        return -ETIMEDOUT;
                (void) usleep((useconds_t) pause);
        }
}

int journal_stream_settle(int fd, const struct ucred *as, usec_t patience) {
        usec_t until = clock_boot() + patience;
        /* journald leaves out empty lines. Twice: that the second was read proves that the line which the first has ended is written. */
        const struct iovec empty_line = { (char *) "\n", 1 };
        for (unsigned said = 0; said < 2;) {
                int r = (int) journal_stream_send(fd, &empty_line, 1, as);
                if (r >= 0)
                        said++;
                else if (r != -EAGAIN)          /* which means that there will be room soon */
                        return r;
                r = taken_wait(fd, until);
                if (r < 0)
                        return r;
        }
        return 0;
}

int journal_messages_settle(usec_t patience) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        usec_t until = clock_boot() + patience;
        if (fd < 0)
                return -errno;
        int r = fd_connect_unix(fd, JOURNAL_SOCKET);
        if (r < 0)
                return r;
        /* A message without a field is none; its place in the line is behind all others. Twice, as above. */
        for (unsigned i = 0; i < 2; i++) {
                while (send(fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                        if (errno != EAGAIN)
                                return -errno;
                        if (clock_boot() >= until)
                                return -ETIMEDOUT;
                        (void) usleep(LOOK_LAST);
                }
                r = taken_wait(fd, until);
                if (r < 0)
                        return r;
        }
        return 0;
}
