/* supervisor.c: one attempt as a small state machine: gate → running → ending → record. One ppoll over all it listens to; deadlines on the
 * boot-time clock. The only signal it takes is SIGCHLD, and that only inside the ppoll: all others stay blocked, so that neither a
 * terminal nor PID 1 at the host's shutdown reaches it.
 *
 * Each turn looks in this order: what the task said, who has ended, what the daemon said, what is due. So a task that reports and exits is
 * heard, and one that has ended by itself is not said to have been stopped. */
#include "jobbers-run/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/containment.h"
#include "jobbers-run/environment.h"
#include "jobbers-run/notify.h"
#include "jobbers-run/output.h"
#include "jobbers-run/record.h"
#include "jobbers-run/uplink.h"

#define TRY_AGAIN USEC_PER_SEC                  /* after a full disk and the like */
#define KILL_AGAIN (200 * USEC_PER_MSEC)        /* SIGKILL to those who were born meanwhile */
/* Once more, as systemd does when main has ended: for what main had just forked. A moment later, since between fork and exec a shell's child
 * still swallows what its parent has a trap for. */
#define REMIND_AFTER (100 * USEC_PER_MSEC)
#define COMPLAIN_AFTER (10 * USEC_PER_SEC)      /* still there so long after SIGKILL: it cannot be killed */
#define POLL_MAX (30 * USEC_PER_SEC)            /* ppoll does not count suspended time, deadlines do */
#define NOTIFY_AT_ONCE 64

typedef enum Phase {
        PHASE_GATE,
        PHASE_RUNNING,          /* the main process lives, nobody wants its end */
        PHASE_ENDING,           /* the kill sequence, for all of it or for what main left */
        PHASE_OVER,             /* nothing of it is left */
} Phase;

typedef struct Supervisor {
        const Job *job;
        Phase phase;
        AttemptDir dir;
        Containment box;
        Uplink uplink;
        Output output;
        RecordFile file;
        ExitRecord record;
        ChildFailure *failure;
        StopReason stop;        /* the first reason; own decisions included */
        int wait_status;
        int term_fd;            /* in a scope: systemd's SIGTERM; else -1 */
        bool main_ended, no_children, killed, complained, reminded;
        usec_t timeout_at, beat_limit, kill_at, killed_at, remind_at;   /* boot; USEC_INFINITY: never */
        /* of all that were reaped */
        int64_t cpu_usec, rss_max, blocks_read, blocks_written;
} Supervisor;

static void on_child(int signal) {
        /* Its arrival ends the ppoll: that is all. */
}

static LogTask log_context(const Supervisor *s) {
        return (LogTask) { .id = &s->job->task_id, .attempt = s->job->attempt, .name = s->job->definition->name, .queue = s->job->queue };
}

static usec_t after(usec_t now, usec_t span) {
        return span >= USEC_INFINITY - now ? USEC_INFINITY : now + span;
}

/* ── gate ── */

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

static void lock_release(Supervisor *s) {
        if (s->job->lock_fd >= 0)
                close(s->job->lock_fd);
}

/* Once the scope has us: a host that runs out of memory is to take the task, not its witness. */
static void oom_protect(void) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                (void) !write(fd, "-900", 4);
                close(fd);
        }
}

/* The gate in full: directory, GO, containment, ID.n.started. 1: the task may be created; 0: it cannot, *ret_sentence says why, and the
 * record is to say it; < 0: leave without a trace (-EEXIST: touching nothing). Lasting trouble of the host is waited for. */
static int gate_pass(Supervisor *s, char **ret_sentence) {
        const Job *j = s->job;
        char key[PLACE_KEY_MAX];
        bool told = false;
        int r;

        place_key(&j->task_id, j->attempt, key);
        for (;;) {
                free(TAKE_PTR(*ret_sentence));
                r = attempt_dir_make(&s->dir, j->place, key, j->parameters_fd, j->user->uid, j->user->gid);
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
                        int k = record_file_begin(&s->file, j->place->records_fd, j, key);
                        if (k == -EEXIST)
                                return k;
                        if (k >= 0)
                                return *ret_sentence ? 0 : 1;
                        r = k;
                }
                if (!told)
                        log_task(&(LogTask) { .id = &j->task_id, .attempt = j->attempt }, LOG_WARNING, r, "cannot be started now, trying again");
                told = true;
                s->box.driver->cleanup(&s->box);
                attempt_dir_remove(&s->dir);
                r = gate_wait(s, clock_boot() + TRY_AGAIN);
                if (r < 0)
                        return r;
        }
}

/* ── running ── */

static int task_start(Supervisor *s, char **ret_sentence) {
        const Job *j = s->job;
        _cleanup_strv_ char **env = NULL;
        int r;

        r = environment_build(j, &s->dir, &env, ret_sentence);
        if (r >= 0)
                r = output_open(&s->output, j);
        s->failure = r < 0 ? NULL : child_failure_get();
        if (r >= 0 && !s->failure)
                r = -ENOMEM;
        if (r >= 0) {
                ChildPlan plan = {
                        .definition = j->definition,
                        .user = j->user,
                        .envp = env,
                        .stdin_fd = s->dir.parameters_fd,
                        .output_fd = s->output.task_fd,
                        .cgroup_fd = -1,
                        .reset_oom_score = s->box.scope && j->place->privileged,
                        .failure = s->failure,
                };
                usec_t now = clock_boot();
                s->record.started_at = s->record.heartbeat_at = clock_wall();
                s->timeout_at = after(now, j->definition->timeout);
                s->beat_limit = after(now, j->definition->max_heartbeat_interval);
                r = s->box.driver->spawn(&s->box, &plan);
        }
        output_started(&s->output);
        s->dir.parameters_fd = fd_close(s->dir.parameters_fd);
        if (r < 0) {
                if (!*ret_sentence)
                        *ret_sentence = str_new("cannot create the task's process: %s", strerror(-r));
                return r;
        }
        s->box.main_pid = r;
        s->phase = PHASE_RUNNING;
        return 0;
}

static void signal_main(Supervisor *s, int signal) {
        if (s->box.main_pid > 0)        /* not reaped: the number is its own */
                (void) kill(s->box.main_pid, signal);
}

static void kill_all(Supervisor *s, usec_t now) {
        if (!s->killed)
                s->killed_at = now;
        s->killed = true;
        s->kill_at = now + (s->complained ? TRY_AGAIN : KILL_AGAIN);
        s->box.driver->kill_all(&s->box);
}

/* The kill sequence begins: towards all, or with KillMode=mixed towards main, whose end is followed by SIGKILL for the rest. */
static void end_begin(Supervisor *s, usec_t now) {
        const Definition *d = s->job->definition;
        s->phase = PHASE_ENDING;
        if (d->kill_signal == SIGKILL || (d->kill_mode == KILL_MIXED && s->main_ended)) {
                kill_all(s, now);
                return;
        }
        s->kill_at = after(now, d->kill_grace);
        s->reminded = s->main_ended;
        if (d->kill_mode == KILL_MIXED) {
                signal_main(s, d->kill_signal);
                signal_main(s, SIGCONT);
        } else {
                s->box.driver->signal_all(&s->box, d->kill_signal);
                s->box.driver->signal_all(&s->box, SIGCONT);    /* a stopped process would sleep through it */
        }
}

static void stop(Supervisor *s, StopReason reason, usec_t now) {
        if (s->phase != PHASE_RUNNING)
                return;
        s->stop = reason;
        if (reason == STOP_TIMEOUT || reason == STOP_STALLED)
                uplink_stopping(&s->uplink, reason);
        end_begin(s, now);
}

static void take_notify(Supervisor *s, usec_t now) {
        static NotifyDatagram datagram;         /* large, and one at a time */
        static NotifyMessage message;
        for (unsigned i = 0; i < NOTIFY_AT_ONCE && notify_receive(s->dir.notify_fd, &datagram) > 0; i++) {
                /* The main process is ours and not reaped: its number needs no proof. */
                if (datagram.sender <= 0 || (datagram.sender != s->box.main_pid && !s->box.driver->holds(&s->box, datagram.sender))) {
                        log_debug("task %s: a notification of process %d, which is not of its attempt, is ignored", s->dir.key, (int) datagram.sender);
                        notify_datagram_close(&datagram);
                        continue;
                }
                notify_parse(datagram.data, datagram.len, &message);
                if (message.watchdog) {
                        s->beat_limit = after(now, s->job->definition->max_heartbeat_interval);
                        s->record.heartbeat_at = clock_wall();
                        uplink_beat(&s->uplink, s->record.heartbeat_at);
                }
                if (message.has_status)
                        uplink_status(&s->uplink, message.status);
                if (message.progress >= 0)
                        uplink_progress(&s->uplink, message.progress);
                if (message.extend > 0 && s->timeout_at != USEC_INFINITY)
                        s->timeout_at = MAX(s->timeout_at, after(now, message.extend));
                notify_datagram_close(&datagram);
        }
}

static void count_usage(Supervisor *s, const struct rusage *u) {
        s->cpu_usec += (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000LL + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
        s->rss_max = MAX(s->rss_max, (int64_t) u->ru_maxrss * 1024);
        s->blocks_read += u->ru_inblock;
        s->blocks_written += u->ru_oublock;
}

/* systemd stops scopes by a SIGTERM to all that is in them, us included, at the host's shutdown above all: the daemon, which is stopped after
 * them, is to see a shutdown, and not a task that happened to be killed. */
static bool scope_is_stopped(const Supervisor *s, int wait_ms) {
        struct pollfd p = { .fd = s->term_fd, .events = POLLIN };
        return s->term_fd >= 0 && poll(&p, 1, wait_ms) > 0;
}

static void reap(Supervisor *s) {
        struct rusage usage;
        int status;
        pid_t pid;
        while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
                count_usage(s, &usage);
                if (s->box.driver->reaped(&s->box, pid))
                        continue;
                if (pid == s->box.main_pid) {
                        s->box.main_pid = 0;
                        s->main_ended = true;
                        s->wait_status = status;
                        /* It may have got its SIGTERM a moment before we get ours. */
                        if (s->stop == STOP_NONE && scope_is_stopped(s, WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 100 : 0))
                                s->stop = STOP_SHUTDOWN;
                }
        }
        s->no_children = pid < 0 && errno == ECHILD;
}

/* A process that SIGKILL does not end waits inside the kernel: say so, wait on. */
static void complain(Supervisor *s) {
        LogTask context = log_context(s);
        s->complained = true;
        uplink_status(&s->uplink, "a process of this attempt cannot be killed; waiting for its end");
        log_task(&context, LOG_WARNING, 0, "a process does not end although it was killed; waiting for it");
}

static void check_end(Supervisor *s, usec_t now) {
        if (!s->main_ended)
                return;
        if (s->box.driver->is_empty(&s->box, s->no_children) > 0) {
                s->phase = PHASE_OVER;
                return;
        }
        if (s->phase == PHASE_RUNNING)
                end_begin(s, now);
        else if (s->killed)
                return;
        else if (s->job->definition->kill_mode == KILL_MIXED)
                kill_all(s, now);
        else if (!s->reminded) {
                s->remind_at = now + REMIND_AFTER;
                s->reminded = true;
        }
}

static void check_deadlines(Supervisor *s, usec_t now) {
        if (s->phase == PHASE_RUNNING) {
                if (now >= s->timeout_at)
                        stop(s, STOP_TIMEOUT, now);
                else if (now >= s->beat_limit)
                        stop(s, STOP_STALLED, now);
        }
        if (s->phase == PHASE_ENDING && now >= s->remind_at) {
                s->remind_at = USEC_INFINITY;
                if (!s->killed)
                        s->box.driver->signal_all(&s->box, s->job->definition->kill_signal);
        }
        if (s->phase == PHASE_ENDING && now >= s->kill_at) {
                kill_all(s, now);
                if (!s->complained && now >= s->killed_at + COMPLAIN_AFTER)
                        complain(s);
        }
}

static usec_t next_deadline(const Supervisor *s) {
        return s->phase == PHASE_RUNNING ? MIN(s->timeout_at, s->beat_limit) : MIN(s->kill_at, s->remind_at);
}

static void turn(Supervisor *s, const sigset_t *mask, usec_t flush_at) {
        enum { NOTIFY, CHANNEL, CONTROL, OUTPUT, EMPTY, TERM, N };
        struct pollfd p[N] = {
                [NOTIFY] = { .fd = s->dir.notify_fd, .events = POLLIN },
                [CHANNEL] = { .fd = s->uplink.fd, .events = POLLIN },
                [CONTROL] = { .fd = s->uplink.listen_fd, .events = POLLIN },
                [OUTPUT] = { .fd = s->output.read_fd, .events = POLLIN },
                [EMPTY] = { .fd = -1 },
                [TERM] = { .fd = s->phase == PHASE_RUNNING ? s->term_fd : -1, .events = POLLIN },
        };
        struct timespec ts, *timeout = NULL;
        usec_t at = MIN(next_deadline(s), flush_at), now = clock_boot();

        if (s->main_ended)
                p[EMPTY].fd = s->box.driver->watch(&s->box, &p[EMPTY].events);
        if (at != USEC_INFINITY) {
                usec_t wait = at > now ? MIN(at - now, POLL_MAX) : 0;
                ts = (struct timespec) { .tv_sec = (time_t) (wait / USEC_PER_SEC), .tv_nsec = (long) (wait % USEC_PER_SEC) * 1000 };
                timeout = &ts;
        }
        /* Interrupted by SIGCHLD: what the task said before it ended is there, though not reported. */
        bool interrupted = ppoll(p, N, timeout, mask) < 0;

        now = clock_boot();
        if (interrupted || p[NOTIFY].revents)
                take_notify(s, now);
        if (!interrupted && p[OUTPUT].revents)
                (void) output_pump(&s->output);
        reap(s);
        if (!interrupted && p[CHANNEL].revents)
                uplink_read(&s->uplink, s->phase == PHASE_ENDING ? "ending" : "running");
        if (!interrupted && p[CONTROL].revents)
                uplink_accept(&s->uplink);
        check_end(s, now);
        if (!interrupted && p[TERM].revents)
                stop(s, STOP_SHUTDOWN, now);
        if (s->uplink.stop != STOP_NONE)
                stop(s, s->uplink.stop, now);
        check_deadlines(s, now);
}

static void run(Supervisor *s) {
        sigset_t mask;
        sigfillset(&mask);
        sigdelset(&mask, SIGCHLD);
        if (s->uplink.stop != STOP_NONE)        /* it came with the GO */
                stop(s, s->uplink.stop, clock_boot());
        while (s->phase != PHASE_OVER)
                turn(s, &mask, uplink_flush(&s->uplink, clock_boot()));
        /* Last words. */
        s->uplink.flush_at = 0;
        (void) uplink_flush(&s->uplink, clock_boot());
}

/* ── record ── */

static EndReason end_reason(const Supervisor *s) {
        switch (s->stop) {
        case STOP_CANCELLED:
                return END_CANCELLED;
        case STOP_SHUTDOWN:
                return END_SHUTDOWN;
        case STOP_TIMEOUT:
                return END_TIMEOUT;
        case STOP_STALLED:
                return END_STALLED;
        default:
                break;
        }
        /* Whichever process the OOM killer took: a task that failed after that failed by it, be it through its shell's exit status. */
        if (s->record.oom_kills > 0 && s->wait_status != 0)
                return END_OOM;
        return WIFSIGNALED(s->wait_status) ? END_SIGNAL : END_EXIT;
}

static void record_fill(Supervisor *s, char *sentence) {
        ExitRecord *r = &s->record;
        r->ended_at = MAX(clock_wall(), r->started_at);
        r->cpu_usec = s->cpu_usec;
        r->memory_peak = s->rss_max > 0 ? s->rss_max : -1;
        r->io_read = s->blocks_read * 512;
        r->io_write = s->blocks_written * 512;
        s->box.driver->account(&s->box, r);
        r->exit_status = WIFEXITED(s->wait_status) ? WEXITSTATUS(s->wait_status) : -1;
        r->term_signal = WIFSIGNALED(s->wait_status) ? WTERMSIG(s->wait_status) : 0;
        r->end_reason = end_reason(s);
        r->progress = s->uplink.progress;
        r->status_text = s->complained ? NULL : TAKE_PTR(s->uplink.status);
        if (s->failure && s->failure->status != 0)
                r->error = child_failure_sentence(s->failure, s->job->definition, s->job->user);
        else {
                char *why = NULL;
                (void) result_take(s->dir.work_fd, s->job->user->uid, s->job->settings->max_result, &r->result, &r->result_len, &why);
                r->error = why;
        }
        if (sentence) {
                free(r->error);
                r->error = sentence;
        }
}

/* Stays until it is written: it is the only witness. */
static void record_write(Supervisor *s) {
        bool told = false;
        for (;;) {
                uplink_read(&s->uplink, "ending");
                int r = record_file_finish(&s->file, &s->record, s->uplink.fd < 0);
                if (r >= 0)
                        return;
                if (!told) {
                        LogTask context = log_context(s);
                        log_task(&context, LOG_ERR, r, "its exit record cannot be written, trying again each second");
                }
                told = true;
                struct pollfd p[2] = {
                        { .fd = s->uplink.fd, .events = POLLIN },
                        { .fd = s->uplink.listen_fd, .events = POLLIN },
                };
                usec_t until = clock_boot() + TRY_AGAIN;
                for (usec_t now; (now = clock_boot()) < until;) {
                        if (poll(p, 2, (int) ((until - now) / USEC_PER_MSEC) + 1) <= 0)
                                continue;
                        uplink_read(&s->uplink, "ending");
                        if (p[1].revents)
                                uplink_accept(&s->uplink);
                        p[0].fd = s->uplink.fd;
                }
        }
}

/* ── all of it ── */

void supervisor_prepare(void) {
        (void) setsid();
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
        struct sigaction action = { .sa_handler = on_child };
        (void) sigaction(SIGCHLD, &action, NULL);
}

static void name_set(const Job *job) {
        char name[16];
        snprintf(name, sizeof name, "sv:%s", job->definition->name);
        (void) prctl(PR_SET_NAME, name);
}

int supervisor_run(const Job *job) {
        Supervisor s = {
                .job = job,
                .dir = ATTEMPT_DIR_INIT,
                .box = CONTAINMENT_INIT,
                .uplink = UPLINK_INIT,
                .output = OUTPUT_INIT,
                .file = RECORD_FILE_INIT,
                .timeout_at = USEC_INFINITY,
                .beat_limit = USEC_INFINITY,
                .term_fd = -1,
                .kill_at = USEC_INFINITY,
                .remind_at = USEC_INFINITY,
                .record = { .task_id = job->task_id, .attempt = job->attempt, .exit_status = -1, .progress = -1, .cpu_usec = -1, .memory_peak = -1,
                            .io_read = -1, .io_write = -1, .oom_kills = -1, .pids_peak = -1 },
        };
        char *sentence = NULL;

        name_set(job);
        s.box.driver = job->driver;
        s.box.job = job;
        s.uplink.job = job;
        s.uplink.fd = job->channel_fd;
        snprintf(s.record.boot_id, sizeof s.record.boot_id, "%s", clock_boot_id());

        int r = gate_pass(&s, &sentence);
        if (r < 0) {
                s.box.driver->cleanup(&s.box);
                attempt_dir_remove(&s.dir);
                lock_release(&s);
                fd_close(job->parameters_fd);
                uplink_close(&s.uplink);
                free(sentence);
                return 0;
        }
        lock_release(&s);
        s.uplink.listen_fd = s.dir.control_fd;
        fd_close(job->parameters_fd);
        if (s.box.scope) {
                sigset_t term;
                sigemptyset(&term);
                sigaddset(&term, SIGTERM);
                s.term_fd = signalfd(-1, &term, SFD_CLOEXEC);
                if (job->place->privileged)
                        oom_protect();
        }
        s.wait_status = CHILD_EXIT_EXEC << 8;           /* until there is a real one */
        if (r > 0 && task_start(&s, &sentence) >= 0)
                run(&s);
        else
                s.record.started_at = clock_wall();
        output_finish(&s.output);
        record_fill(&s, sentence);
        record_write(&s);

        s.box.driver->cleanup(&s.box);
        attempt_dir_remove(&s.dir);
        record_file_close(&s.file);
        exit_record_done(&s.record);
        fd_close(s.term_fd);
        bool reusable = s.box.driver->reusable && s.no_children && !s.uplink.adopted;
        uplink_close(&s.uplink);
        return reusable;
}
