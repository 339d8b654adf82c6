/* listen.h: the addresses that are listened on. */
#pragma once

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "base/str.h"
#include "model/settings.h"

typedef struct Listener {
        int fd;
        bool is_unix;
        bool loopback;                  /* only this host can reach it (Unix sockets too) */
        char *name;                     /* host as it was given, for the Host rule; NULL */
        char *address;                  /* "127.0.0.1:8000" with the real port, "/run/jobbers/jobbers.sock" */
        char *path;                     /* of a socket file that we made; removed at the end */
        dev_t dev;
        ino_t ino;
        sd_event_source *source;
        void *userdata;
} Listener;

typedef struct Listeners {
        Listener *l;
        size_t n;
} Listeners;

/* Binds all of settings->listen; systemd's sockets come instead when the setting is the default, else in addition. One sentence on
 * stderr and -errno. */
int listeners_open(Listeners *ls, const Settings *settings, const Identity *identity);
void listeners_close(Listeners *ls);
int listeners_describe(const Listeners *ls, Str *b);

/* "host:port", "[v6]:port", ":port" → *ret_host (NULL: any address) and *ret_port; caller frees both. -EINVAL. */
int listen_parse(const char *s, char **ret_host, char **ret_port);
/* The numeric host of a socket address, v4 in v6 as v4; "" for other families. */
void listen_host(const struct sockaddr_storage *a, char *buf, size_t n);
bool listen_is_loopback(const struct sockaddr_storage *a);
