/* transport.h: one HTTP exchange, by either of two ways. Over the Unix socket by a few lines of our own (transport-unix.c): there the peer
 * is jobbersd and nothing else, and starting a program with libcurl linked in costs three times what the whole conversation does. Over TCP
 * by libcurl (transport-curl.c), loaded when --host= asks for it: names, addresses, proxies and TLS are its trade. */
#pragma once

#include "base/macro.h"

typedef enum CallFault {
        CALL_OK,
        CALL_CONNECT,           /* nobody there, or no right: Call.error */
        CALL_RESOLVE,           /* no such host */
        CALL_URL,               /* this is no address */
        CALL_LIBRARY,           /* libcurl is not installed */
        CALL_TIMEOUT,           /* Call.timeout_msec is over */
        CALL_HUNG_UP,           /* the daemon ended in the middle, or is being restarted: Call.reason */
        CALL_BROKEN,            /* that is not how jobbersd answers: Call.reason */
} CallFault;

typedef struct Call {
        const char *method, *path;      /* "GET", "/status?x=y" */
        const char *body;               /* NULL: none */
        bool (*data)(void *userdata, int status, const char *data, size_t n);   /* false: enough */
        void (*idle)(void *userdata);   /* NULL, or called once when nothing has come for a second */
        void *userdata;
        long timeout_msec;              /* 0: as long as it takes */

        int status;                     /* 200 … 599 */
        int error;                      /* errno of CALL_CONNECT, 0 when unknown */
        const char *reason;             /* static text of the last two */
} Call;

#define IDLE_MSEC 1000

typedef struct UnixTransport {
        int fd;                         /* kept between calls; -1 */
} UnixTransport;
CallFault unix_call(UnixTransport *t, const char *socket_path, Call *call);

typedef struct CurlTransport CurlTransport;
/* `base` is "http://host:port"; both are borrowed. NULL without libcurl or without memory. */
CurlTransport *curl_transport_new(const char *base, const char *authorization);
void curl_transport_free(CurlTransport *t);
CallFault curl_call(CurlTransport *t, Call *call);
