/* json.c: jobbers_json_pack() and jobbers_json_get_*(), and the small functions that need no daemon. Exit status 0 when all is as it should be. */
#include <jobbers.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define CHECK(what)                                                         \
        do {                                                                \
                if (!(what)) {                                              \
                        printf("line %d: not true: %s\n", __LINE__, #what); \
                        failures++;                                         \
                }                                                           \
        } while (0)

static void check_text(int line, char *text, const char *expected) {
        if (!text || strcmp(text, expected) != 0) {
                printf("line %d: %s instead of %s\n", line, text ? text : "NULL", expected);
                failures++;
        }
        free(text);
}
#define CHECK_TEXT(text, expected) check_text(__LINE__, text, expected)

static void pack(void) {
        CHECK_TEXT(jobbers_json_pack("{s:i, s:[s, s]}", "report_id", 42, "sections", "summary", "history"), "{\"report_id\":42,\"sections\":[\"summary\",\"history\"]}");
        CHECK_TEXT(jobbers_json_pack("{s:s}", "quote", "a \"b\" \\ \n"), "{\"quote\":\"a \\\"b\\\" \\\\ \\n\"}");
        CHECK_TEXT(jobbers_json_pack("[I,b,b,n,f]", 1LL << 40, 1, 0, 0.5), "[1099511627776,true,false,null,0.5]");
        CHECK_TEXT(jobbers_json_pack("{s:f,s:f}", "price", 19.99, "sum", 0.1 + 0.2), "{\"price\":19.99,\"sum\":0.30000000000000004}");
        CHECK_TEXT(jobbers_json_pack("{s:s?, s:s*}", "a", NULL, "b", NULL), "{\"a\":null}");
        CHECK_TEXT(jobbers_json_pack("s", "text"), "\"text\"");
        static const char *const wrong[] = { NULL, "", "{s", "{s:o}", "{s:O}", "x", "{i:i}", "s#", "s%", "[s] [s]" };
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
                errno = 0;
                char *text = jobbers_json_pack(wrong[i], "a", "b", "c", "d");
                if (text || errno != EINVAL) {
                        printf("the format %s gives %s, errno %d\n", wrong[i] ? wrong[i] : "NULL", text ? text : "NULL", errno);
                        failures++;
                        free(text);
                }
        }
        errno = 0;
        CHECK(!jobbers_json_pack("{s:s}", "a", "\xff") && errno == EINVAL);
}

static void get(void) {
        static const char json[] = "{\"s\":\"text\",\"i\":-7,\"f\":2.5,\"b\":true,\"n\":null,\"a\":[10,{\"x/y\":1,\"t~\":2}],\"\":\"empty\"}";
        static const char large[] = "{\"big\":123456789012345678901234567890,\"i\":7}";
        char *text = NULL;
        int64_t i = 0;
        double f = 0;
        int b = 7;
        CHECK(jobbers_json_get_string(json, "/s", &text) == 0);
        CHECK_TEXT(text, "text");
        text = NULL;
        CHECK(jobbers_json_get_string(json, "/", &text) == 0);
        CHECK_TEXT(text, "empty");
        CHECK(jobbers_json_get_integer(json, "/i", &i) == 0 && i == -7);
        CHECK(jobbers_json_get_integer(json, "/a/0", &i) == 0 && i == 10);
        CHECK(jobbers_json_get_integer(json, "/a/1/x~1y", &i) == 0 && i == 1);
        CHECK(jobbers_json_get_integer(json, "/a/1/t~0", &i) == 0 && i == 2);
        CHECK(jobbers_json_get_number(json, "/f", &f) == 0 && f == 2.5);
        CHECK(jobbers_json_get_number(json, "/i", &f) == 0 && f == -7);
        CHECK(jobbers_json_get_number(large, "/big", &f) == 0 && f > 1e29);
        CHECK(jobbers_json_get_integer(large, "/i", &i) == 0 && i == 7);
        CHECK(jobbers_json_get_integer(large, "/big", &i) == -EINVAL);
        CHECK(jobbers_json_get_boolean(json, "/b", &b) == 0 && b == 1);
        text = NULL;
        CHECK(jobbers_json_get_text(json, "/a", &text) == 0);
        CHECK_TEXT(text, "[10,{\"x/y\":1,\"t~\":2}]");
        text = NULL;
        CHECK(jobbers_json_get_text("7", "", &text) == 0);
        CHECK_TEXT(text, "7");
        CHECK(jobbers_json_get_string(json, "/s", NULL) == 0);

        /* Outputs stay as they were. */
        text = (char *) json;
        i = 99;
        CHECK(jobbers_json_get_string(json, "/i", &text) == -EINVAL && text == json);
        CHECK(jobbers_json_get_integer(json, "/f", &i) == -EINVAL && i == 99);
        CHECK(jobbers_json_get_integer(json, "/s", &i) == -EINVAL);
        CHECK(jobbers_json_get_boolean(json, "/i", &b) == -EINVAL);
        CHECK(jobbers_json_get_string(json, "/n", &text) == -ENOENT);
        CHECK(jobbers_json_get_string(json, "/none", &text) == -ENOENT);
        CHECK(jobbers_json_get_string(json, "/s/x", &text) == -ENOENT);
        CHECK(jobbers_json_get_integer(json, "/a/2", &i) == -ENOENT);
        CHECK(jobbers_json_get_integer(json, "/a/00", &i) == -ENOENT);
        CHECK(jobbers_json_get_integer(json, "/a/-", &i) == -ENOENT);
        CHECK(jobbers_json_get_string(json, "s", &text) == -EINVAL);
        CHECK(jobbers_json_get_string(json, NULL, &text) == -EINVAL);
        CHECK(jobbers_json_get_string("{", "/s", &text) == -EBADMSG);
        CHECK(jobbers_json_get_string("", "", &text) == -EBADMSG);
        CHECK(jobbers_json_get_string(NULL, "", &text) == -EBADMSG);
        CHECK(text == json && i == 99);
}

static void states(void) {
        CHECK(strcmp(jobbers_state_name(JOBBERS_COMPLETED), "completed") == 0);
        CHECK(strcmp(jobbers_state_name(0), "unknown") == 0 && strcmp(jobbers_state_name(-5), "unknown") == 0 && strcmp(jobbers_state_name(99), "unknown") == 0);
        CHECK(!jobbers_state_is_final(JOBBERS_STARTED) && jobbers_state_is_final(JOBBERS_DROPPED) && !jobbers_state_is_final(JOBBERS_UNKNOWN));
        CHECK(!jobbers_state_is_final(99) && !jobbers_state_is_final(-1));
}

static void client(void) {
        JobbersClient *c = NULL;
        CHECK(jobbers_client_new(&c, "") == -EINVAL && jobbers_client_new(&c, "ftp://localhost") == -EINVAL && !c);
        CHECK(jobbers_client_new(&c, "/nowhere/at/all") == 0);
        CHECK(*jobbers_client_error(c) == '\0');
        CHECK(jobbers_client_set_timeout(c, 0) == -EINVAL);
        CHECK(jobbers_client_set_token(c, "a\nHeader: b") == -EINVAL && jobbers_client_set_token(c, NULL) == -EINVAL);
        CHECK(jobbers_client_set_token_file(c, "") == -EINVAL);
        CHECK(jobbers_status(c, "../queues", NULL) == -EINVAL && strstr(jobbers_client_error(c), "no task id"));
        CHECK(jobbers_status(c, NULL, NULL) == -EINVAL);
        CHECK(jobbers_client_call(c, "GET", "queues", NULL, NULL) == -EINVAL);
        CHECK(jobbers_client_call(c, "GET", "/queues", NULL, NULL) == -ECONNREFUSED);
        jobbers_client_free(c);
        jobbers_client_free(NULL);
        jobbers_task_free(NULL);
}

int main(void) {
        pack();
        get();
        states();
        client();
        return failures > 0;
}
