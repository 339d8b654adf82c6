/* schema.c: reads JSON and query arguments by field tables. Every fault is found in one pass, so that a client sees all of them. */
#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "http/json-text.h"
#include "http/schema.h"

void problems_done(Problems *p) {
        p->first = (free(p->first), NULL);
        str_free(&p->errors);
}

static void put_loc(Str *b, const Loc *loc) {
        if (loc->up) {
                put_loc(b, loc->up);
                (void) str_append(b, ",");
        }
        if (loc->name)
                json_put_string(b, loc->name);
        else
                json_put_int(b, (int64_t) loc->index);
}

/* "tasks[3].name"; the first part ("body", "query", "path") is left out unless it is all there is. */
static void put_place(Str *b, const Loc *loc) {
        if (loc->up && loc->up->up)
                put_place(b, loc->up);
        if (!loc->name)
                (void) str_printf(b, "[%zu]", loc->index);
        else
                (void) str_printf(b, "%s%s", b->len > 0 ? "." : "", loc->name);
}

void problems_add(Problems *p, const Loc *loc, const char *format, ...) {
        _cleanup_str_ Str place = {};
        char msg[256];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(msg, sizeof msg, format, ap);
        va_end(ap);
        if (p->n++ >= 100)              /* enough to work with; a list of 1,000 bad items must not answer with a book */
                return;
        if (p->errors.len > 0)
                (void) str_append(&p->errors, ",");
        (void) str_append(&p->errors, "{\"loc\":[");
        put_loc(&p->errors, loc);
        (void) str_append(&p->errors, "],\"msg\":");
        json_put_string(&p->errors, msg);
        (void) str_append(&p->errors, "}");
        if (!p->first) {
                put_place(&place, loc);
                p->first = str_new("%s %s", place.s ? place.s : "", msg);
        }
}

#define AT(f, base, type) (*(type *) ((char *) (base) + (f)->offset))

static bool ranged(const Field *f) {
        return f->min != f->max;
}

static void put_values(const Field *f, Str *b) {
        for (const char *const *v = f->values; *v; v++)
                (void) str_printf(b, "%s%s", v == f->values ? "" : ", ", *v);
}

static int find_value(const Field *f, const char *s) {
        for (int i = 0; f->values[i]; i++)
                if (STREQ(f->values[i], s))
                        return i;
        return -1;
}

static void read_string(const Field *f, const char *s, const Loc *loc, void *ret, Problems *p) {
        switch (f->type) {
        case FIELD_NAME:
                if (!name_valid(s))
                        problems_add(p, loc, "may have 1 to 64 letters, digits, \"_\", \"-\" and \".\", and not be \".\" or \"..\"");
                else
                        AT(f, ret, const char *) = s;
                return;
        case FIELD_ULID:
                if (ulid_parse(s, &AT(f, ret, Ulid)) < 0)
                        problems_add(p, loc, "must be a ULID, 26 characters of Crockford's base 32");
                return;
        case FIELD_TIME:
                if (clock_parse(s, &AT(f, ret, usec_t)) < 0)
                        problems_add(p, loc, "must be a time such as 2026-03-12T10:00:00Z");
                else if (AT(f, ret, usec_t) == 0)
                        AT(f, ret, usec_t) = 1;         /* 0 stands for no time */
                return;
        case FIELD_ENUM: {
                int i = find_value(f, s);
                _cleanup_str_ Str all = {};
                put_values(f, &all);
                if (i < 0)
                        problems_add(p, loc, "must be one of %s", all.s ? all.s : "");
                else
                        AT(f, ret, int) = i;
                return;
        }
        default: {
                size_t n = strlen(s);
                if (ranged(f) && (n < (size_t) f->min || n > (size_t) f->max))
                        problems_add(p, loc, "must have %lld to %lld characters", (long long) f->min, (long long) f->max);
                else
                        AT(f, ret, const char *) = s;
        }
        }
}

static void read_integer(const Field *f, int64_t v, const Loc *loc, void *ret, Problems *p) {
        if (ranged(f) && (v < f->min || v > f->max)) {
                if (f->max == INT64_MAX)
                        problems_add(p, loc, "must be at least %lld", (long long) f->min);
                else
                        problems_add(p, loc, "must be between %lld and %lld", (long long) f->min, (long long) f->max);
        } else if (f->type == FIELD_SIZE)
                AT(f, ret, uint64_t) = (uint64_t) v;
        else if (f->type == FIELD_NUMBER)
                AT(f, ret, double) = (double) v;
        else
                AT(f, ret, int64_t) = v;
}

static void read_number(const Field *f, double v, const Loc *loc, void *ret, Problems *p) {
        if (!isfinite(v) || (ranged(f) && (v < (double) f->min || v > (double) f->max)))
                problems_add(p, loc, "must be between %lld and %lld", (long long) f->min, (long long) f->max);
        else
                AT(f, ret, double) = v;
}

static const char *const TYPE_WORDS[_FIELD_TYPE_MAX] = {
        [FIELD_STRING] = "a string", [FIELD_NAME] = "a string", [FIELD_ULID] = "a string", [FIELD_TIME] = "a string",
        [FIELD_ENUM] = "a string", [FIELD_INTEGER] = "an integer", [FIELD_NUMBER] = "a number", [FIELD_BOOL] = "true or false",
        [FIELD_SIZE] = "a number of bytes or a size such as \"512M\"", [FIELD_PERCENT] = "a percentage such as \"150%\"",
        [FIELD_OBJECT] = "an object", [FIELD_STRUCT] = "an object", [FIELD_LIST] = "an array", [FIELD_ANY] = "a value",
};

/* "infinity" is beyond every range: it says that there is no limit. */
static void read_size(const Field *f, uint64_t v, const Loc *loc, void *ret, Problems *p) {
        if (v != UINT64_MAX && ranged(f) && (v < (uint64_t) f->min || v > (uint64_t) f->max))
                problems_add(p, loc, "must be between %lld and %lld bytes", (long long) f->min, (long long) f->max);
        else
                AT(f, ret, uint64_t) = v;
}

static void read_size_text(const Field *f, const char *s, const Loc *loc, void *ret, Problems *p) {
        uint64_t v;
        int r = f->type == FIELD_SIZE ? parse_size(s, &v) : parse_percent(s, &v);

        if (r < 0)
                problems_add(p, loc, "must be %s", TYPE_WORDS[f->type]);
        else if (f->type == FIELD_SIZE)
                read_size(f, v, loc, ret, p);
        else
                read_integer(f, v > INT64_MAX ? INT64_MAX : (int64_t) v, loc, ret, p);
}

static void check_items(const Field *f, const json_t *list, const Loc *loc, Problems *p) {
        size_t n = json_array_size(list);

        if (ranged(f) && (n < (size_t) f->min || n > (size_t) f->max)) {
                problems_add(p, loc, "must have %lld to %lld elements, not %zu", (long long) f->min, (long long) f->max, n);
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const json_t *v = json_array_get(list, i);
                Loc at = { .up = loc, .index = i };
                if (f->item == FIELD_STRING ? !json_is_string(v) : f->item == FIELD_STRUCT && !json_is_object(v))
                        problems_add(p, &at, "must be %s", TYPE_WORDS[f->item]);
                else if (f->item == FIELD_NAME && (!json_is_string(v) || !name_valid(json_string_value(v))))
                        problems_add(p, &at, "may have 1 to 64 letters, digits, \"_\", \"-\" and \".\", and not be \".\" or \"..\"");
        }
}

static void read_value(const Field *f, const json_t *v, const Loc *loc, void *ret, Problems *p) {
        switch (f->type) {
        case FIELD_STRING: case FIELD_NAME: case FIELD_ULID: case FIELD_TIME: case FIELD_ENUM:
                if (json_is_string(v)) {
                        read_string(f, json_string_value(v), loc, ret, p);
                        return;
                }
                break;
        case FIELD_SIZE: case FIELD_PERCENT:
                if (json_is_string(v)) {
                        read_size_text(f, json_string_value(v), loc, ret, p);
                        return;
                }
                /* fallthrough */
        case FIELD_INTEGER:
                if (json_is_integer(v)) {
                        read_integer(f, json_integer_value(v), loc, ret, p);
                        return;
                }
                break;
        case FIELD_NUMBER:
                if (json_is_number(v)) {
                        read_number(f, json_number_value(v), loc, ret, p);
                        return;
                }
                break;
        case FIELD_BOOL:
                if (json_is_boolean(v)) {
                        AT(f, ret, bool) = json_is_true(v);
                        return;
                }
                break;
        case FIELD_STRUCT:
                if (json_is_object(v)) {
                        schema_read(f->of, v, loc, (char *) ret + f->offset, p);
                        return;
                }
                break;
        case FIELD_LIST:
                if (json_is_array(v)) {
                        check_items(f, v, loc, p);
                        AT(f, ret, const json_t *) = v;
                        return;
                }
                break;
        case FIELD_OBJECT:
                if (!json_is_object(v))
                        break;
                /* fallthrough */
        case FIELD_ANY:
                AT(f, ret, const json_t *) = v;
                return;
        case _FIELD_TYPE_MAX:
                break;
        }
        problems_add(p, loc, "must be %s", TYPE_WORDS[f->type]);
}

static void read_text(const Field *f, const char *s, const Loc *loc, void *ret, Problems *p) {
        int64_t i;
        char *end;

        switch (f->type) {
        case FIELD_INTEGER:
                if (parse_i64(s, &i) < 0)
                        problems_add(p, loc, "must be an integer");
                else
                        read_integer(f, i, loc, ret, p);
                return;
        case FIELD_NUMBER: {
                double v = strtod(s, &end);
                if (end == s || *end)
                        problems_add(p, loc, "must be a number");
                else
                        read_number(f, v, loc, ret, p);
                return;
        }
        case FIELD_BOOL:
                if (parse_bool(s, &AT(f, ret, bool)) < 0)
                        problems_add(p, loc, "must be true or false");
                return;
        case FIELD_SIZE: case FIELD_PERCENT:
                read_size_text(f, s, loc, ret, p);
                return;
        default:
                read_string(f, s, loc, ret, p);
        }
}

/* Defaults are constants of our own tables: what does not parse stays zero, and the unit tests read every table. */
static void read_fallback(const Field *f, void *ret) {
        switch (f->type) {
        case FIELD_INTEGER: case FIELD_PERCENT:
                AT(f, ret, int64_t) = strtoll(f->fallback, NULL, 10);
                return;
        case FIELD_NUMBER:
                AT(f, ret, double) = strtod(f->fallback, NULL);
                return;
        case FIELD_BOOL:
                AT(f, ret, bool) = STREQ(f->fallback, "true");
                return;
        case FIELD_ENUM: {
                char text[64] = "";
                (void) sscanf(f->fallback, "\"%63[^\"]\"", text);
                AT(f, ret, int) = find_value(f, text);
                return;
        }
        default:
                return;
        }
}

static void set_defaults(const Schema *s, void *ret) {
        memset(ret, 0, s->size);
        for (const Field *f = s->fields; f->name; f++) {
                if (f->flags & FIELD_IGNORED)
                        continue;
                if (f->fallback && !STREQ(f->fallback, "null"))
                        read_fallback(f, ret);
                else if (f->type == FIELD_ENUM)
                        AT(f, ret, int) = -1;
        }
}

void schema_read(const Schema *s, const json_t *json, const Loc *loc, void *ret, Problems *p) {
        Given *given = ret;
        bool bare = s->bare_list && json_is_array(json);

        set_defaults(s, ret);
        if (!bare && !json_is_object(json)) {
                problems_add(p, loc, s->bare_list ? "must be an object or an array" : "must be an object");
                return;
        }
        for (const Field *f = s->fields; f->name; f++) {
                uint32_t bit = 1U << (f - s->fields);
                const json_t *v = bare ? (STREQ(f->name, s->bare_list) ? json : NULL) : json_object_get(json, f->name);
                Loc at = { .up = loc, .name = f->name };

                if (f->flags & FIELD_IGNORED)
                        continue;
                if (v)
                        given->there |= bit;
                if (v && json_is_null(v) && (f->flags & FIELD_NULLABLE)) {
                        given->null |= bit;
                        v = NULL;
                } else if (!v && (f->flags & FIELD_REQUIRED) && !bare)
                        problems_add(p, &at, "is required");
                if (v)
                        read_value(f, v, &at, ret, p);
        }
}

void schema_read_query(const Schema *s, schema_query_fn get, void *userdata, void *ret, Problems *p) {
        static const Loc query = { .name = "query" };
        Given *given = ret;

        set_defaults(s, ret);
        for (const Field *f = s->fields; f->name; f++) {
                const char *v = get(userdata, f->name);
                Loc at = { .up = &query, .name = f->name };

                if (!v && (f->flags & FIELD_REQUIRED))
                        problems_add(p, &at, "is required");
                if (!v)
                        continue;
                given->there |= 1U << (f - s->fields);
                read_text(f, v, &at, ret, p);
        }
}

static uint32_t bit_of(const Schema *s, const char *name) {
        for (const Field *f = s->fields; f->name; f++)
                if (STREQ(f->name, name))
                        return 1U << (f - s->fields);
        return 0;
}

bool schema_given(const Schema *s, const void *in, const char *name) {
        return ((const Given *) in)->there & bit_of(s, name);
}

bool schema_is_null(const Schema *s, const void *in, const char *name) {
        return ((const Given *) in)->null & bit_of(s, name);
}
