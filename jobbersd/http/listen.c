/* listen.c: binds what the settings say, or takes what systemd has bound. All of it happens while we may still be root: the socket file
 * is made for the group, ports below 1024 are possible. */
#include "http/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#define BACKLOG 1024

int listen_parse(const char *s, char **ret_host, char **ret_port) {
        const char *colon = strrchr(s, ':');
        uint64_t port;

        if (!colon || parse_u64(colon + 1, &port) < 0 || port > 65535)
                return -EINVAL;
        _cleanup_free_ char *host = NULL, *number = str_new("%u", (unsigned) port);
        if (s[0] == '[') {
                if (colon < s + 3 || colon[-1] != ']')
                        return -EINVAL;
                host = strndup(s + 1, (size_t) (colon - s - 2));
        } else if (memchr(s, ':', (size_t) (colon - s)))
                return -EINVAL;                         /* a v6 address needs its brackets */
        else if (colon > s && !STREQ(s, "*"))
                host = strndup(s, (size_t) (colon - s));
        if (!number || (colon > s && !host))
                return -ENOMEM;
        if (host && STREQ(host, "*"))
                host = (free(host), NULL);
        *ret_host = TAKE_PTR(host);
        *ret_port = TAKE_PTR(number);
        return 0;
}

static bool v4_mapped(const struct sockaddr_storage *a) {
        return a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *) a)->sin6_addr);
}

void listen_host(const struct sockaddr_storage *a, char *buf, size_t n) {
        const struct sockaddr_in6 *v6 = (const void *) a;

        buf[0] = '\0';
        if (a->ss_family == AF_INET)
                (void) inet_ntop(AF_INET, &((const struct sockaddr_in *) a)->sin_addr, buf, (socklen_t) n);
        else if (v4_mapped(a))
                (void) inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, buf, (socklen_t) n);
        else if (a->ss_family == AF_INET6)
                (void) inet_ntop(AF_INET6, &v6->sin6_addr, buf, (socklen_t) n);
}

bool listen_is_loopback(const struct sockaddr_storage *a) {
        const struct sockaddr_in6 *v6 = (const void *) a;

        if (a->ss_family == AF_INET)
                return ntohl(((const struct sockaddr_in *) a)->sin_addr.s_addr) >> 24 == 127;
        if (v4_mapped(a))
                return v6->sin6_addr.s6_addr[12] == 127;
        return a->ss_family == AF_UNIX || (a->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
}

static Listener *listeners_add(Listeners *ls, int fd) {
        Listener *l = reallocarray(ls->l, ls->n + 1, sizeof *l);
        if (!l)
                return NULL;
        ls->l = l;
        l = &ls->l[ls->n++];
        *l = (Listener) { .fd = fd };
        return l;
}

/* Fills in what is to be known of a bound socket. */
static int listener_describe(Listener *l) {
        struct sockaddr_storage a = {};
        socklen_t len = sizeof a;
        char host[INET6_ADDRSTRLEN];

        if (getsockname(l->fd, (struct sockaddr *) &a, &len) < 0)
                return -errno;
        l->is_unix = a.ss_family == AF_UNIX;
        l->loopback = listen_is_loopback(&a);
        if (l->is_unix && !l->address)
                l->address = strndup(((struct sockaddr_un *) &a)->sun_path, sizeof ((struct sockaddr_un *) &a)->sun_path);
        else if (!l->is_unix) {
                unsigned port = ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *) &a)->sin_port : ((struct sockaddr_in6 *) &a)->sin6_port);
                listen_host(&a, host, sizeof host);
                l->address = str_new(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
        }
        return l->address ? 0 : -ENOMEM;
}

/* ── Unix sockets ── */

/* A socket file without anybody behind it is a leftover; anything else at the path is not ours to remove. */
static int remove_stale(const char *path) {
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        int r = fd_connect_unix(fd, path);
        if (r != -ECONNREFUSED)
                return r == -ENOENT ? 0 : -EADDRINUSE;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_unix(Listeners *ls, const char *path, const Settings *settings, const Identity *identity) {
        mode_t mode = settings->user_mode ? 0600 : 0660;
        struct stat st;
        int r;

        if (path[0] != '/') {
                log_error("--listen=unix:%s: the path must be absolute", path);
                return -EINVAL;
        }
        r = remove_stale(path);
        if (r == -EADDRINUSE)
                return log_error_errno(r, "cannot listen on %s: another process serves it", path);
        if (r == -EEXIST) {
                log_error("cannot listen on %s: there is a file that is not a socket; move it away", path);
                return r;
        }
        if (r < 0)
                return log_error_errno(r, "cannot replace %s", path);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return log_error_errno(errno, "cannot make a socket");
        mode_t old = umask(0177);                       /* nobody connects before mode and group are right */
        r = fd_bind_unix(fd, path);
        (void) umask(old);
        if (r < 0)
                return log_error_errno(r, "cannot listen on %s", path);
        if ((geteuid() == 0 && !settings->user_mode && lchown(path, 0, identity->gid) < 0) || chmod(path, mode) < 0 ||
            lstat(path, &st) < 0 || listen(fd, BACKLOG) < 0)
                return log_error_errno(errno, "cannot listen on %s", path);

        Listener *l = listeners_add(ls, fd);
        if (!l)
                return log_oom();
        (void) TAKE_FD(fd);
        l->path = strdup(path);
        l->address = strdup(path);
        l->dev = st.st_dev;
        l->ino = st.st_ino;
        if (!l->path || !l->address)
                return log_oom();
        return listener_describe(l);
}

/* ── TCP ── */

static int bind_one(Listeners *ls, const struct addrinfo *a, const char *host, const char *what) {
        _cleanup_close_ int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int on = 1;

        if (fd < 0)
                return log_error_errno(errno, "cannot make a socket for %s", what);
        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (a->ai_family == AF_INET6)
                (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return errno == EADDRINUSE ? -EADDRINUSE : log_error_errno(errno, "cannot listen on %s", what);
        Listener *l = listeners_add(ls, fd);
        if (!l)
                return log_oom();
        (void) TAKE_FD(fd);
        l->name = host ? strdup(host) : NULL;
        return listener_describe(l);
}

/* Nobody asked for the default address, which is the packaged daemon's as well: a user's own does without it. */
static int address_taken(const Settings *settings, const char *what) {
        if (settings->user_mode && settings->listen_is_default) {
                log_warning("another program listens on %s, so only %s is served; for TCP as well choose a port: --listen=unix:%s --listen=127.0.0.1:PORT",
                            what, settings->api_socket, settings->api_socket);
                return 0;
        }
        log_error("cannot listen on %s: another program listens there; choose another address with --listen=", what);
        return -EADDRINUSE;
}

static int bind_tcp(Listeners *ls, const char *what, const Settings *settings) {
        _cleanup_free_ char *host = NULL, *port = NULL;
        struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *all;
        int r = listen_parse(what, &host, &port);

        if (r < 0) {
                log_error("--listen=%s: say host:port, [v6]:port or unix:/path", what);
                return r;
        }
        int g = getaddrinfo(host, port, &hints, &all);
        if (g != 0) {
                log_error("--listen=%s: %s", what, gai_strerror(g));
                return -EADDRNOTAVAIL;
        }
        for (const struct addrinfo *a = all; a && r >= 0; a = a->ai_next)
                r = bind_one(ls, a, host, what);
        freeaddrinfo(all);
        return r == -EADDRINUSE ? address_taken(settings, what) : r;
}

/* ── all ── */

static int take_systemd(Listeners *ls) {
        int n = sd_listen_fds(1);

        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
                if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
                        log_error("descriptor %d that systemd passed is no listening stream socket", fd);
                        return -EINVAL;
                }
                Listener *l = listeners_add(ls, fd);
                if (!l)
                        return log_oom();
                int r = listener_describe(l);
                /* systemd hands them over blocking, and connections are accepted until there are none. */
                if (r >= 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
                        r = -errno;
                if (r < 0)
                        return log_error_errno(r, "cannot use descriptor %d that systemd passed", fd);
        }
        return n;
}

static int check_exposure(const Listeners *ls, const Settings *settings) {
        const char *socket = NULL;
        bool tcp = false;

        for (size_t i = 0; i < ls->n; i++) {
                tcp = tcp || !ls->l[i].is_unix;
                socket = ls->l[i].is_unix ? ls->l[i].address : socket;
                if (ls->l[i].loopback)
                        continue;
                if (settings->no_auth) {
                        log_error("--no-auth is refused: %s can be reached from other hosts", ls->l[i].address);
                        return -EPERM;
                }
                log_warning("%s can be reached from other hosts, and the token travels in clear text: put a TLS proxy in front of it",
                            ls->l[i].address);
        }
        if (settings->no_auth && geteuid() == 0) {
                log_error("--no-auth is refused for root: any process on this host could then run tasks; use the socket %s%s",
                          socket ?: "instead: --listen=unix:", socket ? "" : settings->api_socket);
                return -EPERM;
        }
        if (settings->no_auth && tcp)
                log_warning("--no-auth: every process on this host may use the API");
        return 0;
}

int listeners_open(Listeners *ls, const Settings *settings, const Identity *identity) {
        int r = take_systemd(ls);

        if (r < 0)
                return r;
        bool bind_own = r == 0 || !settings->listen_is_default;
        for (char *const *s = settings->listen; bind_own && s && *s; s++) {
                r = strncmp(*s, "unix:", 5) == 0 ? bind_unix(ls, *s + 5, settings, identity) : bind_tcp(ls, *s, settings);
                if (r < 0)
                        return r;
        }
        if (ls->n == 0) {
                log_error("there is no address to listen on: say --listen=127.0.0.1:8000");
                return -EINVAL;
        }
        return check_exposure(ls, settings);
}

static void listener_close(Listener *l) {
        struct stat st;

        l->source = sd_event_source_disable_unref(l->source);
        if (l->path && lstat(l->path, &st) >= 0 && st.st_dev == l->dev && st.st_ino == l->ino)
                (void) unlink(l->path);                 /* may not be ours to remove any more; then it is found stale */
        l->fd = fd_close(l->fd);
        free(l->name);
        free(l->address);
        free(l->path);
}

void listeners_close(Listeners *ls) {
        for (size_t i = 0; i < ls->n; i++)
                listener_close(&ls->l[i]);
        free(ls->l);
        *ls = (Listeners) {};
}

int listeners_describe(const Listeners *ls, Str *b) {
        for (size_t i = 0; i < ls->n; i++)
                (void) str_printf(b, "%s%s", i > 0 ? ", " : "", ls->l[i].address);
        return b->failed ? -ENOMEM : 0;
}
