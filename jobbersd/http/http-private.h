/* http-private.h: the glue between libmicrohttpd, the event loop and the handlers. Three objects:
 *   Http      the server: listeners, MHD's daemon, limits;
 *   Conn      a connection: its deadline, and its place among the idle ones (conn.c);
 *   Exchange  one request and its answer on a connection (exchange.c).
 * MHD is run from the loop only, never waits, and has neither threads nor timeouts of its own. */
#pragma once

#include <microhttpd.h>

#include "base/heap.h"
#include "base/list.h"
#include "http/auth.h"
#include "http/http.h"
#include "http/listen.h"
#include "http/request.h"

#define KEEPALIVE_USEC (60 * USEC_PER_SEC)      /* an idle connection is kept as long, if there is room */
#define DISCARD_MAX (16U << 20)                 /* of a refused body we read as much, so that the client gets to see why */

/* MHD's, of one connection: the target, its arguments and the headers of a request. MHD clears it twice a request, so more is not for nothing. */
#define CONNECTION_MEMORY 16384
#define TARGET_MEMORY (CONNECTION_MEMORY / 2)
#define ARGUMENT_MEMORY 64                      /* what MHD needs for an argument beside its text */

typedef struct Exchange Exchange;

/* TCP and Unix sockets have places of their own: neither can lock the other out. */
typedef struct Pool {
        unsigned max, n;                /* connections */
        unsigned waiting_max, waiting;  /* long polls and follows among them */
        Link idle;                      /* longest idle first */
        bool paused;                    /* full of busy ones: not accepting */
} Pool;

typedef struct Conn {
        Http *http;
        Pool *pool;
        struct MHD_Connection *mhd;
        int fd;
        bool is_unix;
        bool gone;                      /* shut down by us; no longer counted */
        uid_t peer_uid;
        const Listener *listener;
        char local[46];
        HeapItem deadline;              /* boot */
        Link all, idle;
        Exchange *exchange;             /* while there is one */
        Exchange *last;                 /* memory for the next */
} Conn;

typedef enum ExchangeState {
        EXCHANGE_RECEIVING,             /* headers seen, the body is coming */
        EXCHANGE_CALL,                  /* the handler is to be called (again) */
        EXCHANGE_WAITING,               /* suspended: the handler has nothing to say yet */
        EXCHANGE_COMMITTING,            /* the answer is there, its commit is not; suspended where that takes long (ROUTE_RELOADS) */
        EXCHANGE_READY,                 /* the answer may go out */
        EXCHANGE_SENDING,
        EXCHANGE_STREAM_IDLE,           /* suspended: the stream has nothing at the moment */
        EXCHANGE_GONE,                  /* the client left while we waited */
} ExchangeState;

struct Exchange {
        Conn *conn;
        ExchangeState state;
        bool refused;                   /* the answer was there before the body: the rest is thrown away */
        bool closing;                   /* the connection ends with this answer */
        bool again;                     /* REPLY_CONTINUE: another step after the commit */
        bool stepped;                   /* a step of it is durable already */
        bool counted;                   /* in pool->waiting */
        bool suspended;                 /* MHD does not look at the connection */
        const char *cors;               /* the allowed Origin; MHD's */
        size_t discarded;
        Str body;
        EngineWait commit;
        sd_event_source *hangup;        /* while suspended for long */
        Request request;
        Reply reply;
};

struct Http {
        const Settings *settings;
        sd_event *event;
        Engine *engine;
        struct MHD_Daemon *mhd;
        Auth auth;
        Listeners listeners;
        Str addresses;
        Pool tcp, unix_;
        const Listener *accepting;      /* while MHD_add_connection runs */
        Link conns;                     /* all of them */
        Heap deadlines;                 /* Conn.deadline */
        usec_t timer_at;                /* what `timer` is set to */
        sd_event_source *timer, *io, *again, *retry;
        bool work;                      /* MHD has something to do without an event */
        bool stopping;
};

/* ── conn.c ── */
void conn_notify(void *cls, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code);
void conn_busy(Conn *c);                                /* a request has begun: its absolute deadline runs */
void conn_idle(Conn *c);                                /* it is over */
void conn_deadline(Conn *c, usec_t at);                 /* boot; USEC_INFINITY: none */
int conn_on_timer(sd_event_source *s, uint64_t now, void *userdata);
void conn_close(Conn *c);                               /* shut down; its place is free at once */
/* Is there a place for one more? *ret_close is the longest idle one, to be closed for it, or NULL. */
bool pool_room(Pool *p, Conn **ret_close);

/* ── exchange.c ── */
/* Called with each target before MHD looks for arguments in it: its answer is *con_cls of exchange_access. */
void *exchange_target(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result exchange_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                                const char *upload_data, size_t *upload_data_size, void **con_cls);
void exchange_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode toe);
/* Its deadline has passed: true when that was what it waited for (else the connection is to be closed). */
bool exchange_expired(Exchange *x);
void exchange_stop(Exchange *x);                        /* the daemon stops: waits are over */
bool exchange_abandon(Exchange *x);                     /* the server is freed: whatever it waits for will not come; true if it did */

/* ── http.c ── */
void http_again(Http *h);                               /* have the loop come round once more */
void http_listen(Http *h, Pool *p, bool on);
