/* fd-socket.c: descriptors over sockets, and Unix sockets whose path is longer than an address can hold. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

int fd_send(int sock, const void *data, size_t n, const int *fds, size_t n_fds, int flags) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
        } control = {};
        struct iovec iov = { (void *) data, n };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t k;

        if (n_fds > FD_PASS_MAX)
                return -EINVAL;
        if (n_fds > 0) {
                control.header = (struct cmsghdr) {
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
                };
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        }
        do
                k = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        return (size_t) k == n ? 0 : -EMSGSIZE;         /* a stream took a part; datagrams go whole */
}

/* Keeps the first FD_PASS_MAX descriptors of a message, closes the others. */
static size_t take_fds(struct msghdr *m, int fds[static FD_PASS_MAX]) {
        size_t n_fds = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
                        if (n_fds < FD_PASS_MAX)
                                fds[n_fds++] = fd;
                        else
                                (void) fd_close(fd);
                }
        }
        return n_fds;
}

ssize_t fd_recv(int sock, void *data, size_t n, int fds[static FD_PASS_MAX], size_t *n_fds, int flags) {
        union {
                struct cmsghdr header;
                /* With room for the credentials that come as well where SO_PASSCRED is set. */
                char space[CMSG_SPACE(sizeof(int) * FD_PASS_MAX) + CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec iov = { data, n };
        struct msghdr m;
        size_t got;
        ssize_t k;

        *n_fds = 0;
        for (size_t i = 0; i < FD_PASS_MAX; i++)
                fds[i] = -1;
        do {
                m = (struct msghdr) {
                        .msg_iov = &iov, .msg_iovlen = 1,
                        .msg_control = &control, .msg_controllen = sizeof control,
                };
                k = recvmsg(sock, &m, flags | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC);
        } while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        got = take_fds(&m, fds);
        if (k == 0 || (m.msg_flags & MSG_TRUNC)) {
                /* Nobody looks for descriptors at the end, or beside a message that is not whole. */
                for (size_t i = 0; i < got; i++)
                        fds[i] = fd_close(fds[i]);
                return k == 0 ? 0 : -EMSGSIZE;
        }
        *n_fds = got;
        return k;
}

/* The address of a path. A long one goes through its directory, whose descriptor *ret_dir must stay open until used. */
static int unix_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_len, int *ret_dir) {
        _cleanup_close_ int dir = -1;
        _cleanup_free_ char *dir_path = NULL;
        const char *slash;
        size_t n = strlen(path);
        int k;

        if (n == 0)
                return -EINVAL;         /* an empty path would mean an automatic abstract address */
        *ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
        if (n < sizeof ret->sun_path)
                memcpy(ret->sun_path, path, n + 1);
        else {
                slash = strrchr(path, '/');
                if (!slash)
                        return -ENAMETOOLONG;
                dir_path = slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
                if (!dir_path)
                        return -ENOMEM;
                dir = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (dir < 0)
                        return -errno;
                k = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", dir, slash + 1);
                if (k < 0 || (size_t) k >= sizeof ret->sun_path)
                        return -ENAMETOOLONG;
                n = (size_t) k;
        }
        *ret_len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + 1);
        *ret_dir = TAKE_FD(dir);
        return 0;
}

int fd_bind_unix(int sock, const char *path) {
        _cleanup_close_ int dir = -1;
        struct sockaddr_un address;
        socklen_t len;
        int r;

        r = unix_address(path, &address, &len, &dir);
        if (r < 0)
                return r;
        return bind(sock, (struct sockaddr *) &address, len) < 0 ? -errno : 0;
}

int fd_connect_unix(int sock, const char *path) {
        _cleanup_close_ int dir = -1;
        struct sockaddr_un address;
        socklen_t len;
        int r;

        r = unix_address(path, &address, &len, &dir);
        if (r < 0)
                return r;
        return connect(sock, (struct sockaddr *) &address, len) < 0 ? -errno : 0;
}
