/* channel.c: connections to supervisors. One that has done its attempt and can take another says so with the end of the first (END in wire.h);
 * its channel is kept here, and the next start goes down there instead of to the launcher, which would have to fork.
 *
 * A supervisor knows the definitions of its birth: after a reload all of the earlier ones are let go. So are those that had nothing to do for a while,
 * by the end of their channels. */
#include "launch/launch-private.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define IDLE_MAX 64
#define RETIRE_AFTER (5 * USEC_PER_SEC)

static int on_channel(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Channel *c = userdata;
        if (c->attempt)
                attempt_read(c->attempt);
        else
                channel_free(c);        /* an idle one says nothing: this is its end */
        return 0;
}

Channel *channel_new(LaunchAttempt *a, int fd) {
        Channel *c = calloc(1, sizeof *c);
        if (!c) {
                close(fd);
                return NULL;
        }
        *c = (Channel) { .launch = a->launch, .attempt = a, .fd = fd, .reloads = a->launch->reloads_asked };
        link_init(&c->link);
        if (sd_event_add_io(a->launch->event, &c->io, fd, EPOLLIN, on_channel, c) < 0)
                return channel_free(c);
        return c;
}

/* A record of a moment ago is worth more to its supervisor than to the launcher. */
static void record_forget(Channel *c) {
        if (c->taken)
                (void) launch_ask_to_forget(c->launch, &c->last_id, c->last_number, false);     /* else the next sweep */
        c->taken = false;
}

Channel *channel_free(Channel *c) {
        if (!c)
                return NULL;
        record_forget(c);               /* told that it was taken, the supervisor may have left all the same */
        if (link_linked(&c->link))
                c->launch->n_idle--;
        link_remove(&c->link);
        /* The source before the descriptor: a process between clone and exec may hold a copy, and epoll would go on reporting it. */
        sd_event_source_disable_unref(c->io);
        fd_close(c->fd);
        free(c);
        return NULL;
}

/* ── idle ones, the one used last in front: its memory is warm, and those not needed grow old ── */

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Launch *l = userdata;
        usec_t now = clock_boot();
        LIST_FOREACH(i, &l->idle) {
                Channel *c = CONTAINER_OF(i, Channel, link);
                if (now - c->idle_since >= RETIRE_AFTER)
                        channel_free(c);
        }
        if (l->n_idle > 0) {
                (void) sd_event_source_set_time_relative(s, RETIRE_AFTER);
                (void) sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        return 0;
}

/* False: without it nobody would ever be let go. */
static bool timer_arm(Launch *l) {
        int enabled;
        if (!l->retire)
                return sd_event_add_time_relative(l->event, &l->retire, CLOCK_BOOTTIME, RETIRE_AFTER, USEC_PER_SEC, on_timer, l) >= 0;
        if (sd_event_source_get_enabled(l->retire, &enabled) < 0)
                return false;
        return enabled != SD_EVENT_OFF || (sd_event_source_set_time_relative(l->retire, RETIRE_AFTER) >= 0 &&
                                           sd_event_source_set_enabled(l->retire, SD_EVENT_ONESHOT) >= 0);
}

void channel_keep(Channel *c) {
        Launch *l = c->launch;
        c->attempt = NULL;
        if (!l->ready || c->reloads != l->reloads_asked || l->n_idle >= IDLE_MAX || !timer_arm(l)) {
                channel_free(c);
                return;
        }
        c->idle_since = clock_boot();
        list_append(l->idle.next, &c->link);
        l->n_idle++;
}

Channel *channel_take(Launch *l) {
        if (list_empty(&l->idle))
                return NULL;
        Channel *c = CONTAINER_OF(l->idle.next, Channel, link);
        link_remove(&c->link);
        l->n_idle--;
        return c;
}

bool channel_may_use_up(Launch *l, const Ulid *id, unsigned number) {
        LIST_FOREACH(i, &l->idle) {
                Channel *c = CONTAINER_OF(i, Channel, link);
                if (c->last_number == number && ulid_cmp(&c->last_id, id) == 0) {
                        c->taken = true;
                        return true;
                }
        }
        return false;
}

void launch_forget_the_rest(Launch *l) {
        LIST_FOREACH(i, &l->idle)
                record_forget(CONTAINER_OF(i, Channel, link));
}

void channels_clear(Launch *l) {
        LIST_FOREACH(i, &l->idle)
                channel_free(CONTAINER_OF(i, Channel, link));
}
