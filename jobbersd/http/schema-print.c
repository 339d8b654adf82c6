/* schema-print.c: the field tables as JSON Schema, for /openapi.json. */
#include "http/json-text.h"
#include "http/schema.h"

static void print_type(FieldType type, const Field *f, Str *b) {
        switch (type) {
        case FIELD_STRING:
                (void) str_append(b, "\"type\":\"string\"");
                break;
        case FIELD_NAME:
                (void) str_append(b, "\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_.-]{1,64}$\"");
                break;
        case FIELD_ULID:
                (void) str_append(b, "\"type\":\"string\",\"minLength\":26,\"maxLength\":26,\"pattern\":\"^[0-7oOiIlL][0-9A-TV-Za-tv-z]{25}$\"");
                break;
        case FIELD_TIME:
                (void) str_append(b, "\"type\":\"string\",\"format\":\"date-time\"");
                break;
        case FIELD_ENUM:
                (void) str_append(b, "\"type\":\"string\",\"enum\":[");
                for (const char *const *v = f->values; *v; v++) {
                        json_put_next(b);
                        json_put_string(b, *v);
                }
                (void) str_append(b, "]");
                break;
        case FIELD_INTEGER:
                (void) str_append(b, "\"type\":\"integer\"");
                break;
        case FIELD_NUMBER:
                (void) str_append(b, "\"type\":\"number\"");
                break;
        case FIELD_BOOL:
                (void) str_append(b, "\"type\":\"boolean\"");
                break;
        case FIELD_SIZE:
        case FIELD_PERCENT:
                (void) str_append(b, "\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]");
                break;
        case FIELD_OBJECT:
                (void) str_append(b, "\"type\":\"object\",\"additionalProperties\":true");
                break;
        case FIELD_STRUCT:
                (void) str_printf(b, "\"$ref\":\"#/components/schemas/%s\"", f->of->name);
                break;
        case FIELD_LIST:
                (void) str_append(b, "\"type\":\"array\",\"items\":{");
                if (f->item != FIELD_ANY)
                        print_type(f->item, f, b);
                (void) str_append(b, "}");
                break;
        case FIELD_ANY:
        case _FIELD_TYPE_MAX:
                break;
        }
}

static void print_bounds(const Field *f, Str *b) {
        const char *low = "minimum", *high = "maximum";

        if (f->min == f->max)
                return;
        if (f->type == FIELD_STRING)
                low = "minLength", high = "maxLength";
        else if (f->type == FIELD_LIST)
                low = "minItems", high = "maxItems";
        else if (f->type == FIELD_SIZE || f->type == FIELD_PERCENT)
                return;
        json_put_key_int(b, low, f->min);
        if (f->max != INT64_MAX)
                json_put_key_int(b, high, f->max);
}

void schema_print_field(const Field *f, Str *b) {
        (void) str_append(b, "{");
        if (f->flags & FIELD_NULLABLE) {
                (void) str_append(b, "\"anyOf\":[{");
                print_type(f->type, f, b);
                print_bounds(f, b);
                (void) str_append(b, "},{\"type\":\"null\"}]");
        } else {
                print_type(f->type, f, b);
                print_bounds(f, b);
        }
        if (f->fallback && !(f->flags & FIELD_REQUIRED))
                json_put_key_raw(b, "default", f->fallback, "null");
        if (f->help)
                json_put_key_string(b, "description", f->help);
        (void) str_append(b, "}");
}

static void print_object(const Schema *s, Str *b) {
        (void) str_append(b, "\"type\":\"object\",\"properties\":{");
        for (const Field *f = s->fields; f->name; f++) {
                json_put_key(b, f->name);
                schema_print_field(f, b);
        }
        (void) str_append(b, "}");
        bool first = true;
        for (const Field *f = s->fields; f->name; f++) {
                if (!(f->flags & FIELD_REQUIRED))
                        continue;
                if (first)
                        (void) str_append(b, ",\"required\":[");
                json_put_next(b);
                json_put_string(b, f->name);
                first = false;
        }
        if (!first)
                (void) str_append(b, "]");
}

void schema_print(const Schema *s, Str *b) {
        json_put_key(b, s->name);
        (void) str_append(b, "{");
        if (s->bare_list) {
                (void) str_append(b, "\"anyOf\":[{");
                print_object(s, b);
                (void) str_append(b, "},");
                for (const Field *f = s->fields; f->name; f++)
                        if (STREQ(f->name, s->bare_list))
                                schema_print_field(f, b);
                (void) str_append(b, "]");
        } else
                print_object(s, b);
        (void) str_append(b, "}");
}
