/* main.c: jobbersctl, the command line client: options, and the table of verbs. Each family of verbs has a file of its own. */
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "jobbersctl/ctl.h"

static const CtlVerb verbs[] = {
        { "submit", 1, -1, "NAME [KEY=VALUE…]", verb_submit, "Submit a task; prints its id" },
        { "run", 1, -1, "NAME [KEY=VALUE…]", verb_run, "Submit, show its output, end with its exit status" },
        { "list", 0, 0, "", verb_list, "List tasks, newest last" },
        { "status", 0, -1, "[ID…]", verb_status, "Show tasks in full, or the daemon" },
        { "wait", 1, -1, "ID…", verb_wait, "Wait until tasks are final" },
        { "logs", 1, 1, "ID", verb_logs, "Show a task's output (-f follows)" },
        { "cancel", 0, -1, "ID…", verb_cancel, "Cancel tasks (or by --queue, --status, --task)" },
        { "resubmit", 0, -1, "ID…", verb_resubmit, "Run final tasks again" },
        { "top", 0, 0, "", verb_top, "Live view of queues, slots and running tasks" },
        { "queues", 0, 1, "[NAME]", verb_queues, "List queues, or show one" },
        { "set-queue", 1, -1, "NAME [KEY=VALUE…]", verb_set_queue, "Create or change a queue" },
        { "delete-queue", 1, 1, "NAME", verb_delete_queue, "Delete a queue (--force cancels its tasks)" },
        { "pause", 1, -1, "QUEUE…", verb_pause, "Start nothing more from queues" },
        { "resume", 1, -1, "QUEUE…", verb_resume, "Start tasks of queues again" },
        { "roles", 0, 1, "[NAME]", verb_roles, "List roles, or show one" },
        { "set-role", 1, -1, "NAME [QUEUE…]", verb_set_role, "Create a role or replace its queues" },
        { "delete-role", 1, 1, "NAME", verb_delete_role, "Delete a role" },
        { "dlq", 0, -1, "[show|history|resubmit|remove] [ID…]", verb_dlq, "The dead letter queue" },
        { "tasks", 0, 1, "[NAME]", verb_tasks, "List registered tasks, or show one" },
        { "verify", 0, -1, "[FILE…]", verb_verify, "Check task definitions", true },
        { "cat", 1, 1, "NAME", verb_cat, "Show the files that define a task", true },
        { "edit", 1, 1, "NAME", verb_edit, "Edit a drop-in for a task, check it, reload", true },
        { "reload", 0, 0, "", verb_reload, "Read the definitions anew" },
        { "drain", 0, 1, "[on|off]", verb_drain, "Stop starting tasks, or start again" },
        { "show-metrics", 0, 0, "", verb_show_metrics, "Print the daemon's metrics" },
};

static void print_help(void) {
        printf("jobbersctl [OPTIONS…] VERB …\n\nAsk jobbersd to run tasks, and see what becomes of them.\n\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                char left[64];
                snprintf(left, sizeof left, "%s %s", verbs[i].name, verbs[i].usage);
                if (strlen(left) > 30)
                        printf("  %s\n  %28s  %s\n", left, "", verbs[i].help);
                else /* the "…" counts three bytes but one column */
                        printf("  %-*s  %s\n", (int) (28 + (strstr(left, "…") ? 2 : 0)), left, verbs[i].help);
        }
        printf("\n"
               "  -H --host=HOST[:PORT]   Over TCP instead of the Unix socket\n"
               "     --socket=PATH        Another socket (also: $JOBBERS_SOCKET)\n"
               "     --token-file=PATH    The token for --host (/etc/jobbers/token)\n"
               "     --user --system      Whose daemon (default: the system's)\n"
               "     --json=MODE          pretty, short or off\n"
               "     --no-legend --no-pager  Leave out headings; never page\n"
               "  -q --quiet              Only errors\n"
               "     --wait --follow -f   Wait for the end; show the output as it comes\n"
               "     --at=TIME            Run later: an RFC 3339 time, or +5min\n"
               "     --queue=Q --priority=N --task-version=N --id=ULID\n"
               "     --status=S --task=NAME --limit=N --all   Which tasks\n"
               "  -n --lines=N            Log lines with status (10)\n"
               "     --dry-run --force --keep-retries\n"
               "  -h --help  --version\n\n"
               "See jobbersctl(1).\n");
}

/* Edits between two words, for suggestions. Words here are short. */
static size_t distance(const char *a, const char *b) {
        size_t row[33];
        size_t n = MIN(strlen(b), 32U);
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t up = row[j];
                        row[j] = MIN(MIN(row[j - 1], up) + 1, diagonal + (a[i - 1] != b[j - 1]));
                        diagonal = up;
                }
        }
        return row[n];
}

static const CtlVerb *verb_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (STREQ(verbs[i].name, name))
                        return verbs + i;

        const CtlVerb *near = NULL;
        size_t best = 3;
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                size_t d = distance(name, verbs[i].name);
                if (d < best) {
                        best = d;
                        near = verbs + i;
                }
        }
        if (near)
                fprintf(stderr, "jobbersctl: there is no verb \"%s\". Did you mean \"%s\"?\n", name, near->name);
        else
                fprintf(stderr, "jobbersctl: there is no verb \"%s\". See: jobbersctl --help\n", name);
        return NULL;
}

enum { OPT_SOCKET = 256, OPT_TOKEN, OPT_USER, OPT_SYSTEM, OPT_JSON, OPT_NO_LEGEND, OPT_NO_PAGER, OPT_WAIT, OPT_AT, OPT_QUEUE,
       OPT_PRIORITY, OPT_TASK_VERSION, OPT_ID, OPT_STATUS, OPT_TASK, OPT_LIMIT, OPT_ALL, OPT_DRY_RUN, OPT_FORCE, OPT_KEEP_RETRIES,
       OPT_VERSION, OPT_INTERVAL };

static const struct option options[] = {
        { "host", required_argument, NULL, 'H' },
        { "socket", required_argument, NULL, OPT_SOCKET },
        { "token-file", required_argument, NULL, OPT_TOKEN },
        { "user", no_argument, NULL, OPT_USER },
        { "system", no_argument, NULL, OPT_SYSTEM },
        { "json", required_argument, NULL, OPT_JSON },
        { "no-legend", no_argument, NULL, OPT_NO_LEGEND },
        { "no-pager", no_argument, NULL, OPT_NO_PAGER },
        { "quiet", no_argument, NULL, 'q' },
        { "wait", no_argument, NULL, OPT_WAIT },
        { "follow", no_argument, NULL, 'f' },
        { "at", required_argument, NULL, OPT_AT },
        { "queue", required_argument, NULL, OPT_QUEUE },
        { "priority", required_argument, NULL, OPT_PRIORITY },
        { "task-version", required_argument, NULL, OPT_TASK_VERSION },
        { "id", required_argument, NULL, OPT_ID },
        { "status", required_argument, NULL, OPT_STATUS },
        { "task", required_argument, NULL, OPT_TASK },
        { "limit", required_argument, NULL, OPT_LIMIT },
        { "all", no_argument, NULL, OPT_ALL },
        { "lines", required_argument, NULL, 'n' },
        { "interval", required_argument, NULL, OPT_INTERVAL },
        { "dry-run", no_argument, NULL, OPT_DRY_RUN },
        { "force", no_argument, NULL, OPT_FORCE },
        { "keep-retries", no_argument, NULL, OPT_KEEP_RETRIES },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPT_VERSION },
        { 0 },
};

static int number(const char *option, const char *s, long min, long max, long *ret) {
        int64_t v;
        if (parse_i64(s, &v) < 0 || v < min || v > max) {
                fprintf(stderr, "jobbersctl: --%s= takes a whole number from %ld to %ld, not \"%s\".\n", option, min, max, s);
                return -EINVAL;
        }
        *ret = (long) v;
        return 0;
}

/* 1: done (help was printed), 0: go on, < 0: refused. */
static int parse_options(Ctl *ctl, int argc, char **argv) {
        int c, r = 0;
        while (r == 0 && (c = getopt_long(argc, argv, "H:qfn:h", options, NULL)) >= 0)
                switch (c) {
                case 'H': ctl->address.host = optarg; break;
                case OPT_SOCKET: ctl->address.socket = optarg; break;
                case OPT_TOKEN: ctl->address.token_file = optarg; break;
                case OPT_USER: ctl->address.user_mode = true; break;
                case OPT_SYSTEM: ctl->address.user_mode = false; break;
                case OPT_JSON:
                        if (STREQ(optarg, "pretty"))
                                ctl->json = JSON_PRETTY;
                        else if (STREQ(optarg, "short"))
                                ctl->json = JSON_SHORT;
                        else if (STREQ(optarg, "off"))
                                ctl->json = JSON_OFF;
                        else {
                                fprintf(stderr, "jobbersctl: --json= takes pretty, short or off, not \"%s\".\n", optarg);
                                r = -EINVAL;
                        }
                        break;
                case OPT_NO_LEGEND: ctl->no_legend = true; break;
                case OPT_NO_PAGER: ctl->no_pager = true; break;
                case 'q': ctl->quiet = true; break;
                case OPT_WAIT: ctl->wait = true; break;
                case 'f': ctl->follow = true; break;
                case OPT_AT: ctl->at = optarg; break;
                case OPT_QUEUE: ctl->queue = optarg; break;
                case OPT_PRIORITY:
                        r = number("priority", optarg, -100, 100, &ctl->priority);
                        ctl->has_priority = true;
                        break;
                case OPT_TASK_VERSION: ctl->task_version = optarg; break;
                case OPT_ID: ctl->id = optarg; break;
                case OPT_STATUS: ctl->status = optarg; break;
                case OPT_TASK: ctl->task = optarg; break;
                case OPT_LIMIT: r = number("limit", optarg, 1, 1000, &ctl->limit); break;
                case OPT_ALL: ctl->all = true; break;
                case 'n': r = number("lines", optarg, 0, 100000, &ctl->lines); break;
                case OPT_INTERVAL: r = number("interval", optarg, 1, 3600, &ctl->interval); break;
                case OPT_DRY_RUN: ctl->dry_run = true; break;
                case OPT_FORCE: ctl->force = true; break;
                case OPT_KEEP_RETRIES: ctl->keep_retries = true; break;
                case 'h': print_help(); return 1;
                case OPT_VERSION: puts("jobbersctl " JOBBERS_VERSION); return 1;
                default: return -EINVAL;
                }
        return r;
}

int main(int argc, char **argv) {
        Ctl ctl = { .address.socket = getenv("JOBBERS_SOCKET"), .limit = 50, .lines = 10, .interval = 2 };

        setlocale(LC_ALL, "");
        log_init("jobbersctl");
        int r = parse_options(&ctl, argc, argv);
        if (r != 0)
                return r < 0 ? CTL_USAGE : CTL_OK;
        if (optind == argc) {
                ctl.limit = 20;
                argv[argc] = NULL;
        }

        const char *name = optind < argc ? argv[optind] : "list";
        const CtlVerb *verb = verb_find(name);
        if (!verb)
                return CTL_USAGE;
        int n = optind < argc ? argc - optind - 1 : 0;
        if (n < verb->min || (verb->max >= 0 && n > verb->max)) {
                fprintf(stderr, "jobbersctl: usage: jobbersctl %s %s\n", verb->name, verb->usage);
                return CTL_USAGE;
        }
        if (!verb->offline && client_new(&ctl.client, &ctl.address) < 0)
                return CTL_FAILED;
        r = verb->run(&ctl, n, n > 0 ? argv + optind + 1 : NULL);
        client_free(ctl.client);
        return fflush(stdout) != 0 && r == CTL_OK ? CTL_FAILED : r;
}
