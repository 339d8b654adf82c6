/* result.c: see result.h. jansson decides what is JSON; depth is counted before it recurses; and the text that is kept is the task's own
 * without its blanks, since a text that went through a parser would have other numbers in it. */
#include "model/result.h"

#include <jansson.h>

#include "base/str.h"
#include "model/utf8.h"

#define ERROR_MESSAGE_MAX 4096
#define ERROR_TYPE_MAX 256

static int refuse(char **ret_sentence, char *sentence) {
        *ret_sentence = sentence;
        return sentence ? -EINVAL : -ENOMEM;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool all_blank(const char *text, size_t len) {
        while (len > 0 && is_blank(text[len - 1]))
                len--;
        return len == 0;
}

static bool too_deep(const char *text, size_t len) {
        bool in_string = false;
        unsigned depth = 0;

        for (size_t i = 0; i < len; i++) {
                if (in_string) {
                        if (text[i] == '\\')
                                i++;
                        else if (text[i] == '"')
                                in_string = false;
                } else if (text[i] == '"')
                        in_string = true;
                else if (text[i] == '{' || text[i] == '[') {
                        if (++depth > RESULT_DEPTH_MAX)
                                return true;
                } else if ((text[i] == '}' || text[i] == ']') && depth > 0)
                        depth--;
        }
        return false;
}

/* 0 and the value; -EINVAL and the parser's reason; -ENOMEM. */
static int json_read(const char *text, size_t len, json_t **ret, json_error_t *error) {
        json_t *j = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
        /* JSON's integers have no end, jansson's do. The value is only looked at, so a rounded one does. */
        if (!j && json_error_code(error) == json_error_numeric_overflow)
                j = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, error);
        *ret = j;
        if (j)
                return 0;
        /* Without memory it mostly says nothing at all. */
        return !*error->text || json_error_code(error) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
}

/* Valid JSON without the blanks between its tokens. NULL without memory. */
static char *compact(const char *text, size_t len) {
        char *out = malloc(len + 1);
        bool in_string = false;
        size_t n = 0;

        for (size_t i = 0; out && i < len; i++) {
                if (!in_string && is_blank(text[i]))
                        continue;
                out[n++] = text[i];
                if (in_string && text[i] == '\\')
                        out[n++] = text[++i];
                else if (text[i] == '"')
                        in_string = !in_string;
        }
        if (out)
                out[n] = 0;
        return out;
}

int result_read(const char *text, size_t len, uint64_t max, char **ret_text, char **ret_sentence) {
        json_error_t error;

        if (!text) {
                *ret_text = strdup("{}");
                return *ret_text ? 0 : -ENOMEM;
        }
        if (len > max)
                return refuse(ret_sentence, str_new("the result has %zu bytes, and %llu are allowed (--max-result=)", len, (unsigned long long) max));
        /* Not the same as no file: it is what a program leaves that could not finish, or a redirection whose command failed. */
        if (all_blank(text, len))
                return refuse(ret_sentence, strdup("the result is empty: it must be a JSON object"));
        if (too_deep(text, len))
                return refuse(ret_sentence, str_new("the result is nested more than %d levels deep", RESULT_DEPTH_MAX));
        json_t *j;
        int r = json_read(text, len, &j, &error);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                utf8_clean(error.text);
                return refuse(ret_sentence, str_new("the result is not a JSON object: line %d: %s", error.line, error.text));
        }
        bool is_object = json_is_object(j);
        json_decref(j);
        if (!is_object)
                return refuse(ret_sentence, strdup("the result is not a JSON object but another JSON value"));
        *ret_text = compact(text, len);
        return *ret_text ? 0 : -ENOMEM;
}

static int text_take(const json_t *j, size_t max, char **ret) {
        const char *s = json_string_value(j);
        if (!s || !*s)
                return 0;
        *ret = utf8_copy(s, max);
        if (!*ret)
                return -ENOMEM;
        utf8_disarm(*ret);              /* it is shown in terminals */
        return 0;
}

int result_read_error(const char *text, size_t len, uint64_t max, char **ret_type, char **ret_message) {
        json_error_t error;

        *ret_type = *ret_message = NULL;
        if (!text || len > max || too_deep(text, len))
                return 0;
        json_t *j;
        int r = json_read(text, len, &j, &error);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        const json_t *e = json_object_get(j, "error");
        r = text_take(json_is_object(e) ? json_object_get(e, "message") : e, ERROR_MESSAGE_MAX, ret_message);
        if (r >= 0)
                r = text_take(json_object_get(e, "type"), ERROR_TYPE_MAX, ret_type);
        json_decref(j);
        if (r < 0) {
                free(TAKE_PTR(*ret_message));
                free(TAKE_PTR(*ret_type));
        }
        return r;
}
