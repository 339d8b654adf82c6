/* transport-unix.c: HTTP/1.1 as jobbersd speaks it on its Unix socket: see transport.h. A request is written whole; an answer has a length or
 * comes in chunks. The connection is kept for the next call. */
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "jobbersctl/transport.h"

#define HEAD_MAX (64U << 10)

typedef struct Answer {
        Call *call;
        int fd;
        usec_t deadline;                /* boot time; USEC_INFINITY: none */
        bool idle_told;
        char buf[32768];
        size_t at, end;                 /* what was read and not used yet */
        bool began;                     /* a byte of it has come */
} Answer;

/* ── reading ── */

static int wait_readable(Answer *a) {
        struct pollfd p = { .fd = a->fd, .events = POLLIN };
        for (;;) {
                usec_t now = clock_boot();
                bool tell = a->call->idle && !a->idle_told;
                int msec = tell ? IDLE_MSEC : -1;
                if (a->deadline != USEC_INFINITY) {
                        int left = now >= a->deadline ? 0 : (int) ((a->deadline - now + 999) / USEC_PER_MSEC);
                        msec = msec < 0 ? left : MIN(msec, left);
                }
                int n = poll(&p, 1, msec);
                if (n > 0)
                        return 0;
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (a->deadline != USEC_INFINITY && clock_boot() >= a->deadline)
                        return -ETIMEDOUT;
                if (n == 0 && tell) {
                        a->idle_told = true;
                        a->call->idle(a->call->userdata);
                }
        }
}

/* More bytes into buf. 0 at the end of the stream. */
static ssize_t fill(Answer *a) {
        if (a->at == a->end)
                a->at = a->end = 0;
        if (a->end == sizeof a->buf)
                return -EMSGSIZE;
        int r = wait_readable(a);
        if (r < 0)
                return r;
        ssize_t n = recv(a->fd, a->buf + a->end, sizeof a->buf - a->end, 0);
        if (n < 0)
                return -errno;
        a->end += (size_t) n;
        a->began |= n > 0;
        return n;
}

/* A line without its end into `line`; longer ones are cut. */
static int read_line(Answer *a, char *line, size_t size) {
        size_t n = 0;
        for (;;) {
                while (a->at < a->end) {
                        char c = a->buf[a->at++];
                        if (c == '\n') {
                                line[n > 0 && line[n - 1] == '\r' ? n - 1 : n] = '\0';
                                return 0;
                        }
                        if (n + 1 < size)
                                line[n++] = c;
                }
                ssize_t r = fill(a);
                if (r <= 0)
                        return r < 0 ? (int) r : -ECONNRESET;
        }
}

/* Passes n bytes on. -ECANCELED when the taker has enough. */
static int pass(Answer *a, uint64_t n) {
        while (n > 0) {
                if (a->at == a->end) {
                        ssize_t r = fill(a);
                        if (r <= 0)
                                return r < 0 ? (int) r : -ECONNRESET;
                }
                size_t some = (size_t) MIN((uint64_t) (a->end - a->at), n);
                if (a->call->data && !a->call->data(a->call->userdata, a->call->status, a->buf + a->at, some))
                        return -ECANCELED;
                a->at += some;
                n -= some;
        }
        return 0;
}

static int pass_chunks(Answer *a) {
        char line[64];
        for (;;) {
                int r = read_line(a, line, sizeof line);
                if (r < 0)
                        return r;
                char *end;
                errno = 0;
                unsigned long long n = strtoull(line, &end, 16);
                if (end == line || errno != 0)
                        return -EPROTO;
                if (n == 0)
                        break;
                r = pass(a, n);
                if (r >= 0)
                        r = read_line(a, line, sizeof line);    /* the end of line after a chunk */
                if (r < 0)
                        return r;
        }
        do {                            /* trailers */
                int r = read_line(a, line, sizeof line);
                if (r < 0)
                        return r;
        } while (*line);
        return 0;
}

/* The whole answer. *ret_keep: may the connection be used again? */
static int answer_read(Answer *a, bool *ret_keep) {
        uint64_t length = UINT64_MAX;
        bool chunked = false, keep = true;
        char line[1024];
        size_t head = 0;

        int r = read_line(a, line, sizeof line);
        if (r < 0)
                return r;
        if (sscanf(line, "HTTP/1.1 %3d", &a->call->status) != 1)
                return -EPROTO;
        for (;;) {
                r = read_line(a, line, sizeof line);
                if (r < 0)
                        return r;
                if (!*line)
                        break;
                if ((head += strlen(line)) > HEAD_MAX)
                        return -EMSGSIZE;
                char *value = strchr(line, ':');
                if (!value)
                        return -EPROTO;
                *value++ = '\0';
                value += strspn(value, " \t");
                if (strcasecmp(line, "Content-Length") == 0) {
                        if (parse_u64(value, &length) < 0)
                                return -EPROTO;
                } else if (strcasecmp(line, "Transfer-Encoding") == 0)
                        chunked = strcasecmp(value, "chunked") == 0;
                else if (strcasecmp(line, "Connection") == 0)
                        keep = strcasecmp(value, "close") != 0;
        }
        if (chunked)
                r = pass_chunks(a);
        else if (length != UINT64_MAX)
                r = pass(a, length);
        else {                          /* until the end of the stream */
                keep = false;
                while ((r = pass(a, 1)) >= 0)
                        ;
                r = r == -ECONNRESET ? 0 : r;
        }
        *ret_keep = keep && r >= 0;
        return r;
}

/* ── the call ── */

static int connect_to(const char *path) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r = fd < 0 ? -errno : fd_connect_unix(fd, path);
        return r < 0 ? r : TAKE_FD(fd);
}

static int request_write(int fd, const Call *c) {
        _cleanup_str_ Str s = { 0 };
        (void) str_printf(&s, "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: jobbersctl/%s\r\n", c->method, c->path, JOBBERS_VERSION);
        if (c->body)
                (void) str_printf(&s, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(c->body), c->body);
        else
                (void) str_append(&s, STREQ(c->method, "GET") ? "\r\n" : "Content-Length: 0\r\n\r\n");
        if (s.failed)
                return -ENOMEM;
        for (size_t done = 0; done < s.len;) {
                ssize_t n = send(fd, s.s + done, s.len - done, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t) n;
        }
        return 0;
}

static const char *reason_of(int r) {
        return r == -EPROTO || r == -EMSGSIZE ? "the answer is not valid" : r == -ENOMEM ? "no memory left" : "it closed the connection";
}

CallFault unix_call(UnixTransport *t, const char *socket_path, Call *call) {
        for (;;) {
                bool kept = t->fd >= 0, keep = false;
                if (!kept) {
                        t->fd = connect_to(socket_path);
                        if (t->fd < 0) {
                                call->error = -t->fd;
                                t->fd = -1;
                                return CALL_CONNECT;
                        }
                }
                Answer a = { .call = call, .fd = t->fd, .deadline = call->timeout_msec > 0 ? clock_boot() + (usec_t) call->timeout_msec * USEC_PER_MSEC : USEC_INFINITY };
                int r = request_write(t->fd, call), w = r;
                /* A refusal may come before the body is written; then it is there to be read. */
                if (r >= 0 || r == -EPIPE || r == -ECONNRESET)
                        r = answer_read(&a, &keep);
                if (!keep)
                        t->fd = fd_close(t->fd);
                if (r >= 0 || r == -ECANCELED)
                        return CALL_OK;
                /* A kept connection that was closed meanwhile: jobbersd did not see this request. */
                if (kept && !a.began && r != -ETIMEDOUT)
                        continue;
                if (r == -ETIMEDOUT)
                        return CALL_TIMEOUT;
                r = w < 0 && !a.began ? w : r;
                call->reason = reason_of(r);
                return r == -ECONNRESET || r == -EPIPE ? CALL_HUNG_UP : CALL_BROKEN;
        }
}
