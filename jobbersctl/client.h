/* client.h: one HTTP conversation with jobbersd, over its Unix socket or with --host and a token (transport.h). */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "base/macro.h"

typedef struct Client Client;

typedef enum ClientMode { CLIENT_ANY, CLIENT_SYSTEM, CLIENT_USER } ClientMode;

typedef struct ClientAddress {
        const char *socket;             /* NULL: the default of the mode */
        const char *host;               /* "host", "host:port" or a URL; NULL: the socket */
        const char *token_file;         /* NULL: the default of the mode, where it is there; none is needed on the socket */
        ClientMode mode;
} ClientAddress;

/* Decides CLIENT_ANY: the caller's own daemon where no socket is named, the system's is not there and the caller is not root. */
void client_address_resolve(ClientAddress *address);

/* -errno with a sentence on stderr. Nothing is sent yet. */
int client_new(Client **ret, const ClientAddress *address);
void client_free(Client *c);
void client_free_p(Client **c);
#define _cleanup_client_ _cleanup_(client_free_p)

/* One request. `body` is borrowed, NULL for none. Returns the status code (200 … 599) and the answer (new reference, NULL when it is no
 * JSON), or -errno after one sentence on stderr (daemon down, no rights, no token). */
int client_call(Client *c, const char *method, const char *path, const json_t *body, json_t **ret);
/* The same where only success is of use: prints the daemon's sentence otherwise. 0; -ENOENT for 404, -EINVAL for 400 and 422, else
 * -EREMOTEIO; -EHOSTDOWN where no answer was to be had. */
int client_get(Client *c, const char *path, json_t **ret);
int client_send(Client *c, const char *method, const char *path, const json_t *body, json_t **ret);
/* A GET that is worth this much time: -EAGAIN, and nothing said, where that is not enough or anything else is in the way. */
int client_get_soon(Client *c, const char *path, long msec, json_t **ret);
/* Where sentences go instead of stderr (NULL: stderr again), and how long a call may take (0: for ever): for the live view. */
void client_errors_to(Client *c, FILE *errors);
void client_timeout(Client *c, long msec);
/* Prints why an answer of status 300 and up refuses; returns -errno as client_send. */
int client_refused(Client *c, int status, const json_t *answer);
/* What to do when the next client_get, _send or _stream is refused with 400, 404, 409 or 422: follows the daemon's sentence. Borrowed. */
void client_hint(Client *c, const char *hint);
typedef struct ClientStream {
        bool (*write)(void *userdata, const char *data, size_t n);      /* false: enough */
        void (*idle)(void *userdata);           /* NULL, or called once when nothing has come for a second; must not use this client */
        bool (*again)(void *userdata);          /* NULL, or asked at the end: is there more to come? May use the client */
        void *userdata;
        uint64_t skip;                  /* so many bytes are known already, and not passed on */
} ClientStream;
/* Passes an answer's text on as it arrives. Goes on where it was when the daemon is restarted meanwhile. */
int client_stream(Client *c, const char *path, const ClientStream *how);
/* `pattern` with percent-encoded `arg` in place of its "%s"; the caller frees. NULL without memory. */
char *client_path(Client *c, const char *pattern, const char *arg);
