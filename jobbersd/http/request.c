/* request.c: parsing and checking a request by its route's tables, and the forms of errors. */
#include <stdio.h>

#include "http/json-text.h"
#include "http/request.h"
#include "http/routes.h"

void reply_done(Reply *r) {
        str_free(&r->text);
        if (r->stream)
                r->stream->free(r->stream);
        r->stream = NULL;
}

void request_done(Request *r) {
        if (r->free_state)
                r->free_state(r);
        r->free_state = NULL;
        for (size_t i = 0; i < r->n_query; i++) {
                free(r->query[i].name);
                free(r->query[i].value);
        }
        r->query = (free(r->query), NULL);
        r->n_query = 0;
        r->path = (free(r->path), NULL);
        json_decref(r->json);
        r->json = NULL;
}

void request_wake(Request *r) {
        r->wake(r);
}

const char *request_query(const Request *r, const char *name) {
        for (size_t i = r->n_query; i > 0; i--)         /* the last one wins */
                if (STREQ(r->query[i - 1].name, name))
                        return r->query[i - 1].value;
        return NULL;
}

void reply_error(Reply *r, unsigned status, const char *format, ...) {
        char sentence[1024];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(sentence, sizeof sentence, format, ap);
        va_end(ap);
        str_reset(&r->text);
        r->status = status;
        r->type = NULL;
        (void) str_append(&r->text, "{\"detail\":");
        json_put_string(&r->text, sentence);
        (void) str_append(&r->text, "}");
}

void reply_problems(Reply *r, const Problems *p) {
        reply_error(r, 422, "%s", p->first ? p->first : "the request has the wrong shape");
        if (r->text.failed || r->text.len == 0)
                return;                 /* no memory: the glue answers for it */
        r->text.s[--r->text.len] = '\0';
        (void) str_printf(&r->text, ",\"errors\":[%s]}", p->errors.s ? p->errors.s : "");
}

unsigned reply_status_of(int error) {
        switch (error) {
        case -EINVAL: return 400;
        case -ENOENT: return 404;
        case -EEXIST: case -EPERM: case -EBUSY: return 409;
        case -E2BIG:  return 413;
        case -ENOSPC: return 507;
        default:      return 503;
        }
}

void reply_errno(Reply *r, int error, const char *sentence) {
        unsigned status = reply_status_of(error);

        if (!sentence && error == -EBADMSG)
                sentence = "a record in the database is damaged and cannot be read";
        if (!sentence && status == 507)
                sentence = "the disk is full: nothing was changed; try again when there is space";
        else if (!sentence && status == 503)
                sentence = "the database cannot be read or written at the moment; "
                           "it is not known whether the request took effect: check before you repeat it";
        reply_error(r, status, "%s", sentence ? sentence : strerror(-error));
}

/* jansson recurses per level up to 2,048; its limit is not ours to set, so levels are counted first. */
static bool too_deep(const char *text, size_t len) {
        unsigned depth = 0;
        bool quoted = false;

        for (size_t i = 0; i < len; i++)
                if (quoted) {
                        if (text[i] == '\\')
                                i++;
                        else if (text[i] == '"')
                                quoted = false;
                } else if (text[i] == '"')
                        quoted = true;
                else if (text[i] == '{' || text[i] == '[') {
                        if (++depth > JSON_DEPTH_MAX)
                                return true;
                } else if ((text[i] == '}' || text[i] == ']') && depth > 0)
                        depth--;
        return false;
}

int request_parse_json(Request *r, const char *text, size_t len, Reply *ret) {
        json_error_t error;

        if (len == 0)
                return 0;
        if (too_deep(text, len)) {
                reply_error(ret, 400, "the body nests deeper than %d levels", JSON_DEPTH_MAX);
                return -EINVAL;
        }
        r->json = json_loadb(text, len, JSON_DECODE_ANY, &error);
        if (!r->json && json_error_code(&error) == json_error_null_character)
                reply_error(ret, 400, "a text in the body has a NUL character (\\u0000), which is not supported (line %d)", error.line);
        else if (!r->json && json_error_code(&error) == json_error_numeric_overflow)
                reply_error(ret, 400, "a number in the body is beyond 64 bits (line %d)", error.line);
        else if (!r->json)
                reply_error(ret, 400, "the body is not valid JSON: %s (line %d, column %d)", error.text, error.line, error.column);
        return r->json ? 0 : -EINVAL;
}

/* What an argument of a path is, by its name in the pattern: the same names that the reference's paths have. */
static void check_path_argument(Request *r, const char *name, const char *value, Problems *p) {
        static const Loc path = { .name = "path" };
        Loc at = { .up = &path, .name = name };
        uint64_t v;

        if (STREQ(name, "task_id")) {
                if (ulid_parse(value, &r->id) < 0)
                        problems_add(p, &at, "must be a ULID, 26 characters of Crockford's base 32");
        } else if (STREQ(name, "task_version")) {
                if (parse_u64(value, &v) < 0 || v > UINT32_MAX)
                        problems_add(p, &at, "must be a version, an integer of at least 0");
                else
                        r->version = (uint32_t) v;
        } else if (!name_valid(value))
                problems_add(p, &at, "may have 1 to 64 letters, digits, \"_\", \"-\" and \".\", and not be \".\" or \"..\"");
}

static const char *get_query(void *userdata, const char *name) {
        return request_query(userdata, name);
}

int request_check(Request *r, Reply *ret) {
        static const Loc body = { .name = "body" };
        _cleanup_problems_ Problems p = {};
        const Route *route = r->route;
        char name[32];
        unsigned n = 0;

        for (const char *s = route->pattern; (s = strchr(s, '{')) && n < ARRAY_SIZE(r->args); n++) {
                (void) sscanf(++s, "%31[^}]", name);
                check_path_argument(r, name, r->args[n], &p);
        }
        if (route->query)
                schema_read_query(route->query, get_query, r, r->args_in, &p);
        if (route->body) {
                if (r->json)
                        schema_read(route->body, r->json, &body, r->body, &p);
                else if (route->flags & ROUTE_BODY_OPTIONAL) {
                        json_t *empty = json_object();
                        if (empty)
                                schema_read(route->body, empty, &body, r->body, &p);
                        json_decref(empty);
                } else
                        problems_add(&p, &body, "is required, as JSON");
        }
        if (p.n == 0)
                return 0;
        reply_problems(ret, &p);
        return -EINVAL;
}
