/* due.c: tasks that wait for a time. What a client asked for (run_at) is wall time; a retry's delay is boot time, which nobody can set. Both
 * are stored as wall time, so that one index and one timer do. The difference is made when the clock is set: the due times of retries are
 * moved by as much as the wall clock was, in one statement, and stay as far away as they were. The offset between the clocks that
 * the stored times are meant with is changed in the same commit, for a step while no daemon ran. */
#include "dispatch/internal.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"

/* Tasks made ready in one commit. */
#define DUE_PER_TURN 512
/* Reading two clocks in a row is not exact; a smaller step than this is not noticed, and does not matter. */
#define STEP_MIN_USEC 20000
/* The wall clock may be set as late as that. (A 32-bit time_t ends in 2038 anyway.) */
#define NEVER_SEC ((time_t) (sizeof(time_t) > 4 ? INT64_MAX / 1000000000 : INT32_MAX))

static int64_t offset_now(void) {
        int64_t best = 0;
        usec_t width = USEC_INFINITY;

        /* The pair read in the least time tells best: anything may come between the two calls. */
        for (unsigned i = 0; i < 4 && width > 50; i++) {
                usec_t before = clock_boot(), wall = clock_wall(), after = clock_boot();
                if (after - before < width) {
                        width = after - before;
                        best = (int64_t) (wall - before);
                }
        }
        return best;
}

usec_t due_wall(const Engine *e, usec_t boot) {
        return (usec_t) ((int64_t) boot + e->clock_offset);
}

/* As the store has it; after a rollback too, which takes back what a turn had staged. */
static int offset_load(Engine *e) {
        char boot[BOOT_ID_MAX] = "";
        int64_t offset = 0;
        int r = store_clock_get(e->store, boot, &offset);
        if (r < 0 && r != -ENOENT)
                return r;
        e->clock_known = r == 0 && STREQ(boot, clock_boot_id());
        if (e->clock_known)
                e->clock_offset = offset;
        return 0;
}

/* A timer that is never meant to expire: the kernel makes it readable when the wall clock is set. */
static void clock_watch_arm(Engine *e) {
        struct itimerspec never = { .it_value.tv_sec = NEVER_SEC };
        if (e->clock_fd >= 0 && timerfd_settime(e->clock_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 &&
            errno != ECANCELED)
                log_warning_errno(errno, "cannot watch for steps of the clock");
}

static int on_clock_set(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        uint64_t n;
        (void) !read(fd, &n, sizeof n);
        clock_watch_arm(userdata);
        return 0;       /* the turn compares the clocks */
}

int due_init(Engine *e) {
        int r;

        e->clock_offset = offset_now();
        e->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
        if (e->clock_fd < 0)
                return -errno;
        clock_watch_arm(e);
        r = sd_event_add_io(e->event, &e->clock_watch, e->clock_fd, EPOLLIN, on_clock_set, e);
        if (r < 0)
                return r;
        return due_reload(e);
}

void due_done(Engine *e) {
        e->clock_watch = sd_event_source_disable_unref(e->clock_watch);
        e->clock_fd = fd_close(e->clock_fd);
}

static int next_due_load(Engine *e, usec_t after) {
        usec_t next = 0;
        int r = store_next_due(e->store, after, &next);
        if (r < 0)
                return r;
        e->next_due = next > 0 ? next : USEC_INFINITY;
        return 0;
}

int due_reload(Engine *e) {
        int r = offset_load(e);
        return r < 0 ? r : next_due_load(e, 0);
}

void due_note(Engine *e, usec_t wall) {
        e->next_due = MIN(e->next_due, wall);
}

void due_arm(Engine *e) {
        if (e->next_due == USEC_INFINITY || e->full || !e->recovered) {
                (void) sd_event_source_set_enabled(e->timer_wall, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(e->timer_wall, e->next_due);
        (void) sd_event_source_set_enabled(e->timer_wall, SD_EVENT_ONESHOT);
}

static int due_follow_clock(Engine *e) {
        char span[CLOCK_STR_MAX];
        int64_t now = offset_now(), step = now - e->clock_offset;
        int r = 0;

        bool stepped = llabs(step) >= STEP_MIN_USEC;
        if (!stepped && e->clock_known)
                return 0;
        if (stepped) {
                log_notice("the clock was set %s by %s: retry delays keep their length", step > 0 ? "forward" : "back",
                           clock_format_span(llabs(step), span));
                e->clock_offset = now;
                r = store_shift_times(e->store, step);
        }
        if (r >= 0 && !e->clock_known)  /* the first turn of this boot */
                r = store_cap_retries(e->store, clock_wall());
        if (r >= 0)
                r = store_clock_put(e->store, clock_boot_id(), e->clock_offset);
        if (r < 0)
                return engine_spoil(e, r);
        e->clock_known = true;
        return next_due_load(e, 0);
}

typedef struct DueTasks {
        Engine *e;
        Task tasks[DUE_PER_TURN];
        unsigned n;
} DueTasks;

static int due_take(void *userdata, Task *t) {
        DueTasks *d = userdata;
        if (d->n < DUE_PER_TURN) {
                d->tasks[d->n++] = *t;
                *t = (Task) {};
        }
        return 0;
}

int due_run(Engine *e) {
        int r = due_follow_clock(e);
        if (r < 0 || e->next_due > clock_wall())
                return r;

        _cleanup_free_ DueTasks *due = calloc(1, sizeof *due);
        if (!due)
                return engine_spoil(e, -ENOMEM);
        unsigned unreadable = 0;
        usec_t now = clock_wall();
        r = store_due(e->store, now, DUE_PER_TURN, due_take, due, &unreadable);
        for (unsigned i = 0; i < due->n; i++) {
                if (r >= 0)
                        r = life_apply(e, &due->tasks[i], NULL, LIFE_DUE, 0);
                task_done(&due->tasks[i]);
        }
        if (r < 0)
                return engine_spoil(e, r);
        /* They stay where they are, and must neither stop the others nor be looked at all the time. */
        if (unreadable != e->due_unreadable && unreadable > 0)
                log_error("%u due tasks cannot be read from the database; skipped", unreadable);
        e->due_unreadable = unreadable;
        return engine_spoil(e, next_due_load(e, unreadable > 0 && due->n == 0 ? now : 0));
}
