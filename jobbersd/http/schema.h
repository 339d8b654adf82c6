/* schema.h: what bodies, queries and answers look like, as tables of fields. One table reads a request into a struct (with the
 * 422 that names what is wrong) and is printed into /openapi.json; the tables of answers are printed only, and a test holds the
 * answers against them. */
#pragma once

#include <jansson.h>

#include "base/str.h"
#include "base/ulid.h"

typedef enum FieldType {
        FIELD_STRING,           /* const char * */
        FIELD_NAME,             /* const char *: the name of a task, queue or role */
        FIELD_ULID,             /* Ulid */
        FIELD_TIME,             /* usec_t, wall */
        FIELD_ENUM,             /* int: index into `values` */
        FIELD_INTEGER,          /* int64_t */
        FIELD_NUMBER,           /* double */
        FIELD_BOOL,             /* bool */
        FIELD_SIZE,             /* uint64_t: bytes, a number or "512M"; UINT64_MAX for "infinity" */
        FIELD_PERCENT,          /* int64_t: a number or "150%" */
        FIELD_OBJECT,           /* json_t *, borrowed: any object */
        FIELD_STRUCT,           /* the struct of schema `of`, at the offset */
        FIELD_LIST,             /* json_t *, borrowed: array whose elements are of `item` (strings, integers, or objects of `of`) */
        FIELD_ANY,              /* json_t *, borrowed */
        _FIELD_TYPE_MAX,
} FieldType;

enum {
        FIELD_REQUIRED = 1 << 0,        /* requests: must be there. Answers: always there */
        FIELD_NULLABLE = 1 << 1,        /* null is fine; requests: counts as absent, but see schema_is_null */
        FIELD_IGNORED = 1 << 2,         /* requests: documented, accepted in any shape, without effect (server-owned fields) */
};

typedef struct Schema Schema;
typedef struct Field {
        const char *name;
        FieldType type;
        unsigned flags;
        size_t offset;                  /* into the struct that is read into */
        int64_t min, max;               /* of numbers, when they differ; of strings: the length */
        const char *fallback;           /* default, as JSON text; NULL: zero, NULL, no id */
        const char *const *values;      /* enum: NULL-terminated */
        FieldType item;
        const Schema *of;
        const char *help;
} Field;

struct Schema {
        const char *name;               /* in components/schemas */
        size_t size;                    /* of the struct */
        const char *bare_list;          /* a body that is an array stands for this field alone */
        const Field *fields;            /* ends with name NULL */
};

/* Which fields were there: the first member of every struct that is read into. Bit n is field n of the table. */
typedef struct Given {
        uint32_t there, null;
} Given;

#define SCHEMA_SIZE_MAX 512             /* no struct is larger */

/* All that is wrong, for the 422: `first` is the sentence, `errors` the JSON array's inside. */
typedef struct Problems {
        char *first;
        Str errors;
        unsigned n;
} Problems;
void problems_done(Problems *p);
#define _cleanup_problems_ _cleanup_(problems_done)

/* A place in a request: "body", then names and indexes. */
typedef struct Loc {
        const struct Loc *up;
        const char *name;               /* NULL: an index */
        size_t index;
} Loc;

/* Notes one fault: the sentence is "NAME what", NAME being the place's last name. */
void problems_add(Problems *p, const Loc *loc, const char *format, ...) _printf_(3, 4);

/* Reads a body into *ret (s->size bytes; strings and objects are borrowed from `json`). Faults go to *p. */
void schema_read(const Schema *s, const json_t *json, const Loc *loc, void *ret, Problems *p);
/* The same from query arguments: `get` finds one by name, NULL when absent. */
typedef const char *(*schema_query_fn)(void *userdata, const char *name);
void schema_read_query(const Schema *s, schema_query_fn get, void *userdata, void *ret, Problems *p);

bool schema_given(const Schema *s, const void *in, const char *name);           /* there, null included */
bool schema_is_null(const Schema *s, const void *in, const char *name);

/* Prints `"Name": {…}` for components/schemas, and one field's inline schema. */
void schema_print(const Schema *s, Str *b);
void schema_print_field(const Field *f, Str *b);
