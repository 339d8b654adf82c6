/* test-fd.c: reads, writes, files, directories, descriptors over sockets, sockets with long paths. */
#include "base/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/str.h"

typedef struct Fixture {
        char path[64];
        int dir;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof *f);

        *state = f;
        if (!f)
                return -1;
        strcpy(f->path, "/tmp/jobbers-fd-XXXXXX");
        if (!mkdtemp(f->path))
                return -1;
        f->dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return f->dir < 0 ? -1 : 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r = fd_remove_tree_at(AT_FDCWD, "no such entry here");

        fd_close(f->dir);
        f->dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = r ?: fd_remove_tree_at(f->dir, f->path + 5);
        fd_close(f->dir);
        free(f);
        return r;
}

static unsigned count_fds(void) {
        unsigned n = 0;

        for (int fd = 0; fd < 256; fd++)
                n += fcntl(fd, F_GETFD) >= 0;
        return n;
}

static void assert_cloexec(int fd) {
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void closing(void **state) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), copy = fd;

        errno = 4711;
        fd = fd_close(fd);
        assert_int_equal(errno, 4711);
        assert_int_equal(fd, -1);
        assert_int_equal(fcntl(copy, F_GETFD), -1);
        errno = 4711;
        fd_close_p(&fd);
        assert_int_equal(fd, -1);
        assert_int_equal(errno, 4711);
        {
                _cleanup_close_ int scoped = open("/dev/null", O_RDONLY | O_CLOEXEC);

                copy = scoped;
                assert_true(copy >= 0);
        }
        assert_int_equal(fcntl(copy, F_GETFD), -1);
}

static void read_limits(void **state) {
        static const size_t sizes[] = { 0, 1, 1021, 1022, 1023, 1024, 1025, 2047, 2048, 5000, 60000 };
        static char data[60001];

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char) (i * 7);
        /* The same from a file, whose size is known, and from a pipe, whose size is not; at, over and under the limit. */
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                for (unsigned piped = 0; piped < 2; piped++)
                        for (int over = -1; over <= 1; over++) {
                                size_t n = sizes[i], max = n + (size_t) over, len = 4711;
                                _cleanup_free_ char *text = NULL;
                                _cleanup_close_ int in = -1;
                                Fixture *f = *state;
                                int r;

                                if (n == 0 && over < 0)
                                        continue;
                                if (piped) {
                                        int p[2];

                                        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
                                        in = p[0];
                                        assert_int_equal(fd_write_all(p[1], data, n), 0);
                                        fd_close(p[1]);
                                        r = fd_read_all(in, max, &text, &len);
                                } else {
                                        assert_int_equal(fd_write_file_at(f->dir, "data", data, n, 0600, false), 0);
                                        r = fd_read_file_at(f->dir, "data", max, &text, &len);
                                }
                                if (over < 0) {
                                        assert_int_equal(r, -EFBIG);
                                        assert_null(text);
                                        assert_int_equal(len, 4711);
                                } else {
                                        assert_int_equal(r, 0);
                                        assert_int_equal(len, n);
                                        assert_memory_equal(text, data, n);
                                        assert_int_equal(text[n], 0);
                                }
                        }
}

static void read_without_limit_or_length(void **state) {
        _cleanup_free_ char *text = NULL;
        Fixture *f = *state;
        char *none = NULL;

        assert_int_equal(fd_write_file_at(f->dir, "a", "xyz", 3, 0600, false), 0);
        assert_int_equal(fd_read_file_at(f->dir, "a", SIZE_MAX - 2, &text, NULL), 0);
        assert_string_equal(text, "xyz");
        assert_int_equal(fd_read_file_at(f->dir, "a", SIZE_MAX, &none, NULL), -EINVAL);
        assert_int_equal(fd_read_all(-1, 10, &none, NULL), -EBADF);
        assert_null(none);
}

static void read_only_regular_files(void **state) {
        static const char *const bad[] = { "link", "dangling", "fifo", "directory", "socket" };
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_free_ char *path = NULL;
        Fixture *f = *state;
        char *text = NULL;

        assert_int_equal(fd_write_file_at(f->dir, "file", "x", 1, 0600, false), 0);
        assert_int_equal(symlinkat("file", f->dir, "link"), 0);
        assert_int_equal(symlinkat("nowhere", f->dir, "dangling"), 0);
        assert_int_equal(mkfifoat(f->dir, "fifo", 0600), 0);
        assert_int_equal(mkdirat(f->dir, "directory", 0700), 0);
        path = str_new("%s/socket", f->path);
        assert_int_equal(fd_bind_unix(sock, path), 0);

        alarm(10);      /* a FIFO without a writer must not hold us up */
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                if (fd_read_file_at(f->dir, bad[i], 100, &text, NULL) != -EINVAL)
                        fail_msg("%s was read", bad[i]);
        alarm(0);
        assert_int_equal(fd_read_file_at(f->dir, "missing", 100, &text, NULL), -ENOENT);
        assert_null(text);
}

static void write_whole(void **state) {
        static char data[300000];
        _cleanup_free_ char *got = NULL;
        size_t len;
        int p[2];
        pid_t pid;

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char) (i * 13);
        /* More than a pipe holds: the writer is stopped and goes on several times. */
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                _exit(fd_write_all(p[1], data, sizeof data) == 0 ? 0 : 1);
        fd_close(p[1]);
        assert_int_equal(fd_read_all(p[0], sizeof data, &got, &len), 0);
        assert_int_equal(len, sizeof data);
        assert_memory_equal(got, data, sizeof data);
        fd_close(p[0]);
        assert_int_equal(fd_write_all(-1, "x", 1), -EBADF);
        assert_int_equal(fd_write_all(-1, NULL, 0), 0);
}

static void files_are_replaced(void **state) {
        _cleanup_free_ char *text = NULL, *old = NULL;
        _cleanup_close_ int reader = -1;
        Fixture *f = *state;
        mode_t mask = umask(0077);
        struct stat st;

        assert_int_equal(mkdirat(f->dir, "sub", 0755), 0);
        assert_int_equal(fd_write_file_at(f->dir, "sub/file", "one", 3, 0644, true), 0);
        reader = openat(f->dir, "sub/file", O_RDONLY | O_CLOEXEC);
        assert_int_equal(fd_write_file_at(f->dir, "sub/file", "second", 6, 0664, false), 0);
        umask(mask);
        assert_int_equal(fd_read_file_at(f->dir, "sub/file", 100, &text, NULL), 0);
        assert_string_equal(text, "second");
        /* Who had the old one open still reads the old one: it was not written over. */
        assert_int_equal(fd_read_all(reader, 100, &old, NULL), 0);
        assert_string_equal(old, "one");
        assert_int_equal(fstatat(f->dir, "sub/file", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0664);

        /* A link is replaced, not followed. */
        assert_int_equal(symlinkat("sub/file", f->dir, "link"), 0);
        assert_int_equal(fd_write_file_at(f->dir, "link", "third", 5, 0600, true), 0);
        assert_int_equal(fstatat(f->dir, "link", &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_true(S_ISREG(st.st_mode));
        free(TAKE_PTR(text));
        assert_int_equal(fd_read_file_at(f->dir, "sub/file", 100, &text, NULL), 0);
        assert_string_equal(text, "second");
}

static void failed_writes_leave_nothing(void **state) {
        _cleanup_close_ int sub = -1;
        Fixture *f = *state;
        char name[300];

        assert_int_equal(fd_write_file_at(f->dir, "missing/file", "x", 1, 0600, true), -ENOENT);
        assert_int_equal(mkdirat(f->dir, "sub", 0755), 0);
        assert_int_equal(mkdirat(f->dir, "sub/taken", 0755), 0);
        assert_int_equal(fd_write_file_at(f->dir, "sub/taken", "x", 1, 0600, true), -EISDIR);
        memset(name, 'x', sizeof name);
        memcpy(name, "sub/", 4);
        name[sizeof name - 1] = 0;
        assert_int_equal(fd_write_file_at(f->dir, name, "x", 1, 0600, false), -ENAMETOOLONG);
        /* With the one directory gone, sub must be empty. */
        assert_int_equal(unlinkat(f->dir, "sub/taken", AT_REMOVEDIR), 0);
        assert_int_equal(unlinkat(f->dir, "sub", AT_REMOVEDIR), 0);
}

static void directories(void **state) {
        _cleanup_free_ char *path = NULL, *slashes = NULL, *link = NULL, *file = NULL;
        Fixture *f = *state;
        mode_t mask = umask(0077);
        struct stat st;

        path = str_new("%s/a/b/c", f->path);
        assert_int_equal(fd_mkdirs(path, 0755), 0);
        umask(mask);
        assert_int_equal(fstatat(f->dir, "a", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        assert_int_equal(fstatat(f->dir, "a/b/c", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0755);

        /* What is there stays as it is. */
        assert_int_equal(fchmodat(f->dir, "a/b", 0700, 0), 0);
        slashes = str_new("%s//a/b//c/d//", f->path);
        assert_int_equal(fd_mkdirs(slashes, 0711), 0);
        assert_int_equal(fstatat(f->dir, "a/b", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(fstatat(f->dir, "a/b/c/d", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0711);

        assert_int_equal(symlinkat("a/b", f->dir, "link"), 0);
        link = str_new("%s/link/e", f->path);
        assert_int_equal(fd_mkdirs(link, 0755), 0);
        assert_int_equal(fstatat(f->dir, "a/b/e", &st, 0), 0);

        assert_int_equal(fd_write_file_at(f->dir, "file", "", 0, 0600, false), 0);
        file = str_new("%s/file", f->path);
        assert_int_equal(fd_mkdirs(file, 0755), -ENOTDIR);
        free(TAKE_PTR(file));
        file = str_new("%s/file/x", f->path);
        assert_int_equal(fd_mkdirs(file, 0755), -ENOTDIR);
        assert_int_equal(fd_mkdirs("", 0755), -ENOENT);
        assert_int_equal(fd_mkdirs("/", 0755), 0);
}

static void descriptors_travel(void **state) {
        int pair[2], pipes[2][2], fds[FD_PASS_MAX];
        unsigned before = count_fds();
        char buf[16], c;
        size_t n_fds;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(pipe2(pipes[0], O_CLOEXEC), 0);
        assert_int_equal(pipe2(pipes[1], O_CLOEXEC), 0);

        assert_int_equal(fd_send(pair[0], "hello", 5, (int[]) { pipes[0][0], pipes[1][1] }, 2, 0), 0);
        assert_int_equal(fd_send(pair[0], "plain", 5, NULL, 0, MSG_DONTWAIT), 0);
        assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, 0), 5);
        assert_memory_equal(buf, "hello", 5);
        assert_int_equal(n_fds, 2);
        assert_cloexec(fds[0]);
        assert_cloexec(fds[1]);
        assert_int_equal(fds[2], -1);

        /* They are the very pipes, in their order; the sender kept its own. */
        assert_int_equal(write(pipes[0][1], "1", 1), 1);
        assert_int_equal(read(fds[0], &c, 1), 1);
        assert_int_equal(c, '1');
        assert_int_equal(write(fds[1], "2", 1), 1);
        assert_int_equal(read(pipes[1][0], &c, 1), 1);
        assert_int_equal(c, '2');
        fd_close(fds[0]);
        fd_close(fds[1]);

        assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, 0), 5);
        assert_int_equal(n_fds, 0);
        assert_int_equal(fds[0], -1);
        assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, MSG_DONTWAIT), -EAGAIN);

        assert_int_equal(fd_send(pair[0], "x", 1, pipes[0], FD_PASS_MAX + 1, 0), -EINVAL);
        fd_close(pair[0]);
        assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, 0), 0);
        assert_int_equal(n_fds, 0);
        fd_close(pair[1]);
        for (unsigned i = 0; i < 4; i++)
                fd_close(pipes[i / 2][i % 2]);
        assert_int_equal(count_fds(), before);
}

static void sending_to_nobody_is_an_error(void **state) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fd_close(pair[1]);
        assert_int_equal(fd_send(pair[0], "x", 1, NULL, 0, 0), -EPIPE);         /* and no SIGPIPE */
        fd_close(pair[0]);
        assert_int_equal(fd_send(-1, "x", 1, NULL, 0, 0), -EBADF);
}

/* More descriptors than fd_send would: what a stranger may do. */
static void send_many(int sock, const void *data, size_t n, unsigned n_fds) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * 32)];
        } control = { .header = { CMSG_LEN(sizeof(int) * n_fds), SOL_SOCKET, SCM_RIGHTS } };
        struct iovec iov = { (void *) data, n };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds) };

        for (unsigned i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &(int) { STDIN_FILENO }, sizeof(int));
        assert_int_equal(sendmsg(sock, &m, 0), (ssize_t) n);
}

static void excess_is_closed(void **state) {
        int pair[2], fds[FD_PASS_MAX], on = 1;
        char buf[4];
        unsigned before;
        size_t n_fds;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        before = count_fds();
        for (unsigned n = 1; n <= 32; n++) {
                if (n == 16)    /* from here on with credentials beside them */
                        assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
                send_many(pair[0], "x", 1, n);
                assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, 0), 1);
                assert_int_equal(n_fds, MIN(n, FD_PASS_MAX));
                assert_int_equal(count_fds(), before + n_fds);
                for (size_t i = 0; i < n_fds; i++)
                        fd_close(fds[i]);
                assert_int_equal(count_fds(), before);
        }
        /* With a message that is too long, or empty, nobody would look at them. */
        send_many(pair[0], "12345", 5, 3);
        assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, 0), -EMSGSIZE);
        assert_int_equal(n_fds, 0);
        assert_int_equal(fds[0], -1);
        send_many(pair[0], "", 0, 3);
        assert_int_equal(fd_recv(pair[1], buf, sizeof buf, fds, &n_fds, 0), 0);
        assert_int_equal(n_fds, 0);
        assert_int_equal(count_fds(), before);
        fd_close(pair[0]);
        fd_close(pair[1]);
}

static void sockets_with_long_paths(void **state) {
        unsigned before = count_fds();
        Fixture *f = *state;

        /* Around the limit of 107 characters, and far over it. */
        for (size_t len = 104; len <= 400; len += len < 112 ? 1 : 96) {
                _cleanup_close_ int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
                _cleanup_close_ int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
                _cleanup_close_ int server = -1;
                _cleanup_str_ Str path = {};
                struct stat st;

                str_append(&path, f->path);
                while (path.len + 60 < len)
                        str_append(&path, "/abcdefghijklmnopqrstuvwxyz0123456789");
                assert_int_equal(fd_mkdirs(path.s, 0700), 0);
                str_append(&path, "/");
                while (path.len < len)
                        str_append(&path, "s");
                assert_int_equal(path.len, len);

                assert_int_equal(fd_connect_unix(client, path.s), -ENOENT);
                assert_int_equal(fd_bind_unix(listener, path.s), 0);
                assert_int_equal(stat(path.s, &st), 0);
                assert_true(S_ISSOCK(st.st_mode));
                assert_int_equal(listen(listener, 1), 0);
                assert_int_equal(fd_connect_unix(client, path.s), 0);
                server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                assert_true(server >= 0);
                assert_int_equal(fd_send(client, "x", 1, NULL, 0, 0), 0);
                assert_int_equal(recv(server, &(char) { 0 }, 1, 0), 1);
                {
                        _cleanup_close_ int second = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

                        assert_int_equal(fd_bind_unix(second, path.s), -EADDRINUSE);
                }
        }
        assert_int_equal(count_fds(), before);
}

static void socket_paths_refused(void **state) {
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_free_ char *path = NULL;
        char name[200];
        Fixture *f = *state;

        memset(name, 'n', sizeof name);
        name[sizeof name - 1] = 0;
        assert_int_equal(fd_bind_unix(sock, ""), -EINVAL);
        assert_int_equal(fd_bind_unix(sock, name), -ENAMETOOLONG);
        path = str_new("%s/%s", f->path, name);
        assert_int_equal(fd_bind_unix(sock, path), -ENAMETOOLONG);
        free(TAKE_PTR(path));
        path = str_new("%s/%s/sock", f->path, name);
        assert_int_equal(fd_connect_unix(sock, path), -ENOENT);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(closing),
                TEST(read_limits),
                TEST(read_without_limit_or_length),
                TEST(read_only_regular_files),
                cmocka_unit_test(write_whole),
                TEST(files_are_replaced),
                TEST(failed_writes_leave_nothing),
                TEST(directories),
                cmocka_unit_test(descriptors_travel),
                cmocka_unit_test(sending_to_nobody_is_an_error),
                cmocka_unit_test(excess_is_closed),
                TEST(sockets_with_long_paths),
                TEST(socket_paths_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
