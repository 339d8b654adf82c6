/* api-admin.c: the daemon itself: what it is, whether it lives, how full it is, reload and drain. */
#include <unistd.h>

#include "base/clock.h"
#include "http/api.h"
#include "http/json-text.h"
#include "launch/shortfall.h"
#include "launch/wire.h"

const Schema SCHEMA_ROOT = { "RootResponse", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "tasks", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_ANY, .help = "Pairs of name and version" },
        { "version", FIELD_STRING, FIELD_REQUIRED },
        {},
} };

const Schema SCHEMA_HEALTH = { "Health", .fields = (const Field[]) {
        { "status", FIELD_STRING, FIELD_REQUIRED, .help = "ok, or starting while the launcher cannot be reached" },
        { "version", FIELD_STRING, FIELD_REQUIRED },
        { "launcher", FIELD_STRING, FIELD_REQUIRED | FIELD_NULLABLE, .help = "What attempts run in: scope, cgroup, pidns or tree" },
        { "limits", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING, .help = "Promises and limits that do not hold on this host" },
        {},
} };

const Schema SCHEMA_STATUS_QUEUE = { "StatusQueue", .fields = (const Field[]) {
        { "name", FIELD_NAME, FIELD_REQUIRED },
        { "waiting", FIELD_INTEGER, FIELD_REQUIRED },
        { "running", FIELD_INTEGER, FIELD_REQUIRED },
        { "paused", FIELD_BOOL, FIELD_REQUIRED },
        { "served", FIELD_BOOL, FIELD_REQUIRED, .help = "A role of this daemon includes it" },
        {},
} };

const Schema SCHEMA_STATUS_ROLE = { "StatusRole", .fields = (const Field[]) {
        { "name", FIELD_NAME, FIELD_REQUIRED },
        { "exists", FIELD_BOOL, FIELD_REQUIRED, .help = "false: nothing runs for it until it is made" },
        { "slots", FIELD_INTEGER, FIELD_REQUIRED },
        { "running", FIELD_INTEGER, FIELD_REQUIRED },
        {},
} };

const Schema SCHEMA_STATUS = { "Status", .fields = (const Field[]) {
        { "version", FIELD_STRING, FIELD_REQUIRED },
        { "pid", FIELD_INTEGER, FIELD_REQUIRED },
        { "mode", FIELD_STRING, FIELD_REQUIRED, .help = "system or user" },
        { "state_dir", FIELD_STRING, FIELD_REQUIRED },
        { "launcher", FIELD_STRING, FIELD_REQUIRED | FIELD_NULLABLE },
        { "draining", FIELD_BOOL, FIELD_REQUIRED },
        { "restored", FIELD_BOOL, FIELD_REQUIRED, .help = "The database was restored from a backup: no task is started until the drain is ended" },
        { "running", FIELD_INTEGER, FIELD_REQUIRED },
        { "waiting", FIELD_INTEGER, FIELD_REQUIRED },
        { "definitions", FIELD_INTEGER, FIELD_REQUIRED },
        { "roles", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_STATUS_ROLE, .help = "Those that this daemon serves" },
        { "queues", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_STATUS_QUEUE },
        {},
} };

const Schema SCHEMA_RELOADED = { "Reloaded", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "definitions", FIELD_INTEGER, FIELD_REQUIRED },
        { "problems", FIELD_INTEGER, FIELD_REQUIRED, .help = "Errors in files; the daemon's log has them, and `jobbersctl verify` shows them" },
        { "messages", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING, .help = "The first 50 of them: file, line and what is wrong" },
        {},
} };

typedef struct DrainBody {
        Given given;
        bool enabled;
} DrainBody;

const Schema SCHEMA_DRAIN = { "DrainRequest", sizeof(DrainBody), .fields = (const Field[]) {
        { "enabled", FIELD_BOOL, FIELD_REQUIRED, offsetof(DrainBody, enabled), .help = "true: stop starting tasks" },
        {},
} };

const Schema SCHEMA_DRAINING = { "Draining", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "enabled", FIELD_BOOL, FIELD_REQUIRED },
        { "running", FIELD_INTEGER, FIELD_REQUIRED },
        {},
} };

int api_root(Request *r, Reply *ret) {
        const DefinitionSet *set = engine_definitions(r->engine);
        Str *b = &ret->text;

        ret->status = 200;
        (void) str_append(b, "{");
        json_put_key_string(b, "message", "Welcome to jobbers");
        json_put_key(b, "tasks");
        (void) str_append(b, "[");
        for (size_t i = 0; i < definition_set_size(set); i++) {
                const Definition *d = definition_set_at(set, i);
                json_put_next(b);
                (void) str_append(b, "[");
                json_put_string(b, d->name);
                (void) str_printf(b, ",%u]", d->version);
        }
        (void) str_append(b, "]");
        json_put_key_string(b, "version", JOBBERS_VERSION);
        return str_append(b, "}");
}

static const char *launcher_word(uint32_t flags) {
        return flags & LAUNCHER_HOLDS_SCOPE ? "scope" : flags & LAUNCHER_HOLDS_CGROUP ? "cgroup" : flags & LAUNCHER_HOLDS_PIDNS ? "pidns"
             : flags & LAUNCHER_HOLDS_TREE ? "tree" : NULL;
}

int api_health(Request *r, Reply *ret) {
        uint32_t flags = engine_launch_flags(r->engine);
        const char *sentence;
        Str *b = &ret->text;

        ret->status = 200;
        (void) str_append(b, "{");
        json_put_key_string(b, "status", flags ? "ok" : "starting");
        json_put_key_string(b, "version", JOBBERS_VERSION);
        json_put_key_string(b, "launcher", launcher_word(flags));
        json_put_key(b, "limits");
        (void) str_append(b, "[");
        for (size_t cursor = 0; (sentence = launch_shortfall(flags, &cursor));) {
                json_put_next(b);
                json_put_string(b, sentence);
        }
        return str_append(b, "]}");
}

static int64_t put_queues(Request *r, Str *b) {
        int64_t waiting = 0;

        for (size_t i = 0; i < engine_queue_count(r->engine); i++) {
                QueueStatus q;
                engine_queue_at(r->engine, i, &q);
                waiting += q.waiting;
                json_put_next(b);
                (void) str_append(b, "{");
                json_put_key_string(b, "name", q.config->name);
                json_put_key_int(b, "waiting", q.waiting);
                json_put_key_int(b, "running", q.running);
                json_put_key_bool(b, "paused", q.config->paused);
                json_put_key_bool(b, "served", q.served);
                (void) str_append(b, "}");
        }
        return waiting;
}

static void put_roles(Request *r, Str *b) {
        RoleStatus role;

        for (size_t i = 0; engine_role_served_at(r->engine, i, &role); i++) {
                json_put_next(b);
                (void) str_append(b, "{");
                json_put_key_string(b, "name", role.name);
                json_put_key_bool(b, "exists", role.exists);
                json_put_key_int(b, "slots", role.slots);
                json_put_key_int(b, "running", role.running);
                (void) str_append(b, "}");
        }
}

int api_status(Request *r, Reply *ret) {
        const Settings *s = engine_settings(r->engine);
        Str *b = &ret->text;

        ret->status = 200;
        (void) str_append(b, "{");
        json_put_key_string(b, "version", JOBBERS_VERSION);
        json_put_key_int(b, "pid", getpid());
        json_put_key_string(b, "mode", s->user_mode ? "user" : "system");
        json_put_key_string(b, "state_dir", s->state_dir);
        json_put_key_string(b, "launcher", launcher_word(engine_launch_flags(r->engine)));
        json_put_key_bool(b, "draining", engine_draining(r->engine));
        json_put_key_bool(b, "restored", store_restored(r->store));
        json_put_key_int(b, "running", engine_running(r->engine));
        json_put_key_int(b, "definitions", (int64_t) definition_set_size(engine_definitions(r->engine)));
        json_put_key(b, "roles");
        (void) str_append(b, "[");
        put_roles(r, b);
        (void) str_append(b, "]");
        json_put_key(b, "queues");
        (void) str_append(b, "[");
        int64_t waiting = put_queues(r, b);
        (void) str_append(b, "]");
        json_put_key_int(b, "waiting", waiting);
        return str_append(b, "}");
}

int api_reload(Request *r, Reply *ret) {
        int problems = engine_reload(r->engine);

        if (problems < 0)
                return problems;
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_string(&ret->text, "message", "Definitions reloaded");
        json_put_key_int(&ret->text, "definitions", (int64_t) definition_set_size(engine_definitions(r->engine)));
        json_put_key_int(&ret->text, "problems", problems);
        json_put_key(&ret->text, "messages");
        (void) str_append(&ret->text, "[");
        for (char *const *p = engine_problems(r->engine); p && *p; p++) {
                json_put_next(&ret->text);
                json_put_string(&ret->text, *p);
        }
        return str_append(&ret->text, "]}");
}

int api_drain(Request *r, Reply *ret) {
        bool on = REQUEST_BODY(r, DrainBody)->enabled;

        engine_drain(r->engine, on);
        ret->status = 200;
        (void) str_append(&ret->text, "{");
        json_put_key_string(&ret->text, "message", on ? "No more tasks are started" : "Tasks are started again");
        json_put_key_bool(&ret->text, "enabled", on);
        json_put_key_int(&ret->text, "running", engine_running(r->engine));
        return str_append(&ret->text, "}");
}
