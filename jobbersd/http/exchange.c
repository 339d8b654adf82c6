/* exchange.c: one request on its way: headers → who may call → body → handler → commit → answer.
 *
 * MHD calls exchange_access once with the headers, once per piece of the body, once at its end, and again and again as long as it is given no
 * answer and the connection is not suspended. So a commit, which the present turn ends with, is waited for in that way, and what may take longer (a
 * task's end, output to follow) suspends the connection. Nothing is answered about what is not on disk. */
#include "http/http-private.h"

#include <stdio.h>
#include <strings.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/json-text.h"
#include "http/routes.h"

/* ── waiting and waking ── */

static void resume(Exchange *x, ExchangeState next) {
        x->hangup = sd_event_source_disable_unref(x->hangup);
        x->state = next;
        if (x->suspended)
                MHD_resume_connection(x->conn->mhd);
        x->suspended = false;
        http_again(x->conn->http);
}

/* Half-closed counts as gone: who waits for minutes keeps the line open. */
static int on_hangup(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        Exchange *x = userdata;
        resume(x, EXCHANGE_GONE);
        return 0;
}

static void suspend(Exchange *x, ExchangeState why) {
        Http *h = x->conn->http;

        x->state = why;
        x->suspended = true;
        MHD_suspend_connection(x->conn->mhd);
        if (why != EXCHANGE_COMMITTING)
                (void) sd_event_add_io(h->event, &x->hangup, x->conn->fd, EPOLLRDHUP, on_hangup, x);
}

static void on_wake(Request *r) {
        Exchange *x = CONTAINER_OF(r, Exchange, request);

        if (x->state == EXCHANGE_WAITING) {
                r->woken = true;
                conn_deadline(x->conn, clock_boot() + x->conn->http->settings->request_timeout);
                resume(x, EXCHANGE_CALL);
        } else if (x->state == EXCHANGE_STREAM_IDLE)
                resume(x, EXCHANGE_SENDING);
}

bool exchange_expired(Exchange *x) {
        switch (x->state) {
        case EXCHANGE_WAITING:
                x->request.waited_out = true;
                on_wake(&x->request);
                return true;
        case EXCHANGE_COMMITTING: case EXCHANGE_CALL: case EXCHANGE_READY: case EXCHANGE_GONE:
                /* it is our turn, not the client's */
                conn_deadline(x->conn, clock_boot() + x->conn->http->settings->request_timeout);
                return true;
        case EXCHANGE_STREAM_IDLE:
                return true;
        case EXCHANGE_RECEIVING: case EXCHANGE_SENDING:
                break;
        }
        return false;
}

void exchange_stop(Exchange *x) {
        x->request.waited_out = true;
        on_wake(&x->request);
}

bool exchange_abandon(Exchange *x) {
        if (x->state != EXCHANGE_WAITING && x->state != EXCHANGE_COMMITTING && x->state != EXCHANGE_STREAM_IDLE)
                return false;
        link_remove(&x->commit.link);
        resume(x, EXCHANGE_GONE);
        return true;
}

static bool take_waiting_place(Exchange *x) {
        Pool *p = x->conn->pool;

        if (x->counted)
                return true;
        if (p->waiting >= p->waiting_max) {
                reply_done(&x->reply);
                reply_error(&x->reply, 429, "too many long polls and log follows at once (%u); try again later", p->waiting);
                return false;
        }
        p->waiting++;
        return x->counted = true;
}

/* ── the answer ── */

static ssize_t on_stream(void *cls, uint64_t pos, char *buf, size_t max) {
        Exchange *x = cls;
        Http *h = x->conn->http;

        if (x->state == EXCHANGE_GONE)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        ssize_t n = x->reply.stream->read(x->reply.stream, buf, max);
        if (n < 0)
                return n == STREAM_CUT ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
        if (n == 0) {
                conn_deadline(x->conn, USEC_INFINITY);
                suspend(x, EXCHANGE_STREAM_IDLE);
                return 0;
        }
        conn_deadline(x->conn, clock_boot() + h->settings->request_timeout);    /* the client must take this much by then */
        return n;
}

static struct MHD_Response *make_response(Exchange *x) {
        Reply *r = &x->reply;

        if (r->stream)
                return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, on_stream, x, NULL);
        size_t n = r->text.len;
        char *text = str_take(&r->text);
        if (!text) {
                static char sentence[] = "{\"detail\":\"not enough memory for the answer\"}";
                r->status = 503;
                r->type = NULL;
                return MHD_create_response_from_buffer(sizeof sentence - 1, sentence, MHD_RESPMEM_PERSISTENT);
        }
        struct MHD_Response *response = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
        if (!response)
                free(text);
        return response;
}

static enum MHD_Result answer(Exchange *x) {
        struct MHD_Response *response = make_response(x);

        if (!response)
                return MHD_NO;
        (void) MHD_add_response_header(response, "Content-Type", x->reply.type ? x->reply.type : "application/json");
        (void) MHD_add_response_header(response, "Cache-Control", "no-store");
        if (x->reply.status == 401)
                (void) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
        if (x->closing)
                (void) MHD_add_response_header(response, "Connection", "close");
        if (x->reply.allow[0])
                (void) MHD_add_response_header(response, "Allow", x->reply.allow);
        if (x->cors) {
                (void) MHD_add_response_header(response, "Access-Control-Allow-Origin", x->cors);
                (void) MHD_add_response_header(response, "Vary", "Origin");
                if (x->reply.status == 204) {
                        (void) MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST, PUT, DELETE");
                        (void) MHD_add_response_header(response, "Access-Control-Allow-Headers", "Authorization, Content-Type");
                }
        }
        x->state = EXCHANGE_SENDING;
        enum MHD_Result r = MHD_queue_response(x->conn->mhd, x->reply.status, response);
        MHD_destroy_response(response);
        return r;
}

/* ── the handler and its commit ── */

/* A call of many steps that fails in a later one must not say that nothing was changed. */
static void reply_failed(Exchange *x, int error) {
        reply_errno(&x->reply, error, x->stepped && reply_status_of(error) == 507 ?
                    "the disk filled up during this call: earlier items were changed, the rest were not; repeat the call when there is space" : NULL);
}

static void on_commit(EngineWait *w, int result) {
        Exchange *x = CONTAINER_OF(w, Exchange, commit);

        if (result < 0) {
                x->again = false;
                reply_done(&x->reply);
                reply_failed(x, result);
        }
        x->stepped = x->stepped || x->again;
        resume(x, x->again ? EXCHANGE_CALL : EXCHANGE_READY);
}

static void wait_for_commit(Exchange *x) {
        Http *h = x->conn->http;

        if (x->request.route->flags & ROUTE_RELOADS) {
                suspend(x, EXCHANGE_COMMITTING);
                engine_on_reload(h->engine, &x->commit);
        } else {
                /* In the turn that follows. MHD calls again for what has no answer yet: to suspend a connection and resume it costs five
                 * system calls, more than its share of the commit. */
                x->state = EXCHANGE_COMMITTING;
                engine_on_commit(h->engine, &x->commit);
        }
        http_again(h);
}

static enum MHD_Result call_handler(Exchange *x) {
        Http *h = x->conn->http;
        int r = x->request.route->handler(&x->request, &x->reply);

        x->again = r == REPLY_CONTINUE;
        if (r < 0) {
                reply_done(&x->reply);
                reply_failed(x, r);
        }
        if (r == REPLY_WAIT && take_waiting_place(x)) {
                if (h->stopping) {
                        x->request.woken = x->request.waited_out = true;
                        return call_handler(x);
                }
                suspend(x, EXCHANGE_WAITING);
                conn_deadline(x->conn, x->request.wake_at);
                return MHD_YES;
        }
        if (x->reply.stream)
                (void) take_waiting_place(x);
        if (x->again || store_staged(x->request.store) || x->request.route->flags & ROUTE_RELOADS) {
                wait_for_commit(x);
                return MHD_YES;
        }
        return answer(x);
}

static enum MHD_Result handle(Exchange *x) {
        x->state = EXCHANGE_CALL;
        if (x->refused)
                return answer(x);
        if (x->body.failed)
                reply_error(&x->reply, 503, "not enough memory for the body");
        else if (request_parse_json(&x->request, x->body.s, x->body.len, &x->reply) >= 0 &&
                 request_check(&x->request, &x->reply) >= 0)
                return call_handler(x);
        return answer(x);
}

/* ── its beginning ── */

static enum MHD_Result add_query(void *cls, enum MHD_ValueKind kind, const char *key, const char *value) {
        Request *r = cls;
        Args *a = reallocarray(r->query, r->n_query + 1, sizeof *a);

        if (!a)
                return MHD_NO;
        r->query = a;
        a += r->n_query;
        *a = (Args) { .name = strdup(key), .value = strdup(value ? value : "") };
        if (a->name && a->value) {
                r->n_query++;
                return MHD_YES;
        }
        free(a->name);
        free(a->value);
        return MHD_NO;
}

/* The headers that decide something, found in one pass. What is said twice, or in two ways, is understood in one way here and in another by a
 * proxy in front of us: who can choose which of two lengths counts chooses where the next request begins. */
typedef struct Headers {
        const char *host, *length, *encoding, *type, *authorization, *origin, *expect;
        const char *twice;              /* the name of one that is there twice, though it must not be */
} Headers;

static enum MHD_Result note_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_size, const char *value, size_t value_size) {
#define KNOWN(name, field) { name, sizeof name - 1, offsetof(Headers, field) }
        static const struct {
                const char *name;
                size_t size, at;
        } known[] = { KNOWN("Host", host), KNOWN("Content-Length", length), KNOWN("Transfer-Encoding", encoding), KNOWN("Content-Type", type),
                      KNOWN("Authorization", authorization), KNOWN("Origin", origin), KNOWN("Expect", expect) };
#undef KNOWN
        Headers *h = cls;

        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
                const char **at = (const char **) ((char *) h + known[i].at);
                if (key_size != known[i].size || strcasecmp(key, known[i].name) != 0)
                        continue;
                if (!*at)
                        *at = value ? value : "";
                else if (at != &h->expect)
                        h->twice = known[i].name;
                break;
        }
        return h->twice ? MHD_NO : MHD_YES;
}

static bool check_framing(Exchange *x, const Headers *h) {
        if (h->twice)
                reply_error(&x->reply, 400, "the request has the header %s twice", h->twice);
        else if (h->length && h->encoding)
                reply_error(&x->reply, 400, "the request has both Content-Length and Transfer-Encoding, so its length is not certain");
        else if (h->encoding && strcasecmp(h->encoding, "chunked") != 0)
                reply_error(&x->reply, 400, "the Transfer-Encoding of a body can only be chunked");
        else
                return true;
        return false;
}

static bool is_preflight(const Exchange *x, const char *method) {
        return STREQ(method, "OPTIONS") && x->cors && MHD_lookup_connection_value(x->conn->mhd, MHD_HEADER_KIND, "Access-Control-Request-Method");
}

static uint64_t declared_length(const Headers *h) {
        uint64_t n = 0;

        return h->length && parse_u64(h->length, &n) < 0 ? UINT64_MAX : n;
}

static bool check_body_headers(Exchange *x, const Headers *h) {
        uint64_t n = declared_length(h), max = x->conn->http->settings->max_body;

        if (n == 0 && !h->encoding)
                return true;
        if (!auth_content_is_json(h->type)) {
                reply_error(&x->reply, 415, "the Content-Type of a body must be application/json");
                return false;
        }
        if (n > max) {
                reply_error(&x->reply, 413, "the body is larger than %llu bytes (--max-body=)", (unsigned long long) max);
                return false;
        }
        return true;
}

/* Everything that can be decided by the headers: true when the request goes on. */
static bool admit(Exchange *x, const char *method, const Headers *headers) {
        Http *h = x->conn->http;
        AuthRequest a = {
                .is_unix = x->conn->is_unix,
                .peer_uid = x->conn->peer_uid,
                .local = x->conn->local,
                .listen_name = x->conn->listener->name,
                .host = headers->host,
                .origin = headers->origin,
                .authorization = headers->authorization,
        };
        const char *sentence = NULL;
        Reply none = {};

        unsigned status = auth_check_origin(&h->auth, &a, &sentence);
        if (status != 0) {
                reply_error(&x->reply, status, "%s", sentence);
                return false;
        }
        x->cors = a.is_unix ? NULL : a.origin;
        if (is_preflight(x, method)) {
                x->reply.status = 204;
                return false;
        }
        x->request.route = route_find(&x->request, method, &none);
        if (!x->request.route || !(x->request.route->flags & ROUTE_OPEN)) {
                status = auth_check_token(&h->auth, &a, &sentence);
                if (status != 0) {
                        reply_done(&none);
                        reply_error(&x->reply, status, "%s", sentence);
                        return false;
                }
        }
        if (!x->request.route) {
                x->reply = none;
                return false;
        }
        return check_body_headers(x, headers);
}

static Exchange *exchange_new(Conn *c, const char *url) {
        /* Too large for malloc's fast places: kept from one request of the connection to the next. */
        Exchange *x = TAKE_PTR(c->last) ?: malloc(sizeof *x);

        if (!x)
                return NULL;
        *x = (Exchange) { .conn = c };
        link_init(&x->commit.link);
        x->commit.fn = on_commit;
        x->request.engine = c->http->engine;
        x->request.store = engine_store(c->http->engine);
        x->request.event = c->http->event;
        x->request.wake = on_wake;
        x->request.path = strdup(url);
        if (!x->request.path) {
                free(x);
                return NULL;
        }
        return x;
}

/* In place of an Exchange, until there is one. */
static char too_many_arguments;

/* MHD 0.9.75 forgets to answer when the arguments do not fit into a connection's memory, and waits for headers that were there long ago. So a
 * target that comes near that loses them before MHD looks (the text is MHD's own buffer), and is refused. */
void *exchange_target(void *cls, const char *target, struct MHD_Connection *mhd) {
        char *query = strchr(target, '?');
        size_t need = strlen(target) + ARGUMENT_MEMORY;

        if (!query)
                return NULL;
        for (const char *s = query; (s = strchr(s, '&')); s++)
                need += ARGUMENT_MEMORY;
        if (need <= TARGET_MEMORY)
                return NULL;
        query[1] = '\0';
        return &too_many_arguments;
}

static enum MHD_Result begin(Http *h, struct MHD_Connection *mhd, const char *url, const char *method, void **con_cls) {
        bool cut = *con_cls == &too_many_arguments;
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        Conn *c = info ? info->socket_context : NULL;
        Exchange *x = c ? exchange_new(c, url) : NULL;
        Headers headers = {};

        *con_cls = x;
        if (!x)
                return MHD_NO;
        c->exchange = x;
        conn_busy(c);
        (void) MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, note_header, &headers);
        if (!check_framing(x, &headers)) {
                x->refused = x->closing = true;         /* where its body ends nobody knows */
                return answer(x);
        }
        x->refused = !admit(x, method, &headers);
        if (!x->refused && cut) {
                reply_error(&x->reply, 414, "the query of the request is too long, or has too many arguments");
                x->refused = true;
        }
        if (!x->refused) {
                size_t before = x->request.n_query;
                int n = MHD_get_connection_values(mhd, MHD_GET_ARGUMENT_KIND, add_query, &x->request);
                if (n < 0 || (size_t) n != x->request.n_query - before) {
                        reply_error(&x->reply, 503, "not enough memory for the request");
                        x->refused = true;
                }
        }
        /* A client that asks first need not send it. What is more than we would throw away is not read at all. */
        bool asked = x->refused && headers.expect && strcasecmp(headers.expect, "100-continue") == 0;
        x->closing = x->refused && declared_length(&headers) > DISCARD_MAX;
        return x->closing || asked ? answer(x) : MHD_YES;
}

static enum MHD_Result receive(Exchange *x, const char *data, size_t n) {
        uint64_t max = x->conn->http->settings->max_body;

        if (!x->refused && x->body.len + n > max) {
                reply_error(&x->reply, 413, "the body is larger than %llu bytes (--max-body=)", (unsigned long long) max);
                x->refused = true;
                str_free(&x->body);
        }
        if (!x->refused) {
                (void) str_append_n(&x->body, data, n);
                return MHD_YES;
        }
        x->discarded += n;
        return x->discarded > DISCARD_MAX ? MHD_NO : MHD_YES;
}

enum MHD_Result exchange_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                                const char *upload_data, size_t *upload_data_size, void **con_cls) {
        Exchange *x = *con_cls;

        if (!x || *con_cls == &too_many_arguments)
                return begin(cls, mhd, url, method, con_cls);
        switch (x->state) {
        case EXCHANGE_RECEIVING:
                if (*upload_data_size > 0) {
                        size_t n = *upload_data_size;
                        *upload_data_size = 0;
                        return receive(x, upload_data, n);
                }
                return handle(x);
        case EXCHANGE_CALL:
                return call_handler(x);
        case EXCHANGE_READY:
                return answer(x);
        case EXCHANGE_GONE:
                return MHD_NO;
        case EXCHANGE_SENDING:          /* refused early; whatever else comes is thrown away */
                *upload_data_size = 0;
                return MHD_YES;
        case EXCHANGE_COMMITTING:
                break;                  /* not yet */
        case EXCHANGE_WAITING: case EXCHANGE_STREAM_IDLE:
                break;                  /* suspended ones are not called */
        }
        return MHD_YES;
}

void exchange_completed(void *cls, struct MHD_Connection *mhd, void **con_cls, enum MHD_RequestTerminationCode toe) {
        Exchange *x = *con_cls;

        if (!x || *con_cls == &too_many_arguments)
                return;
        *con_cls = NULL;
        Conn *c = x->conn;
        c->exchange = NULL;
        if (x->counted)
                c->pool->waiting--;
        link_remove(&x->commit.link);
        x->hangup = sd_event_source_disable_unref(x->hangup);
        reply_done(&x->reply);
        request_done(&x->request);
        str_free(&x->body);
        c->last = x;
        conn_idle(c);
}
