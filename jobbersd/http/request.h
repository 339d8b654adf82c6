/* request.h: one request and its answer, as the handlers see them; nothing here knows libmicrohttpd.
 *
 * A handler is `int f(Request *r, Reply *ret)`. It returns
 *   0               the answer is in *ret. It goes out after the next commit when the route writes or anything is staged;
 *   REPLY_WAIT      nothing to say yet: called again (r->woken) after request_wake(), at r->wake_at, or when the daemon stops;
 *   REPLY_CONTINUE  a step of many is staged: called again once it is durable;
 *   < 0             -errno of a verb that has no sentence: mapped by reply_errno. */
#pragma once

#include <jansson.h>
#include <stdalign.h>

#include "dispatch/engine.h"
#include "http/schema.h"

typedef struct Route Route;
typedef struct Request Request;

enum { REPLY_WAIT = 1, REPLY_CONTINUE = 2 };

#define STREAM_CUT (-2)

/* A reply that is produced bit by bit. */
typedef struct Stream {
        /* Up to max bytes into buf: their number, 0 for nothing at the moment (request_wake later), -1 at the end, STREAM_CUT where it breaks
         * off: the client is to see that something is missing. */
        ssize_t (*read)(struct Stream *s, char *buf, size_t max);
        void (*free)(struct Stream *s);
} Stream;

typedef struct Reply {
        unsigned status;
        Str text;
        const char *type;               /* NULL: application/json */
        char allow[64];                 /* 405 */
        Stream *stream;                 /* instead of text; owned */
} Reply;
void reply_done(Reply *r);

typedef struct Args {                   /* query arguments, decoded; owned by the request */
        char *name, *value;
} Args;

struct Request {
        Engine *engine;
        Store *store;
        const Route *route;
        char *path;                     /* cut at its slashes: names and args point into it */
        const char *args[2];            /* of the path's {…}, in order */
        Ulid id;                        /* {task_id} */
        uint32_t version;               /* {task_version} */
        Args *query;
        size_t n_query;
        json_t *json;
        alignas(max_align_t) char body[SCHEMA_SIZE_MAX];        /* the struct of route->body */
        alignas(max_align_t) char args_in[SCHEMA_SIZE_MAX];     /* the struct of route->query */

        bool woken;                     /* a later call of the handler: say what there is */
        bool waited_out;                /* by its deadline, or the daemon stops */
        usec_t wake_at;                 /* boot clock; with REPLY_WAIT */
        void *state;                    /* of a handler between its calls; free_state is called at the end */
        void (*free_state)(Request *r);
        void (*wake)(Request *r);       /* the glue's: see request_wake */
        struct sd_event *event;
};

#define REQUEST_BODY(r, type) ((const type *) (const void *) (r)->body)
#define REQUEST_QUERY(r, type) ((const type *) (const void *) (r)->args_in)

void request_done(Request *r);
/* Has a waiting handler called again, or a stream that had nothing read again. From the loop only; harmless when nothing waits. */
void request_wake(Request *r);

/* Parses the body: 0, or the answer (400) is in *ret and -EINVAL. JSON deeper than 32 levels is refused. */
#define JSON_DEPTH_MAX 32
int request_parse_json(Request *r, const char *text, size_t len, Reply *ret);
/* Path arguments, query and body by the route's tables: 0, or 422 and -EINVAL. */
int request_check(Request *r, Reply *ret);
const char *request_query(const Request *r, const char *name);

/* An error: {"detail": sentence}. The text is copied. */
void reply_error(Reply *r, unsigned status, const char *format, ...) _printf_(3, 4);
void reply_problems(Reply *r, const Problems *p);               /* 422 */
/* What a verb answered (engine.h): its sentence, or one of ours where it has none. */
void reply_errno(Reply *r, int error, const char *sentence);
unsigned reply_status_of(int error);
