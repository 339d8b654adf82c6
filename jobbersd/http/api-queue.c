/* api-queue.c: queues: limits are given and shown here, and enforced by dispatch. */
#include "http/api.h"
#include "http/json-text.h"

typedef struct QueueBody {
        Given given;
        const char *name;
        int64_t max_concurrent, rate_numerator, rate_denominator;
        int rate_period;
        bool paused;
        uint64_t memory_max;
        int64_t tasks_max, cpu_quota, cpu_weight;
} QueueBody;

static const char *const PERIODS[] = { "second", "minute", "hour", "day", NULL };

#define QUEUE_FIELDS(name_flags)                                                                                                 \
        { "name", FIELD_NAME, name_flags, offsetof(QueueBody, name) },                                                            \
        { "max_concurrent", FIELD_INTEGER, FIELD_NULLABLE, offsetof(QueueBody, max_concurrent), 0, UINT32_MAX, "10",              \
          .help = "Tasks that run at once; null or 0: no limit" },                                                                \
        { "rate_numerator", FIELD_INTEGER, FIELD_NULLABLE, offsetof(QueueBody, rate_numerator), 0, RATE_NUMERATOR_MAX,            \
          .help = "Starts per rate_denominator × rate_period; null or 0: no limit" },                                             \
        { "rate_denominator", FIELD_INTEGER, FIELD_NULLABLE, offsetof(QueueBody, rate_denominator), 1, 1000000 },                 \
        { "rate_period", FIELD_ENUM, FIELD_NULLABLE, offsetof(QueueBody, rate_period), .values = PERIODS },                       \
        { "paused", FIELD_BOOL, 0, offsetof(QueueBody, paused), .help = "No task of it is started" },                                       \
        { "memory_max", FIELD_SIZE, FIELD_NULLABLE, offsetof(QueueBody, memory_max), 1, INT64_MAX, .help = "Of all its tasks together" },  \
        { "tasks_max", FIELD_INTEGER, FIELD_NULLABLE, offsetof(QueueBody, tasks_max), 1, INT64_MAX, .help = "Processes and threads" },     \
        { "cpu_quota", FIELD_PERCENT, FIELD_NULLABLE, offsetof(QueueBody, cpu_quota), 1, 1000000, .help = "\"150%\" is one and a half CPUs" },  \
        { "cpu_weight", FIELD_INTEGER, FIELD_NULLABLE, offsetof(QueueBody, cpu_weight), 1, 10000 }

const Schema SCHEMA_QUEUE_CREATE = { "QueueConfig", sizeof(QueueBody), .fields = (const Field[]) { QUEUE_FIELDS(FIELD_REQUIRED), {} } };
/* The name of the path counts, whatever the body says. */
const Schema SCHEMA_QUEUE_UPDATE = { "QueueUpdate", sizeof(QueueBody), .fields = (const Field[]) { QUEUE_FIELDS(FIELD_IGNORED), {} } };

#define OR_NULL FIELD_REQUIRED | FIELD_NULLABLE
const Schema SCHEMA_QUEUE_CONFIG = { "Queue", .fields = (const Field[]) {
        { "name", FIELD_NAME, FIELD_REQUIRED },
        { "max_concurrent", FIELD_INTEGER, OR_NULL },
        { "rate_numerator", FIELD_INTEGER, OR_NULL },
        { "rate_denominator", FIELD_INTEGER, OR_NULL },
        { "rate_period", FIELD_ENUM, OR_NULL, .values = PERIODS },
        { "paused", FIELD_BOOL, FIELD_REQUIRED },
        { "memory_max", FIELD_INTEGER, OR_NULL },
        { "tasks_max", FIELD_INTEGER, OR_NULL },
        { "cpu_quota", FIELD_STRING, OR_NULL },
        { "cpu_weight", FIELD_INTEGER, OR_NULL },
        {},
} };

const Schema SCHEMA_QUEUE_ANSWER = { "QueueAnswer", .fields = (const Field[]) {
        { "queue", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_QUEUE_CONFIG },
        {},
} };

const Schema SCHEMA_QUEUE_CHANGED = { "QueueChanged", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        { "queue", FIELD_STRUCT, FIELD_REQUIRED, .of = &SCHEMA_QUEUE_CONFIG },
        {},
} };

const Schema SCHEMA_NAMES = { "QueueNames", .fields = (const Field[]) {
        { "queues", FIELD_LIST, FIELD_REQUIRED, .item = FIELD_STRING },
        {},
} };

const Schema SCHEMA_MESSAGE = { "Message", .fields = (const Field[]) {
        { "message", FIELD_STRING, FIELD_REQUIRED },
        {},
} };

typedef struct ForceQuery {
        Given given;
        bool force;
} ForceQuery;

const Schema SCHEMA_FORCE = { "ForceQuery", sizeof(ForceQuery), .fields = (const Field[]) {
        { "force", FIELD_BOOL, 0, offsetof(ForceQuery, force), .fallback = "false", .help = "Cancel what has not ended" },
        {},
} };

/* ── answers ── */

static void put_limit(Str *b, const char *key, uint64_t v, uint64_t unset) {
        json_put_key(b, key);
        if (v == unset)
                (void) str_append(b, "null");
        else
                json_put_int(b, (int64_t) v);
}

static void put_queue(Str *b, const QueueConfig *q) {
        bool rate = queue_config_has_rate(q);

        (void) str_append(b, "{");
        json_put_key_string(b, "name", q->name);
        put_limit(b, "max_concurrent", q->max_concurrent, 0);
        put_limit(b, "rate_numerator", rate ? q->rate_numerator : 0, 0);
        put_limit(b, "rate_denominator", rate ? q->rate_denominator : 0, 0);
        json_put_key_string(b, "rate_period", rate ? rate_period_to_string(q->rate_period) : NULL);
        json_put_key_bool(b, "paused", q->paused);
        put_limit(b, "memory_max", q->memory_max, UINT64_MAX);
        put_limit(b, "tasks_max", q->tasks_max, UINT64_MAX);
        json_put_key(b, "cpu_quota");
        if (q->cpu_quota_percent == 0)
                (void) str_append(b, "null");
        else
                (void) str_printf(b, "\"%llu%%\"", (unsigned long long) q->cpu_quota_percent);
        put_limit(b, "cpu_weight", q->cpu_weight, 0);
        (void) str_append(b, "}");
}

static int say_queue(Reply *ret, unsigned status, const char *message, const QueueConfig *q) {
        ret->status = status;
        (void) str_append(&ret->text, "{");
        if (message)
                json_put_key_string(&ret->text, "message", message);
        json_put_key(&ret->text, "queue");
        put_queue(&ret->text, q);
        (void) str_append(&ret->text, "}");
        return 0;
}

static int refuse_unknown(Reply *ret, const char *name) {
        reply_error(ret, 404, "there is no queue \"%s\"", name);
        return 0;
}

/* ── from body to configuration ── */

static bool refuse_half_rate(Reply *ret, const char *missing, const char *given) {
        static const Loc body = { .name = "body" };
        _cleanup_problems_ Problems p = {};

        problems_add(&p, &(Loc) { .up = &body, .name = missing }, "is required with %s", given);
        reply_problems(ret, &p);
        return false;
}

/* A rate is whole or not there at all: half of one would silently limit nothing. A numerator of null or 0 says that there is no limit. */
static bool set_rate(const Schema *s, const QueueBody *b, QueueConfig *q, Reply *ret) {
        q->rate_numerator = 0;
        q->rate_denominator = 0;
        q->rate_period = RATE_NONE;
        if (b->rate_numerator == 0) {
                bool half = !schema_given(s, b, "rate_numerator") && (b->rate_period >= 0 || b->rate_denominator != 0);
                return !half || refuse_half_rate(ret, "rate_numerator", b->rate_period >= 0 ? "rate_period" : "rate_denominator");
        }
        if (b->rate_period < 0)
                return refuse_half_rate(ret, "rate_period", "rate_numerator");
        q->rate_numerator = (uint32_t) b->rate_numerator;
        q->rate_denominator = b->rate_denominator ? (uint32_t) b->rate_denominator : 1;
        q->rate_period = rate_period_from_string(PERIODS[b->rate_period]);
        return true;
}

/* Absent: the reference's fields fall back to their defaults, ours stay as they are; null is "no limit". */
static bool apply(const Schema *s, const QueueBody *b, QueueConfig *q, Reply *ret) {
        q->max_concurrent = schema_is_null(s, b, "max_concurrent") ? 0 : (unsigned) b->max_concurrent;
        if (schema_given(s, b, "paused"))
                q->paused = b->paused;
        if (schema_given(s, b, "memory_max"))
                q->memory_max = schema_is_null(s, b, "memory_max") ? UINT64_MAX : b->memory_max;
        if (schema_given(s, b, "tasks_max"))
                q->tasks_max = schema_is_null(s, b, "tasks_max") ? UINT64_MAX : (uint64_t) b->tasks_max;
        if (schema_given(s, b, "cpu_quota"))
                q->cpu_quota_percent = (uint64_t) b->cpu_quota;
        if (schema_given(s, b, "cpu_weight"))
                q->cpu_weight = (uint64_t) b->cpu_weight;
        return set_rate(s, b, q, ret);
}

/* ── handlers ── */

int api_queue_names(Request *r, Reply *ret) {
        ret->status = 200;
        (void) str_append(&ret->text, "{\"queues\":[");
        for (size_t i = 0; i < engine_queue_count(r->engine); i++) {
                QueueStatus q;
                engine_queue_at(r->engine, i, &q);
                json_put_next(&ret->text);
                json_put_string(&ret->text, q.config->name);
        }
        return str_append(&ret->text, "]}");
}

int api_queue_create(Request *r, Reply *ret) {
        const QueueBody *b = REQUEST_BODY(r, QueueBody);
        const char *sentence = NULL;
        QueueConfig q;

        if (engine_queue_get(r->engine, b->name)) {
                reply_error(ret, 409, "the queue \"%s\" exists already", b->name);
                return 0;
        }
        queue_config_init(&q, b->name);
        if (!apply(&SCHEMA_QUEUE_CREATE, b, &q, ret))
                return 0;
        int e = engine_queue_put(r->engine, &q, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_queue(ret, 201, "Queue created successfully", &q);
}

int api_queue_update(Request *r, Reply *ret) {
        const QueueBody *b = REQUEST_BODY(r, QueueBody);
        const QueueConfig *old = engine_queue_get(r->engine, r->args[0]);
        const char *sentence = NULL;
        QueueConfig q;

        queue_config_init(&q, r->args[0]);
        if (old)
                q = *old;
        if (!apply(&SCHEMA_QUEUE_UPDATE, b, &q, ret))
                return 0;
        int e = engine_queue_put(r->engine, &q, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_queue(ret, 200, old ? "Queue updated successfully" : "Queue created successfully", &q);
}

int api_queue_config(Request *r, Reply *ret) {
        const QueueConfig *q = engine_queue_get(r->engine, r->args[0]);
        return q ? say_queue(ret, 200, NULL, q) : refuse_unknown(ret, r->args[0]);
}

int api_queue_delete(Request *r, Reply *ret) {
        bool force = REQUEST_QUERY(r, ForceQuery)->force;
        const char *sentence = NULL;

        if (!engine_queue_get(r->engine, r->args[0]))
                return refuse_unknown(ret, r->args[0]);
        /* A crowded queue is emptied over many turns, so that nobody else has to wait for it. */
        int e = force && !STREQ(r->args[0], "default") ? engine_queue_empty(r->engine, r->args[0], &sentence) : 0;
        if (e > 0)
                return REPLY_CONTINUE;
        if (e >= 0)
                e = engine_queue_remove(r->engine, r->args[0], force, &sentence);
        if (e < 0)
                return api_refuse(ret, e, sentence);
        ret->status = 200;
        return str_append(&ret->text, "{\"message\":\"Queue deleted successfully\"}");
}

static int set_paused(Request *r, bool paused, const char *message, Reply *ret) {
        const QueueConfig *old = engine_queue_get(r->engine, r->args[0]);
        const char *sentence = NULL;

        if (!old)
                return refuse_unknown(ret, r->args[0]);
        QueueConfig q = *old;
        q.paused = paused;
        int e = engine_queue_put(r->engine, &q, &sentence);
        return e < 0 ? api_refuse(ret, e, sentence) : say_queue(ret, 200, message, &q);
}

int api_queue_pause(Request *r, Reply *ret) {
        return set_paused(r, true, "Queue paused", ret);
}

int api_queue_resume(Request *r, Reply *ret) {
        return set_paused(r, false, "Queue resumed", ret);
}
