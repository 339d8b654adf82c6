/* main.c: jobbersctl, the command line client. Verbs and options are in verbs.def; each family of verbs has a file of its own. */
#include <locale.h>
#include <stdio.h>

#include "base/log.h"
#include "jobbersctl/ctl.h"
#include "jobbersctl/options.h"

/* The status for a command line that is wrong, or a daemon that cannot be had: one that the task's own cannot be taken for. */
static int fault_status(const CtlVerb *verb, const Ctl *ctl, int status) {
        bool own = verb && (verb->flags & OWN_STATUS || (verb->flags & OWN_STATUS_WAITING && (ctl->wait || ctl->follow)));
        return own ? CTL_OWN_FAULT : status;
}

static int run(Ctl *ctl, const char *name, int n, char **words) {
        const CtlVerb *verb = verb_find(name);
        if (!verb)
                return CTL_USAGE;
        if (ctl->help) {
                verb_print_help(verb);
                return CTL_OK;
        }
        if (verb_check(verb, ctl, n) < 0)
                return fault_status(verb, ctl, CTL_USAGE);
        client_address_resolve(&ctl->address);
        if (!(verb->flags & OFFLINE) && client_new(&ctl->client, &ctl->address) < 0)
                return fault_status(verb, ctl, CTL_FAILED);
        int r = verb->run(ctl, n, words);
        client_free(ctl->client);
        return fflush(stdout) != 0 && r == CTL_OK ? CTL_FAILED : r;
}

int main(int argc, char **argv) {
        const char *socket = getenv("JOBBERS_SOCKET");
        Ctl ctl = { .address.socket = socket && *socket ? socket : NULL, .task_version = -1, .limit = 50, .lines = 10, .interval = 1 };
        int first;

        setlocale(LC_ALL, "");
        log_init_plain("jobbersctl");
        if (options_parse(&ctl, argc, argv, &first) < 0)
                return fault_status(first < argc ? verb_get(argv[first]) : NULL, &ctl, CTL_USAGE);
        if (!ctl_given(&ctl, OPT_SOCKET) && ctl.address.mode != CLIENT_ANY)
                ctl.address.socket = NULL;      /* what was typed goes before what is in the environment */
        if (ctl.version) {
                puts("jobbersctl " JOBBERS_VERSION);
                return CTL_OK;
        }
        if (first == argc && ctl.help) {
                options_print_help();
                return CTL_OK;
        }
        return first == argc ? run(&ctl, "list", 0, NULL) : run(&ctl, argv[first], argc - first - 1, argv + first + 1);
}
