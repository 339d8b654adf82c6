/* supervisor-gate.c: up to the moment in which the task's process exists. Until GO has come nothing has happened, and leaving leaves nothing; from
 * ID.n.started on there will be a record. */
#include "jobbers-run/supervisor-private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "jobbers-run/environment.h"
#include "jobbers-run/stay.h"
#include "jobbers-run/supervisor.h"

/* Waits for GO, at most until `until` (boot). 1: open, 0: time is up, -ECANCELED: not to be run. */
static int gate_wait(Supervisor *s, usec_t until) {
        for (;;) {
                uplink_read(&s->uplink, "gate");
                if (s->uplink.stop != STOP_NONE)
                        return -ECANCELED;
                if (s->uplink.go && until == USEC_INFINITY)
                        return 1;
                if (s->uplink.fd < 0)
                        return -ECANCELED;
                usec_t now = clock_boot();
                if (now >= until)
                        return 0;
                usec_t wait = MIN(until - now, POLL_MAX);
                struct pollfd p = { .fd = s->uplink.fd, .events = POLLIN };
                (void) poll(&p, 1, (int) (wait / USEC_PER_MSEC) + 1);
        }
}

static bool error_passes(int r) {
        return r == -ENOSPC || r == -EDQUOT || r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EAGAIN;
}

void supervisor_release_lock(Supervisor *s) {
        if (s->job->lock_fd >= 0)
                close(s->job->lock_fd);
}

/* Once a scope has us: a host that runs out of memory is to take the task, not its witness. */
static void oom_protect(void) {
        static bool done;
        if (done)
                return;
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                done = write(fd, "-900", 4) == 4;
                close(fd);
        }
}

static void stop_signals(sigset_t *ret) {
        sigemptyset(ret);
        sigaddset(ret, SIGTERM);        /* somebody's systemctl kill */
        sigaddset(ret, SCOPE_STOP_SIGNAL);
}

bool supervisor_has_signals(void) {
        sigset_t pending, term;
        stop_signals(&term);
        return sigpending(&pending) >= 0 && sigandset(&term, &term, &pending) >= 0 && !sigisemptyset(&term);
}

void supervisor_forget_signals(void) {
        const struct timespec now = {};
        sigset_t term;
        stop_signals(&term);
        while (sigtimedwait(&term, NULL, &now) > 0)
                ;
}

void supervisor_enter_scope(Supervisor *s) {
        sigset_t term;
        stop_signals(&term);
        s->term_fd = signalfd(-1, &term, SFD_CLOEXEC);
        if (s->job->place->privileged)
                oom_protect();
}

int supervisor_gate(Supervisor *s, char **ret_sentence) {
        const Job *j = s->job;
        char key[PLACE_KEY_MAX];
        bool told = false;
        int r;

        place_key(&j->task_id, j->attempt, key);
        for (;;) {
                free(TAKE_PTR(*ret_sentence));
                r = attempt_dir_make(&s->dir, j->place, key, j->stay ? &j->stay->dir : NULL, j->parameters_fd, j->user->uid, j->user->gid);
                if (r == -EEXIST)
                        return r;
                if (r < 0 && !error_passes(r))
                        *ret_sentence = str_new("cannot make the attempt's directory: %s", strerror(-r));
                if (r >= 0 || !error_passes(r)) {
                        int open = gate_wait(s, USEC_INFINITY);
                        if (open < 0)
                                return open;
                }
                if (r >= 0) {
                        r = s->box.driver->prepare(&s->box, &s->dir, ret_sentence);
                        if (r < 0 && !*ret_sentence && !error_passes(r))
                                *ret_sentence = str_new("cannot prepare the attempt: %s", strerror(-r));
                }
                if (r >= 0 || !error_passes(r)) {
                        int k = record_file_begin(&s->file, j->place->records_fd, j, j->stay && s->uplink.taken ? &j->stay->record : NULL, key);
                        if (k == -EEXIST)
                                return k;
                        if (k >= 0)
                                return *ret_sentence ? 0 : 1;
                        r = k;
                }
                if (!told)
                        log_task(&(LogTask) { .id = &j->task_id, .attempt = j->attempt }, LOG_WARNING, r,
                                 "the host is short of disk space, memory or descriptors; the attempt is not started yet, trying again every second");
                told = true;
                if (!s->box.driver->lasting)
                        s->box.driver->cleanup(&s->box);
                attempt_dir_remove(&s->dir);
                r = gate_wait(s, clock_boot() + TRY_AGAIN);
                if (r < 0)
                        return r;
        }
}

/* A second, in which daemons come and go. False: it is to stop. */
static bool start_wait(Supervisor *s) {
        usec_t until = clock_boot() + TRY_AGAIN;
        for (usec_t now; (now = clock_boot()) < until && s->uplink.stop == STOP_NONE;) {
                struct pollfd p[2] = {
                        { .fd = s->uplink.fd, .events = POLLIN },
                        { .fd = s->uplink.listen_fd, .events = POLLIN },
                };
                if (poll(p, 2, (int) ((until - now) / USEC_PER_MSEC) + 1) <= 0)
                        continue;
                uplink_read(&s->uplink, "running");
                if (p[1].revents)
                        uplink_accept(&s->uplink);
        }
        return s->uplink.stop == STOP_NONE;
}

static int start_once(Supervisor *s, char ***env, char **ret_sentence) {
        const Job *j = s->job;
        const Definition *d = j->definition;
        int r = 0;

        if (!*env)
                r = environment_build(j, &s->dir, env, ret_sentence);
        if (r >= 0 && s->output.task_fd < 0)
                r = output_open(&s->output, j);
        if (r < 0)
                return r;
        if (!s->failure)
                s->failure = child_failure_get();
        if (!s->failure)
                return -ENOMEM;
        ChildPlan plan = {
                .definition = d,
                .user = j->user,
                .envp = *env,
                .stdin_fd = s->dir.work.parameters_fd,
                .output_fd = s->output.task_fd,
                .cgroup_fd = -1,
                .reset_oom_score = j->reset_oom_score,
                .failure = s->failure,
        };
        usec_t now = s->begun_at = clock_boot();
        s->record.started_at = s->record.heartbeat_at = clock_wall();
        s->timeout_at = deadline_after(now, d->timeout);
        s->beat_limit = deadline_after(now, d->max_heartbeat_interval);
        plan.patience = MIN(START_PATIENCE, MIN(d->timeout, d->max_heartbeat_interval));
        return s->box.driver->spawn(&s->box, &plan);
}

int supervisor_start(Supervisor *s, char **ret_sentence) {
        _cleanup_strv_ char **env = NULL;
        int r;

        /* A host that has no process or memory to spare at the moment costs a task time, and not its life. */
        for (bool told = false;; told = true) {
                r = start_once(s, &env, ret_sentence);
                if (r >= 0 || !error_passes(r))
                        break;
                if (!told)
                        log_task(&(LogTask) { .id = &s->job->task_id, .attempt = s->job->attempt }, LOG_WARNING, r,
                                 "the task's process cannot be created now, trying again");
                if (!start_wait(s)) {
                        s->stop = s->uplink.stop;
                        break;
                }
                free(TAKE_PTR(*ret_sentence));
        }
        output_started(&s->output, MAX(r, 0));
        s->dir.work.parameters_fd = fd_close(s->dir.work.parameters_fd);
        if (r < 0) {
                if (!*ret_sentence)
                        *ret_sentence = str_new("cannot create the task's process: %s", strerror(-r));
                return r;
        }
        s->box.main_pid = r;
        s->phase = PHASE_RUNNING;
        return 0;
}
