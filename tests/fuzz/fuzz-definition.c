/* fuzz-definition.c: any bytes as a task definition. One that is accepted says of itself what reads back as the same definition. */
#include "base/macro.h"
#include "model/definition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size), *once = NULL, *twice = NULL;
        Definition *first = NULL, *second = NULL;

        if (!text)
                return 0;
        if (definition_from_text(text, "/usr/libexec/jobbers", &first) >= 0) {
                once = definition_text(first);
                if (!once || definition_from_text(once, "/usr/libexec/jobbers", &second) < 0)
                        abort();
                twice = definition_text(second);
                if (!twice || !STREQ(once, twice) || first->hash != second->hash)
                        abort();
        }
        definition_unref(first);
        definition_unref(second);
        return 0;
}
