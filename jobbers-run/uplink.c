/* uplink.c: words from the daemon, notes to it. Nothing here ever waits: a daemon that does not read misses notes, not the attempt. */
#include "jobbers-run/uplink.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/str.h"
#include "launch/wire.h"

#define NOTES_EVERY (100 * USEC_PER_MSEC)
#define WORDS_AT_ONCE 16

static void send_text(Uplink *u, const char *text, size_t n) {
        if (u->fd >= 0)
                (void) send(u->fd, text, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void say_state(Uplink *u, const char *state) {
        char text[512], id[ULID_STR_MAX];
        int n = snprintf(text, sizeof text, "STATE=%s\nTASK=%s\nATTEMPT=%u\nPID=%d\nSTARTTIME=%llu\n", state,
                         ulid_format(&u->job->task_id, id), u->job->attempt, (int) getpid(), process_start_time(0));
        send_text(u, text, (size_t) n);
}

void uplink_read(Uplink *u, const char *state) {
        for (unsigned i = 0; u->fd >= 0 && i < WORDS_AT_ONCE; i++) {
                char text[1024], *position;
                ssize_t n = recv(u->fd, text, sizeof text - 1, MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (n < 0 && errno == ECONNRESET)
                        continue;       /* it left without reading all our notes; its last words come after this */
                if (n <= 0) {
                        fd_close(u->ended_fd);
                        u->ended_fd = TAKE_FD(u->fd);
                        return;
                }
                text[n] = '\0';
                for (char *line = strtok_r(text, "\n", &position); line; line = strtok_r(NULL, "\n", &position)) {
                        if (STREQ(line, "GO=1"))
                                u->go = true;
                        else if (STREQ(line, "TAKEN=1"))
                                u->taken = true;
                        else if (STREQ(line, "HELLO=1"))
                                say_state(u, state);
                        else if (strncmp(line, "STOP=", 5) == 0 && u->stop == STOP_NONE) {
                                StopReason reason = stop_reason_from_string(line + 5);
                                if (reason == STOP_CANCELLED || reason == STOP_SHUTDOWN)
                                        u->stop = reason;
                        }
                }
        }
}

void uplink_accept(Uplink *u) {
        struct ucred peer;
        socklen_t len = sizeof peer;
        _cleanup_close_ int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return;
        if (peer.uid != 0 && peer.uid != u->job->place->own_uid && peer.uid != u->job->place->daemon.uid)
                return;
        fd_close(u->fd);
        u->fd = TAKE_FD(fd);
        u->adopted = true;
        u->beat_due = u->beat > 0;
        u->progress_due = u->progress >= 0;
        u->status_due = u->status != NULL;
}

/* ── notes ── */

void uplink_beat(Uplink *u, usec_t wall) {
        u->beat = wall;
        u->beat_due = true;
}

void uplink_progress(Uplink *u, int progress) {
        u->progress = progress;
        u->progress_due = true;
}

void uplink_status(Uplink *u, const char *status) {
        char *copy = strdup(status);
        if (!copy)
                return;
        free(u->status);
        u->status = copy;
        u->status_due = true;
}

usec_t uplink_flush(Uplink *u, usec_t now) {
        _cleanup_str_ Str text = {};
        if (u->fd < 0 || !(u->beat_due || u->progress_due || u->status_due))
                return USEC_INFINITY;
        if (now < u->flush_at)
                return u->flush_at;
        if (u->beat_due)
                (void) str_printf(&text, "BEAT=%llu\n", (unsigned long long) u->beat);
        if (u->status_due)
                (void) str_printf(&text, "STATUS=%s\n", u->status);
        if (u->progress_due)
                (void) str_printf(&text, "PROGRESS=%d\n", u->progress);
        u->flush_at = now + NOTES_EVERY;
        if (text.failed || (send(u->fd, text.s, text.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN))
                return u->flush_at;
        u->beat_due = u->progress_due = u->status_due = false;
        return USEC_INFINITY;
}

void uplink_stopping(Uplink *u, StopReason reason) {
        char text[64];
        int n = snprintf(text, sizeof text, "STOPPING=%s\n", stop_reason_to_string(reason));
        send_text(u, text, (size_t) n);
}

bool uplink_end(Uplink *u, const char *record, size_t len) {
        struct iovec parts[2] = { { CHANNEL_END, strlen(CHANNEL_END) }, { (char *) record, len } };
        struct msghdr m = { .msg_iov = parts, .msg_iovlen = len <= CHANNEL_END_MAX ? 2 : 1 };
        return u->fd >= 0 && sendmsg(u->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void uplink_close(Uplink *u) {
        u->fd = fd_close(u->fd);
        u->ended_fd = fd_close(u->ended_fd);
        free(TAKE_PTR(u->status));
}
