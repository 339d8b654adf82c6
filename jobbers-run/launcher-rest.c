/* launcher-rest.c: supervisors that have done an attempt in a scope and rest, in case there is another. Unlike those without a scope
 * (launcher-worker.c) they get their orders from the launcher, which has to ask systemd for the next scope in any case. They rest where the launcher
 * is, so that the scope of an attempt ends with the attempt.
 *
 * A word in memory shared with it says that one rests. The launcher or the end of its patience takes that word back, whoever is first: so an order
 * is never sent to somebody who is leaving. */
#include "jobbers-run/launcher-private.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "jobbers-run/supervisor.h"

#define RESTS_MAX 256           /* supervisors that may rest when their attempt is over. A fork closes as many descriptors */

/* GONE is the last that a process says: its word may be another's from then on. */
enum { AT_WORK, RESTS, GONE };

typedef struct Rest {
        int fd;                 /* our end of its socket; -1: the place is free */
        pid_t pid;              /* 0: not to be sent anything, as what it knows has changed since */
} Rest;

struct Rests {
        Rest places[RESTS_MAX];
        _Atomic uint32_t *states;       /* as many */
        char *home, *home_v1;           /* our own cgroup, and what there is of v1 */
        int home_fd;                    /* cgroup.procs in there; -1: nobody can rest */
};

static void home_find(Rests *r) {
        _cleanup_free_ char *path = NULL;
        const char *mount;
        if (cgroup_mount_point(&mount) >= 0 && cgroup_of_pid(0, &r->home) >= 0 && cgroup_v1_of_self(&r->home_v1) >= 0)
                path = str_new("%s%s/cgroup.procs", mount, r->home);
        r->home_fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
}

static bool is_at_home(const Rests *r) {
        _cleanup_free_ char *own = NULL;
        return cgroup_of_pid(0, &own) >= 0 && STREQ(own, r->home);
}

int rests_new(Rests **ret) {
        Rests *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        void *shared = mmap(NULL, RESTS_MAX * sizeof *r->states, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED) {
                free(r);
                return -errno;
        }
        r->states = shared;
        home_find(r);
        for (size_t i = 0; i < RESTS_MAX; i++)
                r->places[i].fd = -1;
        *ret = r;
        return 0;
}

void rests_close_fds(Rests *r) {
        for (size_t i = 0; r && i < RESTS_MAX; i++)
                r->places[i].fd = fd_close(r->places[i].fd);
}

Rests *rests_free(Rests *r) {
        if (!r)
                return NULL;
        rests_close_fds(r);
        fd_close(r->home_fd);
        free(r->home);
        free(r->home_v1);
        (void) munmap(r->states, RESTS_MAX * sizeof *r->states);
        free(r);
        return NULL;
}

/* Takes the word of one that rests back: nobody else has anything to say to it until it gets its order, or is sent away. */
static bool word_take(Rests *r, size_t i) {
        uint32_t state = RESTS;
        return r->places[i].fd >= 0 && atomic_compare_exchange_strong(&r->states[i], &state, AT_WORK);
}

/* It is gone when its place is free. */
static void send_away(Rest *p) {
        (void) shutdown(p->fd, SHUT_WR);
}

void rests_dismiss(Rests *r) {
        for (size_t i = 0; r && i < RESTS_MAX; i++) {
                r->places[i].pid = 0;
                if (word_take(r, i))
                        send_away(&r->places[i]);
        }
}

/* Killed ones could not say that they are gone: looked for when there is no other place. */
static Rest *place_find(Rests *r) {
        for (size_t i = 0; i < RESTS_MAX; i++)
                if (r->places[i].fd < 0 || atomic_load(&r->states[i]) == GONE)
                        return &r->places[i];
        for (size_t i = 0; i < RESTS_MAX; i++) {
                char c;
                if (recv(r->places[i].fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
                        return &r->places[i];
        }
        return NULL;
}

Rest *rest_begin(Rests *r, Stay *stay) {
        int pair[2];
        Rest *p = r->home_fd >= 0 ? place_find(r) : NULL;
        if (!p || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return NULL;
        fd_close(p->fd);
        *p = (Rest) { .fd = pair[0] };
        stay->orders_fd = pair[1];
        stay->rest = &r->states[p - r->places];
        atomic_store(stay->rest, AT_WORK);
        return p;
}

void rest_forked(Rest *p, Stay *stay, pid_t pid) {
        stay->orders_fd = fd_close(stay->orders_fd);
        p->pid = pid;
        if (pid < 0)
                p->fd = fd_close(p->fd);
}

pid_t rest_order(Rests *r, const LauncherRequest *q, int parameters_fd, int channel_fd) {
        int fds[2] = { parameters_fd, channel_fd };
        for (size_t i = 0; i < RESTS_MAX; i++) {
                Rest *p = &r->places[i];
                if (p->pid == 0 || !word_take(r, i))
                        continue;
                /* Its socket ends with it, before its number can be somebody else's. */
                if (fd_send(p->fd, q, sizeof *q, fds, 2, MSG_DONTWAIT) >= 0)
                        return p->pid;
                send_away(p);
        }
        return 0;
}

/* ── in the fork ── */

/* A manager that also works with hierarchies of cgroup v1 has put us into the scope there as well, and would not get rid of that directory if the
 * scope ended before we do. Which managers do so does not change, so once is enough. */
static bool scope_is_v2_alone(const Rests *r) {
        static bool known, alone;
        if (!known) {
                _cleanup_free_ char *own = NULL;
                alone = cgroup_v1_of_self(&own) >= 0 && STREQ(own, r->home_v1);
        }
        known = true;
        return alone;
}

bool rest_lie_down(Rests *r, Stay *stay) {
        /* The latter: not ours to leave, as for a user's launcher in a session. */
        if (!scope_is_v2_alone(r) || write(r->home_fd, "0", 1) < 0)
                return false;
        supervisor_forget_signals();
        atomic_store(stay->rest, RESTS);
        return true;
}

void rest_ordered(Rests *r) {
        /* systemd may be quicker than we are: what comes once we are in the next scope is for that. */
        if (supervisor_has_signals() && is_at_home(r))
                supervisor_forget_signals();
}

bool rest_get_up(Stay *stay) {
        uint32_t expected = RESTS;
        return atomic_compare_exchange_strong(stay->rest, &expected, AT_WORK);
}

void rest_done(Stay *stay) {
        if (stay->rest)
                atomic_store(stay->rest, GONE);
}
