/* cgroup-base.c: finding the place where the cgroups of attempts are made, and proving at the launcher's start that it works. */
#include "jobbers-run/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "jobbers-run/keep-name.h"

#define LEAF "launcher"         /* where the launcher itself goes in a delegated subtree */
#define KEEPER "keeper"         /* where the process goes that keeps another unit's subtree */
#define PROBE "probe-"          /* with the pid of who tries */
#define TRIALS 5                /* while another launcher on its way out may end them */

static bool is_delegated(int fd) {
        static const char *const names[] = { "trusted.delegate", "user.delegate" };
        char value[4];
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (fgetxattr(fd, names[i], value, sizeof value) == 1 && value[0] == '1')
                        return true;
        return false;
}

/* A cgroup with controllers for its children holds no processes: ours go to a leaf. */
static int move_to_leaf(int fd, const char *name) {
        char buf[4096];
        if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
                return -errno;
        _cleanup_close_ int leaf = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        if (leaf < 0 || procs < 0)
                return -errno;
        ssize_t n = read(procs, buf, sizeof buf - 1);
        if (n < 0)
                return -errno;
        buf[n] = '\0';
        char *state;
        for (char *word = strtok_r(buf, "\n", &state); word; word = strtok_r(NULL, "\n", &state)) {
                int r = cgroup_write(leaf, "cgroup.procs", word);
                if (r < 0 && r != -ESRCH)
                        return r;
        }
        return 0;
}

static void controllers_enable(CgroupBase *b, int own_fd, const char *leaf) {
        bool systemd = access("/run/systemd/system", F_OK) >= 0;
        if (is_delegated(own_fd)) {
                int r = move_to_leaf(own_fd, leaf);
                if (r < 0)
                        log_warning_errno(r, "cannot move to a cgroup of its own below %s", b->path);
        } else if (systemd)
                return;         /* somebody else's tree */
        CgroupControllers own;
        if (cgroup_controllers_enable(own_fd, &own) >= 0 && own != 0)
                (void) cgroup_controllers_enable(b->fd, &b->controllers);
}

/* Creates a process inside a new cgroup, ends it by cgroup.kill, removes the cgroup. */
static int try_out(const CgroupBase *b) {
        char name[32];
        siginfo_t info;
        int r;

        pid_t self = getpid();
        snprintf(name, sizeof name, PROBE "%d", (int) self);
        if (mkdirat(b->fd, name, 0755) < 0)
                return -errno;
        _cleanup_close_ int fd = openat(b->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
                r = -errno;
                goto out;
        }
        pid_t pid = (pid_t) syscall(SYS_clone, (unsigned long) SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid < 0) {
                r = -errno;
                goto out;
        }
        if (pid == 0) {
                /* A launcher that is killed now must not leave us stopped for ever. */
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != self)
                        _exit(1);
                if (cgroup_write(fd, "cgroup.procs", "0") < 0)
                        _exit(1);
                (void) raise(SIGSTOP);          /* "I am in" */
                _exit(2);
        }
        r = waitid(P_PID, (id_t) pid, &info, WEXITED | WSTOPPED | WNOWAIT) < 0 ? -errno : 0;
        if (r >= 0 && info.si_code != CLD_STOPPED)
                r = info.si_code == CLD_KILLED ? -EAGAIN : -EPERM;
        if (r >= 0)
                r = cgroup_write(fd, "cgroup.kill", "1");
        if (r < 0)
                (void) kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
out:
        (void) cgroup_remove(b->fd, name);
        return r;
}

static int base_open(CgroupBase *b, const char *mount, const char *own, const char *leaf, bool delegated, const char *instance) {
        _cleanup_free_ char *own_path = NULL;
        _cleanup_close_ int own_fd = -1;
        int r;

        *b = CGROUP_BASE_INIT;
        own_path = str_new("%s%s", mount, own);
        b->path = str_new("%s%s/%s", mount, own, instance);
        b->name = str_new("%s/%s", own, instance);
        if (!own_path || !b->path || !b->name) {
                r = -ENOMEM;
                goto fail;
        }
        own_fd = open(own_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (own_fd < 0 || (delegated && !is_delegated(own_fd)) || (mkdirat(own_fd, instance, 0755) < 0 && errno != EEXIST)) {
                r = -EOPNOTSUPP;
                goto fail;
        }
        b->fd = openat(own_fd, instance, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (b->fd < 0) {
                r = -EOPNOTSUPP;
                goto fail;
        }
        controllers_enable(b, own_fd, leaf);
        /* A launcher before us that is on its way out takes the trial for something left over, and ends it: once. */
        for (unsigned i = 0; i < TRIALS && (r = try_out(b)) == -EAGAIN; i++)
                ;
        if (r < 0) {
                log_full(LOG_DEBUG, r, "cgroups cannot be used in %s", b->path);
                r = r == -ENOMEM ? r : -EOPNOTSUPP;
                goto fail;
        }
        return 0;
fail:
        cgroup_base_close(b);
        return r;
}

int cgroup_base_open(CgroupBase *b, const char *instance) {
        _cleanup_free_ char *own = NULL;
        const char *mount;
        *b = CGROUP_BASE_INIT;
        int r = cgroup_mount_point(&mount);
        if (r >= 0)
                r = cgroup_of_pid(0, &own);
        if (r < 0)
                return r == -ENOMEM ? r : -EOPNOTSUPP;
        /* In a leaf already (a launcher that was started in one): its parent is the subtree. */
        size_t len = strlen(own);
        if (len > strlen("/" LEAF) && STREQ(own + len - strlen("/" LEAF), "/" LEAF))
                own[len - strlen("/" LEAF)] = '\0';
        else if (STREQ(own, "/"))
                own[0] = '\0';
        return base_open(b, mount, own, LEAF, false, instance);
}

int cgroup_base_open_in(CgroupBase *b, const char *unit, const char *instance) {
        const char *mount;
        *b = CGROUP_BASE_INIT;
        int r = cgroup_mount_point(&mount);
        if (r < 0)
                return r == -ENOMEM ? r : -EOPNOTSUPP;
        return base_open(b, mount, unit, KEEPER, true, instance);
}

void cgroup_base_close(CgroupBase *b) {
        free(b->path);
        free(b->name);
        fd_close(b->fd);
        *b = CGROUP_BASE_INIT;
}

bool cgroup_base_is_there(const CgroupBase *b) {
        return b->fd >= 0 && fd_exists_at(b->fd, "cgroup.procs");
}

/* Empty ones that nobody is about to use: of launchers that were killed while they tried, of supervisors that were, and of attempts whose
 * directory is gone, which outlives their cgroup in every orderly end. */
static void leftovers_remove(const CgroupBase *b, int attempts_fd) {
        DIR *d = fd_list(b->fd);

        if (!d)
                return;
        for (struct dirent *e; (e = readdir(d));)
                if (e->d_type == DT_DIR && e->d_name[0] != '.' && faccessat(attempts_fd, e->d_name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
                    keep_name_is_used(e->d_name) <= 0)
                        (void) unlinkat(b->fd, e->d_name, AT_REMOVEDIR);
        closedir(d);
}

void cgroup_base_remove(const CgroupBase *b, int attempts_fd) {
        if (!b->path)
                return;
        leftovers_remove(b, attempts_fd);
        if (rmdir(b->path) < 0 && errno != ENOENT)
                log_debug("%s is not removed: %s", b->path, strerror(errno));
}
