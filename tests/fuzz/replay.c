/* replay.c: main() for a fuzz target without libFuzzer: feeds it every file it is given. So the corpora are tested by any compiler, and
 * under the sanitizers, without fuzzing. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                struct stat st;
                FILE *f = fopen(argv[i], "re");
                uint8_t *data;

                if (!f || fstat(fileno(f), &st) < 0) {
                        perror(argv[i]);
                        return 1;
                }
                /* Exactly the size, so that a read past the end is seen by the sanitizer. */
                data = malloc((size_t) st.st_size ?: 1);
                if (!data || fread(data, 1, (size_t) st.st_size, f) != (size_t) st.st_size) {
                        fprintf(stderr, "%s: cannot read it\n", argv[i]);
                        return 1;
                }
                LLVMFuzzerTestOneInput(data, (size_t) st.st_size);
                free(data);
                fclose(f);
        }
        return 0;
}
