/* scope-client.c: the limit for attempts in scopes: what one systemd manager can do for one client that has nothing else to do. Keeps K transient
 * scopes in flight, each around a forked process that waits at a pipe, then executes PROGRAM; a scope's place is taken by the next when its process
 * has ended. The calls are pipelined: none is awaited before the next goes out. Prints scopes a second.   scope-client N K PROGRAM */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#define IN_FLIGHT_MAX 256

/* One place: a process, the pipe it waits at, whether its scope is there. */
typedef struct Place {
        int pidfd, gate;
        pid_t pid;
} Place;

static Place places[IN_FLIGHT_MAX];
static long started, ended, n;
static const char *program;
static sd_bus *bus;

static void must(int r, const char *what) {
        if (r < 0) {
                errno = -r;
                err(1, "%s", what);
        }
}

/* The call is answered when the job is queued; the scope is there at JobRemoved. */
static int on_job_removed(sd_bus_message *m, void *data, sd_bus_error *error) {
        const char *path, *unit, *result;
        unsigned id, place;
        must(sd_bus_message_read(m, "uoss", &id, &path, &unit, &result), "JobRemoved");
        if (sscanf(unit, "scope-client-%*d-%u-", &place) == 1 && place < IN_FLIGHT_MAX && places[place].gate >= 0) {
                close(places[place].gate);              /* it may go */
                places[place].gate = -1;
        }
        return 0;
}

static int on_answer(sd_bus_message *m, void *data, sd_bus_error *error) {
        if (sd_bus_message_is_method_error(m, NULL))
                errx(1, "StartTransientUnit: %s", sd_bus_message_get_error(m)->message);
        return 0;
}

static void begin(unsigned i) {
        int gate[2];
        char unit[64], *args[] = { (char *) program, NULL }, *environment[] = { NULL }, byte;
        if (pipe2(gate, O_CLOEXEC) < 0)
                err(1, "pipe");
        pid_t pid = fork();
        if (pid < 0)
                err(1, "fork");
        if (pid == 0) {
                close(gate[1]);
                for (unsigned k = 0; k < IN_FLIGHT_MAX; k++)
                        if (places[k].gate >= 0)
                                close(places[k].gate);
                while (read(gate[0], &byte, 1) > 0)
                        ;
                execve(program, args, environment);
                _exit(127);
        }
        close(gate[0]);
        places[i] = (Place) { .gate = gate[1], .pid = pid, .pidfd = (int) syscall(SYS_pidfd_open, pid, 0) };
        if (places[i].pidfd < 0)
                err(1, "pidfd_open");
        snprintf(unit, sizeof unit, "scope-client-%d-%u-%ld.scope", (int) getpid(), i, started++);
        must(sd_bus_call_method_async(bus, NULL, "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                      "StartTransientUnit", on_answer, NULL, "ssa(sv)a(sa(sv))", unit, "fail", 3, "PIDs", "au", 1, (unsigned) pid,
                                      "Delegate", "b", 1, "CollectMode", "s", "inactive-or-failed", 0), "StartTransientUnit");
}

static void end(unsigned i) {
        (void) waitpid(places[i].pid, NULL, 0);
        close(places[i].pidfd);
        places[i].pidfd = -1;
        ended++;
}

int main(int argc, char **argv) {
        if (argc != 4)
                errx(2, "scope-client N K PROGRAM");
        n = atol(argv[1]);
        unsigned k = (unsigned) atoi(argv[2]);
        program = argv[3];
        if (k < 1 || k > IN_FLIGHT_MAX)
                errx(2, "between 1 and %d in flight", IN_FLIGHT_MAX);
        for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
                places[i] = (Place) { -1, -1, 0 };
        /* The manager's own socket, as root: no bus daemon between. */
        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, "unix:path=/run/systemd/private") < 0 || sd_bus_start(bus) < 0)
                errx(1, "no systemd manager answers");
        must(sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobRemoved", on_job_removed, NULL),
             "match");
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        while (ended < n) {
                struct pollfd p[IN_FLIGHT_MAX + 1];
                for (unsigned i = 0; i < k; i++)
                        if (places[i].pidfd < 0 && started < n)
                                begin(i);
                for (unsigned i = 0; i < k; i++)
                        p[i] = (struct pollfd) { .fd = places[i].pidfd, .events = POLLIN };
                int r;
                while ((r = sd_bus_process(bus, NULL)) > 0)
                        ;
                must(r, "the bus");
                int events = sd_bus_get_events(bus);
                must(events, "the bus");
                p[k] = (struct pollfd) { .fd = sd_bus_get_fd(bus), .events = (short) events };
                if (poll(p, k + 1, -1) < 0)
                        err(1, "poll");
                for (unsigned i = 0; i < k; i++)
                        if (p[i].revents)
                                end(i);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        printf("%.0f\n", (double) n / ((double) (b.tv_sec - a.tv_sec) + (double) (b.tv_nsec - a.tv_nsec) / 1e9));
        sd_bus_unref(bus);
        return 0;
}
