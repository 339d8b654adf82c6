/* fuzz-schema.c: any bytes as the query and the body of each route: read by the route's tables into its struct, or refused with an answer that
 * is itself valid JSON and names what is wrong. The first byte chooses the route; up to the first newline it is the query. */
#include <jansson.h>

#include "http/request.h"
#include "http/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
        if (!ok)
                abort();
}

static void query_add(Request *r, char *name) {
        char *value = strchr(name, '=');
        if (value)
                *value++ = '\0';
        r->query = reallocarray(r->query, r->n_query + 1, sizeof *r->query);
        must(r->query);
        r->query[r->n_query++] = (Args) { .name = strdup(name), .value = strdup(value ?: "") };
}

/* Whatever a string of the body says, an answer that repeats it is JSON. */
static void reply_look(const Reply *reply, unsigned low, unsigned high) {
        must(reply->status >= low && reply->status <= high && reply->text.s && !reply->text.failed);
        json_t *json = json_loadb(reply->text.s, reply->text.len, 0, NULL);
        must(json_is_object(json) && json_string_length(json_object_get(json, "detail")) > 0);
        if (reply->status == 422)
                must(json_array_size(json_object_get(json, "errors")) > 0);
        json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Request r = { .args = { "01ARZ3NDEKTSV4RRFFQ69G5FAV", "7" } };
        Reply reply = {};

        if (size < 2)
                return 0;
        r.route = ROUTES + data[0] % N_ROUTES;
        const char *text = (const char *) data + 1, *end = memchr(text, '\n', size - 1);
        if (!end)
                return 0;
        _cleanup_free_ char *query = strndup(text, (size_t) (end - text));
        char *state;
        for (char *a = strtok_r(query, "&", &state); a && r.n_query < 16; a = strtok_r(NULL, "&", &state))
                query_add(&r, a);

        /* Exactly as long as it is, so that a read beyond its end is seen. */
        size_t n = size - 1 - (size_t) (end + 1 - text);
        char *body = malloc(n ?: 1);
        must(body);
        memcpy(body, end + 1, n);
        if (request_parse_json(&r, body, n, &reply) < 0)
                reply_look(&reply, 400, 400);
        else if (request_check(&r, &reply) < 0)
                reply_look(&reply, 422, 422);
        else
                must(reply.status == 0);
        free(body);
        request_done(&r);
        reply_done(&reply);
        return 0;
}
