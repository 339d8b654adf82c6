/* peer-beanstalk.c: the two ends of a beanstalkd: a producer, and a worker that runs a process per job, K of them at once.
 *
 *   peer-beanstalk PORT put N
 *   peer-beanstalk PORT work N K PROGRAM     until N jobs are done in all
 *
 * Small on purpose: no result is kept and nothing is timed out, so this is the most that beanstalkd can be made to do. */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS_MAX 256

static FILE *server(int port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof address) < 0)
                err(1, "beanstalkd");
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        FILE *f = fdopen(fd, "r+");
        if (!f)
                err(1, "fdopen");
        return f;
}

/* Written past stdio's reading side: one command is under way at a time. */
static void say(FILE *f, const char *text) {
        size_t n = strlen(text);
        if (write(fileno(f), text, n) != (ssize_t) n)
                err(1, "write");
}

static void line(FILE *f, char *buf, int size) {
        if (!fgets(buf, size, f))
                errx(1, "beanstalkd is gone");
}

static void work(FILE *f, const char *program, long limit, long *done) {
        char buf[256], *args[] = { (char *) program, NULL }, *environment[] = { NULL };
        while (__atomic_load_n(done, __ATOMIC_RELAXED) < limit) {
                unsigned long long id;
                unsigned size;
                pid_t pid;
                say(f, "reserve-with-timeout 1\r\n");
                line(f, buf, sizeof buf);
                if (sscanf(buf, "RESERVED %llu %u", &id, &size) != 2)
                        continue;
                line(f, buf, sizeof buf);
                if (posix_spawn(&pid, program, NULL, NULL, args, environment) != 0 || waitpid(pid, NULL, 0) < 0)
                        err(1, "%s", program);
                snprintf(buf, sizeof buf, "delete %llu\r\n", id);
                say(f, buf);
                line(f, buf, sizeof buf);
                __atomic_add_fetch(done, 1, __ATOMIC_RELAXED);
        }
}

int main(int argc, char **argv) {
        if (argc < 4)
                return 2;
        int port = atoi(argv[1]);
        long n = atol(argv[3]);
        char buf[256];
        if (strcmp(argv[2], "put") == 0) {
                FILE *f = server(port);
                for (long i = 0; i < n; i++) {
                        say(f, "put 0 0 60 2\r\n{}\r\n");
                        line(f, buf, sizeof buf);
                }
                return 0;
        }
        if (argc < 6)
                return 2;
        long *done = mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (done == MAP_FAILED)
                err(1, "mmap");
        pid_t workers[WORKERS_MAX];
        int k = atoi(argv[4]);
        if (k < 1 || k > WORKERS_MAX)
                return 2;
        for (int i = 0; i < k; i++) {
                workers[i] = fork();
                if (workers[i] == 0) {
                        work(server(port), argv[5], n, done);
                        _exit(0);
                }
        }
        while (__atomic_load_n(done, __ATOMIC_RELAXED) < n)
                usleep(500);
        /* They wait for jobs, and must not take those of the next run. */
        for (int i = 0; i < k; i++) {
                (void) kill(workers[i], SIGKILL);
                (void) waitpid(workers[i], NULL, 0);
        }
        return 0;
}
