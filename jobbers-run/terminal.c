/* terminal.c: a task tried out in a terminal. The supervisor is the same as ever, forked from here instead of from the launcher, in a place of
 * its own that goes when it ends; the person at the terminal is its daemon: we open the gate, show what it reports, and pass on Ctrl-C as
 * a cancellation. */
#include "jobbers-run/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/coverage.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/containment.h"
#include "jobbers-run/inherited.h"
#include "jobbers-run/supervisor.h"
#include "model/arguments.h"
#include "model/exit.h"
#include "model/json-dump.h"

#define STATUS_OURS 125         /* it could not be run at all */

typedef struct Terminal {
        Settings settings;              /* a copy whose directories are ours; not to be freed */
        char *root;                     /* of those directories */
        char *dirs[4];
        char *instance;
        Place place;
        CgroupBase base;
        DefinitionSet *definitions;
        Definition *definition;
        RunUser user;
        Job job;
        char *parameters;
} Terminal;

static void on_problem(void *userdata, const char *path, unsigned line, const char *sentence) {
        if (line > 0)
                fprintf(stderr, "%s:%u: %s\n", path, line, sentence);
        else
                fprintf(stderr, "%s: %s\n", path, sentence);
}

/* ── what to run ── */

/* NAME@VERSION; without a version 0, or the only one there is. */
static int definition_choose(Terminal *t, const char *word) {
        _cleanup_free_ char *name = strdup(word);
        _cleanup_str_ Str versions = {};
        Definition *only = NULL;
        uint64_t version = UINT64_MAX;
        size_t n = 0;

        if (!name)
                return log_oom();
        char *at = strrchr(name, '@');
        if (at) {
                *at = '\0';
                if (parse_u64(at + 1, &version) < 0 || version > UINT32_MAX) {
                        fprintf(stderr, "jobbers-run: \"%s\" is not a version\n", at + 1);
                        return -EINVAL;
                }
        }
        for (size_t i = 0; i < definition_set_size(t->definitions); i++) {
                Definition *d = definition_set_at(t->definitions, i);
                if (!STREQ(d->name, name))
                        continue;
                (void) str_printf(&versions, "%s%u", n++ > 0 ? ", " : "", d->version);
                if (d->version == version || (version == UINT64_MAX && d->version == 0)) {
                        t->definition = d;
                        return 0;
                }
                only = d;
        }
        if (n == 1 && version == UINT64_MAX) {
                t->definition = only;
                return 0;
        }
        if (n == 0)
                fprintf(stderr, "jobbers-run: no task \"%s\" is registered\n", name);
        else if (version == UINT64_MAX)
                fprintf(stderr, "jobbers-run: say which version of \"%s\" to run, %s@VERSION; there are: %s\n", name, name, versions.s);
        else
                fprintf(stderr, "jobbers-run: \"%s\" has no version %llu; there are: %s\n", name, (unsigned long long) version, versions.s);
        return -ENOENT;
}

static int parameters_make(Terminal *t, char **words, size_t n) {
        _cleanup_free_ char *sentence = NULL;
        json_t *parameters = NULL;
        int r = arguments_parse(t->definition->parameters, t->definition->n_parameters, words, n, &parameters, &sentence);
        if (r >= 0)
                r = definition_check_parameters(t->definition, parameters, &sentence);
        if (r >= 0) {
                t->parameters = json_dump_text(parameters, JSON_COMPACT);
                if (!t->parameters)
                        r = -ENOMEM;
                else if (strlen(t->parameters) > t->settings.max_parameters) {
                        fprintf(stderr, "jobbers-run: the parameters are larger than --max-parameters allows\n");
                        r = -EFBIG;
                }
        } else
                fprintf(stderr, "jobbers-run: %s\n", sentence ?: "the parameters cannot be read");
        json_decref(parameters);
        return r;
}

/* ── where to run it ── */

static int place_make(Terminal *t) {
        static const char *const names[] = { "attempts", "records", "saved", "logs" };
        char **const settings[] = { &t->settings.attempt_dir, &t->settings.record_dir, &t->settings.saved_dir, &t->settings.log_dir };
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        /* Not below root's own XDG_RUNTIME_DIR (a login has one): the task's user cannot pass through that. */
        const char *candidates[] = { geteuid() == 0 ? "/run" : runtime && runtime[0] == '/' ? runtime : NULL, "/tmp" };

        for (size_t i = 0; !t->root && i < ARRAY_SIZE(candidates); i++) {
                _cleanup_free_ char *path = candidates[i] ? str_new("%s/jobbers-run.XXXXXX", candidates[i]) : NULL;
                if (path && mkdtemp(path))
                        t->root = TAKE_PTR(path);
        }
        if (!t->root)
                return log_error_errno(errno, "cannot make a directory to run it in");
        /* The task's user passes through it to its own. */
        if (chmod(t->root, 0711) < 0)
                return log_error_errno(errno, "cannot make a directory to run it in");
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                t->dirs[i] = str_new("%s/%s", t->root, names[i]);
                if (!t->dirs[i])
                        return log_oom();
                *settings[i] = t->dirs[i];
        }
        t->settings.state_dir = t->root;
        const Identity self = { .uid = geteuid(), .gid = getegid() };
        return place_open(&t->place, &t->settings, &self);
}

static const ContainmentDriver *holder_choose(Terminal *t) {
        t->instance = str_new("jobbers-run-%d", (int) getpid());
        if (t->instance && cgroup_base_open(&t->base, t->instance) >= 0)
                return &containment_cgroup;
        return containment_pidns_works() ? &containment_pidns : &containment_tree;
}

static void terminal_done(Terminal *t) {
        if (t->base.path)
                (void) rmdir(t->base.path);
        cgroup_base_close(&t->base);
        place_close(&t->place);
        if (t->root) {
                char *slash = strrchr(t->root, '/');
                *slash = '\0';
                _cleanup_close_ int parent = open(t->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (parent >= 0)
                        (void) fd_remove_tree_at(parent, slash + 1);
        }
        free(t->root);
        for (size_t i = 0; i < ARRAY_SIZE(t->dirs); i++)
                free(t->dirs[i]);
        free(t->instance);
        run_user_done(&t->user);
        definition_set_free(t->definitions);
        free(t->parameters);
}

/* ── running ── */

static int parameters_fd(const char *text) {
        _cleanup_close_ int fd = memfd_create("parameters", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = fd_write_all(fd, text, strlen(text));
        return r < 0 ? r : TAKE_FD(fd);
}

static void show_notes(char *text) {
        char *position;
        for (char *line = strtok_r(text, "\n", &position); line; line = strtok_r(NULL, "\n", &position)) {
                if (strncmp(line, "STATUS=", 7) == 0)
                        fprintf(stderr, "jobbers-run: status: %s\n", line + 7);
                else if (strncmp(line, "PROGRESS=", 9) == 0)
                        fprintf(stderr, "jobbers-run: progress: %s%%\n", line + 9);
                else if (STREQ(line, "STOPPING=timeout"))
                        fprintf(stderr, "jobbers-run: its time is up (TimeoutSec=), it is stopped\n");
                else if (STREQ(line, "STOPPING=stalled"))
                        fprintf(stderr, "jobbers-run: no heartbeat came in time (MaxHeartbeatIntervalSec=), it is stopped\n");
        }
}

/* Until the channel ends. */
static void watch(int channel, int signals) {
        struct pollfd p[2] = { { .fd = channel, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
        for (;;) {
                char text[8192];
                struct signalfd_siginfo info;
                if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
                        return;
                if (p[1].revents && read(signals, &info, sizeof info) == sizeof info) {
                        fprintf(stderr, "jobbers-run: stopping it\n");
                        (void) send(channel, "STOP=cancelled\n", strlen("STOP=cancelled\n"), MSG_NOSIGNAL);
                }
                if (!p[0].revents)
                        continue;
                ssize_t n = recv(channel, text, sizeof text - 1, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        continue;
                if (n <= 0)
                        return;
                text[n] = '\0';
                show_notes(text);
        }
}

static int supervise(Terminal *t, int *ret_status) {
        _cleanup_close_ int ours = -1, theirs = -1, parameters = -1, signals = -1;
        int pair[2];
        sigset_t mask;

        parameters = parameters_fd(t->parameters);
        if (parameters < 0)
                return log_error_errno(parameters, "cannot keep the parameters");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return log_error_errno(errno, "cannot make a socket pair");
        ours = pair[0];
        theirs = pair[1];
        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGHUP);
        signals = signalfd(-1, &mask, SFD_CLOEXEC);
        if (signals < 0)
                return log_error_errno(errno, "cannot watch signals");
        if (send(ours, "GO=1\n", strlen("GO=1\n"), MSG_NOSIGNAL) < 0)
                return log_error_errno(errno, "cannot write to a socket pair");
        t->job.parameters_fd = parameters;
        t->job.channel_fd = theirs;
        pid_t pid = fork();
        if (pid == 0) {
                close(ours);
                close(signals);
                supervisor_prepare();
                (void) supervisor_run(&t->job);
                process_leave(0);
        }
        if (pid < 0)
                return log_error_errno(errno, "cannot create a process");
        theirs = fd_close(theirs);
        watch(ours, signals);
        while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
                ;
        return 0;
}

/* ── what came of it ── */

static int report(Terminal *t) {
        _cleanup_exit_record_ ExitRecord record = {};
        _cleanup_outcome_ Outcome outcome = {};
        _cleanup_free_ char *text = NULL;
        char key[PLACE_KEY_MAX];
        size_t len;

        place_key(&t->job.task_id, 1, key);
        int r = fd_read_file_at(t->place.records_fd, key, t->settings.max_result + EXIT_RECORD_OVERHEAD, &text, &len);
        if (r >= 0)
                r = exit_record_decode(text, len, &record);
        if (r < 0) {
                log_error_errno(r, "its supervisor left no exit record");
                return STATUS_OURS;
        }
        r = exit_fold(&record, NULL, t->definition, STOP_NONE, 0, t->settings.max_result, 0, &outcome);
        if (r < 0) {
                log_oom();
                return STATUS_OURS;
        }
        if (outcome.event == LIFE_COMPLETE) {
                printf("%s\n", outcome.results ?: "{}");
                return fflush(stdout) == 0 ? 0 : STATUS_OURS;
        }
        fprintf(stderr, "jobbers-run: %s: %s\n", t->definition->name, outcome.error ?: end_reason_to_string(record.end_reason));
        if (record.term_signal > 0)
                return 128 + record.term_signal;
        if (record.exit_status < 0 && record.end_reason == END_EXIT)
                return STATUS_OURS;     /* it never had a process */
        return record.exit_status > 0 ? record.exit_status : 1;
}

int terminal_run(const Settings *settings, char **words, size_t n_words) {
        _cleanup_(terminal_done) Terminal t = { .settings = *settings, .place = PLACE_INIT, .base = CGROUP_BASE_INIT };
        _cleanup_free_ char *sentence = NULL;
        int r, status = 0;

        t.definitions = definition_set_new();
        if (!t.definitions || definition_set_load(t.definitions, settings, on_problem, NULL) < 0) {
                log_oom();
                return STATUS_OURS;
        }
        if (definition_choose(&t, words[0]) < 0 || parameters_make(&t, words + 1, n_words - 1) < 0)
                return STATUS_USAGE;
        r = run_user_resolve(settings, t.definition, &t.user, &sentence);
        if (r < 0) {
                fprintf(stderr, "jobbers-run: %s: %s\n", t.definition->name, sentence ?: strerror(-r));
                return STATUS_OURS;
        }
        if (place_make(&t) < 0)
                return STATUS_OURS;
        t.job = (Job) {
                .settings = &t.settings,
                .place = &t.place,
                .definition = t.definition,
                .user = &t.user,
                .driver = holder_choose(&t),
                .cgroup_base = &t.base,
                .attempt = 1,
                .queue = "default",
                .lock_fd = -1,
                .output = OUTPUT_DESCRIPTOR,
                .output_fd = STDERR_FILENO,
        };
        inherited_reset();
        r = ulid_new(&t.job.task_id);
        if (r < 0 || supervise(&t, &status) < 0)
                return STATUS_OURS;
        return report(&t);
}
