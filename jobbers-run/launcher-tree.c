/* launcher-tree.c: what a killed supervisor left where nothing but descent holds an attempt together. The launcher is a subreaper then: what
 * was below the supervisor becomes a child of ours when that ends. So whoever is our child, or below one, and neither a living supervisor of
 * ours nor below one, is an orphan, and nobody else will end it.
 *
 * The supervisors of an earlier launcher leave their orphans to init. Those are found by the task and attempt in their environment, which a
 * process may have changed: what is said at start about this way of holding attempts is about them. */
#include "jobbers-run/launcher-private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"

#define DEPTH_MAX 100000                        /* containment-tree.c */
#define ENVIRONMENT_MAX (4 * 1024 * 1024)       /* more than the kernel takes */

typedef struct Supervisor {
        Link link;
        pid_t pid;
        unsigned long long start_time;  /* the number may be somebody else's later */
        Ulid task_id;
        unsigned attempt;
} Supervisor;

typedef struct Search {
        Launcher *launcher;
        char id[ULID_STR_MAX + 32], attempt[48];        /* as in the environment */
        size_t left;
} Search;

static bool supervisor_lives(const Supervisor *s) {
        return process_start_time(s->pid) == s->start_time;
}

static void supervisor_free(Supervisor *s) {
        link_remove(&s->link);
        free(s);
}

void tree_open(Launcher *l) {
        if (l->driver == &containment_tree && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                log_warning_errno(errno, "cannot become a subreaper");
}

void tree_close(Launcher *l) {
        LIST_FOREACH(i, &l->supervisors)
                supervisor_free(CONTAINER_OF(i, Supervisor, link));
}

int tree_add(Launcher *l, const LauncherRequest *q) {
        if (l->driver != &containment_tree)
                return 0;
        /* Those that have ended go when there are twice as many as there were: each is looked at a few times in all. */
        if (++l->n_supervisors > l->supervisors_max) {
                l->n_supervisors = 1;
                LIST_FOREACH(i, &l->supervisors) {
                        Supervisor *s = CONTAINER_OF(i, Supervisor, link);
                        if (supervisor_lives(s))
                                l->n_supervisors++;
                        else
                                supervisor_free(s);
                }
                l->supervisors_max = 2 * l->n_supervisors + 16;
        }
        Supervisor *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        *s = (Supervisor) { .task_id = q->task_id, .attempt = q->attempt };
        list_append(l->supervisors.next, &s->link);
        return 0;
}

void tree_forked(Launcher *l, pid_t pid) {
        if (l->driver != &containment_tree)
                return;
        Supervisor *s = CONTAINER_OF(l->supervisors.next, Supervisor, link);    /* tree_add put it there */
        s->pid = pid;
        s->start_time = process_start_time(pid);
        if (pid < 0 || s->start_time == 0)
                supervisor_free(s);
}

static bool is_supervisor(const Launcher *l, pid_t pid) {
        LIST_FOREACH(i, &l->supervisors) {
                const Supervisor *s = CONTAINER_OF(i, Supervisor, link);
                if (s->pid == pid && supervisor_lives(s))
                        return true;
        }
        return false;
}

static bool is_orphan(const Launcher *l, pid_t pid) {
        pid_t self = getpid(), parent;
        for (unsigned depth = 0; pid > 1 && pid != self && depth < DEPTH_MAX; depth++, pid = parent) {
                parent = process_parent(pid);
                if (parent == self)
                        return !is_supervisor(l, pid);
        }
        return false;
}

static bool environment_has(const char *text, size_t len, const char *wanted) {
        for (const char *s = text; s < text + len; s += strlen(s) + 1)
                if (STREQ(s, wanted))
                        return true;
        return false;
}

static bool is_marked(const Search *s, pid_t pid) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        size_t len;
        snprintf(path, sizeof path, "/proc/%d/environ", (int) pid);
        return fd_read_file_at(AT_FDCWD, path, ENVIRONMENT_MAX, &text, &len) >= 0 && environment_has(text, len, s->id) &&
               environment_has(text, len, s->attempt);
}

static bool search_holds(void *userdata, pid_t pid) {
        Search *s = userdata;
        return is_orphan(s->launcher, pid) || is_marked(s, pid);
}

size_t tree_kill(Launcher *l, const LauncherRequest *q) {
        Search s = { .launcher = l };
        char id[ULID_STR_MAX];

        if (l->driver != &containment_tree)
                return 0;
        /* As long as it is about to end, what is below it is not ours yet. */
        LIST_FOREACH(i, &l->supervisors) {
                const Supervisor *v = CONTAINER_OF(i, Supervisor, link);
                if (ulid_cmp(&v->task_id, &q->task_id) == 0 && v->attempt == q->attempt && supervisor_lives(v))
                        return 1;
        }
        snprintf(s.id, sizeof s.id, "JOBBERS_TASK_ID=%s", ulid_format(&q->task_id, id));
        snprintf(s.attempt, sizeof s.attempt, "JOBBERS_ATTEMPT=%u", q->attempt);
        /* Stopped first: nobody forks while the others are being killed. */
        (void) containment_tree_signal(search_holds, &s, SIGSTOP);
        return containment_tree_signal(search_holds, &s, SIGKILL);
}
