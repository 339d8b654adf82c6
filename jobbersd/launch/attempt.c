/* attempt.c: one living attempt, as the daemon holds it: a channel to its supervisor.
 *
 * The daemon's end is watched in the loop; what comes is notes, what goes is GO and STOP. Two kinds of news end an attempt: END, after which its
 * supervisor waits for another, and the end of the stream. Refusals and lost connections close our direction and wait for the latter like
 * everything else, so nothing is told before the supervisor is really done with it. */
#include "launch/launch-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define NOTE_MAX (16 * 1024)
#define NOTES_AT_ONCE 64        /* datagrams of one attempt before others have their turn */
#define RETRY_MAX (10 * USEC_PER_SEC)
#define STOP_RETRY (50 * USEC_PER_MSEC)
#define KILL_RETRY (250 * USEC_PER_MSEC)
#define PARAMETERS_KEPT 4096

char *attempt_file_name(const Ulid *id, unsigned number, const char *suffix, char buf[static ATTEMPT_NAME_MAX]) {
        char id_str[ULID_STR_MAX];
        snprintf(buf, ATTEMPT_NAME_MAX, "%s.%u%s", ulid_format(id, id_str), number, suffix);
        return buf;
}

LaunchAttempt *attempt_new(Launch *l, const Ulid *id, unsigned number, const char *evidence, void *data) {
        LaunchAttempt *a = calloc(1, sizeof *a);
        if (!a)
                return NULL;
        a->launch = l;
        a->id = *id;
        a->number = number;
        snprintf(a->evidence, sizeof a->evidence, "%s", evidence);
        a->data = data;
        a->pidfd = -1;
        link_init(&a->unseen_link);
        link_init(&a->ended_link);
        list_append(&l->attempts, &a->link);
        return a;
}

void attempt_close_channel(LaunchAttempt *a) {
        a->channel = channel_free(a->channel);
}

LaunchAttempt *attempt_free(LaunchAttempt *a) {
        if (!a)
                return NULL;
        launch_request_free(a->request);
        launch_request_free(a->again);
        link_remove(&a->link);
        link_remove(&a->unseen_link);
        link_remove(&a->ended_link);
        attempt_close_channel(a);
        sd_event_source_disable_unref(a->pidfd_io);
        sd_event_source_disable_unref(a->timer);
        fd_close(a->pidfd);
        free(a->sentence);
        exit_record_done(&a->record);
        free(a);
        return NULL;
}

void attempt_ended(LaunchAttempt *a, LaunchEnd end) {
        attempt_close_channel(a);
        a->state = ATTEMPT_ENDED;
        a->end = end;
        list_append(&a->launch->ended, &a->ended_link);
        launch_defer(a->launch);
}

/* ── down the channel ── */

/* 0, -EAGAIN; a peer that is gone is 0: the end of the stream tells. */
static int channel_send(LaunchAttempt *a, const char *line) {
        if (!a->channel || send(a->channel->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return 0;
        return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : 0;
}

/* What was not read yet stays there; then comes the end of the stream. */
static void channel_shut(LaunchAttempt *a) {
        if (a->channel)
                (void) shutdown(a->channel->fd, SHUT_WR);
}

static void attempt_go(LaunchAttempt *a) {
        if (a->go || !a->placed || !a->committed || a->state != ATTEMPT_STARTING)
                return;
        /* Next to nothing is in that socket: it fits, or the supervisor will find nothing and the end of the stream, and leaves. */
        if (channel_send(a, a->channel && a->channel->taken ? "TAKEN=1\nGO=1\n" : "GO=1\n") < 0)
                channel_shut(a);
        a->go = true;
}

void attempt_placed(LaunchAttempt *a) {
        a->placed = true;
        attempt_go(a);
}

void attempt_send_stop(LaunchAttempt *a) {
        char line[32];
        snprintf(line, sizeof line, "STOP=%s\n", stop_reason_to_string(a->stop));
        if (channel_send(a, line) < 0)
                attempt_retry(a, STOP_RETRY);
        else
                a->stop = STOP_NONE;
}

/* Nothing was started, and nothing can be before our answer: take the answer back. */
static void attempt_shut_gate(LaunchAttempt *a) {
        a->again = launch_request_free(a->again);
        channel_shut(a);
        a->go = true;
}

int launch_stop(LaunchAttempt *a, StopReason reason) {
        if (reason != STOP_CANCELLED && reason != STOP_SHUTDOWN)
                return -EINVAL;
        switch (a->state) {
        case ATTEMPT_STARTING:
                a->again = launch_request_free(a->again);
                if (a->request) {
                        a->request = launch_request_free(a->request);
                        attempt_ended(a, LAUNCH_END_NOT_STARTED);
                        return 0;
                }
                if (!a->go) {
                        attempt_shut_gate(a);
                        return 0;
                }
                break;
        case ATTEMPT_LIVING:
                break;
        case ATTEMPT_HELLO:
                if (a->stop == STOP_NONE)
                        a->stop = reason;       /* sent when it is known to be who it should be */
                return 0;
        default:
                if (a->stop == STOP_NONE)
                        a->stop = reason;       /* in case somebody answers after all */
                return 0;
        }
        if (a->stop == STOP_NONE)
                a->stop = reason;
        attempt_send_stop(a);
        return 0;
}

/* ── the launcher's answers ── */

void attempt_refused(LaunchAttempt *a, int error, const char *sentence) {
        a->error = error;
        free(a->sentence);
        a->sentence = strdup(sentence);
        channel_shut(a);
}

void attempt_connection_lost(LaunchAttempt *a) {
        if (a->state != ATTEMPT_STARTING)
                return;
        if (a->request)
                a->placed = false;
        if (a->request && a->go) {
                /* The gate is open, but the next launcher might work with scopes, which need it shut: begin anew. */
                a->request = launch_request_free(a->request);
                attempt_ended(a, LAUNCH_END_NOT_STARTED);
        } else if (!a->request && !a->go)
                attempt_shut_gate(a);           /* nobody is left to say that its scope is there */
}

void attempt_killed(LaunchAttempt *a, int result, const char *text) {
        if (a->state != ATTEMPT_KILLING)
                return;
        if (result == 0) {
                attempt_settle(a, SETTLE_KILLED);
                return;
        }
        if (a->retry_delay == 0)
                log_task(&(LogTask) { .id = &a->id, .attempt = a->number }, LOG_WARNING, result,
                         "the attempt's supervisor died and cleaning up after it failed: %s; trying again", text);
        attempt_retry(a, KILL_RETRY);
}

/* ── up the channel ── */

typedef struct Notes {
        usec_t beat;
        int progress;
        char *status;
        StopReason stopping;
} Notes;

/* One datagram. */
static void notes_take(Notes *notes, LaunchAttempt *a, char *text) {
        char *end;
        for (char *line = text; (end = strchr(line, '\n')); line = end + 1) {
                *end = '\0';
                char *value = strchr(line, '=');
                if (!value)
                        continue;
                *value++ = '\0';
                uint64_t u;
                if (STREQ(line, "BEAT") && parse_u64(value, &u) >= 0)
                        notes->beat = u;
                else if (STREQ(line, "PROGRESS") && parse_u64(value, &u) >= 0 && u <= 100)
                        notes->progress = (int) u;
                else if (STREQ(line, "PID") && parse_u64(value, &u) >= 0 && u <= INT32_MAX && a->pid == 0)
                        a->pid = (pid_t) u;
                else if (STREQ(line, "STATUS")) {
                        char *copy = strdup(value);
                        if (copy) {
                                free(notes->status);
                                notes->status = copy;
                        }
                } else if (STREQ(line, "STOPPING")) {
                        StopReason reason = stop_reason_from_string(value);
                        if (reason == STOP_TIMEOUT || reason == STOP_STALLED)
                                notes->stopping = reason;
                }
        }
}

static void notes_tell(Notes *notes, LaunchAttempt *a) {
        Launch *l = a->launch;
        if ((notes->beat || notes->status || notes->progress >= 0) && l->callbacks->on_note)
                l->callbacks->on_note(l->userdata, a->data, notes->beat, notes->status, notes->progress);
        if (notes->stopping != STOP_NONE && l->callbacks->on_stopping)
                l->callbacks->on_stopping(l->userdata, a->data, notes->stopping);
        free(notes->status);
}

/* The supervisor has done it, and waits for another. What it wrote down came along, unless it is long. */
static void attempt_over(LaunchAttempt *a, const char *record, size_t len) {
        a->again = launch_request_free(a->again);
        a->seen = true;
        Channel *c = TAKE_PTR(a->channel);
        c->last_id = a->id;
        c->last_number = a->number;
        c->taken = false;               /* that of the one before is used up */
        channel_keep(c);
        if (len > 0 && record_decode(&a->id, a->number, record, len, &a->record) >= 0)
                attempt_ended(a, LAUNCH_END_RECORD);
        else
                attempt_settle(a, SETTLE_GONE);
}

void attempt_read(LaunchAttempt *a) {
        Notes notes = { .progress = -1 };
        bool gone = false;
        int fd = a->channel->fd;

        for (unsigned i = 0; i < NOTES_AT_ONCE; i++) {
                char text[NOTE_MAX + 1];
                ssize_t n = recv(fd, text, NOTE_MAX, MSG_DONTWAIT);
                if (n < 0 && errno == ECONNRESET)
                        continue;       /* it ended without reading all of ours; what it sent before comes after this */
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n <= 0) {
                        gone = true;
                        break;
                }
                text[n] = '\0';
                if (a->state == ATTEMPT_STARTING && a->go && strncmp(text, CHANNEL_END, strlen(CHANNEL_END)) == 0) {
                        notes_tell(&notes, a);
                        attempt_over(a, text + strlen(CHANNEL_END), (size_t) n - strlen(CHANNEL_END));
                        return;
                }
                if (a->state == ATTEMPT_HELLO && strncmp(text, "STATE=", 6) == 0)
                        attempt_state_line(a, text);
                else {
                        a->seen = true;
                        a->again = launch_request_free(a->again);
                        notes_take(&notes, a, text);
                }
                if (!a->channel)
                        break;          /* it was not who it should be */
        }
        notes_tell(&notes, a);
        if (gone)
                attempt_gone(a);
}

int attempt_watch_channel(LaunchAttempt *a, int channel) {
        attempt_close_channel(a);
        a->channel = channel_new(a, channel);
        return a->channel ? 0 : -ENOMEM;
}

/* ── later ── */

static int on_attempt_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        LaunchAttempt *a = userdata;

        if (a->state == ATTEMPT_KILLING)
                attempt_kill(a);
        else if (a->state == ATTEMPT_WAIT_RETRY)
                attempt_settle(a, SETTLE_FIND);
        else if ((a->state == ATTEMPT_LIVING || a->state == ATTEMPT_STARTING) && a->stop != STOP_NONE)
                attempt_send_stop(a);
        return 0;
}

void attempt_retry(LaunchAttempt *a, usec_t first_delay) {
        int r;
        a->retry_delay = MIN(MAX(a->retry_delay * 2, first_delay), RETRY_MAX);
        if (a->timer) {
                r = sd_event_source_set_time_relative(a->timer, a->retry_delay);
                if (r >= 0)
                        r = sd_event_source_set_enabled(a->timer, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time_relative(a->launch->event, &a->timer, CLOCK_MONOTONIC, a->retry_delay, USEC_PER_MSEC, on_attempt_timer, a);
        if (r < 0)
                log_task(&(LogTask) { .id = &a->id, .attempt = a->number }, LOG_ERR, r, "cannot set a timer for it");
}

/* ── a start ── */

/* The parameters in memory of their own that nobody can change any more. The offset stays at the start. */
static int parameters_seal(const char *text) {
        size_t len = strlen(text);
        _cleanup_close_ int fd = memfd_create("jobbers-parameters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < len;) {
                ssize_t n = pwrite(fd, text + done, len - done, (off_t) done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                done += (size_t) n;
        }
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* Many tasks have the parameters of the one before, above all none: one memory serves them all, since nobody can change it. What is not kept for
 * others is the caller's, in *ret_own. */
static int parameters_get(Launch *l, const char *text, int *ret_own) {
        if (l->parameters_fd >= 0 && STREQ(text, l->parameters))
                return l->parameters_fd;
        _cleanup_close_ int fd = parameters_seal(text);
        if (fd < 0)
                return fd;
        char *copy = strlen(text) <= PARAMETERS_KEPT ? strdup(text) : NULL;
        if (!copy)
                return *ret_own = TAKE_FD(fd);
        fd_close(l->parameters_fd);
        free(l->parameters);
        l->parameters = copy;
        return l->parameters_fd = TAKE_FD(fd);
}

/* Down the channel of a supervisor that waits: true when one has it; it may still leave instead of taking it. Never while the launcher may be
 * removing what is left of an earlier start of the same attempt. */
static bool start_hand_over(LaunchAttempt *a, Request *q) {
        Launch *l = a->launch;
        Channel *c;
        if (list_empty(&l->idle) || launch_forget_is_under_way(l, &a->id, a->number))
                return false;
        while ((c = channel_take(l))) {
                int r = fd_send(c->fd, &q->body, sizeof q->body, &q->parameters, 1, MSG_DONTWAIT);
                if (r >= 0)
                        break;
                if (r != -EPIPE && r != -ECONNRESET) {
                        channel_keep(c);        /* no memory, too many descriptors in flight: passes */
                        return false;
                }
                channel_free(c);
        }
        if (!c)
                return false;
        c->attempt = a;
        a->channel = c;
        a->start_cookie = q->body.cookie;
        a->again = q;
        attempt_placed(a);
        return true;
}

/* Through the launcher, which forks, or knows one that rests. */
static int start_ask(LaunchAttempt *a, Request *q) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        q->channel = pair[1];
        int r = attempt_watch_channel(a, pair[0]);
        if (r < 0)
                return r;
        a->state = ATTEMPT_STARTING;
        a->start_cookie = 0;
        a->go = a->placed = false;
        q->attempt = a;
        a->request = q;
        launch_request_put(a->launch, q);
        return 0;
}

bool attempt_ask_again(LaunchAttempt *a) {
        Request *q = TAKE_PTR(a->again);
        if (!q)
                return false;
        /* It has the last word on everything: what may be left of that start goes first. */
        if (launch_ask_to_forget(a->launch, &a->id, a->number, false) < 0 || start_ask(a, q) < 0) {
                launch_request_free(q);
                return false;
        }
        return true;
}

int launch_start(Launch *l, const LaunchStart *start, void *attempt_data, LaunchAttempt **ret) {
        _cleanup_close_ int own = -1;
        const Definition *d = start->definition;

        int parameters = parameters_get(l, start->parameters ? start->parameters : "{}", &own);
        if (parameters < 0)
                return parameters;
        LaunchAttempt *a = attempt_new(l, start->task_id, start->attempt, l->evidence, attempt_data);
        if (!a)
                return -ENOMEM;
        Request *q = launch_request_new(l, LAUNCHER_START, start->task_id, start->attempt);
        if (!q) {
                attempt_free(a);
                return -ENOMEM;
        }
        q->parameters = own >= 0 ? TAKE_FD(own) : fcntl(parameters, F_DUPFD_CLOEXEC, 3);
        int r = q->parameters < 0 ? -errno : 0;
        a->committed = start->committed;
        q->body.retry_attempt = start->retry_attempt;
        snprintf(q->body.name, sizeof q->body.name, "%s", d->name);
        snprintf(q->body.queue, sizeof q->body.queue, "%s", start->queue);
        q->body.version = d->version;
        q->body.definition_hash = d->hash;
        q->launcher = d->launcher;
        if (r >= 0 && (launch_uses_scope(l, d->launcher) || !start_hand_over(a, q)))
                r = start_ask(a, q);
        if (r < 0) {
                launch_request_free(q);
                attempt_free(a);
                return r;
        }
        *ret = a;
        return 0;
}

void launch_go(LaunchAttempt *a) {
        a->committed = true;
        attempt_go(a);
}

LaunchAttempt *launch_abandon(LaunchAttempt *a) {
        return attempt_free(a);         /* the end of its channel sends the supervisor away; a late refusal finds nobody */
}

pid_t launch_attempt_pid(const LaunchAttempt *a) {
        return a->pid;
}
