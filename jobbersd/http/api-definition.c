/* api-definition.c: the registered tasks, with what a client may want to know: parameters and policies. What a definition runs, as whom
 * and with which environment is the administrator's business and not shown. */
#include "http/api.h"
#include "http/json-text.h"
#include "model/retry-on.h"

#define OR_NULL FIELD_REQUIRED | FIELD_NULLABLE

const Schema SCHEMA_PARAMETER = { "Parameter", .fields = (const Field[]) {
        { "name", FIELD_STRING, FIELD_REQUIRED },
        { "type", FIELD_STRING, FIELD_REQUIRED },
        { "required", FIELD_BOOL, FIELD_REQUIRED },
        {},
} };

const Schema SCHEMA_DEFINITION = { "Definition", .fields = (const Field[]) {
        { "name", FIELD_NAME, FIELD_REQUIRED },
        { "version", FIELD_INTEGER, FIELD_REQUIRED },
        { "description", FIELD_STRING, OR_NULL },
        { "documentation", FIELD_STRING, OR_NULL },
        { "max_retries", FIELD_INTEGER, FIELD_REQUIRED },
        { "retry_delay", FIELD_NUMBER, OR_NULL, .help = "Seconds; null: retry at once" },
        { "backoff_strategy", FIELD_STRING, FIELD_REQUIRED },
        { "max_retry_delay", FIELD_NUMBER, OR_NULL },
        { "retry_on", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING,
          .help = "Expected failures: exit statuses, signals, oom and error types; a timeout always is one" },
        { "timeout", FIELD_NUMBER, OR_NULL },
        { "dead_letter_policy", FIELD_STRING, FIELD_REQUIRED },
        { "max_heartbeat_interval", FIELD_NUMBER, OR_NULL },
        { "max_concurrent", FIELD_INTEGER, OR_NULL },
        { "on_shutdown", FIELD_STRING, FIELD_REQUIRED },
        { "kill_signal", FIELD_STRING, FIELD_REQUIRED },
        { "kill_mode", FIELD_STRING, FIELD_REQUIRED, .help = "control-group or mixed" },
        { "kill_grace", FIELD_NUMBER, FIELD_REQUIRED, .help = "Seconds until SIGKILL" },
        { "parameters", FIELD_LIST, OR_NULL, .item = FIELD_STRUCT, .of = &SCHEMA_PARAMETER, .help = "null: any object is accepted" },
        { "file", FIELD_STRING, OR_NULL },
        {},
} };

const Schema SCHEMA_DEFINITIONS = { "Definitions", .fields = (const Field[]) {
        { "definitions", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRUCT, .of = &SCHEMA_DEFINITION },
        {},
} };

const Schema SCHEMA_DEFINITION_ANSWER = { "DefinitionAnswer", .fields = (const Field[]) {
        { "definition", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_DEFINITION },
        {},
} };

static void put_seconds(Str *b, const char *key, usec_t v) {
        json_put_key(b, key);
        if (v == USEC_INFINITY)
                (void) str_append(b, "null");
        else if (v % USEC_PER_SEC == 0)
                json_put_int(b, (int64_t) (v / USEC_PER_SEC));
        else
                (void) str_printf(b, "%llu.%06llu", (unsigned long long) (v / USEC_PER_SEC), (unsigned long long) (v % USEC_PER_SEC));
}

static void put_parameters(Str *b, const Definition *d) {
        json_put_key(b, "parameters");
        if (!d->has_parameters) {
                (void) str_append(b, "null");
                return;
        }
        (void) str_append(b, "[");
        for (size_t i = 0; i < d->n_parameters; i++) {
                json_put_next(b);
                (void) str_append(b, "{");
                json_put_key_string(b, "name", d->parameters[i].name);
                json_put_key_string(b, "type", parameter_type_to_string(d->parameters[i].type));
                json_put_key_bool(b, "required", d->parameters[i].required);
                (void) str_append(b, "}");
        }
        (void) str_append(b, "]");
}

static void put_retry_on(Str *b, const Definition *d) {
        _cleanup_str_ Str words = {};
        char *rest = NULL;

        retry_on_print(&words, &d->retry_on);
        json_put_key(b, "retry_on");
        (void) str_append(b, "[");
        for (char *w = words.s ? strtok_r(words.s, " ", &rest) : NULL; w; w = strtok_r(NULL, " ", &rest)) {
                json_put_next(b);
                json_put_string(b, w);
        }
        (void) str_append(b, "]");
        b->failed |= words.failed;
}

static void put_definition(Str *b, const Definition *d) {
        (void) str_append(b, "{");
        json_put_key_string(b, "name", d->name);
        json_put_key_int(b, "version", d->version);
        json_put_key_string(b, "description", d->description);
        json_put_key_string(b, "documentation", d->documentation);
        json_put_key_int(b, "max_retries", d->max_retries);
        put_seconds(b, "retry_delay", d->retry_delay);
        json_put_key_string(b, "backoff_strategy", backoff_to_string(d->backoff));
        put_seconds(b, "max_retry_delay", d->max_retry_delay);
        put_retry_on(b, d);
        put_seconds(b, "timeout", d->timeout);
        json_put_key_string(b, "dead_letter_policy", d->dead_letter_save ? "save" : "none");
        put_seconds(b, "max_heartbeat_interval", d->max_heartbeat_interval);
        json_put_key(b, "max_concurrent");
        if (d->max_concurrent == 0)
                (void) str_append(b, "null");
        else
                json_put_int(b, d->max_concurrent);
        json_put_key_string(b, "on_shutdown", on_shutdown_to_string(d->on_shutdown));
        json_put_key_string(b, "kill_signal", signal_name(d->kill_signal));
        json_put_key_string(b, "kill_mode", kill_mode_to_string(d->kill_mode));
        put_seconds(b, "kill_grace", d->kill_grace);
        put_parameters(b, d);
        json_put_key_string(b, "file", d->path);
        (void) str_append(b, "}");
}

int api_definitions(Request *r, Reply *ret) {
        const DefinitionSet *set = engine_definitions(r->engine);

        ret->status = 200;
        (void) str_append(&ret->text, "{\"definitions\":[");
        for (size_t i = 0; i < definition_set_size(set); i++) {
                json_put_next(&ret->text);
                put_definition(&ret->text, definition_set_at(set, i));
        }
        return str_append(&ret->text, "]}");
}

int api_definition(Request *r, Reply *ret) {
        const Definition *d = definition_set_get(engine_definitions(r->engine), r->args[0], r->version);

        if (!d) {
                reply_error(ret, 404, "there is no definition of task \"%s\" version %u", r->args[0], r->version);
                return 0;
        }
        ret->status = 200;
        (void) str_append(&ret->text, "{\"definition\":");
        put_definition(&ret->text, d);
        return str_append(&ret->text, "}");
}
