/* main.c: the command line of jobbersd. */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon.h"
#include "model/settings.h"

typedef enum Action { ACTION_RUN, ACTION_HELP, ACTION_VERSION, ACTION_MAN } Action;

static int take_argument(void *userdata, const char *arg) {
        Action *action = userdata;

        if (STREQ(arg, "--help") || STREQ(arg, "-h"))
                *action = ACTION_HELP;
        else if (STREQ(arg, "--version"))
                *action = ACTION_VERSION;
        else if (STREQ(arg, "--print-man"))
                *action = ACTION_MAN;
        else
                return 0;
        return 1;
}

static void print_help(void) {
        printf("jobbersd [--flag=value …]\n\n"
               "Runs background tasks: takes them over HTTP, keeps them until they are done.\n"
               "Started by root it becomes the user jobbers; started by anyone else it is\n"
               "their own daemon (--user).\n\n");
        settings_print_help(stdout);
        printf("  --help, --version\n\n"
               "The flags are also settings of jobbersd.conf. See jobbersd(8), jobbersd.conf(5).\n");
}

/* What the daemon waits for in its loop, and what must not kill it; before there are threads or children. */
static void signals_prepare(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
}

/* These two must do without a valid configuration. */
static Action early_action(int argc, char **argv) {
        Action action = ACTION_RUN;
        for (int i = 1; i < argc; i++)
                (void) take_argument(&action, argv[i]);
        return action;
}

int main(int argc, char **argv) {
        Settings settings = {};
        Action action = early_action(argc, argv);
        int r;

        log_init("jobbersd");
        switch (action) {
        case ACTION_HELP:
                print_help();
                return EXIT_SUCCESS;
        case ACTION_VERSION:
                printf("jobbersd %s\n", JOBBERS_VERSION);
                return EXIT_SUCCESS;
        case ACTION_MAN:
                settings_print_man(stdout, SETTINGS_FLAGS);
                return EXIT_SUCCESS;
        case ACTION_RUN:
                break;
        }

        signals_prepare();
        (void) umask(0022);
        r = settings_load(&settings, argc, argv, take_argument, &action);
        if (r < 0) {            /* it has said why */
                settings_free(&settings);
                return 2;
        }
        log_set_level(settings.log_level);
        r = daemon_run(&settings, argc, argv);
        settings_free(&settings);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
