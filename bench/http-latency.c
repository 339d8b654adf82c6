/* http-latency.c: one task after the other on an idle daemon, through its Unix socket: POST /submit-task, GET /task-status/ID?wait=10.
 * Prints the median of N from the first byte sent to the last byte of the final record, in microseconds.   http-latency SOCKET N */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char answer[65536];

static double now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/* One request on a kept connection; the body of the answer. */
static char *ask(int fd, const char *request) {
        size_t n = strlen(request), have = 0, length = 0;
        char *body = NULL;
        if (send(fd, request, n, MSG_NOSIGNAL) != (ssize_t) n)
                err(1, "send");
        for (;;) {
                ssize_t k = recv(fd, answer + have, sizeof answer - 1 - have, 0);
                if (k <= 0)
                        err(1, "the daemon closed the connection");
                have += (size_t) k;
                answer[have] = '\0';
                if (!body && (body = strstr(answer, "\r\n\r\n"))) {
                        const char *header = strcasestr(answer, "content-length:");
                        if (!header || strncmp(answer, "HTTP/1.1 200", 12) != 0)
                                errx(1, "unexpected answer: %s", answer);
                        length = strtoul(header + 15, NULL, 10);
                        body += 4;
                }
                if (body && have >= (size_t) (body - answer) + length)
                        return body;
        }
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        static const char task[] = "{\"name\":\"noop\",\"version\":1,\"parameters\":{}}";
        char submit[512], status[256];
        if (argc != 3)
                errx(2, "http-latency SOCKET N");
        size_t n = strtoul(argv[2], NULL, 10);
        double *t = calloc(n + 1, sizeof *t);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
        if (!t || fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof address) < 0)
                err(1, "%s", argv[1]);
        snprintf(submit, sizeof submit, "POST /submit-task HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 sizeof task - 1, task);
        for (size_t i = 0; i < n; i++) {
                double from = now();
                const char *id = strstr(ask(fd, submit), "\"id\":");
                id = id ? strchr(id + 5, '"') : NULL;
                if (!id)
                        errx(1, "no id in %s", answer);
                snprintf(status, sizeof status, "GET /task-status/%.26s?wait=10 HTTP/1.1\r\nHost: localhost\r\n\r\n", id + 1);
                if (!strstr(ask(fd, status), "\"completed\""))
                        errx(1, "not completed: %s", answer);
                t[i] = now() - from;
        }
        qsort(t, n, sizeof *t, compare);
        printf("%.0f\n", t[n / 2]);
        free(t);
        return 0;
}
