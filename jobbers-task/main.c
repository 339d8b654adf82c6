/* main.c: jobbers-task, what a task that is a shell script says to jobbers: the functions of libjobbers as commands. A program and not a
 * file of shell functions, because parameters and results are JSON, which no shell reads or writes safely by itself. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "libjobbers/jobbers.h"
#include "model/arguments.h"
#include "model/json-dump.h"

#define EXIT_USAGE 2
#define FLUSH_TIMEOUT (5 * USEC_PER_SEC)        /* as systemd-notify waits */
#define RESULT_MAX ((size_t) 64 * 1024 * 1024)

typedef struct Verb {
        const char *name;
        int min, max;                   /* words; max -1: any number */
        const char *usage, *help;
        int (*run)(JobbersTask *task, int argc, char **argv);
} Verb;

static void task_free_p(JobbersTask **t) {
        jobbers_task_free(*t);
}

/* The words as one text. */
static char *words_join(int argc, char **argv) {
        Str text = {};
        for (int i = 0; i < argc; i++)
                str_printf(&text, "%s%s", i > 0 ? " " : "", argv[i]);
        return str_take(&text);
}

static int complain(const JobbersTask *task) {
        fprintf(stderr, "jobbers-task: %s\n", jobbers_task_error(task));
        return EXIT_FAILURE;
}

/* The parameter's name as one segment of a path. */
static char *path_of(const char *name) {
        Str path = {};
        str_append(&path, "/");
        for (const char *p = name; *p; p++) {
                if (*p == '~' || *p == '/')
                        str_append(&path, *p == '~' ? "~0" : "~1");
                else
                        str_append_n(&path, p, 1);
        }
        return str_take(&path);
}

static int verb_parameter(JobbersTask *task, int argc, char **argv) {
        _cleanup_free_ char *path = path_of(argv[0]), *text = NULL;
        const char *json = jobbers_task_parameters(task);
        int r = path ? jobbers_json_get_string(json, path, &text) : -ENOMEM;
        if (r == -EINVAL)       /* of another type: as JSON */
                r = jobbers_json_get_text(json, path, &text);
        if (r == -ENOENT && argc > 1) {
                puts(argv[1]);
                return EXIT_SUCCESS;
        }
        if (r < 0) {
                fprintf(stderr, r == -ENOENT ? "jobbers-task: there is no parameter \"%s\"\n" : "jobbers-task: cannot read the parameter \"%s\"\n", argv[0]);
                return EXIT_FAILURE;
        }
        puts(text);
        return EXIT_SUCCESS;
}

static int verb_parameters(JobbersTask *task, int argc, char **argv) {
        puts(jobbers_task_parameters(task));
        return EXIT_SUCCESS;
}

/* This process is gone in a moment, and who is gone cannot be proven to belong to the task: wait until it was heard. That it was not is said,
 * but ends no script. */
static int heard(JobbersTask *task, int r) {
        if (r >= 0)
                r = jobbers_task_flush(task, FLUSH_TIMEOUT);
        if (r < 0)
                complain(task);
        return EXIT_SUCCESS;
}

static int verb_heartbeat(JobbersTask *task, int argc, char **argv) {
        return heard(task, jobbers_task_heartbeat(task));
}

static int verb_progress(JobbersTask *task, int argc, char **argv) {
        _cleanup_free_ char *status = argc > 1 ? words_join(argc - 1, argv + 1) : NULL;
        uint64_t percent;
        if (parse_u64(argv[0], &percent) < 0 || percent > 100) {
                fprintf(stderr, "jobbers-task: progress takes a whole number from 0 to 100, not \"%s\"\n", argv[0]);
                return EXIT_USAGE;
        }
        return heard(task, jobbers_task_progress(task, (int) percent, status));
}

static int verb_status(JobbersTask *task, int argc, char **argv) {
        _cleanup_free_ char *status = words_join(argc, argv);
        return heard(task, jobbers_task_status(task, status));
}

static int verb_extend_timeout(JobbersTask *task, int argc, char **argv) {
        usec_t span;
        if (parse_span(argv[0], &span) < 0 || span == USEC_INFINITY) {
                fprintf(stderr, "jobbers-task: extend-timeout takes a time span such as 90 or \"5min 20s\", not \"%s\"\n", argv[0]);
                return EXIT_USAGE;
        }
        return heard(task, jobbers_task_extend_timeout(task, span));
}

static int verb_result(JobbersTask *task, int argc, char **argv) {
        _cleanup_free_ char *text = NULL, *sentence = NULL;
        if (argc == 1 && STREQ(argv[0], "-")) {
                int r = fd_read_all(STDIN_FILENO, RESULT_MAX, &text, NULL);
                if (r < 0) {
                        fprintf(stderr, "jobbers-task: cannot read standard input: %s\n", strerror(-r));
                        return EXIT_FAILURE;
                }
        } else {
                json_t *object = NULL;
                int r = arguments_parse(NULL, 0, argv, (size_t) argc, &object, &sentence);
                if (r < 0) {
                        fprintf(stderr, "jobbers-task: %s\n", sentence ? sentence : "not enough memory");
                        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
                }
                text = json_dump_text(object, JSON_COMPACT);
                json_decref(object);
        }
        return jobbers_task_result(task, text) < 0 ? complain(task) : EXIT_SUCCESS;
}

static int verb_fail(JobbersTask *task, int argc, char **argv) {
        _cleanup_free_ char *message = words_join(argc - 1, argv + 1);
        return jobbers_task_fail(task, argv[0], message);
}

static int verb_retry(JobbersTask *task, int argc, char **argv) {
        _cleanup_free_ char *message = words_join(argc - 1, argv + 1);
        return jobbers_task_retry(task, argv[0], message);
}

static const Verb verbs[] = {
        { "parameter", 1, 2, "NAME [DEFAULT]", "Print a parameter, as JSON where it is no text", verb_parameter },
        { "parameters", 0, 0, "", "Print all parameters, a JSON object", verb_parameters },
        { "heartbeat", 0, 0, "", "Say that the task is alive", verb_heartbeat },
        { "progress", 1, -1, "PERCENT [STATUS…]", "Say how far it is; a heartbeat, too", verb_progress },
        { "status", 1, -1, "TEXT…", "Say what it is doing", verb_status },
        { "extend-timeout", 1, 1, "SPAN", "Give it at least this much time from now on", verb_extend_timeout },
        { "result", 0, -1, "[KEY=TEXT|KEY:=JSON…|-]", "Keep the result (-: as JSON on standard input)", verb_result },
        { "fail", 2, -1, "TYPE MESSAGE…", "Keep an error; exit status 1", verb_fail },
        { "retry", 2, -1, "TYPE MESSAGE…", "Keep an error; exit status 75 (try again)", verb_retry },
};

static void print_help(void) {
        /* One line for each verb: the completions read them. */
        printf("jobbers-task VERB …\n\nWhat a task that is a script says to jobbers. Use it inside the task.\n\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                char left[64];
                snprintf(left, sizeof left, "%s%s%s", verbs[i].name, *verbs[i].usage ? " " : "", verbs[i].usage);
                /* the "…" counts three bytes but one column */
                printf("  %-*s  %s\n", 30 + (strstr(left, "…") ? 2 : 0), left, verbs[i].help);
        }
        printf("\n  -h --help  --version\n\nfail and retry are to be the last command:\n"
               "    exec jobbers-task retry Busy \"the mailbox is locked\"\nSee jobbers-task(1).\n");
}

static int say_failure(int r) {
        if (r == -EBADMSG)
                fprintf(stderr, "jobbers-task: the parameters are not a JSON object\n");
        else
                fprintf(stderr, "jobbers-task: cannot read the parameters: %s\n", strerror(-r));
        return EXIT_FAILURE;
}

int main(int argc, char **argv) {
        if (argc > 1 && (STREQ(argv[1], "-h") || STREQ(argv[1], "--help"))) {
                print_help();
                return EXIT_SUCCESS;
        }
        if (argc > 1 && STREQ(argv[1], "--version")) {
                puts("jobbers-task " JOBBERS_VERSION);
                return EXIT_SUCCESS;
        }
        const Verb *verb = NULL;
        for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++)
                if (STREQ(verbs[i].name, argv[1]))
                        verb = verbs + i;
        if (!verb) {
                fprintf(stderr, argc > 1 ? "jobbers-task: there is no verb \"%s\". See: jobbers-task --help\n" : "jobbers-task: what? See: jobbers-task --help\n",
                        argc > 1 ? argv[1] : "");
                return EXIT_USAGE;
        }
        if (argc - 2 < verb->min || (verb->max >= 0 && argc - 2 > verb->max)) {
                fprintf(stderr, "jobbers-task: usage: jobbers-task %s %s\n", verb->name, verb->usage);
                return EXIT_USAGE;
        }
        /* Started from a shell, the script's standard input is only for who asks for parameters. */
        _cleanup_close_ int none = -1, input = -1;
        bool asks = strncmp(verb->name, "parameter", 9) == 0;
        if (!getenv("JOBBERS_PARAMETERS") && !asks) {
                input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
                none = open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (none >= 0)
                        dup2(none, STDIN_FILENO);
        }
        _cleanup_(task_free_p) JobbersTask *task = NULL;
        int r = jobbers_task_new(&task);
        if (r < 0)
                return say_failure(r);
        if (input >= 0)
                dup2(input, STDIN_FILENO);
        r = verb->run(task, argc - 2, argv + 2);
        return fflush(stdout) != 0 && r == EXIT_SUCCESS ? EXIT_FAILURE : r;
}
