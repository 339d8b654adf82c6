/* ledger-task.c: the task of the campaigns. It keeps a ledger that nobody else writes: one line when it starts, one when it ends.
 *
 *   ledger-task DIR [sleep=MS] [exit=STATUS] [until=N:STATUS] [signal=N] [child] [beat]
 *
 * DIR/ledger: "S ID ATTEMPT PID BOOT_US WALL_US", "E ID ATTEMPT exit=STATUS|signal=N BOOT_US WALL_US", and "O ID ATTEMPT …" when a process of
 * another attempt of the same task still lives: every process of an attempt holds a lock on one byte of DIR/locks, which the task's id
 * chooses; the kernel drops it with the last of them. Each line is one write(2). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

static int ledger = -1;
static const char *id, *attempt;

static unsigned long long now(clockid_t clock) {
        struct timespec t;
        clock_gettime(clock, &t);
        return (unsigned long long) t.tv_sec * 1000000 + (unsigned long long) t.tv_nsec / 1000;
}

static void say(char what, const char *detail) {
        char line[256];
        int n = snprintf(line, sizeof line, "%c %s %s %s %llu %llu\n", what, id, attempt, detail, now(CLOCK_BOOTTIME), now(CLOCK_REALTIME));
        if (write(ledger, line, (size_t) n) != n)
                _exit(99);
}

static int open_in(const char *directory, const char *name, int flags) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, name);
        int fd = open(path, flags, 0666);
        if (fd < 0) {
                fprintf(stderr, "cannot open %s: %s\n", path, strerror(errno));
                _exit(98);
        }
        return fd;
}

static void lock_take(const char *directory) {
        uint64_t hash = 0xcbf29ce484222325;
        for (const char *c = id; *c; c++)
                hash = (hash ^ (unsigned char) *c) * 0x100000001b3;
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t) (hash >> 2), .l_len = 1 };
        /* of the open file, not of the process: children hold it too; not closed on exec for the same reason */
        int fd = open_in(directory, "locks", O_RDWR);
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
                say('O', "overlap");
}

static void nap(long ms) {
        struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* A process that hides from its parent and does not want to go. */
static void child_leave(void) {
        pid_t pid = fork();
        if (pid != 0)
                return;
        (void) setsid();
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        for (;;)
                pause();
}

static void result_write(void) {
        const char *path = getenv("JOBBERS_RESULT");
        char text[128];
        int n = snprintf(text, sizeof text, "{\"token\": \"%s.%s\"}", id, attempt);
        int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
        if (fd < 0 || write(fd, text, (size_t) n) != n)
                _exit(97);
        close(fd);
}

int main(int argc, char **argv) {
        char text[64];
        int status = 0, until = 0, until_status = 0, signal_number = 0;
        long ms = 0;

        id = getenv("JOBBERS_TASK_ID");
        attempt = getenv("JOBBERS_ATTEMPT");
        if (argc < 2 || !id || !attempt)
                return 96;
        ledger = open_in(argv[1], "ledger", O_WRONLY | O_APPEND | O_CLOEXEC);
        lock_take(argv[1]);
        snprintf(text, sizeof text, "%d", (int) getpid());
        say('S', text);
        for (int i = 2; i < argc; i++) {
                if (sscanf(argv[i], "sleep=%ld", &ms) == 1)
                        nap(ms);
                else if (sscanf(argv[i], "until=%d:%d", &until, &until_status) == 2)
                        status = atoi(attempt) < until ? until_status : status;
                else if (sscanf(argv[i], "exit=%d", &status) == 1 || sscanf(argv[i], "signal=%d", &signal_number) == 1)
                        continue;
                else if (strcmp(argv[i], "child") == 0)
                        child_leave();
                else if (strcmp(argv[i], "beat") == 0)
                        (void) sd_notify(0, "WATCHDOG=1\nSTATUS=at work\nX_JOBBERS_PROGRESS=50");
                else
                        return 95;
        }
        if (signal_number == 0 && status == 0)
                result_write();
        snprintf(text, sizeof text, signal_number ? "signal=%d" : "exit=%d", signal_number ? signal_number : status);
        say('E', text);
        if (signal_number) {
                struct rlimit none = { 0, 0 };
                (void) setrlimit(RLIMIT_CORE, &none);
                (void) signal(signal_number, SIG_DFL);
                (void) raise(signal_number);
        }
        return status;
}
