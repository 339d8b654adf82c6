/* curl.c: see curl.h. */
#include "libjobbers/curl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/macro.h"

#define CURL_LIBRARY "libcurl.so.4"

static const struct {
        const char *name;
        size_t offset;
} symbols[] = {
        { "curl_easy_init", offsetof(Curl, easy_init) },
        { "curl_easy_cleanup", offsetof(Curl, easy_cleanup) },
        { "curl_easy_reset", offsetof(Curl, easy_reset) },
        { "curl_easy_setopt", offsetof(Curl, easy_setopt) },
        { "curl_easy_perform", offsetof(Curl, easy_perform) },
        { "curl_easy_getinfo", offsetof(Curl, easy_getinfo) },
        { "curl_easy_strerror", offsetof(Curl, easy_strerror) },
        { "curl_slist_append", offsetof(Curl, slist_append) },
        { "curl_slist_free_all", offsetof(Curl, slist_free_all) },
};

int curl_load(Curl *c) {
        if (c->library)
                return 0;
        void *library = dlopen(CURL_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library)
                return -ELIBACC;
        for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
                void *symbol = dlsym(library, symbols[i].name);
                if (!symbol) {
                        dlclose(library);
                        return -ELIBACC;
                }
                memcpy((char *) c + symbols[i].offset, &symbol, sizeof symbol);
        }
        c->library = library;
        return 0;
}

void curl_unload(Curl *c) {
        if (c->library)
                dlclose(c->library);
        c->library = NULL;
}
