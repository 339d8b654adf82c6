/* verb-daemon.c: verbs on the daemon: drain, show-metrics. Its status is verb-status.c's, its definitions verb-definition.c's. */
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "jobbersctl/ctl.h"

/* Until nothing runs: waits for whatever does, one after the other. A retry stops running without an end, hence the short waits. */
static int wait_idle(Ctl *ctl) {
        for (;;) {
                _cleanup_json_ json_t *answer = NULL;
                int r = client_get(ctl->client, "/active-tasks?limit=1", &answer);
                if (r < 0)
                        return r;
                const json_t *first = json_array_get(json_object_get(answer, "tasks"), 0);
                if (!first)
                        return 0;
                _cleanup_free_ char *path = client_path(ctl->client, "/task-status/%s?wait=2", ctl_str(first, "id"));
                r = path ? client_get(ctl->client, path, NULL) : -ENOMEM;
                if (r < 0 && r != -ENOENT)
                        return r;
        }
}

int verb_drain(Ctl *ctl, int argc, char **argv) {
        _cleanup_json_ json_t *body = NULL, *answer = NULL;
        const char *word = argc > 0 ? argv[0] : "on";
        char count[64];
        bool on = STREQ(word, "on");

        if (!on && !STREQ(word, "off")) {
                fprintf(stderr, "jobbersctl: drain takes on or off, not \"%s\".\n", word);
                return CTL_USAGE;
        }
        body = json_pack("{s:b}", "enabled", on);
        int r = client_send(ctl->client, "POST", "/drain", body, &answer);
        if (r < 0)
                return ctl_exit(r);
        if (on && ctl->wait) {
                int64_t running = ctl_int(answer, "running", 0);
                if (running > 0 && !ctl->quiet && ctl->json == JSON_OFF) {
                        printf("No more tasks are started; waiting for %s still running. Ctrl-C ends the waiting, not the drain. "
                               "To start tasks again: jobbersctl drain off\n", ctl_count(running, "task", count));
                        fflush(stdout);
                }
                r = wait_idle(ctl);
        } else if (!ctl_print_json(ctl, answer) && !ctl->quiet && on)
                printf("No more tasks are started; %s still running. To start tasks again: jobbersctl drain off\n",
                       ctl_count(ctl_int(answer, "running", 0), "task", count));
        else if (!ctl->quiet && ctl->json == JSON_OFF)
                printf("Tasks are started again.\n");
        if (r >= 0 && on && ctl->wait && !ctl->quiet && ctl->json == JSON_OFF)
                printf("No task is running, and none is started until you run: jobbersctl drain off\n");
        return ctl_exit(r);
}

static bool print_bytes(void *userdata, const char *data, size_t n) {
        return fd_write_all(STDOUT_FILENO, data, n) >= 0;
}

int verb_show_metrics(Ctl *ctl, int argc, char **argv) {
        ctl_pager(ctl);
        return ctl_exit(client_stream(ctl->client, "/metrics", &(ClientStream) { .write = print_bytes }));
}
