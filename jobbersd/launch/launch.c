/* launch.c: the connection to the launcher.
 *
 * Requests go out in the order they were made, as long as the socket takes them; the rest waits here. Nothing is sent before the
 * launcher's hello, since only then it is known what a start must look like and that no start of an earlier daemon is under way.
 * Verbs never call back: what they find out is put into the list `ended` and told from the loop by a defer source. */
#include "launch/launch-private.h"

#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/message-id.h"

#define RECONNECT_FIRST (100 * USEC_PER_MSEC)
#define RECONNECT_MAX (5 * USEC_PER_SEC)
#define RESEND_AFTER (20 * USEC_PER_MSEC)
#define LEAVE_MAX_MSEC 5000

static void launch_flush(Launch *l);
static void launch_connect(Launch *l);

/* ── requests ── */

Request *launch_request_new(Launch *l, LauncherVerb verb, const Ulid *task_id, unsigned attempt) {
        Request *q = calloc(1, sizeof *q);
        if (!q)
                return NULL;
        link_init(&q->link);
        q->parameters = q->channel = -1;
        q->body.verb = verb;
        if (++l->last_cookie == 0)
                l->last_cookie = 1;
        q->body.cookie = l->last_cookie;
        if (task_id)
                q->body.task_id = *task_id;
        q->body.attempt = attempt;
        q->body.memory_max = q->body.tasks_max = UINT64_MAX;
        return q;
}

Request *launch_request_free(Request *q) {
        if (!q)
                return NULL;
        link_remove(&q->link);
        if (q->attempt && q->attempt->request == q)
                q->attempt->request = NULL;
        fd_close(q->parameters);
        fd_close(q->channel);
        free(q);
        return NULL;
}

int launch_ask_to_forget(Launch *l, const Ulid *task_id, unsigned attempt, bool answered) {
        Request *q = launch_request_new(l, LAUNCHER_FORGET, task_id, attempt);
        if (!q)
                return -ENOMEM;
        if (!answered)
                q->body.cookie = 0;
        launch_request_put(l, q);
        return 0;
}

void launch_request_put(Launch *l, Request *q) {
        bool first = list_empty(&l->queue);
        list_append(&l->queue, &q->link);
        if (first)
                launch_flush(l);
}

static int request_send(Launch *l, Request *q) {
        int fds[2] = { q->parameters, q->channel };
        bool is_start = q->body.verb == LAUNCHER_START;

        /* Where nothing else is to be waited for, the gate may be open before the supervisor exists. A scope has to be made first. */
        if (is_start && !launch_uses_scope(l, q->launcher))
                attempt_placed(q->attempt);
        int r = fd_send(l->sock, &q->body, sizeof q->body, fds, is_start ? 2 : 0, MSG_DONTWAIT);
        if (r < 0)
                return r;
        link_remove(&q->link);
        if (is_start) {
                q->attempt->start_cookie = q->body.cookie;
                launch_request_free(q);
        } else if (q->body.cookie == 0)
                launch_request_free(q);         /* nobody will answer it */
        else
                list_append(&l->sent, &q->link);
        return 0;
}

static bool list_forgets(const Link *list, const Ulid *task_id, unsigned attempt) {
        for (const Link *i = list->next; i != list; i = i->next) {
                const LauncherRequest *q = &CONTAINER_OF(i, Request, link)->body;
                if (q->verb == LAUNCHER_FORGET && q->cookie != 0 && ulid_cmp(&q->task_id, task_id) == 0 && q->attempt == attempt)
                        return true;
        }
        return false;
}

bool launch_forget_is_under_way(const Launch *l, const Ulid *task_id, unsigned attempt) {
        return list_forgets(&l->queue, task_id, attempt) || list_forgets(&l->sent, task_id, attempt);
}

static void launch_wants_out(Launch *l, bool on) {
        if (l->wants_out == on || !l->io)
                return;
        if (sd_event_source_set_io_events(l->io, EPOLLIN | (on ? EPOLLOUT : 0)) >= 0)
                l->wants_out = on;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Launch *l = userdata;
        if (l->sock >= 0)
                launch_flush(l);
        else
                launch_connect(l);
        return 0;
}

static void launch_set_timer(Launch *l, usec_t delay) {
        int r;
        if (l->timer) {
                r = sd_event_source_set_time_relative(l->timer, delay);
                if (r >= 0)
                        r = sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time_relative(l->event, &l->timer, CLOCK_MONOTONIC, delay, USEC_PER_MSEC, on_timer, l);
        if (r < 0)
                log_error_errno(r, "cannot set the timer for the launcher's connection");
}

static void launch_flush(Launch *l) {
        bool full = false;

        while (l->ready && !list_empty(&l->queue)) {
                Request *q = CONTAINER_OF(l->queue.next, Request, link);
                if (q->body.verb == LAUNCHER_SLICE && !(l->flags & LAUNCHER_HAS_SCOPES)) {
                        launch_request_free(q);
                        continue;
                }
                int r = request_send(l, q);
                if (r == -EAGAIN) {
                        full = true;
                        break;
                }
                if (r < 0) {
                        /* Too many descriptors in flight, no memory: passes. A broken connection is reported by the loop as well. */
                        launch_set_timer(l, RESEND_AFTER);
                        break;
                }
        }
        launch_wants_out(l, full);
}

/* ── replies ── */

static Request *sent_find(Launch *l, uint32_t verb, uint32_t cookie) {
        LIST_FOREACH(i, &l->sent) {
                Request *q = CONTAINER_OF(i, Request, link);
                if (q->body.verb == verb && q->body.cookie == cookie)
                        return q;
        }
        return NULL;
}

static void on_hello(Launch *l, const LauncherReply *reply) {
        if (reply->version != WIRE_VERSION) {
                log_error("the launcher (pid %d) and this daemon speak different versions of their protocol (%u and %d), "
                          "probably after an upgrade; restart %s",
                          (int) reply->pid, reply->version, WIRE_VERSION,
                          l->is_child ? "with programs of one release" : "jobbers-launcher.service");
                (void) shutdown(l->sock, SHUT_RDWR);            /* the loop sees the end of the connection and acts on it */
                return;
        }
        /* The service has been there before us and may know older files only. */
        if (!l->is_child && launch_reload(l) < 0)
                log_oom();
        launch_look_at_records(l);
        l->flags = reply->flags;
        l->ready = true;
        l->reconnect_delay = 0;
        l->hello_new = true;
        launch_defer(l);
        log_debug("the launcher is there, pid %d, flags %#x", (int) reply->pid, reply->flags);
}

static void on_reply(Launch *l, const LauncherReply *reply) {
        if (reply->verb == LAUNCHER_HELLO) {
                if (!l->ready)
                        on_hello(l, reply);
                return;
        }
        if (reply->verb == LAUNCHER_START) {
                LIST_FOREACH(i, &l->attempts) {
                        LaunchAttempt *a = CONTAINER_OF(i, LaunchAttempt, link);
                        if (a->start_cookie != reply->cookie || a->state != ATTEMPT_STARTING)
                                continue;
                        if (reply->result < 0)
                                attempt_refused(a, reply->result, reply->text);
                        else
                                attempt_placed(a);
                        break;
                }
                return;
        }
        Request *q = sent_find(l, reply->verb, reply->cookie);
        if (!q) {
                log_debug("the launcher answers a request that was not made (verb %u)", reply->verb);
                return;
        }
        LaunchAttempt *a = q->attempt;
        LauncherRequest body = q->body;
        launch_request_free(q);
        if (body.verb == LAUNCHER_RELOAD && --l->reloads == 0) {
                l->reloaded_new = true;
                launch_defer(l);
        }
        if (body.verb == LAUNCHER_KILL) {
                if (a)
                        attempt_killed(a, reply->result, reply->text);
        } else if (reply->result < 0 && body.verb == LAUNCHER_RELOAD)
                log_warning_errno(reply->result, "the launcher could not read the task definitions: %s", reply->text);
        else if (reply->result < 0 && body.verb == LAUNCHER_SLICE)
                log_warning_errno(reply->result, "the limits of queue %s could not be set: %s", body.queue, reply->text);
}

void launch_read_replies(Launch *l) {
        while (l->sock >= 0) {
                LauncherReply reply;
                ssize_t n = recv(l->sock, &reply, sizeof reply, MSG_DONTWAIT);
                if (n < 0 && (errno == EINTR || errno == ECONNRESET))
                        continue;       /* the reset comes before what was sent ahead of it */
                if (n <= 0)
                        return;
                if ((size_t) n != sizeof reply) {
                        log_warning("the launcher sent %zd bytes where a reply has %zu", n, sizeof reply);
                        continue;
                }
                reply.text[sizeof reply.text - 1] = '\0';
                on_reply(l, &reply);
        }
}

/* ── the connection ── */

static void launch_lost(Launch *l) {
        l->io = sd_event_source_disable_unref(l->io);
        l->sock = fd_close(l->sock);
        bool was_ready = l->ready;
        if (l->reloads > 0) {
                l->reloaded_new = true;
                launch_defer(l);
        }
        l->ready = l->wants_out = l->hello_new = false;
        l->flags = 0;
        /* Asked again, before what was asked later. */
        while (!list_empty(&l->sent)) {
                Link *last = l->sent.prev;
                link_remove(last);
                list_append(l->queue.next, last);
        }
        channels_clear(l);              /* they know the definitions of that launcher */
        LIST_FOREACH(i, &l->attempts)
                attempt_connection_lost(CONTAINER_OF(i, LaunchAttempt, link));

        if (!l->is_child) {
                if (was_ready)
                        log_known(MESSAGE_LAUNCHER_LOST, LOG_WARNING, 0, "the connection to the launcher at %s ended, trying again",
                                  l->settings->launcher_socket);
                l->reconnect_delay = was_ready ? RECONNECT_FIRST : MIN(MAX(l->reconnect_delay * 2, RECONNECT_FIRST), RECONNECT_MAX);
                launch_set_timer(l, l->reconnect_delay);
                return;
        }
        if (l->dead)
                return;
        l->dead = true;
        siginfo_t info = {};
        if (l->child > 0 && waitid(P_PIDFD, (id_t) l->child_pidfd, &info, WEXITED | WNOHANG) >= 0 && info.si_pid > 0) {
                l->child = 0;
                log_error("the launcher %s %d", info.si_code == CLD_EXITED ? "ended with status" : "was killed by signal", info.si_status);
        } else
                log_error("the launcher closed its connection");
        l->child_io = sd_event_source_disable_unref(l->child_io);
        if (l->callbacks->on_launcher_dead)
                l->callbacks->on_launcher_dead(l->userdata);
}

static int on_socket(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Launch *l = userdata;

        launch_read_replies(l);
        if (revents & (EPOLLHUP | EPOLLERR))
                launch_lost(l);
        else
                launch_flush(l);
        return 0;
}

static int on_child(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Launch *l = userdata;
        launch_read_replies(l);
        launch_lost(l);
        return 0;
}

static int launch_watch(Launch *l) {
        int r = sd_event_add_io(l->event, &l->io, l->sock, EPOLLIN, on_socket, l);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(l->io, "launcher");
        /* Its hello, which makes us ready, does not stand in line behind those of a thousand supervisors. */
        (void) sd_event_source_set_priority(l->io, SD_EVENT_PRIORITY_NORMAL - 10);
        return 0;
}

static void launch_connect(Launch *l) {
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r = sock < 0 ? -errno : fd_connect_unix(sock, l->settings->launcher_socket);
        if (r >= 0) {
                l->sock = TAKE_FD(sock);
                r = launch_watch(l);
                if (r >= 0)
                        return;
                l->sock = fd_close(l->sock);
        }
        if (l->reconnect_delay == 0)
                log_known(MESSAGE_LAUNCHER_LOST, LOG_WARNING, r, "cannot connect to the launcher at %s (is jobbers-launcher.socket active?), trying again",
                          l->settings->launcher_socket);
        l->reconnect_delay = MIN(MAX(l->reconnect_delay * 2, RECONNECT_FIRST), RECONNECT_MAX);
        launch_set_timer(l, l->reconnect_delay);
}

/* ── outcomes ── */

static int on_defer(sd_event_source *s, void *userdata) {
        Launch *l = userdata;
        Link batch;

        if (l->hello_new) {
                l->hello_new = false;
                LIST_FOREACH(i, &l->attempts) {
                        LaunchAttempt *a = CONTAINER_OF(i, LaunchAttempt, link);
                        if (a->state == ATTEMPT_WAIT_HELLO)
                                attempt_settle(a, SETTLE_FIND);
                }
                if (l->callbacks->on_ready)
                        l->callbacks->on_ready(l->userdata);
                launch_flush(l);
        }

        if (l->reloaded_new) {
                l->reloaded_new = false;
                if (l->callbacks->on_reloaded)
                        l->callbacks->on_reloaded(l->userdata);
        }

        /* What is added meanwhile is told next time: a callback that starts an attempt which fails at once must not keep us here. */
        link_init(&batch);
        while (!list_empty(&l->ended)) {
                Link *i = l->ended.next;
                link_remove(i);
                list_append(&batch, i);
        }
        while (!list_empty(&batch)) {
                LaunchAttempt *a = CONTAINER_OF(batch.next, LaunchAttempt, ended_link);
                link_remove(&a->ended_link);
                l->callbacks->on_ended(l->userdata, a->data, a->end, a->error, a->sentence, a->end == LAUNCH_END_RECORD ? &a->record : NULL);
                attempt_free(a);
        }
        return 0;
}

void launch_defer(Launch *l) {
        int r = sd_event_source_set_enabled(l->defer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error_errno(r, "cannot arm the source for ended attempts");
}

/* ── from outside ── */

static Launch *launch_alloc(const Settings *settings) {
        Launch *l = calloc(1, sizeof *l);
        if (!l)
                return NULL;
        l->settings = settings;
        l->sock = l->child_pidfd = l->record_fd = l->saved_fd = l->parameters_fd = -1;
        link_init(&l->queue);
        link_init(&l->sent);
        link_init(&l->attempts);
        link_init(&l->unseen);
        link_init(&l->ended);
        link_init(&l->idle);
        return l;
}

int launch_new(Launch **ret, const Settings *settings, int argc, char **argv) {
        Launch *l = launch_alloc(settings);
        if (!l)
                return -ENOMEM;
        l->is_child = settings->user_mode || geteuid() == 0;
        if (l->is_child) {
                int r = launch_spawn(argv, argc, &l->sock, &l->child_pidfd, &l->child);
                if (r < 0) {
                        launch_free(l);
                        return r;
                }
        }
        *ret = l;
        return 0;
}

int launch_new_connected(Launch **ret, const Settings *settings, int sock) {
        Launch *l = launch_alloc(settings);
        if (!l)
                return -ENOMEM;
        l->is_child = true;
        l->sock = sock;
        *ret = l;
        return 0;
}

int launch_attach(Launch *l, sd_event *event, const LaunchCallbacks *callbacks, void *userdata) {
        int r;

        l->event = sd_event_ref(event);
        l->callbacks = callbacks;
        l->userdata = userdata;
        r = sd_event_add_defer(event, &l->defer, on_defer, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->defer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &l->look, CLOCK_MONOTONIC, 0, 1, launch_look, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->look, SD_EVENT_OFF);
        if (r < 0)
                return r;
        if (!l->is_child) {
                launch_connect(l);
                return 0;
        }
        if (l->child_pidfd >= 0) {
                r = sd_event_add_io(event, &l->child_io, l->child_pidfd, EPOLLIN, on_child, l);
                if (r < 0)
                        return r;
        }
        return launch_watch(l);
}

void launch_free(Launch *l) {
        if (!l)
                return;
        while (!list_empty(&l->attempts))
                attempt_free(CONTAINER_OF(l->attempts.next, LaunchAttempt, link));
        channels_clear(l);              /* may have something to send */
        while (!list_empty(&l->queue))
                launch_request_free(CONTAINER_OF(l->queue.next, Request, link));
        while (!list_empty(&l->sent))
                launch_request_free(CONTAINER_OF(l->sent.next, Request, link));
        sd_event_source_disable_unref(l->io);
        sd_event_source_disable_unref(l->child_io);
        sd_event_source_disable_unref(l->timer);
        sd_event_source_disable_unref(l->retire);
        sd_event_source_disable_unref(l->defer);
        sd_event_source_disable_unref(l->look);
        sd_event_unref(l->event);
        fd_close(l->sock);
        fd_close(l->record_fd);
        fd_close(l->saved_fd);
        fd_close(l->parameters_fd);
        free(l->parameters);
        if (l->child > 0) {
                /* It leaves at the end of the connection; nobody else would collect it. */
                struct pollfd p = { .fd = l->child_pidfd, .events = POLLIN };
                if (poll(&p, 1, LEAVE_MAX_MSEC) > 0)
                        (void) waitid(P_PIDFD, (id_t) l->child_pidfd, &(siginfo_t) {}, WEXITED | WNOHANG);
                else
                        log_warning("the launcher (pid %d) did not end in time and is left running", (int) l->child);
        }
        fd_close(l->child_pidfd);
        free(l);
}

uint32_t launch_flags(const Launch *l) {
        return l->flags;
}

bool launch_uses_scope(const Launch *l, LauncherKind wanted) {
        return wanted == LAUNCHER_SCOPE || (wanted == LAUNCHER_AUTO && l->flags & LAUNCHER_HOLDS_SCOPE);
}

bool launch_is_ready(const Launch *l) {
        return l->ready;
}

int launch_forget(Launch *l, const Ulid *task_id, unsigned attempt, bool restarts) {
        if (!restarts && channel_may_use_up(l, task_id, attempt))
                return 0;
        return launch_ask_to_forget(l, task_id, attempt, restarts);
}

int launch_reload(Launch *l) {
        Request *q = launch_request_new(l, LAUNCHER_RELOAD, NULL, 0);
        if (!q)
                return -ENOMEM;
        l->reloads++;
        l->reloads_asked++;
        channels_clear(l);
        if (l->ready) {
                launch_request_put(l, q);
                return 0;
        }
        /* At the front of what waits for the hello. */
        list_append(l->queue.next, &q->link);
        return 0;
}

bool launch_is_reloading(const Launch *l) {
        return l->ready && l->reloads > 0;
}

int launch_slice(Launch *l, const QueueConfig *queue) {
        if (l->ready && !(l->flags & LAUNCHER_HAS_SCOPES))
                return 0;
        Request *q = launch_request_new(l, LAUNCHER_SLICE, NULL, 0);
        if (!q)
                return -ENOMEM;
        snprintf(q->body.queue, sizeof q->body.queue, "%s", queue->name);
        q->body.memory_max = queue->memory_max;
        q->body.tasks_max = queue->tasks_max;
        q->body.cpu_quota_percent = queue->cpu_quota_percent;
        q->body.cpu_weight = queue->cpu_weight;
        launch_request_put(l, q);
        return 0;
}
