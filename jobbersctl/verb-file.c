/* verb-file.c: verbs on definition files: verify, cat, edit. They read the files themselves and need no daemon. */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "jobbersctl/ctl.h"
#include "model/definition.h"

static void print_problem(void *userdata, const char *path, unsigned line, const char *sentence) {
        if (line > 0)
                fprintf(stderr, "%s:%u: %s\n", path, line, sentence);
        else
                fprintf(stderr, "%s: %s\n", path, sentence);
}

static int settings_of(const Ctl *ctl, Settings *ret) {
        char *argv[] = { (char *) "jobbersctl", (char *) (ctl->address.mode == CLIENT_USER ? "--user" : "--system"), NULL };
        return settings_load(ret, 2, argv, NULL, NULL);
}

int verb_verify(Ctl *ctl, int argc, char **argv) {
        _cleanup_(settings_free) Settings settings = { 0 };
        int problems = 0;

        if (settings_of(ctl, &settings) < 0)
                return CTL_FAILED;
        for (int i = 0; i < argc; i++)
                problems += definition_verify_file(argv[i], &settings, print_problem, NULL);
        if (argc == 0) {
                DefinitionSet *set = definition_set_new();
                int r = set ? definition_set_load(set, &settings, print_problem, NULL) : -ENOMEM;
                if (r < 0)
                        return CTL_FAILED;
                problems = r;
                if (problems == 0 && !ctl->quiet)
                        printf("%zu task definitions, no problem.\n", definition_set_size(set));
                definition_set_free(set);
        }
        return problems == 0 ? CTL_OK : CTL_FAILED;
}

/* The newest version of a name. */
static Definition *definition_by_name(const DefinitionSet *set, const char *name) {
        Definition *found = NULL;
        for (size_t i = 0; i < definition_set_size(set); i++)
                if (STREQ(definition_set_at(set, i)->name, name))
                        found = definition_set_at(set, i);
        return found;
}

static void cat_file(const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        if (fd_read_file_at(AT_FDCWD, path, 1024 * 1024, &text, &n) < 0)
                return;
        printf("# %s\n%s%s\n", path, text, n > 0 && text[n - 1] == '\n' ? "" : "\n");
}

int verb_cat(Ctl *ctl, int argc, char **argv) {
        _cleanup_(settings_free) Settings settings = { 0 };
        if (settings_of(ctl, &settings) < 0)
                return CTL_FAILED;
        DefinitionSet *set = definition_set_new();
        if (!set || definition_set_load(set, &settings, print_problem, NULL) < 0)
                return CTL_FAILED;
        Definition *d = definition_by_name(set, argv[0]);
        if (!d) {
                fprintf(stderr, "jobbersctl: no task \"%s\" is registered. See: jobbersctl tasks\n", argv[0]);
                definition_set_free(set);
                return CTL_NOT_FOUND;
        }
        ctl_pager(ctl);
        cat_file(d->path);
        const char *base = strrchr(d->path, '/') ? strrchr(d->path, '/') + 1 : d->path;
        for (size_t i = strv_len(settings.task_dirs); i > 0; i--) {
                _cleanup_free_ char *pattern = str_new("%s/%s.d/*.conf", settings.task_dirs[i - 1], base);
                glob_t g;
                if (!pattern || glob(pattern, 0, NULL, &g) != 0)
                        continue;
                for (size_t k = 0; k < g.gl_pathc; k++)
                        cat_file(g.gl_pathv[k]);
                globfree(&g);
        }
        definition_set_free(set);
        return CTL_OK;
}

static int editor_run(const char *path) {
        const char *editor = getenv("JOBBERS_EDITOR");
        if (!editor)
                editor = getenv("VISUAL");
        if (!editor)
                editor = getenv("EDITOR");
        _cleanup_free_ char *command = str_new("%s \"$1\"", editor ? editor : "editor");
        pid_t pid = command ? fork() : -1;
        int status = 0;
        if (pid == 0) {
                execl("/bin/sh", "sh", "-c", command, "sh", path, (char *) NULL);
                _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
                return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECANCELED;
}

int verb_edit(Ctl *ctl, int argc, char **argv) {
        _cleanup_(settings_free) Settings settings = { 0 };
        if (settings_of(ctl, &settings) < 0)
                return CTL_FAILED;
        DefinitionSet *set = definition_set_new();
        if (!set || definition_set_load(set, &settings, print_problem, NULL) < 0)
                return CTL_FAILED;
        Definition *d = definition_by_name(set, argv[0]);
        if (!d) {
                fprintf(stderr, "jobbersctl: no task \"%s\" is registered. See: jobbersctl tasks\n", argv[0]);
                definition_set_free(set);
                return CTL_NOT_FOUND;
        }
        const char *base = strrchr(d->path, '/') ? strrchr(d->path, '/') + 1 : d->path;
        _cleanup_free_ char *dir = str_new("%s/%s.d", settings.task_dirs[0], base), *path = NULL;
        if (!dir || !(path = str_new("%s/override.conf", dir)))
                return CTL_FAILED;
        definition_set_free(set);

        int r = fd_mkdirs(dir, 0755);
        if (r >= 0 && access(path, F_OK) < 0) {
                static const char start[] = "# Settings here replace those of the task file; see jobbers.task(5).\n[Task]\n";
                r = fd_write_file_at(AT_FDCWD, path, start, sizeof start - 1, 0644, false);
        }
        if (r >= 0)
                r = editor_run(path);
        if (r < 0) {
                fprintf(stderr, "jobbersctl: cannot edit %s: %s.\n", path, r == -ECANCELED ? "the editor ended with an error" : strerror(-r));
                return CTL_FAILED;
        }
        int status = verb_verify(ctl, 0, NULL);
        if (status != CTL_OK) {
                fprintf(stderr, "jobbersctl: not reloaded: correct the file first (jobbersctl edit %s).\n", argv[0]);
                return status;
        }
        return client_new(&ctl->client, &ctl->address) < 0 ? CTL_FAILED : verb_reload(ctl, 0, NULL);
}
