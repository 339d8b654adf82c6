/* api-role.c: roles: named sets of queues. The reference has two sets of paths for them, /roles and /queues/{role}; both are served. */
#include "http/api.h"
#include "http/json-text.h"

typedef struct RoleBody {
        Given given;
        const char *name;
        json_t *queues;
} RoleBody;

const Schema SCHEMA_ROLE_CREATE = { "RoleRequest", sizeof(RoleBody), .fields = (const Field[]) {
        { "name", FIELD_NAME, FIELD_REQUIRED, offsetof(RoleBody, name) },
        { "queues", FIELD_LIST, FIELD_REQUIRED, offsetof(RoleBody, queues), .item = FIELD_STRING },
        {},
} };

const Schema SCHEMA_QUEUE_LIST = { "QueueList", sizeof(RoleBody), .bare_list = "queues", .fields = (const Field[]) {
        { "queues", FIELD_LIST, FIELD_REQUIRED, offsetof(RoleBody, queues), .item = FIELD_STRING },
        {},
} };

#define ROLE_FIELDS                                                                                                              \
        { "role", FIELD_NAME, FIELD_REQUIRED },                                                                                   \
        { "queues", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING }
const Schema SCHEMA_ROLE = { "Role", .fields = (const Field[]) { ROLE_FIELDS, {} } };
const Schema SCHEMA_ROLE_CHANGED = { "RoleChanged", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED }, ROLE_FIELDS, {},
} };
const Schema SCHEMA_ROLES = { "RoleNames", .fields = (const Field[]) {
        { "roles", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING }, {},
} };
const Schema SCHEMA_REFRESHED = { "RoleRefreshed", .fields = (const Field[]) {
        { "role", FIELD_NAME, FIELD_REQUIRED }, { "refresh_tag", FIELD_ULID, FIELD_REQUIRED }, {},
} };

static int refuse_unknown(Reply *ret, const char *name) {
        reply_error(ret, 404, "there is no role \"%s\"", name);
        return 0;
}

static int put_role(Request *r, const char *name, json_t *list, const char **ret_sentence) {
        _cleanup_strv_ char **queues = NULL;

        for (size_t i = 0; i < json_array_size(list); i++) {
                int e = strv_push(&queues, json_string_value(json_array_get(list, i)));
                if (e < 0)
                        return e;
        }
        char *none[] = { NULL };
        return engine_role_put(r->engine, name, queues ? queues : none, ret_sentence);
}

static void put_queues(Str *b, const RoleStatus *role) {
        json_put_key(b, "queues");
        (void) str_append(b, "[");
        for (char *const *q = role->queues; q && *q; q++) {
                json_put_next(b);
                json_put_string(b, *q);
        }
        (void) str_append(b, "]");
}

static int say_role(Request *r, Reply *ret, unsigned status, const char *message, const char *name) {
        RoleStatus role;

        int e = engine_role_get(r->engine, name, &role);
        if (e < 0)
                return refuse_unknown(ret, name);
        ret->status = status;
        (void) str_append(&ret->text, "{");
        if (message)
                json_put_key_string(&ret->text, "message", message);
        json_put_key_string(&ret->text, "role", name);
        put_queues(&ret->text, &role);
        return str_append(&ret->text, "}");
}

int api_role_queues(Request *r, Reply *ret) {
        RoleStatus role;

        if (engine_role_get(r->engine, r->args[0], &role) < 0)
                return refuse_unknown(ret, r->args[0]);
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        put_queues(&ret->text, &role);
        return str_append(&ret->text, "}");
}

int api_role_set_queues(Request *r, Reply *ret) {
        const char *sentence = NULL;
        int e = put_role(r, r->args[0], REQUEST_BODY(r, RoleBody)->queues, &sentence);

        if (e < 0)
                return api_refuse(ret, e, sentence);
        ret->status = 200;
        return str_append(&ret->text, "{\"message\":\"Queues set successfully\"}");
}

int api_role_names(Request *r, Reply *ret) {
        ret->status = 200;
        (void) str_append(&ret->text, "{\"roles\":[");
        for (size_t i = 0; i < engine_role_count(r->engine); i++) {
                RoleStatus role;
                engine_role_at(r->engine, i, &role);
                json_put_next(&ret->text);
                json_put_string(&ret->text, role.name);
        }
        return str_append(&ret->text, "]}");
}

int api_role_create(Request *r, Reply *ret) {
        const RoleBody *b = REQUEST_BODY(r, RoleBody);
        const char *sentence = NULL;
        RoleStatus role;

        if (engine_role_get(r->engine, b->name, &role) >= 0) {
                reply_error(ret, 409, "the role \"%s\" exists already", b->name);
                return 0;
        }
        int e = put_role(r, b->name, b->queues, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_role(r, ret, 201, "Role created successfully", b->name);
}

int api_role_get(Request *r, Reply *ret) {
        return say_role(r, ret, 200, NULL, r->args[0]);
}

/* Unlike /queues/{role} it makes none, as in the reference: a name that is not there is a mistake. */
int api_role_update(Request *r, Reply *ret) {
        const char *sentence = NULL;
        RoleStatus role;

        if (engine_role_get(r->engine, r->args[0], &role) < 0) {
                reply_error(ret, 404, "there is no role \"%s\"; create it with POST /roles", r->args[0]);
                return 0;
        }
        int e = put_role(r, r->args[0], REQUEST_BODY(r, RoleBody)->queues, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_role(r, ret, 200, "Role updated successfully", r->args[0]);
}

int api_role_delete(Request *r, Reply *ret) {
        const char *sentence = NULL;
        int e = engine_role_remove(r->engine, r->args[0], &sentence);

        if (e == -ENOENT && !sentence)
                return refuse_unknown(ret, r->args[0]);
        if (e < 0)
                return api_refuse(ret, e, sentence);
        ret->status = 200;
        return str_append(&ret->text, "{\"message\":\"Role deleted successfully\"}");
}

int api_role_refresh(Request *r, Reply *ret) {
        char text[ULID_STR_MAX];
        Ulid tag;

        int e = engine_role_refresh(r->engine, r->args[0], &tag);
        if (e == -ENOENT)
                return refuse_unknown(ret, r->args[0]);
        if (e < 0)
                return e;
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_string(&ret->text, "role", r->args[0]);
        json_put_key_string(&ret->text, "refresh_tag", ulid_format(&tag, text));
        return str_append(&ret->text, "}");
}
