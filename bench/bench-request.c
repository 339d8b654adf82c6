/* bench-request.c: from the text of a request to a checked struct (route, JSON, field tables), beside the bare json_loadb() of the same text.
 * Prints both in nanoseconds.   bench-request [N] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http/request.h"
#include "http/routes.h"

static const char body[] = "{\"name\": \"generate_report\", \"version\": 1, \"queue\": \"default\", \"parameters\": {\"report_id\": 123456, \"to\": "
                           "\"somebody@example.org\", \"format\": \"pdf\", \"sections\": [\"a\", \"b\", \"c\"], \"note\": \"some text that makes this about "
                           "as long as the parameters of a task usually are\"}}";

static double now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

int main(int argc, char **argv) {
        long n = argc > 1 ? atol(argv[1]) : 100000;
        double from = now();
        for (long i = 0; i < n; i++) {
                json_t *j = json_loadb(body, sizeof body - 1, 0, NULL);
                if (!j)
                        return 1;
                json_decref(j);
        }
        double bare = now() - from;

        from = now();
        static Request r;               /* large */
        for (long i = 0; i < n; i++) {
                Reply reply = {};
                memset(&r, 0, offsetof(Request, body));
                r.path = strdup("/submit-task");
                r.route = r.path ? route_find(&r, "POST", &reply) : NULL;
                if (!r.route || request_parse_json(&r, body, sizeof body - 1, &reply) < 0 || request_check(&r, &reply) < 0) {
                        fprintf(stderr, "refused: %s\n", reply.text.s);
                        return 1;
                }
                request_done(&r);
        }
        printf("%.0f %.0f\n", (now() - from) / (double) n, bare / (double) n);
        return 0;
}
