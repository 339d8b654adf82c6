/* log-journal.c: see log-journal.h. Output reaches the journal in one of two ways: as lines of the attempt's scope, by which it is then found,
 * or as messages to which the supervisor adds the task's id; in both the identifier is the task's name, and that of messages about the task is
 * not. */
#include "http/log-journal.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/task.h"

static int spawn_child(char *const *argv, int output, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none;
        char *env[] = { (char *) "PATH=/usr/bin:/bin", (char *) "LANG=C.UTF-8", NULL };
        const char *program = getenv("JOBBERS_JOURNALCTL");     /* tests */

        (void) sigemptyset(&none);
        if (posix_spawn_file_actions_init(&actions) != 0)
                return -ENOMEM;
        if (posix_spawnattr_init(&attr) != 0) {
                (void) posix_spawn_file_actions_destroy(&actions);
                return -ENOMEM;
        }
        (void) posix_spawnattr_setsigmask(&attr, &none);
        (void) posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        int r = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, output, 1);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        if (r == 0)
                r = posix_spawn(ret, program ? program : "/usr/bin/journalctl", &actions, &attr, argv, env);
        (void) posix_spawnattr_destroy(&attr);
        (void) posix_spawn_file_actions_destroy(&actions);
        return -r;
}

int log_journal_open(LogJournal *j, const Ulid *id, unsigned attempt, const char *name, bool follow) {
        char text[ULID_STR_MAX], scope[SCOPE_NAME_MAX];
        int pipes[2];
        pid_t pid;

        ulid_format(id, text);
        task_scope_name(id, attempt, scope);
        _cleanup_free_ char *by_name = str_new("SYSLOG_IDENTIFIER=%s", name), *by_id = str_new("JOBBERS_TASK_ID=%s", text),
                            *by_attempt = str_new("JOBBERS_ATTEMPT=%u", attempt),
                            *unit = str_new("_SYSTEMD_UNIT=%s", scope),
                            *user_unit = str_new("_SYSTEMD_USER_UNIT=%s", scope),
                            *by_us = str_new("_UID=%u", (unsigned) geteuid());
        if (!by_name || !by_id || !by_attempt || !unit || !user_unit || !by_us)
                return -ENOMEM;
        /* Anybody may send lines with a task's id, or have a user unit of its scope's name: they count from a supervisor (root, or we), and
         * from our own units. */
        char *argv[] = {
                (char *) "journalctl", (char *) "--quiet", (char *) "--no-pager", (char *) "--output=cat", (char *) "--all", (char *) "--lines=all",
                by_name, by_id, by_attempt, (char *) "_UID=0", by_us, (char *) "+", by_name, unit, (char *) "+", by_name, user_unit, by_us,
                follow ? (char *) "--follow" : NULL, NULL,
        };
        if (pipe2(pipes, O_CLOEXEC) < 0)
                return -errno;
        _cleanup_close_ int in = pipes[0], out = pipes[1];
        if (fcntl(in, F_SETFL, O_RDONLY | O_NONBLOCK) < 0)
                return -errno;
        int r = spawn_child(argv, out, &pid);
        if (r < 0)
                return r;
        j->pidfd = pidfd_open(pid, 0);
        if (j->pidfd < 0) {
                r = -errno;
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        j->fd = TAKE_FD(in);
        j->follow = follow;
        j->skip = j->got;
        return 0;
}

static int on_child(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        siginfo_t si;
        (void) waitid(P_PIDFD, (id_t) fd, &si, WEXITED | WNOHANG);
        (void) sd_event_source_set_floating(s, false);  /* the loop lets go of it, and it of its descriptor */
        return 0;
}

void log_journal_close(LogJournal *j, sd_event *event) {
        sd_event_source *s;

        j->watch = sd_event_source_disable_unref(j->watch);
        j->fd = fd_close(j->fd);
        if (j->pidfd < 0)
                return;
        (void) pidfd_send_signal(j->pidfd, SIGKILL, NULL, 0);
        if (sd_event_add_io(event, &s, j->pidfd, EPOLLIN, on_child, NULL) >= 0) {
                (void) sd_event_source_set_io_fd_own(s, true);
                (void) sd_event_source_set_floating(s, true);
                (void) sd_event_source_unref(s);
                j->pidfd = -1;
                return;
        }
        siginfo_t si;
        (void) waitid(P_PIDFD, (id_t) j->pidfd, &si, WEXITED);
        j->pidfd = fd_close(j->pidfd);
}

ssize_t log_journal_read(LogJournal *j, char *buf, size_t max) {
        for (;;) {
                ssize_t n = read(j->fd, buf, j->skip > 0 ? MIN((uint64_t) max, j->skip) : max);
                if (n == 0)
                        return -ENODATA;
                if (n < 0)
                        return errno == EAGAIN ? 0 : errno == EINTR ? 0 : -ENODATA;
                if (j->skip > 0) {
                        j->skip -= (uint64_t) n;
                        continue;
                }
                j->got += (uint64_t) n;
                return n;
        }
}

int log_journal_watch(LogJournal *j, sd_event *event, sd_event_io_handler_t fn, void *userdata) {
        if (j->watch)
                return sd_event_source_set_enabled(j->watch, SD_EVENT_ONESHOT);
        int r = sd_event_add_io(event, &j->watch, j->fd, EPOLLIN, fn, userdata);
        return r < 0 ? r : sd_event_source_set_enabled(j->watch, SD_EVENT_ONESHOT);
}
