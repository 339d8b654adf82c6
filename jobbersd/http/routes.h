/* routes.h: the one table of what can be asked for. It dispatches, it answers 404 and 405, and /openapi.json is printed from it. */
#pragma once

#include "http/request.h"

enum {
        ROUTE_WRITES = 1 << 0,          /* answers only after a commit */
        ROUTE_OPEN = 1 << 1,            /* no token asked for */
        ROUTE_BODY_OPTIONAL = 1 << 2,
        ROUTE_RELOADS = 1 << 4,         /* answers only when the launcher has the definitions too */
        ROUTE_TEXT = 1 << 3,            /* answers text/plain */
};

struct Route {
        const char *method, *pattern;
        int (*handler)(Request *r, Reply *ret);
        const Schema *query, *body, *answer;
        unsigned success;
        unsigned flags;
        unsigned short errors[6];       /* beyond those that any route has (400 401 403 413 415 422 503 507, as its tables say) */
        const char *summary;
};

extern const Route ROUTES[];
extern const size_t N_ROUTES;

/* Finds the route; r->path is cut and r->args are set. NULL: *ret has the 404 or 405 (with Allow). HEAD asks for GET's. */
const Route *route_find(Request *r, const char *method, Reply *ret);
