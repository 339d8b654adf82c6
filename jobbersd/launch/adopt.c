/* adopt.c: who is there, and what became of whom.
 *
 * An attempt of an earlier daemon is looked up by its control socket. Whoever listens there is its supervisor, since only the launcher
 * can write that directory; a pidfd is opened from the peer's credentials, and the answer to HELLO, which comes through the same
 * connection after that, proves that the process is the one the pidfd holds. Only then it may be told to stop.
 *
 * When nobody answers, the files decide (EVIDENCE in wire.h). "Nobody answers and there is nothing" counts only once the launcher has
 * said hello: before that, a start which an earlier daemon sent may still be on its way. */
#include "launch/launch-private.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/message-id.h"
#include "base/process.h"
#include "base/str.h"

#define EVIDENCE_UNKNOWN "unknown"
#define LOOK_AGAIN (10 * USEC_PER_MSEC)
#define READ_AGAIN (100 * USEC_PER_MSEC)

/* ── evidence ── */

/* Only one that nobody but the launcher can write: in containers the way there leads through /dev/shm, where anybody may have been first, until the
 * launcher has looked at it. */
static int dir_open(int *ret, const char *path) {
        struct stat st;
        if (*ret >= 0)
                return *ret;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 0022))
                return -ENOENT;
        return *ret = TAKE_FD(fd);
}

static int record_dir_open(Launch *l) {
        return dir_open(&l->record_fd, l->settings->record_dir);
}

void launch_look_at_records(Launch *l) {
        _cleanup_free_ char *birth = NULL;
        size_t len;
        l->record_fd = fd_close(l->record_fd);
        int dir = record_dir_open(l);
        int r = dir < 0 ? dir : fd_read_file_at(dir, RECORDS_BIRTH, RECORDS_BIRTH_LEN, &birth, &len);
        if (r < 0)
                log_warning_errno(r, "cannot read %s/%s: an attempt that leaves no exit record counts as lost, also one that did not begin", l->settings->record_dir, RECORDS_BIRTH);
        snprintf(l->evidence, sizeof l->evidence, "%s.%s", clock_boot_id(), r >= 0 ? birth : EVIDENCE_UNKNOWN);
}

const char *launch_evidence(const Launch *l) {
        return l->evidence;
}

int record_decode(const Ulid *task_id, unsigned attempt, const char *text, size_t len, ExitRecord *ret) {
        _cleanup_exit_record_ ExitRecord record = {};
        int r = exit_record_decode(text, len, &record);
        if (r < 0)
                return r;
        if (ulid_cmp(&record.task_id, task_id) != 0 || record.attempt != attempt)
                return -EBADMSG;
        *ret = record;
        record = (ExitRecord) {};
        return 0;
}

static int record_read(const Launch *l, int dir, const Ulid *task_id, unsigned attempt, ExitRecord *ret) {
        _cleanup_free_ char *text = NULL;
        char name[ATTEMPT_NAME_MAX];
        size_t len;

        int r = dir < 0 ? dir : fd_read_file_at(dir, attempt_file_name(task_id, attempt, "", name), l->settings->max_result + EXIT_RECORD_OVERHEAD, &text, &len);
        return r < 0 ? r : record_decode(task_id, attempt, text, len, ret);
}

int launch_read_record(Launch *l, const Ulid *task_id, unsigned attempt, ExitRecord *ret) {
        int r = record_read(l, record_dir_open(l), task_id, attempt, ret);
        if (r == 0 || r == -EMFILE || r == -ENFILE || r == -ENOMEM)
                return r;
        int k = record_read(l, dir_open(&l->saved_fd, l->settings->saved_dir), task_id, attempt, ret);
        return k == -ENOENT ? r : k;
}

/* What cannot be found out counts as yes. */
static bool attempt_may_have_run(LaunchAttempt *a) {
        char name[ATTEMPT_NAME_MAX];
        int dir = record_dir_open(a->launch);
        if (a->seen || dir < 0 || !STREQ(a->evidence, a->launch->evidence) || strstr(a->evidence, EVIDENCE_UNKNOWN))
                return true;
        return fd_exists_at(dir, attempt_file_name(&a->id, a->number, ".started", name)) || errno != ENOENT;
}

/* ── the control socket ── */

static int control_connect(const LaunchAttempt *a, int *ret_sock, int *ret_pidfd, pid_t *ret_pid) {
        char name[ATTEMPT_NAME_MAX];
        _cleanup_free_ char *path = str_new("%s/%s", a->launch->settings->attempt_dir, attempt_file_name(&a->id, a->number, "/control", name));
        _cleanup_close_ int sock = -1, pidfd = -1;
        struct ucred peer;
        socklen_t len = sizeof peer;

        if (!path)
                return -ENOMEM;
        sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (sock < 0)
                return -errno;
        int r = fd_connect_unix(sock, path);
        if (r < 0)
                return r;
        if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return -errno;
        if (peer.uid != 0 && peer.uid != geteuid())
                return -EPERM;
        pidfd = pidfd_open(peer.pid, 0);
        if (pidfd < 0)
                return errno == ESRCH ? -ECONNREFUSED : -errno;
        if (send(sock, "HELLO=1\n", 8, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return errno == EPIPE || errno == ECONNRESET ? -ECONNREFUSED : -errno;
        *ret_sock = TAKE_FD(sock);
        *ret_pidfd = TAKE_FD(pidfd);
        *ret_pid = peer.pid;
        return 0;
}

static void attempt_close_pidfd(LaunchAttempt *a) {
        a->pidfd_io = sd_event_source_disable_unref(a->pidfd_io);
        a->pidfd = fd_close(a->pidfd);
        a->pid = 0;
}

/* 0: somebody is there, the connection is the channel now. -ENOENT: nobody. -EAGAIN: look again. */
static int attempt_connect(LaunchAttempt *a) {
        int sock = -1, pidfd = -1;
        pid_t pid = 0;

        if (a->stranger)
                return -ENOENT;
        int r = control_connect(a, &sock, &pidfd, &pid);
        switch (-r) {
        case 0:
                break;
        case ENOENT:
        case ENOTDIR:
        case ECONNREFUSED:
                return -ENOENT;
        case EPERM:
        case EPROTOTYPE:
                log_task(&(LogTask) { .id = &a->id, .attempt = a->number }, LOG_WARNING, r,
                         "an unexpected process listens on the attempt's control socket; ignoring it");
                a->stranger = true;
                return -ENOENT;
        default:
                return -EAGAIN;
        }
        attempt_close_pidfd(a);
        a->pidfd = pidfd;
        a->pid = pid;
        a->state = ATTEMPT_HELLO;
        r = attempt_watch_channel(a, sock);
        if (r < 0) {
                attempt_close_channel(a);
                attempt_close_pidfd(a);
                return -EAGAIN;
        }
        return 0;
}

void attempt_state_line(LaunchAttempt *a, char *lines) {
        char id_str[ULID_STR_MAX];
        bool is_it = true, has_pid = false;
        uint64_t u;

        ulid_format(&a->id, id_str);
        /* One line of several words or several lines: both are read. */
        for (char *save = NULL, *word = strtok_r(lines, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
                char *value = strchr(word, '=');
                if (!value)
                        continue;
                *value++ = '\0';
                if (STREQ(word, "TASK"))
                        is_it = is_it && STREQ(value, id_str);
                else if (STREQ(word, "ATTEMPT"))
                        is_it = is_it && parse_u64(value, &u) >= 0 && u == a->number;
                else if (STREQ(word, "PID")) {
                        has_pid = true;
                        is_it = is_it && parse_u64(value, &u) >= 0 && u == (uint64_t) a->pid;
                } else if (STREQ(word, "STARTTIME")) {
                        uint64_t now = process_start_time(a->pid);
                        is_it = is_it && parse_u64(value, &u) >= 0 && (now == 0 || u == now);
                }
        }
        if (is_it && has_pid) {
                bool adopted = a->adopting;
                a->adopting = false;
                a->state = ATTEMPT_LIVING;
                a->seen = true;
                a->retry_delay = 0;
                if (a->stop != STOP_NONE)
                        attempt_send_stop(a);
                if (adopted && a->launch->callbacks->on_adopted)
                        a->launch->callbacks->on_adopted(a->launch->userdata, a->data);
                return;
        }
        log_task(&(LogTask) { .id = &a->id, .attempt = a->number }, LOG_WARNING, 0,
                 "the process on the attempt's control socket is not its supervisor; not signalling it");
        a->stranger = true;
        attempt_close_channel(a);
        attempt_close_pidfd(a);
        attempt_settle(a, SETTLE_GONE);
}

/* ── the decision ── */

static void attempt_lost(LaunchAttempt *a) {
        free(a->sentence);
        a->sentence = strdup(a->damaged ? "its exit record cannot be read" : "its supervisor was killed and left no exit record");
        attempt_ended(a, LAUNCH_END_LOST);
}

void attempt_kill(LaunchAttempt *a) {
        Request *q = launch_request_new(a->launch, LAUNCHER_KILL, &a->id, a->number);
        a->state = ATTEMPT_KILLING;
        if (!q) {
                attempt_retry(a, READ_AGAIN);
                return;
        }
        q->attempt = a;
        a->request = q;
        launch_request_put(a->launch, q);
}

static void attempt_wait(LaunchAttempt *a, usec_t first_delay) {
        a->state = ATTEMPT_WAIT_RETRY;
        attempt_retry(a, first_delay);
}

/* FIND asks `control` before the files: a record may be there a moment before its supervisor is gone. After the end of a channel the
 * record comes first, which is the whole of the usual case. KILLED: the launcher has proven that nothing is left. */
void attempt_settle(LaunchAttempt *a, SettleAfter after) {
        int r = after == SETTLE_FIND ? attempt_connect(a) : -ENOENT;
        if (r == 0)
                return;
        if (r == -EAGAIN) {
                attempt_wait(a, LOOK_AGAIN);
                return;
        }

        r = launch_read_record(a->launch, &a->id, a->number, &a->record);
        if (r == 0) {
                attempt_ended(a, LAUNCH_END_RECORD);
                return;
        }
        if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) {
                attempt_wait(a, READ_AGAIN);
                return;
        }
        if (r != -ENOENT && !a->damaged) {
                log_task(&(LogTask) { .id = &a->id, .attempt = a->number, .message_id = MESSAGE_RECORD_DAMAGED }, LOG_ERR, r,
                         "its exit record cannot be read");
                a->damaged = true;
        }
        if (after == SETTLE_KILLED) {
                attempt_lost(a);
                return;
        }
        if (after == SETTLE_GONE) {
                r = attempt_connect(a);
                if (r == 0)
                        return;
                if (r == -EAGAIN) {
                        attempt_wait(a, LOOK_AGAIN);
                        return;
                }
        }
        if (a->start_cookie == 0 && !a->launch->ready)
                a->state = ATTEMPT_WAIT_HELLO;
        else if (a->damaged || attempt_may_have_run(a))
                attempt_kill(a);
        else if (a->error < 0 || !attempt_ask_again(a))
                attempt_ended(a, a->error < 0 ? LAUNCH_END_REFUSED : LAUNCH_END_NOT_STARTED);
}

static int on_pidfd(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        attempt_gone(userdata);
        return 0;
}

void attempt_gone(LaunchAttempt *a) {
        bool answered = a->state != ATTEMPT_HELLO;

        attempt_close_channel(a);
        /* A refusal was sent before the stream ended; it may not have been read yet. */
        if (a->state == ATTEMPT_STARTING)
                launch_read_replies(a->launch);
        if (a->pidfd >= 0) {
                struct pollfd p = { .fd = a->pidfd, .events = POLLIN };
                if (poll(&p, 1, 0) == 0) {
                        a->state = ATTEMPT_LEAVING;
                        if (a->pidfd_io)
                                return;
                        if (sd_event_add_io(a->launch->event, &a->pidfd_io, a->pidfd, EPOLLIN, on_pidfd, a) >= 0)
                                return;
                }
                attempt_close_pidfd(a);
        }
        if (!answered) {
                /* Somebody took the connection and left without a word: not in a tight circle. */
                attempt_wait(a, LOOK_AGAIN);
                return;
        }
        attempt_settle(a, SETTLE_GONE);
}

/* A timer, and not a defer source, which would stay at the head of the line of those that are pending. */
static int look_soon(Launch *l) {
        int r = sd_event_source_set_time_relative(l->look, 0);
        return r < 0 ? r : sd_event_source_set_enabled(l->look, SD_EVENT_ONESHOT);
}

/* One at a time and in turn with all else, so that a daemon with thousands of them is ready, and there for others, before it has found all. */
int launch_look(sd_event_source *s, uint64_t usec, void *userdata) {
        Launch *l = userdata;
        LaunchAttempt *a = CONTAINER_OF(l->unseen.next, LaunchAttempt, unseen_link);
        link_remove(&a->unseen_link);
        attempt_settle(a, SETTLE_FIND);
        return list_empty(&l->unseen) ? 0 : look_soon(l);
}

int launch_adopt(Launch *l, const Ulid *task_id, unsigned attempt, const char *evidence, void *attempt_data, LaunchAttempt **ret) {
        LaunchAttempt *a = attempt_new(l, task_id, attempt, evidence, attempt_data);
        if (!a)
                return -ENOMEM;
        a->state = ATTEMPT_UNSEEN;
        a->adopting = true;
        list_append(&l->unseen, &a->unseen_link);
        *ret = a;
        return look_soon(l);
}
