/* fuzz-unitfile.c: any bytes as a unit file. What is handed on must be clean: text without newlines or surrounding blanks. */
#include <stdio.h>
#include <unistd.h>

#include "model/unitfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok) {
        if (!ok)
                abort();
}

static bool blank(char c) {
        return c == ' ' || c == '\t';
}

static int assign(void *userdata, unsigned line, const char *section, const char *key, const char *value) {
        size_t n = strlen(value);

        if (!key) {
                expect(line > 0 && section[0] != 0 && !strpbrk(section, "\n[]"));
                return 0;
        }
        expect(line > 0 && key[0] != 0 && !strpbrk(key, "\n=") && !strchr(value, '\n') && !strpbrk(section, "\n]"));
        expect(n == 0 || (!blank(value[0]) && !blank(value[n - 1])));
        return 0;
}

static void error(void *userdata, unsigned line, const char *sentence) {
        expect(sentence[0] != 0 && !strchr(sentence, '\n'));
        ++*(int *) userdata;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int errors = 0;
        int r = unitfile_parse((const char *) data, size, assign, error, &errors);

        expect(r == errors || r == -ENOMEM);
        return 0;
}
