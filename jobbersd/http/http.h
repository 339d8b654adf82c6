/* http.h: the HTTP side as the daemon sees it. libmicrohttpd in the daemon's own event loop; see docs/ARCHITECTURE.md, "HTTP". */
#pragma once

#include <systemd/sd-event.h>

#include "dispatch/engine.h"
#include "model/settings.h"

typedef struct Http Http;

/* Before privileges are dropped: binds every address of settings->listen or takes systemd's sockets; reads or makes the token.
 * One sentence on stderr and -errno when that fails. */
int http_new(Http **ret, const Settings *settings, const Identity *identity);
/* After the drop: starts serving on the loop. */
int http_attach(Http *h, sd_event *event, Engine *engine);
/* Runs libmicrohttpd once: after effects resumed connections. Called from the turn. */
void http_run(Http *h);
/* Stops accepting; long polls and follows are answered; returns at once. */
void http_stop(Http *h);
void http_free(Http *h);
/* "127.0.0.1:8000, /run/jobbers/jobbers.sock": for the start message and STATUS=. */
const char *http_addresses(const Http *h);
