/* cgroup.c: what one does with a cgroup, in plain files. Membership is the truth here: whoever is in the cgroup is of the attempt, whatever
 * it did to its session, group or parent. */
#include "jobbers-run/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

#define CGROUPS_MAX 8192         /* of /proc/PID/cgroup */
#define FILE_MAX (1024 * 1024)          /* of cgroup.procs, /proc/self/mounts */
#define SIGNAL_PASSES 16                /* a fork bomb is ended by SIGKILL, not by this */

/* ── files ── */

int cgroup_write(int dir_fd, const char *file, const char *value) {
        _cleanup_close_ int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

/* The files of the kernel have no size: read until the end, up to what fits. */
static ssize_t file_read(int dir_fd, const char *file, char *buf, size_t size) {
        _cleanup_close_ int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
        size_t n = 0;
        if (fd < 0)
                return -errno;
        while (n < size - 1) {
                ssize_t k = read(fd, buf + n, size - 1 - n);
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }
        buf[n] = '\0';
        return (ssize_t) n;
}

int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret) {
        char buf[64];
        ssize_t n = file_read(dir_fd, file, buf, sizeof buf);
        if (n < 0)
                return (int) n;
        buf[strcspn(buf, "\n")] = '\0';
        if (STREQ(buf, "max")) {
                *ret = UINT64_MAX;
                return 0;
        }
        return parse_u64(buf, ret);
}

int cgroup_read_key(int dir_fd, const char *file, const char *key, uint64_t *ret) {
        char buf[8192];
        size_t key_len = strlen(key);
        ssize_t n = file_read(dir_fd, file, buf, sizeof buf);
        if (n < 0)
                return (int) n;
        for (char *line = buf; *line;) {
                char *end = line + strcspn(line, "\n");
                char *next = *end ? end + 1 : end;
                *end = '\0';
                if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ')
                        return parse_u64(line + key_len + 1, ret);
                line = next;
        }
        return -ENOENT;
}

int cgroup_read_pairs(int dir_fd, const char *file, const char *key, uint64_t *ret) {
        char buf[16384];
        size_t key_len = strlen(key);
        uint64_t sum = 0, value;
        char *state;
        ssize_t n = file_read(dir_fd, file, buf, sizeof buf);
        if (n < 0)
                return (int) n;
        for (char *word = strtok_r(buf, " \n", &state); word; word = strtok_r(NULL, " \n", &state))
                if (strncmp(word, key, key_len) == 0 && word[key_len] == '=' && parse_u64(word + key_len + 1, &value) >= 0)
                        sum += value;
        *ret = sum;
        return 0;
}

static const struct {
        const char *name;
        CgroupControllers flag;
} controllers[] = { { "memory", CGROUP_MEMORY }, { "cpu", CGROUP_CPU }, { "io", CGROUP_IO }, { "pids", CGROUP_PIDS } };

int cgroup_controllers(int dir_fd, const char *file, CgroupControllers *ret) {
        char buf[4096], *state;
        CgroupControllers found = 0;
        ssize_t n = file_read(dir_fd, file, buf, sizeof buf);
        if (n < 0)
                return (int) n;
        for (char *word = strtok_r(buf, " \n", &state); word; word = strtok_r(NULL, " \n", &state))
                for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
                        if (STREQ(word, controllers[i].name))
                                found |= controllers[i].flag;
        *ret = found;
        return 0;
}

static int controllers_write(int dir_fd, CgroupControllers which) {
        char words[64] = "";
        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
                if (which & controllers[i].flag)
                        snprintf(words + strlen(words), sizeof words - strlen(words), "%s+%s", *words ? " " : "", controllers[i].name);
        return cgroup_write(dir_fd, "cgroup.subtree_control", words);
}

int cgroup_controllers_enable(int dir_fd, CgroupControllers *ret) {
        CgroupControllers there = 0;
        int r = cgroup_controllers(dir_fd, "cgroup.controllers", &there);
        if (r < 0)
                return r;
        *ret = there;
        /* At once: for each write the kernel waits until no process is just being forked. */
        if (!there || controllers_write(dir_fd, there) >= 0)
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
                if (there & controllers[i].flag)
                        (void) controllers_write(dir_fd, controllers[i].flag);
        return cgroup_controllers(dir_fd, "cgroup.subtree_control", ret);
}

int cgroup_open_events(int dir_fd) {
        int fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int cgroup_populated(int events_fd) {
        char buf[256];
        ssize_t n = pread(events_fd, buf, sizeof buf - 1, 0);
        if (n < 0)
                return errno == ENODEV ? 0 : -errno;    /* removed meanwhile: nobody is in it */
        buf[n] = '\0';
        return strstr(buf, "populated 0") ? 0 : 1;
}

/* ── names ── */

/* -errno. */
static int cgroups_read(pid_t pid, char *buf, size_t size) {
        char path[64];
        if (pid == 0)
                snprintf(path, sizeof path, "/proc/self/cgroup");
        else
                snprintf(path, sizeof path, "/proc/%d/cgroup", (int) pid);
        ssize_t n = file_read(AT_FDCWD, path, buf, size);
        return n < 0 ? (int) n : 0;
}

/* "0::/…", the last; NULL without. */
static char *v2_line(char *text) {
        for (char *line = text; *line; line += strspn(line, "\n")) {
                if (strncmp(line, "0::", 3) == 0)
                        return line;
                line += strcspn(line, "\n");
        }
        return NULL;
}

int cgroup_of_pid(pid_t pid, char **ret) {
        char buf[CGROUPS_MAX];
        int r = cgroups_read(pid, buf, sizeof buf);
        if (r < 0)
                return r;
        char *line = v2_line(buf);
        if (!line)
                return -ENOENT;
        *ret = strndup(line + 3, strcspn(line + 3, "\n"));
        return *ret ? 0 : -ENOMEM;
}

int cgroup_v1_of_self(char **ret) {
        char buf[CGROUPS_MAX];
        int r = cgroups_read(0, buf, sizeof buf);
        if (r < 0)
                return r;
        char *line = v2_line(buf);
        if (line)
                *line = '\0';
        *ret = strdup(buf);
        return *ret ? 0 : -ENOMEM;
}

bool cgroup_name_within(const char *name, const char *of) {
        size_t n = strlen(of);
        return strncmp(name, of, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

static int mount_point_find(char **ret) {
        _cleanup_free_ char *text = malloc(FILE_MAX);
        char *state;
        if (!text)
                return -ENOMEM;
        ssize_t n = file_read(AT_FDCWD, "/proc/self/mounts", text, FILE_MAX);
        if (n < 0)
                return (int) n;
        /* "what where type options 0 0"; blanks in names are escaped. */
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                char *words, *where;
                if (!strtok_r(line, " ", &words) || !(where = strtok_r(NULL, " ", &words)))
                        continue;
                char *type = strtok_r(NULL, " ", &words);
                if (type && STREQ(type, "cgroup2")) {
                        *ret = strdup(where);
                        return *ret ? 0 : -ENOMEM;
                }
        }
        return -ENOENT;
}

int cgroup_mount_point(const char **ret) {
        static char *mount;
        if (!mount) {
                int r = mount_point_find(&mount);
                if (r < 0)
                        return r;
        }
        *ret = mount;
        return 0;
}

/* ── signals ── */

typedef struct Pids {
        pid_t *p;
        size_t n, cap;
} Pids;

static void pids_done(Pids *v) {
        free(v->p);
}

static int pids_add(Pids *v, pid_t pid) {
        if (v->n == v->cap) {
                size_t cap = v->cap ? v->cap * 2 : 64;
                pid_t *p = reallocarray(v->p, cap, sizeof *p);
                if (!p)
                        return -ENOMEM;
                v->p = p;
                v->cap = cap;
        }
        v->p[v->n++] = pid;
        return 0;
}

static bool pids_have(const Pids *v, pid_t pid) {
        for (size_t i = 0; i < v->n; i++)
                if (v->p[i] == pid)
                        return true;
        return false;
}

static int pids_read(int dir_fd, Pids *v) {
        _cleanup_free_ char *text = malloc(FILE_MAX);
        char *state;
        if (!text)
                return -ENOMEM;
        ssize_t n = file_read(dir_fd, "cgroup.procs", text, FILE_MAX);
        if (n < 0)
                return (int) n;
        for (char *word = strtok_r(text, "\n", &state); word; word = strtok_r(NULL, "\n", &state)) {
                uint64_t pid;
                /* 0: a process of another PID namespace, which cannot be named from here. */
                if (parse_u64(word, &pid) >= 0 && pid > 0 && pid <= INT32_MAX && !pids_have(v, (pid_t) pid)) {
                        int r = pids_add(v, (pid_t) pid);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int is_member(pid_t pid, const char *name) {
        _cleanup_free_ char *of = NULL;
        int r = cgroup_of_pid(pid, &of);
        return r < 0 ? 0 : cgroup_name_within(of, name);
}

/* The processes directly in it that are not in `done` yet. The pidfd is taken first and the membership looked up after that, so that a
 * number which was given to a stranger meanwhile is not hit. */
static int signal_one(int dir_fd, int signal, const char *name, Pids *done) {
        _cleanup_(pids_done) Pids now = {};
        int r, n = 0;
        r = pids_read(dir_fd, &now);
        if (r < 0)
                return r;
        for (size_t i = 0; i < now.n; i++) {
                if (pids_have(done, now.p[i]))
                        continue;
                _cleanup_close_ int pidfd = pidfd_open(now.p[i], 0);
                bool by_number = pidfd < 0 && errno == ENOSYS;          /* a sandbox, valgrind */
                if ((pidfd < 0 && !by_number) || (name && !is_member(now.p[i], name)))
                        continue;
                if ((by_number ? kill(now.p[i], signal) : pidfd_send_signal(pidfd, signal, NULL, 0)) < 0)
                        continue;
                r = pids_add(done, now.p[i]);
                if (r < 0)
                        return r;
                n++;
        }
        return n;
}

static int signal_tree(int dir_fd, int signal, const char *name, Pids *done, unsigned depth) {
        int n = signal_one(dir_fd, signal, name, done);
        if (n < 0 || depth == 0)
                return n;
        DIR *dir = fd_list(dir_fd);
        if (!dir)
                return n;
        for (struct dirent *e; (e = readdir(dir));) {
                if (e->d_type != DT_DIR || e->d_name[0] == '.')
                        continue;
                _cleanup_close_ int below = openat(dir_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                int k = below < 0 ? 0 : signal_tree(below, signal, name, done, depth - 1);
                if (k > 0)
                        n += k;
        }
        closedir(dir);
        return n;
}

/* The name of an open cgroup as /proc shows it: what its path has below the mount point. NULL when that cannot be told. */
static char *name_of_directory(int dir_fd) {
        char link[64], path[4096];
        const char *mount;
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n < 0 || cgroup_mount_point(&mount) < 0)
                return NULL;
        path[n] = '\0';
        size_t len = strlen(mount);
        return strncmp(path, mount, len) == 0 && path[len] == '/' ? strdup(path + len) : NULL;
}

int cgroup_signal(int dir_fd, int signal) {
        _cleanup_(pids_done) Pids done = {};
        _cleanup_free_ char *name = name_of_directory(dir_fd);
        int total = 0;
        /* Until nobody new is there: a process may have forked between being listed and being signalled. */
        for (unsigned pass = 0; pass < SIGNAL_PASSES; pass++) {
                int n = signal_tree(dir_fd, signal, name, &done, 8);
                if (n < 0)
                        return total > 0 ? total : n;
                if (n == 0)
                        break;
                total += n;
        }
        return total;
}

int cgroup_kill(int dir_fd) {
        int r = cgroup_write(dir_fd, "cgroup.kill", "1");
        if (r != -ENOENT)
                return r;
        r = cgroup_signal(dir_fd, SIGKILL);     /* before Linux 5.14 */
        return r < 0 ? r : 0;
}

int cgroup_remove(int parent_fd, const char *name) {
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) >= 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
                return -errno;
        /* Ones that a root task made below it. */
        _cleanup_close_ int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fd_list(fd);
        if (!dir)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *e; (e = readdir(dir));)
                if (e->d_type == DT_DIR && e->d_name[0] != '.')
                        (void) cgroup_remove(fd, e->d_name);
        closedir(dir);
        return unlinkat(parent_fd, name, AT_REMOVEDIR) >= 0 || errno == ENOENT ? 0 : -errno;
}
