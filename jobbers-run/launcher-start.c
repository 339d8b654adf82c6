/* launcher-start.c: `start`. A request names things; everything else (what to run, as whom, with which limits) is looked up here, in files
 * that the daemon cannot write. The supervisor is a fork without exec: this process stays small for its sake. Supervisors that take another
 * attempt (launcher-worker.c) check it in the same way, by what they know since their birth. */
#include "jobbers-run/launcher-private.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/coverage.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/supervisor.h"

/* ── definitions and what is known of them ── */

static void on_problem(void *userdata, const char *path, unsigned line, const char *sentence) {
        /* The daemon reads the same files and reports; to say it twice would not help. */
        log_debug("%s:%u: %s", path, line, sentence);
}

void launcher_forget_findings(Launcher *l) {
        size_t cursor = 0;
        void *value;
        while (map_next(l->findings, &cursor, &value)) {
                Finding *f = value;
                (void) map_remove(l->findings, &f->hash, sizeof f->hash);
                run_user_done(&f->user);
                trust_stamp_done(&f->trust);
                free(f);
        }
}

int launcher_load_definitions(Launcher *l) {
        int r = definition_set_load(l->definitions, l->settings, on_problem, NULL);
        launcher_forget_findings(l);
        workers_dismiss(l);
        return r < 0 ? log_error_errno(r, "cannot read the task definitions") : 0;
}

/* A definition that is not known by its hash may have been installed since: look once. */
static Definition *definition_find(Launcher *l, const LauncherRequest *q, bool reread) {
        Definition *d = definition_set_get_hash(l->definitions, q->definition_hash);
        if (!d && reread && launcher_load_definitions(l) >= 0)
                d = definition_set_get_hash(l->definitions, q->definition_hash);
        return d && STREQ(d->name, q->name) && d->version == q->version ? d : NULL;
}

/* NULL without memory. */
static Finding *finding_get(Launcher *l, const Definition *d) {
        Finding *f = map_get(l->findings, &d->hash, sizeof d->hash);
        if (f)
                return f;
        f = calloc(1, sizeof *f);
        if (!f)
                return NULL;
        f->hash = d->hash;
        if (map_put(l->findings, &f->hash, sizeof f->hash, f) >= 0)
                return f;
        free(f);
        return NULL;
}

static int user_find(Launcher *l, const Definition *d, const RunUser **ret, char **ret_sentence) {
        Finding *f = finding_get(l, d);
        if (!f)
                return -ENOMEM;
        if (!f->has_user) {
                int r = run_user_resolve(l->settings, d, &f->user, ret_sentence);
                if (r < 0)
                        return r;
                f->has_user = true;
        }
        *ret = &f->user;
        return 0;
}

/* Looked at when the file was read, and again at each start: an upgrade may have changed whose it is. One that is not there is for the
 * supervisor to report. */
static int executable_check(Launcher *l, const Definition *d, char **ret_sentence) {
        if (l->settings->user_mode)
                return 0;
        Finding *f = finding_get(l, d);
        return f ? trust_check_start(d, &f->trust, ret_sentence) : -ENOMEM;
}

/* ── checks ── */

static int parameters_check(const Launcher *l, int fd, const char **ret_why) {
        struct stat st;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                *ret_why = "the parameters are not a file";
                return -EINVAL;
        }
        if ((uint64_t) st.st_size > l->settings->max_parameters) {
                *ret_why = "the parameters are larger than --max-parameters allows";
                return -EFBIG;
        }
        return 0;
}

static bool channel_check(int fd) {
        int type;
        socklen_t len = sizeof type;
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) >= 0 && type == SOCK_SEQPACKET;
}

/* The daemon's setting counts only where the definition leaves it open. The daemon decides it in the same way, from the hello. */
static bool use_scope(const Launcher *l, const Definition *d) {
        return d->launcher == LAUNCHER_AUTO ? l->scope_is_default : d->launcher == LAUNCHER_SCOPE;
}

static OutputKind output_kind(const Launcher *l, bool scope) {
        return !l->has_journal ? OUTPUT_FILE : scope && l->place.privileged ? OUTPUT_JOURNAL_STREAM : OUTPUT_JOURNAL_RELAY;
}

bool launcher_request_is_valid(const LauncherRequest *q) {
        bool named = q->verb == LAUNCHER_START;
        return memchr(q->name, '\0', sizeof q->name) && memchr(q->queue, '\0', sizeof q->queue) && (!named || name_valid(q->name)) &&
               (!(named || q->verb == LAUNCHER_SLICE) || name_valid(q->queue));
}

int launcher_check_start(Launcher *l, const LauncherRequest *q, int parameters_fd, bool worker, Start *ret, const char **ret_why, char **ret_sentence) {
        int r;
        *ret = (Start) {};
        if (q->attempt == 0) {
                *ret_why = "attempts count from 1";
                return -EINVAL;
        }
        r = parameters_check(l, parameters_fd, ret_why);
        if (r < 0)
                return r;
        ret->definition = definition_find(l, q, !worker);
        if (!ret->definition) {
                *ret_why = "the launcher's definition files do not match the daemon's: no definition has this hash, even after a reread";
                return -ESTALE;
        }
        *ret_why = "not enough memory";
        r = executable_check(l, ret->definition, ret_sentence);
        if (r < 0)
                return r;
        free(TAKE_PTR(*ret_sentence));
        ret->scope = use_scope(l, ret->definition);
        if (ret->scope && !worker) {
                r = launcher_scopes_check(l);
                *ret_why = r == -EAGAIN ? "its definition says Launcher=scope, and systemd does not answer just now"
                                        : "its definition says Launcher=scope, and there is no systemd here to make one";
        } else if (!ret->scope) {
                r = worker ? launcher_base_is_there(l) ? 0 : -ENOENT : launcher_base_check(l);
                *ret_why = "the parent cgroup for attempts is missing and cannot be made again";
        }
        if (r < 0)
                return r;
        *ret_why = "its user cannot be looked up";
        return user_find(l, ret->definition, &ret->user, ret_sentence);
}

void launcher_job(Launcher *l, const LauncherRequest *q, const Start *start, int parameters_fd, int channel_fd, int lock_fd, Job *ret) {
        *ret = (Job) {
                .settings = l->settings,
                .place = &l->place,
                .definition = start->definition,
                .user = start->user,
                .driver = start->scope ? &containment_scope : l->driver,
                .cgroup_base = start->scope ? NULL : &l->base,
                .task_id = q->task_id,
                .attempt = q->attempt,
                .retry_attempt = q->retry_attempt,
                .parameters_fd = parameters_fd,
                .channel_fd = channel_fd,
                .lock_fd = lock_fd,
                .reset_oom_score = l->oom_protected || (start->scope && l->place.privileged),
                .output = output_kind(l, start->scope),
                .output_fd = -1,
        };
        snprintf(ret->queue, sizeof ret->queue, "%s", q->queue);
}

/* ── fork ── */

static _Noreturn void supervisor_main(Launcher *l, Job *job, Stay *stay) {
        launcher_close_fds(l);
        supervisor_prepare();
        job->stay = stay;
        if (supervisor_run(job))
                worker_run(l, stay);
        if (stay) {
                attempt_keep_done(&stay->dir, &l->place);
                cgroup_keep_done(&stay->cgroup, &l->base);
                rest_done(stay);
        }
        process_leave(0);
}

static int supervisor_fork(Launcher *l, const LauncherRequest *q, Job *job, bool scope, pid_t *ret) {
        int r = tree_add(l, q);
        if (r < 0)
                return r;
        Stay stay = STAY_INIT;
        bool may_stay = job->driver->reusable && l->stay_read_fd >= 0;
        Rest *rest = may_stay && scope ? rest_begin(l->rests, &stay) : NULL;
        may_stay = may_stay && (rest || !scope);
        (void) clock_boot_id();         /* read once, here, and not by each supervisor */
        if (l->scopes)
                scopes_before_fork(l->scopes);
        pid_t pid = fork();
        if (pid == 0)
                supervisor_main(l, job, may_stay ? &stay : NULL);
        r = pid < 0 ? -errno : 0;
        if (rest)
                rest_forked(rest, &stay, pid);
        tree_forked(l, pid);
        *ret = pid;
        return r;
}

void launcher_start(Launcher *l, const LauncherRequest *q, int parameters_fd, int channel_fd) {
        _cleanup_close_ int parameters = parameters_fd, channel = channel_fd;
        _cleanup_free_ char *sentence = NULL;
        const char *why = NULL;
        Start start;
        Job job;
        pid_t pid = 0;

        /* Refusals go out before the copies are closed: the daemon sees the end of the channel after the reason for it. */
        if (!channel_check(channel)) {
                launcher_reply(l, q, -EINVAL, "the channel is not a socket of the right type");
                return;
        }
        int r = launcher_check_start(l, q, parameters, false, &start, &why, &sentence);
        if (r < 0) {
                launcher_reply(l, q, r, sentence ?: why);
                return;
        }
        if (start.scope)
                pid = rest_order(l->rests, q, parameters, channel);
        if (pid == 0) {
                launcher_job(l, q, &start, parameters, channel, l->lock_fd, &job);
                r = supervisor_fork(l, q, &job, start.scope, &pid);
        }
        if (r < 0) {
                launcher_reply(l, q, r, "no process can be created for its supervisor");
                return;
        }
        if (start.scope)
                scopes_add(l->scopes, q, start.definition, pid);
}
