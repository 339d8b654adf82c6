/* main.c: jobbers-run: the launcher and its supervisors, or, in a terminal, one run of a task. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/launcher.h"
#include "jobbers-run/terminal.h"
#include "model/settings.h"

typedef struct Arguments {
        bool launcher, help, version;
        int launcher_fd;
        char **words;
} Arguments;

static int on_argument(void *userdata, const char *arg) {
        Arguments *a = userdata;
        uint64_t fd;
        if (STREQ(arg, "--launcher"))
                a->launcher = true;
        else if (STREQ(arg, "--help") || STREQ(arg, "-h"))
                a->help = true;
        else if (STREQ(arg, "--version"))
                a->version = true;
        else if (strncmp(arg, "--launcher-fd=", strlen("--launcher-fd=")) == 0) {
                if (parse_u64(arg + strlen("--launcher-fd="), &fd) < 0 || fd < 3 || fd > INT32_MAX) {
                        fprintf(stderr, "jobbers-run: --launcher-fd= takes the number of an open descriptor\n");
                        return -EINVAL;
                }
                a->launcher_fd = (int) fd;
        } else if (arg[0] != '-') {
                int r = strv_push(&a->words, arg);
                if (r < 0)
                        return r;
        } else
                return 0;
        return 1;
}

static void print_help(void) {
        printf("Usage: jobbers-run [OPTION…] NAME[@VERSION] [KEY=VALUE…]\n"
               "       jobbers-run --launcher [OPTION…]\n"
               "\n"
               "Runs a registered task once, here and now, under the same rules as jobbersd:\n"
               "its user, limits, timeout and heartbeat. KEY=VALUE is a parameter, of the type\n"
               "that the task's [Parameters] name; KEY:=JSON gives any JSON. The task's output\n"
               "is shown as it comes, its result is printed as JSON, and its exit status becomes\n"
               "that of jobbers-run. Ctrl-C cancels it.\n"
               "\n"
               "With --launcher it is the privileged part of jobbersd, started by that or by\n"
               "systemd.\n"
               "\n"
               "  --help       this text\n"
               "  --version    the version\n"
               "\n"
               "Settings, as for jobbersd:\n");
        settings_print_help(stdout);
}

/* Inheritable capabilities survive the change of user, and so would get into tasks: a container's runtime may have set some. */
static void capabilities_clean(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        (void) prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if (syscall(SYS_capget, &header, data) < 0)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(data); i++)
                data[i].inheritable = 0;
        (void) syscall(SYS_capset, &header, data);
}

#define KEY_POS_VIEW_READ_SEARCH 0x0b000000U     /* of libkeyutils' keyutils.h */

/* Root's own session keyring is reachable for whoever descends from the session, as whatever user: its keys and tickets are not for tasks. Nor
 * are those of other tasks: each attempt gets a keyring of its own (child.c), and this one stays empty, should one have to do without. */
static void keyring_clean(void) {
        if (geteuid() != 0)
                return;
        long keyring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
        if (keyring >= 0)
                (void) syscall(SYS_keyctl, KEYCTL_SETPERM, keyring, KEY_POS_VIEW_READ_SEARCH);
}

/* Descriptors 0, 1 and 2 exist, no signal is ignored or held back: whatever we were started with. */
static void process_clean(void) {
        for (int fd = open("/dev/null", O_RDWR | O_CLOEXEC); fd >= 0; fd = open("/dev/null", O_RDWR | O_CLOEXEC))
                if (fd > 2) {
                        close(fd);
                        break;
                }
        capabilities_clean();
        keyring_clean();
        for (int s = 1; s < _NSIG; s++)
                if (s != SIGKILL && s != SIGSTOP)
                        (void) sigaction(s, &(struct sigaction) { .sa_handler = SIG_DFL }, NULL);
        /* posix_spawn leaves the C library's own two ignored, and its sigaction() will not touch them. */
        const unsigned char defaults[32] = {};          /* the kernel's struct sigaction: SIG_DFL, no flags, no mask */
        for (int s = 32; s < SIGRTMIN; s++)
                (void) syscall(SYS_rt_sigaction, s, defaults, NULL, (size_t) (_NSIG - 1) / 8);
        /* Blocked: taken through descriptors, or not at all. A broken pipe is an error code. */
        sigset_t all;
        sigfillset(&all);
        (void) sigprocmask(SIG_SETMASK, &all, NULL);
}

int main(int argc, char **argv) {
        Arguments arguments = { .launcher_fd = -1 };
        Settings settings = {};
        int status = EXIT_FAILURE;

        process_clean();
        log_init("jobbers-run");
        int r = settings_load(&settings, argc, argv, on_argument, &arguments);
        if (r < 0)                      /* it has said why */
                status = STATUS_USAGE;
        else {
                log_set_level(settings.log_level);
                if (arguments.help) {
                        print_help();
                        status = EXIT_SUCCESS;
                } else if (arguments.version) {
                        printf("jobbers %s\n", JOBBERS_VERSION);
                        status = EXIT_SUCCESS;
                } else if (arguments.launcher) {
                        if (arguments.launcher_fd >= 0)
                                (void) fcntl(arguments.launcher_fd, F_SETFD, FD_CLOEXEC);
                        status = launcher_run(&settings, arguments.launcher_fd);
                } else if (arguments.words)
                        status = terminal_run(&settings, arguments.words, strv_len(arguments.words));
                else {
                        fprintf(stderr, "jobbers-run: name a task to run, or see --help\n");
                        status = STATUS_USAGE;
                }
        }
        settings_free(&settings);
        strv_free(arguments.words);
        return status;
}
