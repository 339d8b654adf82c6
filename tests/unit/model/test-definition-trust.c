/* test-definition-trust.c: the links on the way to an executable, and what is looked at again at each start. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "model/definition-trust.h"

static char root[64];
static unsigned readlinks;

/* The C library's own, counted: the walk is what reads links. */
ssize_t readlink(const char *path, char *buf, size_t size) {
        readlinks++;
        return syscall(SYS_readlinkat, AT_FDCWD, path, buf, size);
}

static int setup(void **state) {
        strcpy(root, "/tmp/test-definition-trust.XXXXXX");
        assert_non_null(mkdtemp(root));
        /* bin/tool -> ../open/middle -> ../real/dir/tool, where real is a link to deep */
        static const char *const dirs[] = { "bin", "open", "deep", "deep/dir" };
        assert_int_equal(chdir(root), 0);
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
                assert_int_equal(mkdir(dirs[i], 0755), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, "deep/dir/tool", "x", 1, 0755, false), 0);
        assert_int_equal(chmod("deep/dir/tool", 0755), 0);
        assert_int_equal(symlink("deep", "real"), 0);
        assert_int_equal(symlink("../real/dir/tool", "open/middle"), 0);
        assert_int_equal(symlink("../open/middle", "bin/tool"), 0);
        return 0;
}

static int teardown(void **state) {
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(chdir("/"), 0);
        return fd_remove_tree_at(tmp, root + strlen("/tmp/"));
}

static int check(TrustStamp *stamp, char **ret_sentence) {
        _cleanup_free_ char *path = str_new("%s/bin/tool", root);
        char *argv[] = { path, NULL };
        const Definition d = { .argv = argv };
        *ret_sentence = NULL;
        return trust_check_start(&d, stamp, ret_sentence);
}

static void trusted(TrustStamp *stamp) {
        _cleanup_free_ char *sentence = NULL;
        if (check(stamp, &sentence) != 0)
                fail_msg("%s", sentence);
}

static void refused(TrustStamp *stamp, const char *why) {
        _cleanup_free_ char *sentence = NULL;
        assert_int_equal(check(stamp, &sentence), -EPERM);
        assert_non_null(strstr(sentence, why));
        assert_int_equal(stamp->n, 0);
}

/* Each directory from which a name is taken on the way, whether it is found at first or after it was right. */
static void every_link(void **state) {
        static const char *const dirs[] = { "bin", "open", "deep/dir", "." };
        TrustStamp stamp = {};
        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                static const mode_t modes[] = { 0777, 0775, 01777 };
                for (size_t m = 0; m < ARRAY_SIZE(modes); m++) {
                        trusted(&stamp);
                        assert_int_equal(chmod(dirs[i], modes[m]), 0);
                        refused(&stamp, modes[m] == 01777 ? "users other than root can put files into directory" : "can be written by users other than root");
                        refused(&stamp, root);
                        assert_int_equal(chmod(dirs[i], 0755), 0);
                }
                trusted(&stamp);
                assert_int_equal(chown(dirs[i], 65534, 0), 0);
                refused(&stamp, "belongs to uid 65534");
                assert_int_equal(chown(dirs[i], 0, 0), 0);
        }
        /* Further up, and not on the way by a link. */
        assert_int_equal(chmod("deep", 01777), 0);
        trusted(&stamp);
        assert_int_equal(unlink("real"), 0);
        assert_int_equal(symlink("real", "real"), 0);
        _cleanup_free_ char *sentence = NULL;
        assert_int_equal(check(&stamp, &sentence), 1);
        trust_stamp_done(&stamp);
}

static void only_what_changed_is_checked_again(void **state) {
        TrustStamp stamp = {};
        if (geteuid() != 0)
                skip();
        trusted(&stamp);
        assert_true(readlinks > 3);
        assert_int_equal(stamp.n, 5);           /* the file, bin, open, the directory of real, deep/dir */
        readlinks = 0;
        trusted(&stamp);
        assert_int_equal(readlinks, 0);

        /* Another file in its place, a link that leads elsewhere, another owner or mode: looked at anew, and right or not. */
        assert_int_equal(fd_write_file_at(AT_FDCWD, "deep/dir/new", "y", 1, 0755, false), 0);
        assert_int_equal(chmod("deep/dir/new", 0755), 0);
        assert_int_equal(rename("deep/dir/new", "deep/dir/tool"), 0);
        trusted(&stamp);
        assert_true(readlinks > 3);
        readlinks = 0;
        assert_int_equal(mkdir("other", 0755), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, "other/tool", "z", 1, 0777, false), 0);
        assert_int_equal(chmod("other/tool", 0777), 0);
        assert_int_equal(symlink("../other/tool", "open/new"), 0);
        assert_int_equal(rename("open/new", "open/middle"), 0);
        refused(&stamp, "tool can be written by users other than root");
        assert_int_equal(chmod("other/tool", 0755), 0);
        trusted(&stamp);
        assert_int_equal(chown("other/tool", 65534, 0), 0);
        refused(&stamp, "belongs to uid 65534");
        trust_stamp_done(&stamp);
}

/* More than a stamp holds is not remembered, and right all the same. */
static void a_long_chain(void **state) {
        _cleanup_free_ char *sentence = NULL;
        TrustStamp stamp = {};
        if (geteuid() != 0)
                skip();
        for (char c = 'a'; c < 'a' + TRUST_PARTS_MAX; c++) {
                char link[] = { c, '/', 't', 0 }, target[] = { '.', '.', '/', (char) (c + 1), '/', 't', 0 };
                assert_int_equal(mkdir((char[]) { c, 0 }, 0755), 0);
                assert_int_equal(symlink(c == 'a' + TRUST_PARTS_MAX - 1 ? "../deep/dir/tool" : target, link), 0);
        }
        assert_int_equal(unlink("bin/tool"), 0);
        assert_int_equal(symlink("../a/t", "bin/tool"), 0);
        trusted(&stamp);
        assert_int_equal(stamp.n, 0);
        assert_int_equal(chmod("c", 0777), 0);
        refused(&stamp, "/c can be written by users other than root");
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = { T(every_link), T(only_what_changed_is_checked_again), T(a_long_chain) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
