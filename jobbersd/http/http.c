/* http.c: the server: one MHD daemon without listeners or threads, driven by the daemon's loop.
 *
 * We accept ourselves and hand connections over, so that several addresses, systemd's sockets and a limit that makes room are one
 * thing. MHD's epoll descriptor is one source of the loop. MHD is only ever run without waiting: its own waiting loop stalls with
 * exactly 128 busy connections (it takes a full array of events for "there are more" and waits again). */
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "http/http-private.h"

#define ACCEPTS_AT_ONCE 64
#define UNIX_PLACES_MIN 32          /* however few TCP may have */
#define CLOSING_SLACK 256               /* connections that are shut down and not yet collected */

void http_again(Http *h) {
        h->work = true;
        if (h->again)
                (void) sd_event_source_set_enabled(h->again, SD_EVENT_ONESHOT);
}

/* Nothing to do but to wake the loop: the turn that follows commits and calls http_run. */
static int on_again(sd_event_source *s, void *userdata) {
        return 0;
}

static void run_once(Http *h) {
        MHD_UNSIGNED_LONG_LONG timeout;

        h->work = false;
        (void) MHD_run(h->mhd);
        if (MHD_get_timeout(h->mhd, &timeout) == MHD_YES && timeout == 0)
                h->work = true;
}

/* Twice: what is resumed in the first run queues its answer, the second writes it. */
void http_run(Http *h) {
        if (!h || !h->mhd)
                return;
        for (int i = 0; i < 2 && h->work; i++)
                run_once(h);
        if (h->work)
                http_again(h);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        Http *h = userdata;

        run_once(h);
        if (h->work)
                http_again(h);
        return 0;
}

/* ── accepting ── */

void http_listen(Http *h, Pool *p, bool on) {
        p->paused = !on;
        for (size_t i = 0; i < h->listeners.n; i++) {
                Listener *l = &h->listeners.l[i];
                if (l->source && (l->is_unix ? &h->unix_ : &h->tcp) == p)
                        (void) sd_event_source_set_enabled(l->source, on ? SD_EVENT_ON : SD_EVENT_OFF);
        }
}

static int on_retry(sd_event_source *s, uint64_t now, void *userdata) {
        Http *h = userdata;

        if (!h->stopping) {
                http_listen(h, &h->tcp, true);
                http_listen(h, &h->unix_, true);
        }
        return 0;
}

/* No descriptors left: the listener would only spin. */
static void pause_accepting(Http *h, Pool *p, int error) {
        log_warning_errno(error, "cannot accept connections; trying again in a second");
        http_listen(h, p, false);
        (void) sd_event_source_set_time_relative(h->retry, USEC_PER_SEC);
        (void) sd_event_source_set_enabled(h->retry, SD_EVENT_ONESHOT);
}

static int on_listener(sd_event_source *s, int listen_fd, uint32_t events, void *userdata) {
        Listener *l = userdata;
        Http *h = l->userdata;
        Pool *p = l->is_unix ? &h->unix_ : &h->tcp;

        for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
                Conn *idle;
                if (!pool_room(p, &idle)) {
                        http_listen(h, p, false);       /* until one of the busy ones has ended (conn_free) */
                        return 0;
                }
                struct sockaddr_storage a = {};
                socklen_t len = sizeof a;
                int fd = accept4(listen_fd, (struct sockaddr *) &a, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                                pause_accepting(h, p, errno);
                        return 0;
                }
                if (idle)
                        conn_close(idle);
                h->accepting = l;
                (void) MHD_add_connection(h->mhd, fd, (struct sockaddr *) &a, len);     /* closes it when it fails */
                h->accepting = NULL;
        }
        return 0;
}

/* ── MHD ── */

static int hex_digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* %XX in place, as MHD does it, but for %00: a NUL would cut the string short behind the checks. A '/' in a segment of the path stays
 * what it is. */
static size_t on_unescape(void *cls, struct MHD_Connection *mhd, char *s) {
        char *to = s;

        for (const char *from = s; *from; from++) {
                int high = *from == '%' ? hex_digit(from[1]) : -1, low = high >= 0 ? hex_digit(from[2]) : -1;
                if (low >= 0 && (high | low) != 0) {
                        *to++ = (char) (high << 4 | low);
                        from += 2;
                } else
                        *to++ = *from;
        }
        *to = '\0';
        return (size_t) (to - s);
}

static void on_log(void *cls, const char *format, va_list ap) {
        char text[512];

        (void) vsnprintf(text, sizeof text, format, ap);
        text[strcspn(text, "\n")] = '\0';
        if (strstr(text, "TCP_") || strstr(text, "push the data"))
                return;                 /* it tries TCP's options on Unix sockets as well */
        log_debug("libmicrohttpd: %s", text);
}

static int mhd_start(Http *h) {
        unsigned limit = h->tcp.max + h->unix_.max + CLOSING_SLACK;

        h->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL,
                                  exchange_access, h,
                                  MHD_OPTION_EXTERNAL_LOGGER, on_log, h,
                                  MHD_OPTION_CONNECTION_LIMIT, limit,
                                  MHD_OPTION_CONNECTION_TIMEOUT, 0U,
                                  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                                  MHD_OPTION_NOTIFY_CONNECTION, conn_notify, h,
                                  MHD_OPTION_URI_LOG_CALLBACK, exchange_target, h,
                                  MHD_OPTION_NOTIFY_COMPLETED, exchange_completed, h,
                                  MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, h,
                                  MHD_OPTION_END);
        return h->mhd ? 0 : log_error_errno(ENOMEM, "cannot start libmicrohttpd");
}

/* ── life ── */

int http_new(Http **ret, const Settings *settings, const Identity *identity) {
        Http *h = calloc(1, sizeof *h);
        bool tcp = false;
        int r;

        if (!h)
                return log_oom();
        h->settings = settings;
        h->timer_at = USEC_INFINITY;
        LINK_INIT(h->conns);
        LINK_INIT(h->tcp.idle);
        LINK_INIT(h->unix_.idle);
        h->tcp.max = settings->max_connections;
        h->unix_.max = MAX(UNIX_PLACES_MIN, settings->max_connections);
        h->tcp.waiting_max = MAX(1U, h->tcp.max * 3 / 4);
        h->unix_.waiting_max = h->unix_.max * 3 / 4;
        r = listeners_open(&h->listeners, settings, identity);
        for (size_t i = 0; i < h->listeners.n; i++)
                tcp = tcp || !h->listeners.l[i].is_unix;
        if (r >= 0)
                r = auth_load(&h->auth, settings, identity, tcp);
        if (r >= 0)
                r = listeners_describe(&h->listeners, &h->addresses);
        if (r < 0) {
                http_free(h);
                return r;
        }
        *ret = h;
        return 0;
}

static int attach_sources(Http *h) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->mhd, MHD_DAEMON_INFO_EPOLL_FD);
        int r;

        if (!info)
                return -ENOTSUP;
        if ((r = sd_event_add_io(h->event, &h->io, info->epoll_fd, EPOLLIN, on_io, h)) < 0 ||
            (r = sd_event_add_defer(h->event, &h->again, on_again, h)) < 0 ||
            (r = sd_event_source_set_enabled(h->again, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_time(h->event, &h->timer, CLOCK_BOOTTIME, 0, 10 * USEC_PER_MSEC, conn_on_timer, h)) < 0 ||
            (r = sd_event_source_set_enabled(h->timer, SD_EVENT_OFF)) < 0 ||
            (r = sd_event_add_time(h->event, &h->retry, CLOCK_MONOTONIC, 0, 0, on_retry, h)) < 0 ||
            (r = sd_event_source_set_enabled(h->retry, SD_EVENT_OFF)) < 0)
                return r;
        for (size_t i = 0; i < h->listeners.n; i++) {
                Listener *l = &h->listeners.l[i];
                l->userdata = h;
                r = sd_event_add_io(h->event, &l->source, l->fd, EPOLLIN, on_listener, l);
                if (r < 0)
                        return r;
        }
        return 0;
}

int http_attach(Http *h, sd_event *event, Engine *engine) {
        h->event = sd_event_ref(event);
        h->engine = engine;
        int r = mhd_start(h);
        return r < 0 ? r : attach_sources(h);
}

void http_stop(Http *h) {
        h->stopping = true;
        http_listen(h, &h->tcp, false);
        http_listen(h, &h->unix_, false);
        LIST_FOREACH(l, &h->conns) {
                Conn *c = CONTAINER_OF(l, Conn, all);
                if (c->exchange)
                        exchange_stop(c->exchange);
        }
        http_again(h);
}

static bool abandon_all(Http *h) {
        bool any = false;
        LIST_FOREACH(l, &h->conns) {
                Conn *c = CONTAINER_OF(l, Conn, all);
                any |= c->exchange && exchange_abandon(c->exchange);
        }
        return any;
}

/* MHD must not be stopped with connections suspended: all come back first, to be closed. While it runs for that, others may be suspended:
 * a log that was about to be read and has nothing new, a request that came just now. Each is closed then, so this ends. */
static void mhd_stop(Http *h) {
        h->stopping = true;
        do {
                (void) abandon_all(h);
                (void) MHD_run(h->mhd);
        } while (abandon_all(h));
        MHD_stop_daemon(h->mhd);
        h->mhd = NULL;
}

void http_free(Http *h) {
        if (!h)
                return;
        h->io = sd_event_source_disable_unref(h->io);
        if (h->mhd)
                mhd_stop(h);
        h->again = sd_event_source_disable_unref(h->again);
        h->timer = sd_event_source_disable_unref(h->timer);
        h->retry = sd_event_source_disable_unref(h->retry);
        listeners_close(&h->listeners);
        auth_done(&h->auth);
        heap_free(&h->deadlines);
        str_free(&h->addresses);
        sd_event_unref(h->event);
        free(h);
}

const char *http_addresses(const Http *h) {
        return h->addresses.s ? h->addresses.s : "";
}
