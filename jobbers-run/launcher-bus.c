/* launcher-bus.c: a connection of sd-bus in the event loop, as sd_bus_attach_event() has it, but with all that has arrived taken in one turn. systemd
 * tells everybody on its private socket everything, 17 messages a scope, and a turn of the loop for each costs as much as the message. */
#include "jobbers-run/launcher-private.h"

#include <poll.h>

struct BusWatch {
        sd_bus *bus;
        void (*on_broken)(void *userdata);
        void *userdata;
        sd_event_source *io, *timer;
};

static int bus_take(BusWatch *w) {
        int r;
        while ((r = sd_bus_process(w->bus, NULL)) > 0)
                ;
        if (r == 0)
                return 0;
        /* Everything that was asked has been answered by an error. */
        (void) sd_event_source_set_enabled(w->io, SD_EVENT_OFF);
        (void) sd_event_source_set_prepare(w->io, NULL);
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        w->on_broken(w->userdata);
        return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        return bus_take(userdata);
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata) {
        return bus_take(userdata);
}

/* What it waits for: POLLOUT is EPOLLOUT. A time of 0 is that of something that was read already, during a call that waited. */
static int on_prepare(sd_event_source *s, void *userdata) {
        BusWatch *w = userdata;
        uint64_t until = UINT64_MAX;
        int events = sd_bus_get_events(w->bus);
        if (events < 0 || sd_bus_get_timeout(w->bus, &until) < 0)
                until = UINT64_MAX;
        if (events >= 0)
                (void) sd_event_source_set_io_events(w->io, (uint32_t) events);
        if (until == UINT64_MAX)
                return sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        (void) sd_event_source_set_time(w->timer, until);
        return sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

int bus_watch(sd_bus *bus, sd_event *event, void (*on_broken)(void *userdata), void *userdata, BusWatch **ret) {
        BusWatch *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        *w = (BusWatch) { .bus = bus, .on_broken = on_broken, .userdata = userdata };
        int r = sd_event_add_io(event, &w->io, sd_bus_get_fd(bus), POLLIN, on_io, w);
        if (r >= 0)
                r = sd_event_add_time(event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_time, w);
        if (r >= 0)
                r = sd_event_source_set_prepare(w->io, on_prepare);
        if (r < 0) {
                bus_unwatch(w);
                return r;
        }
        *ret = w;
        return 0;
}

BusWatch *bus_unwatch(BusWatch *w) {
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->io);
        sd_event_source_disable_unref(w->timer);
        free(w);
        return NULL;
}
