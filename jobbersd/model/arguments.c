/* arguments.c: see arguments.h. */
#include "model/arguments.h"

#include "base/str.h"

static const Parameter *parameter_find(const Parameter *parameters, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (STREQ(parameters[i].name, name))
                        return parameters + i;
        return NULL;
}

static int refuse(char **ret_sentence, char *sentence) {
        *ret_sentence = sentence;
        return sentence ? -EINVAL : -ENOMEM;
}

/* A value of the wanted type, NULL when the text is none. */
static json_t *value_parse(ParameterType type, const char *text) {
        int64_t integer;
        bool boolean;
        json_t *j;

        switch (type) {
        case PARAM_INTEGER:
                return parse_i64(text, &integer) == 0 ? json_integer(integer) : NULL;
        case PARAM_BOOLEAN:
                return parse_bool(text, &boolean) == 0 ? json_boolean(boolean) : NULL;
        case PARAM_NUMBER:
        case PARAM_OBJECT:
        case PARAM_ARRAY:
                j = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
                if (type == PARAM_NUMBER ? json_is_number(j) : type == PARAM_OBJECT ? json_is_object(j) : json_is_array(j))
                        return j;
                json_decref(j);
                return NULL;
        default:
                return json_string(text);
        }
}

int arguments_parse(const Parameter *parameters, size_t n, char *const *words, size_t n_words, json_t **ret, char **ret_sentence) {
        json_t *object = json_object();
        int r = object ? 0 : -ENOMEM;

        for (size_t i = 0; i < n_words && r == 0; i++) {
                const char *word = words[i], *eq = strchr(word, '=');
                bool literal = eq && eq > word && eq[-1] == ':';
                if (!eq || eq == word || (literal && eq == word + 1)) {
                        r = refuse(ret_sentence, str_new("\"%s\" is not a parameter: write KEY=VALUE, or KEY:=JSON", word));
                        break;
                }

                _cleanup_free_ char *key = strndup(word, (size_t) (eq - word) - (literal ? 1 : 0));
                const Parameter *p = key ? parameter_find(parameters, n, key) : NULL;
                json_t *value;
                if (!key)
                        r = -ENOMEM;
                else if (literal) {
                        value = json_loads(eq + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
                        r = value ? json_object_set_new(object, key, value)
                                  : refuse(ret_sentence, str_new("\"%s\" is not JSON, which parameter \"%s\" was to be given in", eq + 1, key));
                } else {
                        value = value_parse(p ? p->type : PARAM_STRING, eq + 1);
                        r = value ? json_object_set_new(object, key, value)
                                  : refuse(ret_sentence, str_new("parameter \"%s\" must be of type %s, and \"%s\" is not", key,
                                                                 parameter_type_to_string(p ? p->type : PARAM_STRING), eq + 1));
                }
                if (r == -1)
                        r = -ENOMEM;
        }

        if (r < 0) {
                json_decref(object);
                return r;
        }
        *ret = object;
        return 0;
}
