/* fuzz-http.c: any bytes as what a client sends, to the real server: libmicrohttpd, the tables, the handlers, engine and store, on a socketpair.
 *
 * The first byte chooses the listener (TCP or Unix). Whatever comes back are answers whose bodies are JSON where they say so, never a 500; and
 * over TCP, without the token, nothing is ever changed. The state is made anew now and then, so that it does not grow for ever. */
#include <jansson.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "fuzz-dir.h"
#include "http/http-private.h"

#define ROUNDS_MAX 400
#define RUNS_PER_STATE 5000
#define TOKEN "0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int launch_new_connected(Launch **ret, const Settings *settings, int sock);

static Settings settings;
static RoleSlots role = { .name = (char *) "default" };
static struct {
        sd_event *event;
        Store *store;
        Launch *launch;
        Engine *engine;
        Http *http;
        int peer;
} d;

static void open_state(void) {
        const Identity self = { .uid = geteuid(), .gid = getegid() };
        char *sentence = NULL;
        int pair[2];

        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) >= 0);
        d.peer = pair[1];                               /* a launcher that never says hello: tasks wait */
        must(launch_new_connected(&d.launch, &settings, pair[0]) >= 0);
        must(sd_event_new(&d.event) >= 0);
        must(store_open(&d.store, settings.database, &sentence) >= 0);
        must(engine_new(&d.engine, d.event, &settings, d.store, d.launch) >= 0);
        must(http_new(&d.http, &settings, &self) >= 0);
        must(http_attach(d.http, d.event, d.engine) >= 0);
        must(engine_recover(d.engine) >= 0);
        must(d.http->listeners.n == 2);
}

static void close_state(void) {
        static const char *const files[] = { "jobbers.db", "jobbers.db-wal", "jobbers.db-shm", "epoch", "ballast" };

        http_free(d.http);
        engine_free(d.engine);
        launch_free(d.launch);
        store_close(d.store);
        sd_event_unref(d.event);
        close(d.peer);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                _cleanup_free_ char *path = fuzz_path(files[i]);
                (void) unlink(path);
        }
}

static void setup(void) {
        static char *task_dirs[2], *listen[3], *origins[] = { (char *) "https://good.example", NULL };

        log_init("fuzz");
        log_set_level(-1);
        fuzz_dir_make();
        fuzz_file("token", TOKEN "\n");
        task_dirs[0] = fuzz_dir_in("tasks");
        fuzz_file("tasks/t.task", "[Task]\nName=t\nVersion=0\nExecStart=/bin/true\nDeadLetterPolicy=save\n[Parameters]\nn = integer\no = object\n");
        listen[0] = (char *) "127.0.0.1:0";
        listen[1] = str_new("unix:%s/api.sock", fuzz_dir);
        settings = (Settings) {
                .user_mode = true, .state_dir = fuzz_dir, .task_dirs = task_dirs, .libexec_dir = (char *) "/bin", .listen = listen,
                .token_file = fuzz_path("token"), .allow_origins = origins, .roles = &role, .n_roles = 1, .slots = 4,
                .shutdown_timeout = USEC_PER_SEC, .max_body = 4096, .max_parameters = 1024, .max_result = 1024, .max_connections = 16,
                .header_timeout = 600 * USEC_PER_SEC, .request_timeout = 600 * USEC_PER_SEC,
                .record_dir = fuzz_dir_in("records"), .saved_dir = fuzz_dir_in("saved"), .attempt_dir = fuzz_dir_in("attempts"), .log_dir = fuzz_dir_in("logs"),
                .database = fuzz_path("jobbers.db"), .launcher_socket = fuzz_path("launcher.sock"), .instance = (char *) "fuzz",
                .default_user = (char *) "root",
        };
}

/* ── answers ── */

static const char *find(const char *in, size_t n, const char *what) {
        return memmem(in, n, what, strlen(what));
}

static void answer_look(const char *text, size_t n) {
        const char *head_end = find(text, n, "\r\n\r\n");
        unsigned status = 0;

        if (n == 0)
                return;                                 /* not a request: the connection is closed */
        must(n > 12 && memcmp(text, "HTTP/1.", 7) == 0 && sscanf(text + 8, " %u", &status) == 1);
        must(status != 500 && status >= 100 && status < 600);
        if (!head_end || status == 100)
                return;
        const char *length = find(text, (size_t) (head_end - text), "Content-Length: ");
        bool json = find(text, (size_t) (head_end - text), "Content-Type: application/json") != NULL;
        size_t body = length ? strtoul(length + 16, NULL, 10) : 0, there = n - (size_t) (head_end + 4 - text);
        if (!json || body == 0 || body > there)
                return;                                 /* an answer to HEAD, a chunked one */
        json_t *j = json_loadb(head_end + 4, body, JSON_DECODE_ANY, NULL);
        must(j);
        if (status >= 400 && status != 503)
                must(json_is_string(json_object_get(j, "detail")));
        json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static unsigned runs;
        static char answer[1 << 20];
        size_t got = 0;
        int pair[2];

        if (runs == 0)
                setup();
        if (runs % RUNS_PER_STATE == 0) {
                if (runs > 0)
                        close_state();
                open_state();
                while (engine_turn(d.engine) >= 0 && store_staged(d.store))
                        ;
        }
        runs++;
        if (size < 2)
                return 0;
        bool is_unix = data[0] & 1;
        bool allowed = is_unix || memmem(data, size, TOKEN, strlen(TOKEN));
        const Listener *l = NULL;
        for (size_t i = 0; i < d.http->listeners.n; i++)
                if (d.http->listeners.l[i].is_unix == is_unix)
                        l = &d.http->listeners.l[i];
        must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) >= 0);
        must(send(pair[1], data + 1, size - 1, MSG_NOSIGNAL) == (ssize_t) (size - 1));
        (void) shutdown(pair[1], SHUT_WR);

        struct sockaddr_storage address = { .ss_family = AF_UNIX };
        d.http->accepting = l;
        (void) MHD_add_connection(d.http->mhd, pair[0], (struct sockaddr *) &address, sizeof(sa_family_t));
        d.http->accepting = NULL;
        http_again(d.http);
        unsigned round = 0;
        while (!list_empty(&d.http->conns)) {
                bool moved = d.http->work;
                must(++round < ROUNDS_MAX);             /* it comes to an end, with the connection closed */
                for (unsigned i = 0; i < 16 && sd_event_run(d.event, 0) > 0; i++)
                        moved = true;
                if (!moved && !store_staged(d.store))   /* half a request: its deadline comes */
                        conn_close(CONTAINER_OF(d.http->conns.next, Conn, all));
                must(allowed || !store_staged(d.store));
                must(engine_turn(d.engine) >= 0);
                http_run(d.http);
                for (ssize_t n; got < sizeof answer - 1 && (n = recv(pair[1], answer + got, sizeof answer - 1 - got, MSG_DONTWAIT)) > 0;)
                        got += (size_t) n;
        }
        for (ssize_t n; got < sizeof answer - 1 && (n = recv(pair[1], answer + got, sizeof answer - 1 - got, MSG_DONTWAIT)) > 0;)
                got += (size_t) n;
        answer[got] = '\0';
        close(pair[1]);
        if (!memmem(data, size, "HEAD", 4))             /* whose answer tells the length of what is not there */
                answer_look(answer, got);
        return 0;
}
