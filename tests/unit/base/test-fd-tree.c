/* test-fd-tree.c: removal of trees that somebody hostile made: links, depth, closed directories, changes meanwhile. */
#include "base/fd.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* A user that is not root, for what root does to others. */
#define STRANGER 65534

typedef struct Fixture {
        char path[64];
        int dir;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        *state = f;
        if (!f)
                return -1;
        strcpy(f->path, "/tmp/jobbers-tree-XXXXXX");
        if (!mkdtemp(f->path) || chmod(f->path, 0755) < 0)
                return -1;
        f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* What must survive every test. */
        if (f->dir < 0 || mkdirat(f->dir, "safe", 0755) < 0 || mkdirat(f->dir, "safe/dir", 0755) < 0)
                return -1;
        return fd_write_file_at(f->dir, "safe/file", "x", 1, 0644, false) ?:
               fd_write_file_at(f->dir, "safe/dir/file", "x", 1, 0644, false);
}

/* The tree is gone and what is beside it is not. Also takes the fixture away, by other means than what is tested. */
static int teardown(void **state) {
        Fixture *f = *state;
        bool gone = faccessat(f->dir, "tree", F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
        bool safe = unlinkat(f->dir, "safe/dir/file", 0) == 0 && unlinkat(f->dir, "safe/file", 0) == 0;

        if (!gone)
                print_error("the tree is still there\n");
        if (!safe)
                print_error("a file outside the tree is gone\n");
        (void) unlinkat(f->dir, "safe/dir", AT_REMOVEDIR);
        (void) unlinkat(f->dir, "safe", AT_REMOVEDIR);
        fd_close(f->dir);
        if (gone && safe && rmdir(f->path) < 0) {
                print_error("something was left behind in %s\n", f->path);
                gone = false;
        }
        free(f);
        return gone && safe ? 0 : -1;
}

static void make_file(int dir, const char *name) {
        assert_int_equal(fd_write_file_at(dir, name, "x", 1, 0600, false), 0);
}

static void ordinary(void **state) {
        Fixture *f = *state;
        char name[64];

        assert_int_equal(mkdirat(f->dir, "tree", 0755), 0);
        for (unsigned a = 0; a < 5; a++) {
                snprintf(name, sizeof name, "tree/%u", a);
                assert_int_equal(mkdirat(f->dir, name, 0755), 0);
                for (unsigned b = 0; b < 20; b++) {
                        snprintf(name, sizeof name, "tree/%u/%u", a, b);
                        if (b % 2)
                                make_file(f->dir, name);
                        else {
                                assert_int_equal(mkdirat(f->dir, name, 0755), 0);
                                snprintf(name, sizeof name, "tree/%u/%u/f", a, b);
                                make_file(f->dir, name);
                        }
                }
        }
        /* Names like those that the removal makes itself. */
        make_file(f->dir, "tree/.up-0");
        assert_int_equal(mkdirat(f->dir, "tree/.up-1", 0755), 0);
        make_file(f->dir, "tree/.up-1/full");
        assert_int_equal(mkdirat(f->dir, "tree/.up-2", 0755), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
}

static void not_a_directory(void **state) {
        Fixture *f = *state;

        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);         /* nothing there */
        make_file(f->dir, "tree");
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
        assert_int_equal(mkfifoat(f->dir, "tree", 0600), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
        assert_int_equal(symlinkat("safe", f->dir, "tree"), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
        assert_int_equal(symlinkat("nowhere", f->dir, "tree"), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
        assert_int_equal(fd_remove_tree_at(-1, "tree"), -EBADF);
}

static void names_refused(void **state) {
        static const char *const bad[] = { "", ".", "..", "safe/dir", "/", "/etc" };
        Fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (fd_remove_tree_at(f->dir, bad[i]) != -EINVAL)
                        fail_msg("\"%s\" was accepted", bad[i]);
}

static void links_are_not_followed(void **state) {
        Fixture *f = *state;
        char target[128];

        snprintf(target, sizeof target, "%s/safe", f->path);
        assert_int_equal(mkdirat(f->dir, "tree", 0755), 0);
        assert_int_equal(mkdirat(f->dir, "tree/sub", 0755), 0);
        assert_int_equal(symlinkat(target, f->dir, "tree/absolute"), 0);
        assert_int_equal(symlinkat("../safe", f->dir, "tree/relative"), 0);
        assert_int_equal(symlinkat("../../safe/dir", f->dir, "tree/sub/relative"), 0);
        assert_int_equal(symlinkat(".", f->dir, "tree/sub/loop"), 0);
        assert_int_equal(linkat(f->dir, "safe/dir/file", f->dir, "tree/hard", 0), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
}

static void very_deep(void **state) {
        struct rlimit old, few = { 24, 24 };
        Fixture *f = *state;
        int fd, next;

        /* Far deeper than a path, the descriptors or a stack of recursion could reach. */
        assert_int_equal(mkdirat(f->dir, "tree", 0755), 0);
        fd = openat(f->dir, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (unsigned i = 0; i < 3000; i++) {
                assert_int_equal(mkdirat(fd, "deeper", 0755), 0);
                if (i % 100 == 0)
                        make_file(fd, "file");
                next = openat(fd, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                fd_close(fd);
                fd = next;
                assert_true(fd >= 0);
        }
        fd_close(fd);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        few.rlim_max = old.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* Runs a function in a child that is not root; its return value is the exit status. */
static int as_stranger(int (*fn)(const Fixture *f), const Fixture *f) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (geteuid() == 0 && (setgid(STRANGER) < 0 || setuid(STRANGER) < 0))
                        _exit(99);
                _exit(fn(f));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

/* A tree of which nothing may be read, written or entered. */
static int make_closed_tree(const Fixture *f) {
        static const char *const dirs[] = { "tree/home/open", "tree/home/closed", "tree/home/closed/below", "tree/home/full" };

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
                if (mkdirat(f->dir, dirs[i], 0755) < 0)
                        return 10;
        if (fd_write_file_at(f->dir, "tree/home/closed/below/file", "x", 1, 0, false) < 0 ||
            fd_write_file_at(f->dir, "tree/home/full/file", "x", 1, 0, false) < 0 ||
            fchmodat(f->dir, "tree/home/closed/below", 0, 0) < 0 || fchmodat(f->dir, "tree/home/closed", 0500, 0) < 0 ||
            fchmodat(f->dir, "tree/home/full", 0, 0) < 0 || fchmodat(f->dir, "tree/home/open", 0100, 0) < 0)
                return 11;
        return 0;
}

static int remove_as_owner(const Fixture *f) {
        _cleanup_close_ int tree = openat(f->dir, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd_remove_tree_at(tree, "home") == 0 ? 0 : 1;
}

static void closed_directories(void **state) {
        Fixture *f = *state;

        /* Once by their owner, who is not root, and once by root (or again by the owner, where we are not root). */
        for (unsigned by_root = 0; by_root < 2; by_root++) {
                assert_int_equal(mkdirat(f->dir, "tree", 0755), 0);
                assert_int_equal(mkdirat(f->dir, "tree/home", 0755), 0);
                if (geteuid() == 0) {
                        assert_int_equal(fchownat(f->dir, "tree", STRANGER, STRANGER, 0), 0);
                        assert_int_equal(fchownat(f->dir, "tree/home", STRANGER, STRANGER, 0), 0);
                }
                assert_int_equal(as_stranger(make_closed_tree, f), 0);
                if (!by_root)
                        assert_int_equal(as_stranger(remove_as_owner, f), 0);
                assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
        }
}

static int remove_as_other(const Fixture *f) {
        /* 0 if it was refused, and the entry of somebody else's directory is still there */
        int r = fd_remove_tree_at(f->dir, "safe");

        return r < 0 && faccessat(f->dir, "safe/dir/file", F_OK, 0) == 0 ? 0 : 1;
}

static void errors_are_said(void **state) {
        Fixture *f = *state;

        if (geteuid() != 0)
                skip();
        assert_int_equal(as_stranger(remove_as_other, f), 0);
}

/* Mounts of our own, so that nothing stays mounted whatever happens. False: no right to that. */
static bool mounts_begin(Fixture *f) {
        if (unshare(CLONE_NEWNS) < 0)
                return false;
        assert_int_equal(mount("none", "/", "none", MS_REC | MS_PRIVATE, ""), 0);
        fd_close(f->dir);       /* that one leads to the mounts we left */
        f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return true;
}

static void mounts_are_not_entered(void **state) {
        Fixture *f = *state;
        char from[96], to[96], deep[96];

        snprintf(from, sizeof from, "%s/safe", f->path);
        snprintf(to, sizeof to, "%s/tree/mount", f->path);
        snprintf(deep, sizeof deep, "%s/tree/sub/mount", f->path);
        assert_int_equal(mkdirat(f->dir, "tree", 0755), 0);
        assert_int_equal(mkdirat(f->dir, "tree/mount", 0755), 0);
        assert_int_equal(mkdirat(f->dir, "tree/sub", 0755), 0);
        assert_int_equal(mkdirat(f->dir, "tree/sub/mount", 0755), 0);
        make_file(f->dir, "tree/file");
        if (!mounts_begin(f)) {
                assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
                skip();
        }
        assert_int_equal(mount(from, to, "none", MS_BIND, ""), 0);
        assert_int_equal(mount(from, deep, "none", MS_BIND, ""), 0);
        assert_true(fd_remove_tree_at(f->dir, "tree") < 0);
        /* The rest went nevertheless. */
        assert_int_equal(faccessat(f->dir, "tree/file", F_OK, 0), -1);
        assert_int_equal(faccessat(f->dir, "tree/mount/dir/file", F_OK, 0), 0);
        assert_int_equal(faccessat(f->dir, "tree/sub/mount/dir/file", F_OK, 0), 0);
        assert_int_equal(umount2(to, MNT_DETACH), 0);
        assert_int_equal(umount2(deep, MNT_DETACH), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
}

/* Swaps a directory for a link to what is safe, and back, as fast as it can, until it is killed. */
static int swap_for_ever(const Fixture *f) {
        _cleanup_close_ int tree = openat(f->dir, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[32];

        alarm(60);              /* should the test fail, nobody kills it */
        for (unsigned i = 0;; i++) {
                snprintf(name, sizeof name, "d%u", i % 4);
                (void) renameat(tree, name, tree, "aside");
                (void) !symlinkat("../safe", tree, name);
                (void) unlinkat(tree, name, 0);
                (void) renameat(tree, "aside", tree, name);
                (void) mkdirat(tree, name, 0777);
                snprintf(name, sizeof name, "d%u/dir", i % 4);
                (void) mkdirat(tree, name, 0777);
                snprintf(name, sizeof name, "d%u/dir/file", i % 4);
                (void) mkdirat(tree, name, 0777);
        }
        return 0;
}

/* A file system that a task serves (FUSE) answers when the task likes, if at all. */
static void nobody_is_waited_for(void **state) {
        Fixture *f = *state;
        char to[128], options[128];
        /* A kernel, or valgrind, that does not know the call would wait. */
        struct open_how how = { .flags = O_PATH };
        _cleanup_close_ int known = (int) syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
        _cleanup_close_ int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

        if (known < 0 || fuse < 0 || !mounts_begin(f))
                skip();
        snprintf(to, sizeof to, "%s/tree/sub", f->path);
        assert_int_equal(mkdirat(f->dir, "tree", 0755), 0);
        assert_int_equal(mkdirat(f->dir, "tree/sub", 0755), 0);
        snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=0", fuse, (int) geteuid());
        if (mount("silent", to, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
                assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
                skip();
        }
        (void) alarm(20);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), -EXDEV);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), -EXDEV);
        (void) alarm(0);
        assert_int_equal(umount2(to, MNT_DETACH), 0);
        assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
}

static void owner_swaps_entries(void **state) {
        Fixture *f = *state;

        if (geteuid() != 0)
                skip();         /* only root removes what belongs to a stranger */
        for (unsigned round = 0; round < 40; round++) {
                struct stat st;
                pid_t pid;

                assert_int_equal(mkdirat(f->dir, "tree", 0777), 0);
                assert_int_equal(fchownat(f->dir, "tree", STRANGER, STRANGER, 0), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        if (setgid(STRANGER) < 0 || setuid(STRANGER) < 0)
                                _exit(99);
                        _exit(swap_for_ever(f));
                }
                /* Until it is at work. */
                while (fstatat(f->dir, "tree/d3/dir", &st, 0) < 0)
                        sched_yield();
                assert_int_equal(fd_remove_tree_at(f->dir, "tree"), 0);
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                assert_int_equal(faccessat(f->dir, "safe/dir/file", F_OK, 0), 0);
        }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(ordinary), TEST(not_a_directory), TEST(names_refused), TEST(links_are_not_followed), TEST(very_deep),
                TEST(closed_directories), TEST(errors_are_said), TEST(mounts_are_not_entered), TEST(nobody_is_waited_for), TEST(owner_swaps_entries),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
