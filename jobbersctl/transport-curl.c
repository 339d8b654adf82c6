/* transport-curl.c: HTTP by libcurl, for --host=: see transport.h. */
#include "base/clock.h"
#include "base/str.h"
#include "jobbersctl/transport.h"
#include "libjobbers/curl.h"

struct CurlTransport {
        Curl lib;
        CURL *easy;
        const char *base;
        struct curl_slist *headers;
        bool failed;
};

void curl_transport_free(CurlTransport *t) {
        if (!t)
                return;
        if (t->easy)
                t->lib.easy_cleanup(t->easy);
        if (t->headers)
                t->lib.slist_free_all(t->headers);
        curl_unload(&t->lib);
        free(t);
}

static void header_add(CurlTransport *t, const char *header) {
        struct curl_slist *l = t->lib.slist_append(t->headers, header);
        if (l)
                t->headers = l;
        else
                t->failed = true;
}

CurlTransport *curl_transport_new(const char *base, const char *authorization) {
        CurlTransport *t = calloc(1, sizeof *t);
        if (!t || curl_load(&t->lib) < 0) {
                free(t);
                return NULL;
        }
        t->base = base;
        t->easy = t->lib.easy_init();
        header_add(t, "Content-Type: application/json");
        header_add(t, "Expect:");
        if (authorization)
                header_add(t, authorization);
        if (t->easy && !t->failed)
                return t;
        curl_transport_free(t);
        return NULL;
}

typedef struct Watch {
        CurlTransport *transport;
        Call *call;
        curl_off_t seen;
        usec_t since;                   /* boot time: when the last byte came */
        bool enough, told;
} Watch;

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        Watch *w = userdata;
        long status = 0;
        w->transport->lib.easy_getinfo(w->transport->easy, CURLINFO_RESPONSE_CODE, &status);
        if (!w->call->data || w->call->data(w->call->userdata, (int) status, data, size * n))
                return size * n;
        w->enough = true;
        return 0;
}

static int on_progress(void *userdata, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up) {
        Watch *w = userdata;
        if (now != w->seen)
                w->since = clock_boot();
        w->seen = now;
        if (!w->told && clock_boot() - w->since >= IDLE_MSEC * USEC_PER_MSEC) {
                w->told = true;
                w->call->idle(w->call->userdata);
        }
        return 0;
}

CallFault curl_call(CurlTransport *t, Call *call) {
        _cleanup_free_ char *url = str_new("%s%s", t->base, call->path);
        Watch w = { .transport = t, .call = call, .since = clock_boot() };
        long status = 0, os = 0;

        if (!url) {
                call->reason = "no memory left";
                return CALL_BROKEN;
        }
        t->lib.easy_reset(t->easy);     /* keeps the connection */
        t->lib.easy_setopt(t->easy, CURLOPT_URL, url);
        t->lib.easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        t->lib.easy_setopt(t->easy, CURLOPT_USERAGENT, "jobbersctl/" JOBBERS_VERSION);
        t->lib.easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
        t->lib.easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, 10L);
        t->lib.easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, call->timeout_msec);
        t->lib.easy_setopt(t->easy, CURLOPT_PROXY, "");
        if (!STREQ(call->method, "GET"))
                t->lib.easy_setopt(t->easy, CURLOPT_POSTFIELDS, call->body ? call->body : "");
        t->lib.easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, call->method);
        t->lib.easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_data);
        t->lib.easy_setopt(t->easy, CURLOPT_WRITEDATA, &w);
        if (call->idle) {
                t->lib.easy_setopt(t->easy, CURLOPT_NOPROGRESS, 0L);
                t->lib.easy_setopt(t->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
                t->lib.easy_setopt(t->easy, CURLOPT_XFERINFODATA, &w);
        }
        CURLcode code = t->lib.easy_perform(t->easy);
        t->lib.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        t->lib.easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os);
        call->status = (int) status;
        if (code == CURLE_OK || w.enough)
                return CALL_OK;
        call->error = (int) os;
        call->reason = t->lib.easy_strerror(code);
        return code == CURLE_COULDNT_CONNECT                                        ? CALL_CONNECT
             : code == CURLE_COULDNT_RESOLVE_HOST                                   ? CALL_RESOLVE
             : code == CURLE_OPERATION_TIMEDOUT && call->timeout_msec > 0         ? CALL_TIMEOUT
             : code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE ? CALL_HUNG_UP
             : code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ? CALL_URL
                                                                                    : CALL_BROKEN;
}
