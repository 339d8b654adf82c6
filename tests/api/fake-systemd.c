/* fake-systemd.c: as much of systemd's manager as the launcher talks to, on a private socket: fake-systemd SOCKET CGROUP MODE-FILE LOG-FILE.
 *
 * A scope is a directory below CGROUP into which the processes are moved. What is asked for is written to LOG-FILE, a line a property. The
 * first word of MODE-FILE is read at each call: ok, refuse, exists (once, then ok), nobody (exists, and nobody is in it, until it is stopped),
 * somebody (exists, for seven calls, and somebody is in it), slow (a job, after a quarter of a second), fail (the job fails),
 * earlier (one that the unit had before has failed), silent, lost (leaves in the middle of the call). */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

static const char *cgroup, *mode_file, *log_file;
static sd_event *event;

static void check(int r, const char *what) {
        if (r < 0) {
                fprintf(stderr, "fake-systemd: %s: %s\n", what, strerror(r == -1 ? errno : -r));
                exit(1);
        }
}

static void mode_read(char mode[static 32]) {
        FILE *f = fopen(mode_file, "re");
        if (!f || fscanf(f, "%31s", mode) != 1)
                strcpy(mode, "ok");
        if (f)
                fclose(f);
}

static void mode_write_ok(void) {
        FILE *f = fopen(mode_file, "we");
        check(f ? 0 : -1, mode_file);
        fputs("ok\n", f);
        fclose(f);
}

static void note(const char *format, const char *a, const char *b) {
        FILE *f = fopen(log_file, "ae");
        if (!f)
                return;
        fprintf(f, format, a, b);
        fclose(f);
}

static void process_move(const char *unit, uint32_t pid) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", cgroup, unit);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                check(-1, path);
        strncat(path, "/cgroup.procs", sizeof path - strlen(path) - 1);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        check(fd, path);
        check(dprintf(fd, "%u", pid), path);
        close(fd);
}

/* Notes all properties; the processes of PIDs in *pids. */
static int properties_read(sd_bus_message *m, const char *unit, uint32_t pids[static 8], size_t *ret_n) {
        const char *name, *contents;
        int r;

        *ret_n = 0;
        check(sd_bus_message_enter_container(m, 'a', "(sv)"), "properties");
        while ((r = sd_bus_message_enter_container(m, 'r', "sv")) > 0) {
                char text[256] = "?";
                check(sd_bus_message_read(m, "s", &name), "name");
                check(sd_bus_message_peek_type(m, NULL, &contents), "type");
                if (strcmp(contents, "t") == 0) {
                        uint64_t v;
                        check(sd_bus_message_read(m, "v", "t", &v), "t");
                        snprintf(text, sizeof text, "%s=%llu", name, (unsigned long long) v);
                } else if (strcmp(contents, "s") == 0) {
                        const char *v;
                        check(sd_bus_message_read(m, "v", "s", &v), "s");
                        snprintf(text, sizeof text, "%s=%s", name, v);
                } else if (strcmp(contents, "i") == 0) {
                        int32_t v;
                        check(sd_bus_message_read(m, "v", "i", &v), "i");
                        snprintf(text, sizeof text, "%s=%d", name, v);
                } else if (strcmp(contents, "b") == 0) {
                        int v;
                        check(sd_bus_message_read(m, "v", "b", &v), "b");
                        snprintf(text, sizeof text, "%s=%s", name, v ? "yes" : "no");
                } else if (strcmp(contents, "au") == 0) {
                        const void *array;
                        size_t size;
                        check(sd_bus_message_enter_container(m, 'v', "au"), "au");
                        check(sd_bus_message_read_array(m, 'u', &array, &size), "au");
                        *ret_n = size / 4 < 8 ? size / 4 : 8;
                        memcpy(pids, array, *ret_n * 4);
                        check(sd_bus_message_exit_container(m), "au");
                        snprintf(text, sizeof text, "%s", name);
                } else {
                        check(sd_bus_message_skip(m, "v"), "skip");
                        snprintf(text, sizeof text, "%s", name);
                }
                note("%s %s\n", unit, text);
                check(sd_bus_message_exit_container(m), "property");
        }
        return sd_bus_message_exit_container(m);
}

/* A slow one. */
typedef struct Late {
        sd_bus *bus;
        uint32_t job, pid;
        char unit[256];
} Late;
static Late late;

static int on_late(sd_event_source *s, uint64_t usec, void *userdata) {
        char job[64];
        snprintf(job, sizeof job, PATH "/job/%u", late.job);
        process_move(late.unit, late.pid);
        check(sd_bus_emit_signal(late.bus, PATH, MANAGER, "JobRemoved", "uoss", late.job, job, late.unit, "done"), "signal");
        return 0;
}

static int on_slow(sd_event_source *s, uint64_t usec, void *userdata) {
        sd_bus_message *m = userdata;
        check(sd_bus_reply_method_return(m, "o", PATH "/job/7"), "reply");
        sd_bus_message_unref(m);
        return 0;
}

static int start_transient_unit(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const char *unit, *how;
        char mode[32];
        uint32_t pids[8];
        size_t n;

        check(sd_bus_message_read(m, "ss", &unit, &how), "unit");
        properties_read(m, unit, pids, &n);
        mode_read(mode);
        if (strcmp(mode, "refuse") == 0)
                return sd_bus_error_set(e, "org.freedesktop.DBus.Error.AccessDenied", "not today");
        static unsigned calls;
        if (strcmp(mode, "exists") == 0 || (strcmp(mode, "somebody") == 0 && ++calls == 7))
                mode_write_ok();
        if (strcmp(mode, "exists") == 0 || strcmp(mode, "somebody") == 0 || strcmp(mode, "nobody") == 0)
                return sd_bus_error_set(e, "org.freedesktop.systemd1.UnitExists", "there is one");
        if (strcmp(mode, "silent") == 0)
                return 1;
        if (strcmp(mode, "slow") == 0) {
                check(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 250000, 1000, on_slow, sd_bus_message_ref(m)), "timer");
                return 1;
        }
        if (strcmp(mode, "lost") == 0)
                _exit(0);
        if (strcmp(mode, "ok") == 0)
                for (size_t i = 0; i < n; i++)
                        process_move(unit, pids[i]);
        static uint32_t last = 1;
        char job[64];
        snprintf(job, sizeof job, PATH "/job/%u", ++last);
        check(sd_bus_reply_method_return(m, "o", job), "reply");
        /* One of another unit first, and one that this unit had before: they are none of ours. */
        check(sd_bus_emit_signal(sd_bus_message_get_bus(m), PATH, MANAGER, "JobRemoved", "uoss", 0U, PATH "/job/0", "other.scope", "done"), "signal");
        if (strcmp(mode, "earlier") == 0) {
                check(sd_bus_emit_signal(sd_bus_message_get_bus(m), PATH, MANAGER, "JobRemoved", "uoss", 1U, PATH "/job/1", unit, "failed"), "signal");
                late = (Late) { .bus = sd_bus_message_get_bus(m), .job = last, .pid = pids[0] };
                snprintf(late.unit, sizeof late.unit, "%s", unit);
                check(sd_event_add_time_relative(event, NULL, CLOCK_MONOTONIC, 300000, 1000, on_late, NULL), "timer");
                return 1;
        }
        check(sd_bus_emit_signal(sd_bus_message_get_bus(m), PATH, MANAGER, "JobRemoved", "uoss", last, job, unit,
                                 strcmp(mode, "fail") == 0 ? "failed" : "done"), "signal");
        return 1;
}

static int get_unit_processes(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const char *unit;
        char mode[32];
        check(sd_bus_message_read(m, "s", &unit), "unit");
        mode_read(mode);
        return strcmp(mode, "nobody") == 0 ? sd_bus_reply_method_return(m, "a(sus)", 0)
                                           : sd_bus_reply_method_return(m, "a(sus)", 1, "/some.scope", 1U, "/sbin/init");
}

static int stop_unit(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const char *unit, *how;
        char mode[32];
        check(sd_bus_message_read(m, "ss", &unit, &how), "unit");
        note("%s %s\n", unit, "stopped");
        mode_read(mode);
        if (strcmp(mode, "nobody") == 0)
                mode_write_ok();
        return sd_bus_reply_method_return(m, "o", PATH "/job/0");
}

static int set_unit_properties(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        const char *unit;
        char mode[32];
        uint32_t pids[8];
        size_t n;
        int runtime;

        check(sd_bus_message_read(m, "sb", &unit, &runtime), "unit");
        properties_read(m, unit, pids, &n);
        mode_read(mode);
        if (strcmp(mode, "refuse") == 0)
                return sd_bus_error_set(e, "org.freedesktop.DBus.Error.AccessDenied", "not today");
        return sd_bus_reply_method_return(m, "");
}

static int version(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        return sd_bus_message_append(reply, "s", "fake");
}

/* It lies directly below the root. */
static int control_group(sd_bus *bus, const char *path, const char *interface, const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *e) {
        return sd_bus_message_append(reply, "s", strrchr(cgroup, '/'));
}

static const sd_bus_vtable manager[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("ControlGroup", "s", control_group, 0, 0),
        SD_BUS_PROPERTY("Version", "s", version, 0, 0),
        SD_BUS_METHOD("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", start_transient_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetUnitProcesses", "s", "a(sus)", get_unit_processes, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("StopUnit", "ss", "o", stop_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("SetUnitProperties", "sba(sv)", "", set_unit_properties, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("JobRemoved", "uoss", 0),
        SD_BUS_VTABLE_END,
};

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *e) {
        sd_bus *bus = userdata;
        check(sd_bus_detach_event(bus), "detach");
        sd_bus_close(bus);
        sd_bus_unref(bus);
        return 1;
}

static int on_connection(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        sd_bus *bus;
        int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        check(conn, "accept");
        check(sd_bus_new(&bus), "bus");
        check(sd_bus_set_fd(bus, conn, conn), "fd");
        check(sd_bus_set_server(bus, 1, (sd_id128_t) { .bytes = { 1 } }), "server");
        check(sd_bus_set_anonymous(bus, 1), "anonymous");
        check(sd_bus_set_trusted(bus, 1), "trusted");
        check(sd_bus_start(bus), "start");
        check(sd_bus_add_object_vtable(bus, NULL, PATH, MANAGER, manager, NULL), "vtable");
        check(sd_bus_match_signal(bus, NULL, NULL, "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected", on_gone, bus), "match");
        check(sd_bus_attach_event(bus, event, 0), "attach");
        return 0;
}

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        if (argc != 5)
                return 2;
        cgroup = argv[2];
        mode_file = argv[3];
        log_file = argv[4];
        snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) unlink(argv[1]);
        check(bind(fd, (struct sockaddr *) &address, sizeof address), "bind");
        check(listen(fd, 16), "listen");
        check(sd_event_new(&event), "event");
        check(sd_event_add_io(event, NULL, fd, 1, on_connection, NULL), "watch");
        puts("ready");
        fflush(stdout);
        return sd_event_loop(event) < 0;
}
