/* fuzz-arguments.c: command lines, a word a line: as KEY=VALUE parameters, and as the flags of jobbersd. What is accepted is JSON that can be
 * read again, and settings within their bounds. */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "model/arguments.h"
#include "model/settings.h"

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
        if (!ok)
                abort();
}

static void fuzz_parameters(char **words, size_t n) {
        static const Parameter table[] = {
                { .name = (char *) "s", .type = PARAM_STRING }, { .name = (char *) "i", .type = PARAM_INTEGER },
                { .name = (char *) "n", .type = PARAM_NUMBER }, { .name = (char *) "b", .type = PARAM_BOOLEAN },
                { .name = (char *) "o", .type = PARAM_OBJECT }, { .name = (char *) "a", .type = PARAM_ARRAY },
        };
        _cleanup_free_ char *sentence = NULL, *text = NULL;
        json_t *object = NULL;
        json_error_t error;

        if (arguments_parse(table, ARRAY_SIZE(table), words, n, &object, &sentence) < 0)
                return;
        must(json_is_object(object));
        text = json_dumps(object, JSON_COMPACT);
        must(text);
        json_t *again = json_loads(text, 0, &error);
        must(again && json_equal(object, again));
        json_decref(again);
        json_decref(object);
}

static void fuzz_settings(char **words, size_t n) {
        char *argv[WORDS_MAX + 4] = { (char *) "jobbersd", (char *) "--user", (char *) "--config=/dev/null" };
        Settings s = {};
        int argc = 3;

        for (size_t i = 0; i < n; i++) {
                /* No files of whoever runs this. */
                if (strncmp(words[i], "--config", 8) == 0)
                        return;
                argv[argc++] = words[i];
        }
        if (settings_load(&s, argc, argv, NULL, NULL) >= 0) {
                must(s.slots > 0 && s.max_connections > 0 && s.n_roles > 0 && s.max_body > 0 && s.state_dir && s.run_dir && s.instance);
                for (size_t i = 0; i < s.n_roles; i++)
                        must(name_valid(s.roles[i].name));
        }
        settings_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool quiet;
        _cleanup_free_ char *text = strndup((const char *) data, size);
        char *words[WORDS_MAX], *state;
        size_t n = 0;

        if (!quiet) {
                stderr = fopen("/dev/null", "we");      /* refusals are sentences; the sanitizers write to the descriptor */
                log_set_level(-1);
                quiet = true;
        }
        if (!text)
                return 0;
        for (char *w = strtok_r(text, "\n", &state); w && n < WORDS_MAX; w = strtok_r(NULL, "\n", &state))
                words[n++] = w;
        fuzz_parameters(words, n);
        fuzz_settings(words, n);
        return 0;
}
