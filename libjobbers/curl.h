/* curl.h: libcurl, loaded when it is first needed. Linked in the usual way it makes the start of every program cost ten times as much, and of the
 * programs that use this library most are tasks, which never speak HTTP. */
#pragma once

#include <curl/curl.h>

typedef struct Curl {
        void *library;
        CURL *(*easy_init)(void);
        void (*easy_cleanup)(CURL *easy);
        void (*easy_reset)(CURL *easy);
        CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
        CURLcode (*easy_perform)(CURL *easy);
        CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
        const char *(*easy_strerror)(CURLcode code);
        struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
        void (*slist_free_all)(struct curl_slist *list);
} Curl;

/* Once loaded it stays, also after curl_unload(): libraries below it do not survive being unloaded. -ELIBACC where it is not installed. */
int curl_load(Curl *c);
void curl_unload(Curl *c);
