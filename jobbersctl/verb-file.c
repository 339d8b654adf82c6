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

static void print_directories(const Settings *settings) {
        size_t n = strv_len(settings->task_dirs);
        printf("There is no task definition in ");
        for (size_t i = 0; i < n; i++)
                printf("%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", settings->task_dirs[i]);
        printf(".\n");
}

int verb_verify(Ctl *ctl, int argc, char **argv) {
        _cleanup_(settings_free) Settings settings = { 0 };
        char count[64];
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
                if (problems == 0 && !ctl->quiet) {
                        if (definition_set_size(set) == 0)
                                print_directories(&settings);
                        else
                                printf("%s, no problem.\n", ctl_count((int64_t) definition_set_size(set), "task definition", count));
                }
                definition_set_free(set);
        }
        return problems == 0 ? CTL_OK : CTL_FAILED;
}

/* ── the files of one task ── */

typedef struct Problems {
        char **paths, **sentences;      /* "PATH:LINE: what is wrong" */
} Problems;

static void problems_done(Problems *p) {
        strv_free(p->paths);
        strv_free(p->sentences);
}

static void problem_keep(void *userdata, const char *path, unsigned line, const char *sentence) {
        Problems *p = userdata;
        _cleanup_free_ char *text = line > 0 ? str_new("%s:%u: %s", path, line, sentence) : str_new("%s: %s", path, sentence);
        if (!text || strv_push(&p->paths, path) < 0 || strv_push(&p->sentences, text) < 0)
                abort();
}

/* Is it `file`, or a drop-in of it? */
static bool belongs(const Settings *settings, const char *file, const char *path) {
        for (size_t i = 0; i < strv_len(settings->task_dirs); i++) {
                _cleanup_free_ char *dir = str_new("%s/%s.d", settings->task_dirs[i], strrchr(file, '/') + 1);
                size_t n = dir ? strlen(dir) : 0;
                if (n > 0 && strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0'))
                        return true;
        }
        return STREQ(file, path);
}

/* Prints what is wrong with the files that belong to `file` (NULL: with all). Returns the first of them, borrowed, or NULL. */
static const char *print_problems(const Settings *settings, const Problems *p, const char *file) {
        const char *first = NULL;
        for (size_t i = 0; i < strv_len(p->paths); i++)
                if (!file || belongs(settings, file, p->paths[i])) {
                        fprintf(stderr, "%s\n", p->sentences[i]);
                        first = first ? first : p->paths[i];
                }
        return first;
}

/* Reads all files. *ret_file is the one that defines `name`, or would if it were right; NULL after a sentence where none does. */
static int task_files(const Ctl *ctl, const Settings *settings, const char *name, Problems *problems, char **ret_file) {
        DefinitionSet *set = definition_set_new();
        int r = set ? definition_set_load(set, settings, problem_keep, problems) : -ENOMEM;
        const char *path = r >= 0 ? definition_set_path(set, name) : NULL;
        *ret_file = path ? strdup(path) : NULL;
        if (r >= 0 && !path) {
                print_problems(settings, problems, NULL);
                fprintf(stderr, "jobbersctl: no task \"%s\" is registered. See: jobbersctl tasks\n", name);
        }
        definition_set_free(set);
        return r < 0 ? r : path ? 0 : -ENOENT;
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
        _cleanup_(problems_done) Problems problems = { 0 };
        _cleanup_free_ char *file = NULL;
        if (settings_of(ctl, &settings) < 0)
                return CTL_FAILED;
        int r = task_files(ctl, &settings, argv[0], &problems, &file);
        if (r < 0)
                return ctl_exit(r);
        print_problems(&settings, &problems, file);
        ctl_pager(ctl);
        cat_file(file);
        for (size_t i = strv_len(settings.task_dirs); i > 0; i--) {
                _cleanup_free_ char *pattern = str_new("%s/%s.d/*.conf", settings.task_dirs[i - 1], strrchr(file, '/') + 1);
                glob_t g;
                if (!pattern || glob(pattern, 0, NULL, &g) != 0)
                        continue;
                for (size_t k = 0; k < g.gl_pathc; k++)
                        cat_file(g.gl_pathv[k]);
                globfree(&g);
        }
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

/* The override of a task's file, made where there is none, through the editor. */
static int override_edit(const Settings *settings, const char *file, char **ret_path) {
        _cleanup_free_ char *dir = str_new("%s/%s.d", settings->task_dirs[0], strrchr(file, '/') + 1);
        char *path = dir ? str_new("%s/override.conf", dir) : NULL;
        *ret_path = path;
        if (!path)
                return -ENOMEM;
        int r = fd_mkdirs(dir, 0755);
        if (r >= 0 && access(path, F_OK) < 0) {
                static const char start[] = "# Settings here replace those of the task file; see jobbers.task(5).\n[Task]\n";
                r = fd_write_file_at(AT_FDCWD, path, start, sizeof start - 1, 0644, false);
        }
        return r < 0 ? r : editor_run(path);
}

int verb_edit(Ctl *ctl, int argc, char **argv) {
        _cleanup_(settings_free) Settings settings = { 0 };
        _cleanup_(problems_done) Problems before = { 0 }, after = { 0 };
        _cleanup_free_ char *file = NULL, *path = NULL, *again = NULL;
        if (settings_of(ctl, &settings) < 0)
                return CTL_FAILED;
        int r = task_files(ctl, &settings, argv[0], &before, &file);
        if (r < 0)
                return ctl_exit(r);
        r = override_edit(&settings, file, &path);
        if (r < 0) {
                fprintf(stderr, "jobbersctl: cannot edit %s: %s.\n", path ? path : file, r == -ECANCELED ? "the editor ended with an error" : strerror(-r));
                return CTL_FAILED;
        }
        r = task_files(ctl, &settings, argv[0], &after, &again);
        if (r < 0)
                return ctl_exit(r);
        const char *wrong = print_problems(&settings, &after, file);
        if (wrong && STREQ(wrong, path))
                fprintf(stderr, "jobbersctl: not reloaded: correct the file first (jobbersctl edit %s).\n", argv[0]);
        else if (wrong)
                fprintf(stderr, "jobbersctl: not reloaded: correct %s first, then: jobbersctl reload\n", wrong);
        if (wrong)
                return CTL_FAILED;
        /* What is wrong with other tasks' files keeps nothing from this one; the reload says it. */
        return client_new(&ctl->client, &ctl->address) < 0 ? CTL_FAILED : verb_reload(ctl, 0, NULL);
}
