/* tables.c: a manual page from standard input to standard output, with what the programs' own tables print in place of the lines
 * "@SETTINGS@" and "@KEYS@", and the version in place of "@VERSION@". So a page cannot disagree with the program. */
#include <stdio.h>

#include "model/definition.h"
#include "model/settings.h"

int main(int argc, char **argv) {
        char line[4096];

        if (argc != 2) {
                fprintf(stderr, "usage: man-tables VERSION <PAGE.in >PAGE\n");
                return 2;
        }
        while (fgets(line, sizeof(line), stdin)) {
                char *version = strstr(line, "@VERSION@");

                if (STREQ(line, "@SETTINGS@\n"))
                        settings_print_man(stdout);
                else if (STREQ(line, "@KEYS@\n"))
                        definition_print_man(stdout);
                else if (version)
                        printf("%.*s%s%s", (int) (version - line), line, argv[1], version + strlen("@VERSION@"));
                else
                        fputs(line, stdout);
        }
        return fflush(stdout) == 0 ? 0 : 1;
}
