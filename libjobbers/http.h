/* http.h: one HTTP conversation with jobbersd, over its Unix socket or TCP, and what went wrong with it as -errno and a sentence. Private to
 * the library. */
#pragma once

#include "base/str.h"
#include "libjobbers/curl.h"

typedef struct Http {
        Curl curl;                      /* loaded by the first request */
        void *easy;
        struct curl_slist *headers;
        char *base;                     /* "http://localhost:8000"; of no meaning but needed for a socket */
        char *socket;                   /* NULL over TCP */
        bool user;                      /* it is the calling user's own daemon */
        char *token, *token_file;       /* "": none to send; NULL: not read yet, no file named */
        usec_t timeout;
        char *sentence;                 /* NULL: the last request went well, or there was no memory for a sentence */
} Http;

/* Where the daemon is: as jobbers_client_new() has it. -EINVAL, -ENOMEM. */
int http_init(Http *h, const char *address);
void http_done(Http *h);

/* Keeps the sentence and returns `error` (-errno). */
int http_fail(Http *h, int error, const char *format, ...) _printf_(3, 4);
/* One request. `body` may be NULL. Returns the status code, of whatever kind, and the answer's text ("" when empty), or -errno with a sentence. */
int http_request(Http *h, const char *method, const char *path, const char *body, usec_t timeout, char **ret_answer);
