/* definition-hashes.c: for test_run.py: what the launcher will call its directories and definitions. Takes the launcher's own flags. */
#include <stdio.h>

#include "model/definition.h"
#include "model/settings.h"

static int take(void *userdata, const char *arg) {
        return strncmp(arg, "--launcher", 10) == 0 && (arg[10] == '\0' || arg[10] == '-');
}

static void problem(void *userdata, const char *path, unsigned line, const char *sentence) {
        fprintf(stderr, "%s:%u: %s\n", path, line, sentence);
}

int main(int argc, char **argv) {
        Settings settings = {};
        DefinitionSet *set = definition_set_new();
        if (!set || settings_load(&settings, argc, argv, take, NULL) < 0 || definition_set_load(set, &settings, problem, NULL) < 0)
                return 1;
        printf("attempt_dir %s\nrecord_dir %s\nsaved_dir %s\nlog_dir %s\ninstance %s\n", settings.attempt_dir, settings.record_dir,
               settings.saved_dir, settings.log_dir, settings.instance);
        for (size_t i = 0; i < definition_set_size(set); i++) {
                const Definition *d = definition_set_at(set, i);
                printf("hash %s %u %llu\n", d->name, d->version, (unsigned long long) d->hash);
        }
        definition_set_free(set);
        settings_free(&settings);
        return 0;
}
