/* fuzz-environment.c: any text as an EnvironmentFile=: all that comes out is NAME=VALUE, each name once; and an open quote has a line. */
#include "jobbers-run/environment-file.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        _cleanup_strv_ char **env = NULL;
        unsigned line = 0;
        if (!text)
                return 0;
        int r = environment_parse(text, &env, &line);
        if (r == -EINVAL && (line == 0 || line > size + 1))
                abort();
        for (char **e = env; e && *e; e++) {
                const char *eq = strchr(*e, '=');
                if (!eq || !name_is_valid(*e, (size_t) (eq - *e)))
                        abort();
                for (char **o = e + 1; *o; o++)
                        if (strncmp(*e, *o, (size_t) (eq - *e) + 1) == 0)
                                abort();
        }
        return 0;
}
