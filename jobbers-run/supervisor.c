/* supervisor.c: one attempt as a small state machine: gate → running → ending → record. One ppoll over all it listens to; deadlines on the
 * boot-time clock. The only signal it takes is SIGCHLD, and that only inside the ppoll: all others stay blocked, so that neither a
 * terminal nor PID 1 at the host's shutdown reaches it.
 *
 * Each turn looks in this order: what the task said, who has ended, what the daemon said, what is due. So a task that reports and exits is
 * heard, and one that has ended by itself is not said to have been stopped. */
#include "jobbers-run/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/message-id.h"
#include "base/str.h"
#include "jobbers-run/notify.h"
#include "jobbers-run/passed.h"
#include "jobbers-run/stay.h"
#include "jobbers-run/supervisor-private.h"

#define KILL_AGAIN (200 * USEC_PER_MSEC)        /* SIGKILL to those who were born meanwhile */
/* Once more, as systemd does when main has ended: for what main had just forked. A moment later, since between fork and exec a shell's child
 * still swallows what its parent has a trap for. */
#define REMIND_AFTER (100 * USEC_PER_MSEC)
#define COMPLAIN_AFTER (10 * USEC_PER_SEC)      /* still there so long after SIGKILL: it cannot be killed */
#define NOTIFY_AT_ONCE 1024             /* more than a socket holds (net.unix.max_dgram_qlen): all that was said before an end is heard before it */

static void on_child(int signal) {
        /* Its arrival ends the ppoll: that is all. */
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
        s->kill_at = deadline_after(now, d->kill_grace);
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
        if (reason == STOP_TIMEOUT && s->extended)
                s->record.allowed = s->timeout_at - s->begun_at;
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
                        s->beat_limit = deadline_after(now, s->job->definition->max_heartbeat_interval);
                        s->record.heartbeat_at = clock_wall();
                        uplink_beat(&s->uplink, s->record.heartbeat_at);
                }
                if (message.has_status)
                        uplink_status(&s->uplink, message.status);
                if (message.progress >= 0)
                        uplink_progress(&s->uplink, message.progress);
                if (message.extend > 0 && deadline_after(now, message.extend) > s->timeout_at) {
                        s->timeout_at = deadline_after(now, message.extend);
                        s->extended = true;
                }
                notify_datagram_close(&datagram);
        }
}

static void count_usage(Supervisor *s, const struct rusage *u) {
        s->cpu_usec += (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000LL + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
        s->rss_max = MAX(s->rss_max, (int64_t) u->ru_maxrss * 1024);
        s->blocks_read += u->ru_inblock;
        s->blocks_written += u->ru_oublock;
}

/* systemd stops scopes by a signal to all that is in them, us included, at the host's shutdown above all: the daemon, which is stopped after
 * them, is to see a shutdown, and not a task that happened to be killed. Tasks ignore that signal and get the kill sequence from us, unless
 * it was somebody's SIGTERM to the whole scope. */
static bool scope_is_stopped(const Supervisor *s, int wait_ms) {
        struct pollfd p = { .fd = s->term_fd, .events = POLLIN };
        return s->term_fd >= 0 && poll(&p, 1, wait_ms) > 0;
}

/* The next child that has ended, as a zombie still; 0: none has, -ECHILD: there is none. */
static pid_t next_ended(void) {
        siginfo_t end = {};
        return waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) < 0 ? -errno : end.si_pid;
}

static void reap(Supervisor *s) {
        struct rusage usage;
        int status;
        pid_t pid;
        while ((pid = next_ended()) > 0) {
                bool stopped = false;
                if (pid == s->box.main_pid) {
                        stopped = scope_is_stopped(s, 0);       /* first: what comes later did not end it */
                        output_main_ends(&s->output);
                }
                if (wait4(pid, &status, 0, &usage) != pid)
                        return;
                count_usage(s, &usage);
                if (s->box.driver->reaped(&s->box, pid))
                        continue;
                if (pid == s->box.main_pid) {
                        s->box.main_pid = 0;
                        s->main_ended = true;
                        s->wait_status = status;
                        if (s->stop == STOP_NONE && child_failure_is_late(s->failure, status))
                                s->wait_status = W_EXITCODE(s->failure->status, 0);     /* as if it had said so itself */
                        /* It may have got its SIGTERM a moment before we get ours. */
                        if (s->stop == STOP_NONE && (stopped || (WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM && scope_is_stopped(s, 100))))
                                s->stop = STOP_SHUTDOWN;
                }
        }
        s->no_children = pid == -ECHILD;
}

/* A process that SIGKILL does not end waits inside the kernel: say so, wait on. */
static void complain(Supervisor *s) {
        LogTask context = supervisor_log(s);
        s->complained = true;
        context.message_id = MESSAGE_ATTEMPT_UNKILLABLE;
        uplink_status(&s->uplink, "a process of this attempt cannot be killed; waiting for its end");
        log_task(&context, LOG_WARNING, 0, "a process of the attempt survived SIGKILL (it is blocked in the kernel); waiting for it to end");
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
                [NOTIFY] = { .fd = passed_busy() >= 0 ? passed_busy() : s->dir.notify_fd, .events = POLLIN },
                [CHANNEL] = { .fd = s->uplink.fd, .events = POLLIN },
                [CONTROL] = { .fd = s->uplink.listen_fd, .events = POLLIN },
                [OUTPUT] = output_poll(&s->output),
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
        if (s->failure->late && s->failure->status != 0)        /* it may be one of these that it was too late for */
                check_deadlines(s, now);
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

/* ── all of it ── */

static pid_t launcher_pid;

bool supervisor_has_launcher(void) {
        return getppid() == launcher_pid;
}

void supervisor_prepare(void) {
        launcher_pid = getppid();
        (void) setsid();
        (void) prctl(PR_SET_CHILD_SUBREAPER, 1);
        struct sigaction action = { .sa_handler = on_child };
        (void) sigaction(SIGCHLD, &action, NULL);
}

static void name_set(const Job *job) {
        static char last[16];           /* the process has one name */
        char name[sizeof last];
        snprintf(name, sizeof name, "sv:%s", job->definition->name);
        if (STREQ(name, last))
                return;
        (void) prctl(PR_SET_NAME, name);
        memcpy(last, name, sizeof last);
}

/* For another attempt. The lock comes first: when the daemon is told, it may send the next one at once, and be killed. */
static bool stay(Supervisor *s) {
        const Job *j = s->job;
        _cleanup_close_ int lock = place_lock_open(j->place);
        if (s->uplink.fd < 0 || lock < 0 || flock(lock, LOCK_SH | LOCK_NB) < 0)
                return false;
        if (!j->stay->rest) {           /* else the end of the channel tells */
                if (!uplink_end(&s->uplink, s->file.text, s->file.record_len))
                        return false;
                record_file_keep(&s->file, &j->stay->record);
                j->stay->channel_fd = TAKE_FD(s->uplink.fd);
        }
        j->stay->lock_fd = TAKE_FD(lock);
        return true;
}

bool supervisor_run(const Job *job) {
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
        unsigned lines_before = log_lines();

        name_set(job);
        s.box.driver = job->driver;
        s.box.job = job;
        s.uplink.job = job;
        s.uplink.fd = job->channel_fd;
        snprintf(s.record.boot_id, sizeof s.record.boot_id, "%s", clock_boot_id());

        int r = supervisor_gate(&s, &sentence);
        if (r < 0) {
                s.box.driver->cleanup(&s.box);
                attempt_dir_remove(&s.dir);
                supervisor_release_lock(&s);
                fd_close(job->parameters_fd);
                uplink_close(&s.uplink);
                free(sentence);
                return false;
        }
        supervisor_release_lock(&s);
        s.uplink.listen_fd = s.dir.control_fd;
        fd_close(job->parameters_fd);
        if (s.box.scope)
                supervisor_enter_scope(&s);
        s.wait_status = WAIT_NONE;      /* until there is a process */
        if (r > 0 && supervisor_start(&s, &sentence) >= 0)
                run(&s);
        else
                s.record.started_at = clock_wall();
        output_finish(&s.output);
        supervisor_fill_record(&s, sentence);
        supervisor_write_record(&s);

        s.box.driver->cleanup(&s.box);
        attempt_dir_remove(&s.dir);
        s.uplink.listen_fd = -1;
        fd_close(s.term_fd);
        /* journald remembers for a second which unit a process is in: lines of the next attempt would count as this one's. */
        bool spoke = s.box.scope && (s.output.in_our_name || log_lines() != lines_before);
        bool stays = job->stay && !spoke && s.no_children && s.dir.clean && s.file.renamed && !s.uplink.adopted && stay(&s);
        if (!stays || job->stay->rest)
                supervisor_write_record(&s);    /* for whom, if the daemon has gone meanwhile? */
        record_file_close(&s.file);
        exit_record_done(&s.record);
        uplink_close(&s.uplink);
        return stays;
}
