/* parameters.c: [Parameters]: what it declares, and the check of what a client gives (SPEC 3). */
#include "model/parameters.h"

#include <ctype.h>

static const char *const type_names[_PARAM_TYPE_MAX] = {
        [PARAM_STRING] = "string",
        [PARAM_INTEGER] = "integer",
        [PARAM_NUMBER] = "number",
        [PARAM_BOOLEAN] = "boolean",
        [PARAM_OBJECT] = "object",
        [PARAM_ARRAY] = "array",
};

const char *parameter_type_to_string(ParameterType t) {
        return (unsigned) t < _PARAM_TYPE_MAX ? type_names[t] : NULL;
}

static int refuse(char **ret_sentence, char *sentence) {
        *ret_sentence = sentence;
        return sentence ? -EINVAL : -ENOMEM;
}

/* What can be a key of the file and needs no quoting in it. Letters of other languages are as good as ours. */
static bool parameter_name_valid(const char *s) {
        if (strlen(s) > 128 || (!isalpha((unsigned char) *s) && *s != '_' && !(*s & 0x80)))
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && !strchr("_.-", *s) && !(*s & 0x80))
                        return false;
        return true;
}

static Parameter *parameter_find(const Definition *d, const char *name) {
        for (size_t i = 0; i < d->n_parameters; i++)
                if (STREQ(d->parameters[i].name, name))
                        return d->parameters + i;
        return NULL;
}

static void parameter_remove(Definition *d, Parameter *p) {
        size_t i = (size_t) (p - d->parameters);
        free(p->name);
        memmove(p, p + 1, (d->n_parameters - i - 1) * sizeof *p);
        d->n_parameters--;
}

static int value_parse(const char *value, Parameter *ret) {
        const char *comma = strchr(value, ',');
        size_t n = comma ? (size_t) (comma - value) : strlen(value);

        while (n > 0 && isblank((unsigned char) value[n - 1]))
                n--;
        for (ParameterType t = 0; t < _PARAM_TYPE_MAX; t++) {
                if (strlen(type_names[t]) != n || memcmp(type_names[t], value, n) != 0)
                        continue;
                ret->type = t;
                ret->required = comma;
                if (!comma)
                        return 0;
                comma++;
                comma += strspn(comma, " \t");
                return STREQ(comma, "required") ? 0 : -EINVAL;
        }
        return -EINVAL;
}

int parameter_declare(Definition *d, const char *name, const char *value, char **ret_reason) {
        Parameter *p = parameter_find(d, name);
        Parameter new = {};

        if (*value == 0) {
                if (p)
                        parameter_remove(d, p);
                return 0;
        }
        if (!parameter_name_valid(name))
                return refuse(ret_reason, str_new("\"%s\" cannot be the name of a parameter: letters, digits and _ . -, a letter first", name));
        if (value_parse(value, &new) < 0)
                return refuse(ret_reason, strdup("it must be string, integer, number, boolean, object or array, with \", required\" after it or not"));
        if (p) {
                p->type = new.type;
                p->required = new.required;
                return 0;
        }
        p = reallocarray(d->parameters, d->n_parameters + 1, sizeof *p);
        if (!p)
                return -ENOMEM;
        d->parameters = p;
        new.name = strdup(name);
        if (!new.name)
                return -ENOMEM;
        d->parameters[d->n_parameters++] = new;
        return 0;
}

void parameters_clear(Definition *d) {
        for (size_t i = 0; i < d->n_parameters; i++)
                free(d->parameters[i].name);
        free(d->parameters);
        d->parameters = NULL;
        d->n_parameters = 0;
        d->has_parameters = false;
}

void parameters_print(Str *b, const Definition *d) {
        for (size_t i = 0; i < d->n_parameters; i++)
                str_printf(b, "%s=%s%s\n", d->parameters[i].name, type_names[d->parameters[i].type], d->parameters[i].required ? ", required" : "");
}

static bool type_matches(ParameterType t, const json_t *value) {
        switch (t) {
        case PARAM_STRING:
                return json_is_string(value);
        case PARAM_INTEGER:
                return json_is_integer(value);
        case PARAM_NUMBER:
                return json_is_number(value);
        case PARAM_BOOLEAN:
                return json_is_boolean(value);
        case PARAM_OBJECT:
                return json_is_object(value);
        default:
                return json_is_array(value);
        }
}

static int unknown_parameter(const Definition *d, const char *name, char **ret_sentence) {
        _cleanup_str_ Str b = {};

        str_printf(&b, "Task \"%s\" version %u has no parameter \"%s\"", d->name, d->version, name);
        for (size_t i = 0; i < d->n_parameters; i++)
                str_printf(&b, "%s%s", i == 0 ? "; it takes " : ", ", d->parameters[i].name);
        if (d->n_parameters == 0)
                str_append(&b, "; it takes none");
        str_append(&b, ".");
        return refuse(ret_sentence, str_take(&b));
}

int definition_check_parameters(const Definition *d, const json_t *parameters, char **ret_sentence) {
        if (!d->has_parameters)
                return 0;
        for (size_t i = 0; i < d->n_parameters; i++) {
                const Parameter *p = d->parameters + i;
                const json_t *value = json_object_get(parameters, p->name);
                if (!value && p->required)
                        return refuse(ret_sentence, str_new("Parameter \"%s\" is missing; task \"%s\" version %u requires it.", p->name, d->name, d->version));
                if (value && !type_matches(p->type, value))
                        return refuse(ret_sentence, str_new("Parameter \"%s\" of task \"%s\" version %u must be of type %s.", p->name, d->name,
                                                            d->version, type_names[p->type]));
        }
        const char *name;
        json_t *value;
        json_object_foreach((json_t *) parameters, name, value)
                if (!parameter_find(d, name))
                        return unknown_parameter(d, name, ret_sentence);
        return 0;
}
