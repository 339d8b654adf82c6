/* conn.c: connections: who has a place, how long one may take. MHD knows only inactivity timeouts, which a client that sends a byte
 * a second outlasts for ever; these deadlines are absolute. What expires is shut down, and MHD finds a closed socket. */
#include "http/http-private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/clock.h"

static Conn *conn_of_item(HeapItem *i) {
        return CONTAINER_OF(i, Conn, deadline);
}

void conn_deadline(Conn *c, usec_t at) {
        Http *h = c->http;

        if (at == USEC_INFINITY) {
                heap_remove(&h->deadlines, &c->deadline);
                return;
        }
        if (heap_put(&h->deadlines, &c->deadline, at) < 0)
                return;                 /* no memory: this one request has no deadline; the next one tries again */
        if (at < h->timer_at && h->timer) {
                h->timer_at = at;
                (void) sd_event_source_set_time(h->timer, at);
                (void) sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
        }
}

/* From here on it has no place any more; MHD notices at its next run and tells us by conn_notify. */
void conn_close(Conn *c) {
        conn_deadline(c, USEC_INFINITY);
        if (c->gone)
                return;
        c->gone = true;
        c->pool->n--;
        link_remove(&c->idle);
        (void) shutdown(c->fd, SHUT_RDWR);
        http_again(c->http);
}

int conn_on_timer(sd_event_source *s, uint64_t unused, void *userdata) {
        Http *h = userdata;
        usec_t now = clock_boot();
        HeapItem *i;

        h->timer_at = USEC_INFINITY;
        while ((i = heap_peek(&h->deadlines)) && i->key <= now) {
                Conn *c = conn_of_item(i);
                conn_deadline(c, USEC_INFINITY);
                if (!c->exchange || !exchange_expired(c->exchange))
                        conn_close(c);
        }
        if (i) {
                h->timer_at = i->key;
                (void) sd_event_source_set_time(s, i->key);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        return 0;
}

/* A connection that has bytes waiting is about to become busy: it is not the one to close. */
static bool has_input(const Conn *c) {
        char byte;
        return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool pool_room(Pool *p, Conn **ret_close) {
        unsigned looked = 0;

        *ret_close = NULL;
        if (p->n < p->max)
                return true;
        LIST_FOREACH(l, &p->idle) {
                Conn *c = CONTAINER_OF(l, Conn, idle);
                if (++looked <= 32 && has_input(c))
                        continue;
                *ret_close = c;
                return true;
        }
        return false;
}

void conn_busy(Conn *c) {
        link_remove(&c->idle);
        conn_deadline(c, clock_boot() + c->http->settings->request_timeout);
}

void conn_idle(Conn *c) {
        if (c->gone)
                return;
        link_remove(&c->idle);
        list_append(&c->pool->idle, &c->idle);
        conn_deadline(c, clock_boot() + MAX(KEEPALIVE_USEC, c->http->settings->header_timeout));
        if (c->pool->paused && !c->http->stopping)
                http_listen(c->http, c->pool, true);    /* this one can make room now */
}

static void conn_describe(Conn *c, struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct sockaddr_storage a = {};
        socklen_t len = sizeof a;
        struct ucred peer;
        int on = 1, idle = 60;

        c->fd = info ? info->connect_fd : -1;
        c->peer_uid = (uid_t) -1;
        if (c->is_unix) {
                len = sizeof peer;
                if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) >= 0)
                        c->peer_uid = peer.uid;
                return;
        }
        if (getsockname(c->fd, (struct sockaddr *) &a, &len) >= 0)
                listen_host(&a, c->local, sizeof c->local);
        (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void) setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        (void) setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

static void conn_free(Conn *c) {
        Http *h = c->http;
        Pool *p = c->pool;

        conn_deadline(c, USEC_INFINITY);
        link_remove(&c->idle);
        link_remove(&c->all);
        if (!c->gone)
                p->n--;
        free(c->last);
        free(c);
        if (p->paused && !h->stopping)
                http_listen(h, p, true);
}

void conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code) {
        Http *h = cls;

        if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
                if (*socket_context)
                        conn_free(*socket_context);
                *socket_context = NULL;
                return;
        }
        Conn *c = calloc(1, sizeof *c);
        if (!c)
                return;                 /* exchange_access refuses connections without one */
        c->http = h;
        c->mhd = mhd;
        c->listener = h->accepting;
        c->is_unix = h->accepting->is_unix;
        c->pool = c->is_unix ? &h->unix_ : &h->tcp;
        c->deadline = HEAP_ITEM_INIT;
        link_init(&c->idle);
        list_append(&h->conns, &c->all);
        conn_describe(c, mhd);
        c->pool->n++;
        list_append(&c->pool->idle, &c->idle);
        conn_deadline(c, clock_boot() + h->settings->header_timeout);
        *socket_context = c;
}
