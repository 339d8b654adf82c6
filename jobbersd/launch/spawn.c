/* spawn.c: the launcher as a child of the daemon: started by hand as root, and in user mode.
 *
 * posix_spawn (a vfork) and not fork, since the daemon's memory need not be small. The child gets its end of the socketpair as
 * descriptor 3 and nothing above it, so neither listeners nor the database; a session of its own, so that a Ctrl-C in the daemon's
 * terminal is for the daemon alone; and none of the variables by which systemd talks to the daemon. */
#include "launch/launch-private.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define PROGRAM "jobbers-run"
#define LAUNCHER_FD 3

/* Beside our own program when run from a build folder, else where it was installed. */
static char *program_find(void) {
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        if (n > 0) {
                self[n] = '\0';
                char *slash = strrchr(self, '/');
                if (slash) {
                        *slash = '\0';
                        char *path = str_new("%s/%s", self, PROGRAM);
                        if (!path || access(path, X_OK) >= 0)
                                return path;
                        free(path);
                }
        }
        return str_new("%s/%s", JOBBERS_BINDIR, PROGRAM);
}

static bool variable_is_ours(const char *variable) {
        static const char *const names[] = { "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=" };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strncmp(variable, names[i], strlen(names[i])) == 0)
                        return true;
        return false;
}

static void actions_done(posix_spawn_file_actions_t *a) {
        (void) posix_spawn_file_actions_destroy(a);
}

static void attributes_done(posix_spawnattr_t *a) {
        (void) posix_spawnattr_destroy(a);
}

static int program_spawn(const char *path, char **argv, char **env, int sock, pid_t *ret) {
        _cleanup_(actions_done) posix_spawn_file_actions_t actions;
        _cleanup_(attributes_done) posix_spawnattr_t attributes;
        sigset_t none, defaults;
        int r;

        /* Both only fail without memory, which glibc does not need here. */
        if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0)
                abort();
        sigemptyset(&none);
        sigemptyset(&defaults);
        static const int handled[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2 };
        for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
                sigaddset(&defaults, handled[i]);

        r = posix_spawn_file_actions_adddup2(&actions, sock, LAUNCHER_FD);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, LAUNCHER_FD + 1);
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attributes, &defaults);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
        if (r == 0)
                r = posix_spawn(ret, path, &actions, &attributes, argv, env);
        return -r;
}

/* Starts the launcher with the daemon's own arguments. One sentence is logged when that fails. */
int launch_spawn(char **argv, int argc, int *ret_sock, int *ret_pidfd, pid_t *ret_pid) {
        _cleanup_free_ char *path = program_find();
        _cleanup_free_ char **args = NULL, **env = NULL;
        _cleanup_close_ int ours = -1, theirs = -1;
        size_t n_env = 0, n = 0;
        int pair[2], r;
        pid_t pid;

        while (environ && environ[n_env])
                n_env++;
        args = calloc((size_t) MAX(argc, 1) + 3, sizeof *args);
        env = calloc(n_env + 1, sizeof *env);
        if (!path || !args || !env)
                return log_oom();
        for (size_t i = 0; i < n_env; i++)
                if (!variable_is_ours(environ[i]))
                        env[n++] = environ[i];
        args[0] = path;
        args[1] = (char *) "--launcher";
        args[2] = (char *) "--launcher-fd=3";
        for (int i = 1; i < argc; i++)
                args[i + 2] = argv[i];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return log_error_errno(errno, "cannot make a socket pair for the launcher");
        ours = pair[0];
        theirs = pair[1];
        r = program_spawn(path, args, env, theirs, &pid);
        if (r < 0)
                return log_error_errno(r, "cannot start the launcher %s", path);
        *ret_pidfd = pidfd_open(pid, 0);
        if (*ret_pidfd < 0) {
                r = log_error_errno(errno, "cannot open a pidfd of the launcher");
                theirs = fd_close(theirs);
                ours = fd_close(ours);          /* it leaves */
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        *ret_sock = TAKE_FD(ours);
        *ret_pid = pid;
        return 0;
}
