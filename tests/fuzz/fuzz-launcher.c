/* fuzz-launcher.c: what a daemon that has been taken over could send to the root side: any datagrams, with any descriptors, to the launcher's own
 * reader, and any words to a supervisor's channel. Nothing is forked here, and nobody looked for in /proc; everything before and beside that is the
 * real thing.
 *
 * An input is a row of datagrams: a byte of flags (what is filled in rightly, how many descriptors of which kind), a byte of length, and as many
 * bytes over the request. Every request of the right size is answered exactly once, a start and one with the cookie 0 at most once. */
#include <unistd.h>

/* Every fork "succeeds", in the parent; nobody is ever signalled. */
#define fork() ((pid_t) INT32_MAX)
#include "jobbers-run/launcher.c"
#include "jobbers-run/launcher-start.c"
#undef fork

#include <poll.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fuzz-dir.h"
#include "jobbers-run/uplink.h"

#define DATAGRAMS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
        FILL_NAMES = 1 << 0,    /* a task and queue that exist */
        FILL_HASH = 1 << 1,     /* and its definition */
        FDS_SHIFT = 2,          /* two bits: how many descriptors */
        FDS_ODD = 1 << 4,       /* not those that a start takes */
        WORDS = 1 << 7,         /* in the first datagram: the rest are words to a supervisor */
};

static Launcher launcher;
static Settings settings;
static uint64_t hash;
static int memfd, odd[3];

/* What lies on disk of one attempt whose supervisor is gone, and what `kill` and `signal` read of it: nobody is in that cgroup. */
static void evidence_make(void) {
        static const char *const files[] = { "cgroup/a/cgroup.procs", "cgroup/a/cgroup.kill" };
        static const char key[] = "attempts/00000000000000000000000000.1";
        _cleanup_free_ char *dir = fuzz_path(key), *link = fuzz_path("attempts/00000000000000000000000000.1/cgroup"), *to = fuzz_path("cgroup/a");
        _cleanup_free_ char *base = fuzz_path("cgroup");

        (void) mkdir(base, 0755);
        (void) mkdir(to, 0755);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                fuzz_file(files[i], "");
        fuzz_file("cgroup/a/cgroup.events", "populated 0\nfrozen 0\n");
        if (mkdir(dir, 0755) >= 0)
                must(symlink(to, link) >= 0);
        fuzz_file("records/00000000000000000000000000.1.started", "JOBBERS_STARTED=1\n");
}

static void setup(void) {
        static char *task_dirs[2];
        const Identity self = { .uid = geteuid(), .gid = getegid() };

        log_init("fuzz");
        log_set_level(-1);
        fuzz_dir_make();
        task_dirs[0] = fuzz_dir_in("tasks");
        fuzz_file("tasks/t.task", "[Task]\nName=t\nVersion=1\nExecStart=/bin/true\n");
        fuzz_file("tasks/u.task", "[Task]\nName=u\nVersion=1\nExecStart=/bin/true\nUser=no-such-user\n");
        settings = (Settings) { .user_mode = true, .state_dir = fuzz_dir, .task_dirs = task_dirs, .libexec_dir = (char *) "/bin", .max_parameters = 1024,
                                .record_dir = fuzz_dir_in("records"), .saved_dir = fuzz_dir_in("saved"), .attempt_dir = fuzz_dir_in("attempts"), .log_dir = fuzz_dir_in("logs"),
                                .instance = (char *) "fuzz" };
        launcher = (Launcher) { .settings = &settings, .daemon = self, .place = PLACE_INIT, .base = CGROUP_BASE_INIT, .driver = &containment_pidns,
                                .listen_fd = -1, .conn_fd = -1, .lock_fd = -1, .stay_fd = -1, .stay_read_fd = -1 };
        link_init(&launcher.kills);
        link_init(&launcher.supervisors);
        must(place_open(&launcher.place, &settings, &self) >= 0);
        must(sd_event_new(&launcher.event) >= 0);
        launcher.definitions = definition_set_new();
        launcher.findings = map_new();
        must(launcher.definitions && launcher.findings && launcher_load_definitions(&launcher) >= 0);
        for (size_t i = 0; i < definition_set_size(launcher.definitions); i++)
                if (STREQ(definition_set_at(launcher.definitions, i)->name, "t"))
                        hash = definition_set_at(launcher.definitions, i)->hash;
        must(hash != 0);

        memfd = memfd_create("fuzz", MFD_CLOEXEC);
        must(memfd >= 0 && fd_write_all(memfd, "{}", 2) >= 0);
        odd[0] = memfd_create("large", MFD_CLOEXEC);
        must(odd[0] >= 0 && ftruncate(odd[0], 4096) >= 0);
        odd[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
        odd[2] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void turn(void) {
        for (unsigned i = 0; i < 64 && sd_event_run(launcher.event, 0) > 0; i++)
                ;
}

/* ── requests ── */

typedef struct Sent {
        unsigned maybe, others;         /* answered when there is something to say; answered */
} Sent;

static void send_one(int sock, const uint8_t **data, size_t *size, Sent *sent) {
        union {
                LauncherRequest q;
                char bytes[sizeof(LauncherRequest) + 8];
        } out = {};
        int fds[3], pair[2] = { -1, -1 };
        uint8_t flags = (*data)[0];
        size_t n = MIN((size_t) (*data)[1], *size - 2), length = sizeof out.q, n_fds = flags >> FDS_SHIFT & 3;

        memcpy(&out, *data + 2, MIN(n, sizeof out.bytes));
        *data += 2 + n;
        *size -= 2 + n;
        if (n == 255)
                length = sizeof out.bytes;
        else if (n == 254)
                length = sizeof out.q - 1;
        out.q.verb &= 15;
        if (flags & FILL_NAMES) {
                strcpy(out.q.name, "t");
                strcpy(out.q.queue, "default");
        }
        if (flags & FILL_HASH) {
                out.q.version = 1;
                out.q.definition_hash = hash;
        }
        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) >= 0);
        fds[0] = flags & FDS_ODD ? odd[0] : memfd;
        fds[1] = flags & FDS_ODD ? odd[out.q.attempt % 3] : pair[1];
        fds[2] = odd[1];
        if (fd_send(sock, &out, length, fds, n_fds, MSG_DONTWAIT) >= 0 && length == sizeof out.q) {
                if (out.q.verb == LAUNCHER_START || out.q.cookie == 0)
                        sent->maybe++;
                else
                        sent->others++;
        }
        close(pair[0]);
        close(pair[1]);
}

static void fuzz_requests(const uint8_t *data, size_t size) {
        static unsigned runs;
        LauncherReply reply;
        Sent sent = {}, got = {};
        int pair[2];

        if (runs++ % 64 == 0)
                evidence_make();
        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) >= 0);
        must(connection_begin(&launcher, pair[0]) >= 0);
        for (unsigned i = 0; i < 1000 && !launcher.greeted; i++)
                must(sd_event_run(launcher.event, USEC_PER_SEC) >= 0);
        must(launcher.greeted && recv(pair[1], &reply, sizeof reply, MSG_DONTWAIT) == sizeof reply && reply.verb == LAUNCHER_HELLO);

        for (unsigned i = 0; i < DATAGRAMS_MAX && size >= 2; i++)
                send_one(pair[1], &data, &size, &sent);
        turn();
        must(launcher.conn_fd >= 0);            /* no request ends the connection */
        for (ssize_t n; (n = recv(pair[1], &reply, sizeof reply, MSG_DONTWAIT)) > 0;) {
                must(n == sizeof reply && reply.result <= 0 && memchr(reply.text, '\0', sizeof reply.text));
                if (reply.verb == LAUNCHER_START || reply.cookie == 0)
                        got.maybe++;
                else
                        got.others++;
        }
        must(got.maybe <= sent.maybe && got.others == sent.others && list_empty(&launcher.kills));
        close(pair[1]);
        /* The end comes a moment later when somebody is just looking through /proc/PID/fd. */
        for (unsigned i = 0; i < 64 && launcher.conn_fd >= 0; i++)
                must(sd_event_run(launcher.event, USEC_PER_SEC) >= 0);
        must(launcher.conn_fd < 0 && launcher.lock_fd < 0);
}

/* ── words ── */

static void fuzz_words(const uint8_t *data, size_t size) {
        const Job job = { .attempt = 1 };
        Uplink u = UPLINK_INIT;
        char text[1024];
        int pair[2];

        must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) >= 0);
        u.job = &job;
        u.fd = pair[0];
        for (unsigned i = 0; i < DATAGRAMS_MAX && size >= 1; i++) {
                size_t n = MIN((size_t) data[0] + 1, size - 1);
                (void) send(pair[1], data + 1, n, MSG_DONTWAIT | MSG_NOSIGNAL);
                data += 1 + n;
                size -= 1 + n;
        }
        uplink_read(&u, "running");
        must(u.stop == STOP_NONE || u.stop == STOP_CANCELLED || u.stop == STOP_SHUTDOWN);
        for (ssize_t n; (n = recv(pair[1], text, sizeof text, MSG_DONTWAIT)) > 0;)
                must(n > 6 && memcmp(text, "STATE=", 6) == 0);
        close(pair[1]);
        (void) poll(&(struct pollfd) { .fd = u.fd }, u.fd >= 0, 1000);         /* for the end */
        uplink_read(&u, "running");
        uplink_read(&u, "running");
        must(u.fd < 0);
        uplink_close(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool ready;
        if (!ready)
                setup();
        ready = true;
        if (size > 0 && (data[0] & WORDS))
                fuzz_words(data + 1, size - 1);
        else
                fuzz_requests(data, size);
        return 0;
}
