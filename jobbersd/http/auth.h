/* auth.h: who may call (SPEC 7): the token, and the rules that keep web pages out. */
#pragma once

#include "model/settings.h"

typedef struct Auth {
        char *token;                    /* NULL: --no-auth, or nothing but Unix sockets */
        bool no_auth;
        bool own_uid_only;              /* Unix peers: user mode */
        uid_t uid;
        char *const *allow_hosts, *const *allow_origins;        /* the settings' */
} Auth;

/* Reads the token file, or makes it (0600; as root 0640 root:jobbers). One sentence on stderr and -errno. `need`: someone listens on TCP. */
int auth_load(Auth *a, const Settings *settings, const Identity *identity, bool need);
void auth_done(Auth *a);

/* One request, as far as it matters here. Strings may be NULL. */
typedef struct AuthRequest {
        bool is_unix;
        uid_t peer_uid;
        const char *local;              /* numeric address that the client reached us at */
        const char *listen_name;        /* the name it was listened on by */
        const char *host, *origin, *authorization;
} AuthRequest;

/* Each returns 0, or the status with a sentence. Host, Origin and the peer come first; the token only where the route asks for it. */
unsigned auth_check_origin(const Auth *a, const AuthRequest *r, const char **ret_sentence);
unsigned auth_check_token(const Auth *a, const AuthRequest *r, const char **ret_sentence);

bool auth_host_is(const char *host, const char *name);          /* host may carry a port and brackets; name may carry a port */
bool auth_content_is_json(const char *content_type);
