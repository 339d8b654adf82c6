/* openapi.c: /openapi.json, printed from the tables that serve the requests. */
#include <stdio.h>

#include "base/map.h"
#include "http/api.h"
#include "http/json-text.h"
#include "http/routes.h"

static const Schema ERROR_ITEM = { "ErrorItem", .fields = (const Field[]) {
        { "loc", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_ANY, .help = "Where: body, query or path, then names and indexes" },
        { "msg", FIELD_STRING, FIELD_REQUIRED },
        {},
} };

static const Schema ERROR = { "Error", .fields = (const Field[]) {
        { "detail", FIELD_STRING, FIELD_REQUIRED, .help = "One sentence that names the field or the thing" },
        { "errors", FIELD_LIST, 0, .item = FIELD_STRUCT, .of = &ERROR_ITEM, .help = "With 422" },
        {},
} };

static const char *status_words(unsigned status) {
        switch (status) {
        case 200: return "Done";
        case 201: return "Created";
        case 400: return "Malformed, or something unknown is named";
        case 401: return "No token, or a wrong one";
        case 403: return "Host, Origin or user may not call";
        case 404: return "There is no such thing";
        case 409: return "Not possible in the present state";
        case 413: return "Too large";
        case 415: return "The body is not application/json";
        case 422: return "Wrong shape or id";
        case 429: return "Too many requests wait or follow";
        case 503: return "The state cannot be written or read";
        case 507: return "The disk is full";
        }
        return "";
}

static void put_error(Str *b, unsigned status, bool *seen) {
        char key[8];

        if (seen[status])
                return;
        seen[status] = true;
        (void) snprintf(key, sizeof key, "%u", status);
        json_put_key(b, key);
        (void) str_append(b, "{");
        json_put_key_string(b, "description", status_words(status));
        (void) str_append(b, ",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}");
}

static void put_responses(const Route *r, Str *b) {
        bool seen[600] = {};
        bool path = strchr(r->pattern, '{');
        char key[8];

        (void) snprintf(key, sizeof key, "%u", r->success);
        json_put_key(b, "responses");
        (void) str_append(b, "{");
        json_put_key(b, key);
        (void) str_append(b, "{");
        json_put_key_string(b, "description", status_words(r->success));
        json_put_key(b, "content");
        (void) str_printf(b, "{\"%s\":{\"schema\":{", r->flags & ROUTE_TEXT ? "text/plain" : "application/json");
        if (r->answer)
                (void) str_printf(b, "\"$ref\":\"#/components/schemas/%s\"", r->answer->name);
        else
                json_put_key_string(b, "type", r->flags & ROUTE_TEXT ? "string" : "object");
        (void) str_append(b, "}}}}");
        for (size_t i = 0; i < ARRAY_SIZE(r->errors) && r->errors[i]; i++)
                put_error(b, r->errors[i], seen);
        if (!(r->flags & ROUTE_OPEN))
                put_error(b, 401, seen);
        put_error(b, 403, seen);
        if (r->body) {
                put_error(b, 400, seen);
                put_error(b, 413, seen);
                put_error(b, 415, seen);
        }
        if (r->body || r->query || path)
                put_error(b, 422, seen);
        if (r->flags & ROUTE_WRITES)
                put_error(b, 507, seen);
        put_error(b, 503, seen);
        (void) str_append(b, "}");
}

/* The arguments of a path are typed by their names, as request_check reads them. */
static void put_path_argument(Str *b, const char *name) {
        static const Field id = { "task_id", FIELD_ULID }, version = { "task_version", FIELD_INTEGER, .min = 0, .max = UINT32_MAX };
        Field text = { name, FIELD_NAME };

        json_put_next(b);
        (void) str_append(b, "{");
        json_put_key_string(b, "name", name);
        (void) str_append(b, ",\"in\":\"path\",\"required\":true,\"schema\":");
        schema_print_field(STREQ(name, "task_id") ? &id : STREQ(name, "task_version") ? &version : &text, b);
        (void) str_append(b, "}");
}

static void put_parameters(const Route *r, Str *b) {
        char name[32];

        json_put_key(b, "parameters");
        (void) str_append(b, "[");
        for (const char *s = r->pattern; (s = strchr(s, '{'));) {
                (void) sscanf(++s, "%31[^}]", name);
                put_path_argument(b, name);
        }
        for (const Field *f = r->query ? r->query->fields : NULL; f && f->name; f++) {
                json_put_next(b);
                (void) str_append(b, "{");
                json_put_key_string(b, "name", f->name);
                (void) str_append(b, ",\"in\":\"query\",\"schema\":");
                schema_print_field(f, b);
                (void) str_append(b, "}");
        }
        (void) str_append(b, "]");
}

/* "GET /task-status/{task_id}" → get_task_status_task_id */
static void put_operation_id(const Route *r, Str *b) {
        json_put_key(b, "operationId");
        (void) str_append(b, "\"");
        for (const char *s = r->method; *s; s++)
                (void) str_printf(b, "%c", *s | 0x20);
        for (const char *s = r->pattern; *s; s++)
                if (*s != '{' && *s != '}')
                        (void) str_printf(b, "%c", *s == '/' || *s == '-' || *s == '.' ? '_' : *s);
        (void) str_append(b, "\"");
}

static void put_route(const Route *r, Str *b) {
        char method[8];

        (void) snprintf(method, sizeof method, "%s", r->method);
        for (char *s = method; *s; s++)
                *s |= 0x20;
        json_put_key(b, method);
        (void) str_append(b, "{");
        json_put_key_string(b, "summary", r->summary);
        put_operation_id(r, b);
        put_parameters(r, b);
        if (r->body)
                (void) str_printf(b, ",\"requestBody\":{\"required\":%s,\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}}",
                                  r->flags & ROUTE_BODY_OPTIONAL ? "false" : "true", r->body->name);
        if (r->flags & ROUTE_OPEN)
                (void) str_append(b, ",\"security\":[]");
        put_responses(r, b);
        (void) str_append(b, "}");
}

/* The methods of one path stand together, however the table orders them. */
static void put_paths(Str *b) {
        json_put_key(b, "paths");
        (void) str_append(b, "{");
        for (size_t i = 0; i < N_ROUTES; i++) {
                bool before = false;
                for (size_t k = 0; k < i; k++)
                        before = before || STREQ(ROUTES[k].pattern, ROUTES[i].pattern);
                if (before)
                        continue;
                json_put_key(b, ROUTES[i].pattern);
                (void) str_append(b, "{");
                for (size_t k = i; k < N_ROUTES; k++)
                        if (STREQ(ROUTES[k].pattern, ROUTES[i].pattern))
                                put_route(&ROUTES[k], b);
                (void) str_append(b, "}");
        }
        (void) str_append(b, "}");
}

/* Each schema once, with those that it refers to. */
static int put_schema(const Schema *s, Map *done, Str *b) {
        if (!s || map_get_str(done, s->name))
                return 0;
        int r = map_put(done, s->name, strlen(s->name), (void *) s);
        if (r < 0)
                return r;
        schema_print(s, b);
        for (const Field *f = s->fields; r >= 0 && f->name; f++)
                r = put_schema(f->of, done, b);
        return r;
}

static int put_schemas(Str *b) {
        Map *done = map_new();
        int r = done ? put_schema(&ERROR, done, b) : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < N_ROUTES; i++) {
                r = put_schema(ROUTES[i].body, done, b);
                if (r >= 0)
                        r = put_schema(ROUTES[i].answer, done, b);
        }
        map_free(done);
        return r;
}

int api_openapi(Request *request, Reply *ret) {
        Str *b = &ret->text;

        ret->status = 200;
        (void) str_append(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"jobbers\",\"version\":\"" JOBBERS_VERSION "\","
                             "\"description\":\"Background tasks, each in a process and cgroup of its own.\"}");
        put_paths(b);
        json_put_key(b, "components");
        (void) str_append(b, "{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\"}},\"schemas\":{");
        int r = put_schemas(b);
        return r < 0 ? r : str_append(b, "}},\"security\":[{\"token\":[]}]}");
}
