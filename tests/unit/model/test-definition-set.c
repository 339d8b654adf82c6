/* test-definition-set.c: directories, precedence, masks, drop-ins, last good versions, duplicates, and who may own what. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/str.h"
#include "model/definition.h"

/* Three directories a, b, c in a fresh one, and settings that look there. */
typedef struct Fixture {
        char root[64];
        char *dirs[4];
        Settings settings;
        DefinitionSet *set;
        Str problems;
} Fixture;

static void setup(Fixture *f) {
        *f = (Fixture) { .root = "/tmp/test-definition-set.XXXXXX", .set = definition_set_new() };
        assert_non_null(f->set);
        assert_non_null(mkdtemp(f->root));
        for (int i = 0; i < 3; i++) {
                f->dirs[i] = str_new("%s/%c", f->root, 'a' + i);
                assert_int_equal(mkdir(f->dirs[i], 0755), 0);
        }
        f->settings = (Settings) { .user_mode = true, .task_dirs = f->dirs, .libexec_dir = f->root };
}

static void teardown(Fixture *f) {
        definition_set_free(f->set);
        for (int i = 0; i < 3; i++)
                free(f->dirs[i]);
        str_free(&f->problems);
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_remove_tree_at(tmp, f->root + strlen("/tmp/")), 0);
}
#define _cleanup_fixture_ _cleanup_(teardown)

static void put(const Fixture *f, const char *name, const char *text) {
        _cleanup_free_ char *path = str_new("%s/%s", f->root, name), *dir = strdup(path);
        *strrchr(dir, '/') = 0;
        assert_int_equal(fd_mkdirs(dir, 0755), 0);
        assert_int_equal(fd_write_file_at(AT_FDCWD, path, text, strlen(text), 0644, false), 0);
}

/* A definition that only differs by its description. */
static void put_task(const Fixture *f, const char *file, const char *name, unsigned version, const char *description) {
        _cleanup_free_ char *text = str_new("[Task]\nName=%s\nVersion=%u\nExecStart=/bin/true\nDescription=%s\n", name, version, description);
        put(f, file, text);
}

static void drop(const Fixture *f, const char *name) {
        _cleanup_free_ char *path = str_new("%s/%s", f->root, name);
        assert_int_equal(unlink(path), 0);
}

static void remember(void *userdata, const char *path, unsigned line, const char *sentence) {
        Fixture *f = userdata;
        str_printf(&f->problems, "%s:%u: %s\n", path + strlen(f->root) + 1, line, sentence);
}

static void load(Fixture *f, int problems) {
        str_reset(&f->problems);
        int r = definition_set_load(f->set, &f->settings, remember, f);
        if (r != problems)
                fail_msg("%d problems and not %d:\n%s", r, problems, f->problems.s ?: "");
}

static void said(const Fixture *f, const char *what) {
        if (!strstr(f->problems.s ?: "", what))
                fail_msg("not said: \"%s\", but:\n%s", what, f->problems.s ?: "");
}

static const char *description(const Fixture *f, const char *name, unsigned version) {
        Definition *d = definition_set_get(f->set, name, version);
        return d ? d->description : NULL;
}

static void path_is(const Fixture *f, const char *name, const char *expected) {
        const char *path = definition_set_path(f->set, name);
        if (!expected) {
                assert_null(path);
                return;
        }
        _cleanup_free_ char *full = str_new("%s/%s", f->root, expected);
        assert_non_null(path);
        assert_string_equal(path, full);
}

/* Which file `jobbersctl edit` takes: that of the newest version, whether it loads or not. */
static void paths(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "b/one.task", "x", 1, "one");
        put_task(&f, "b/two.task", "x", 2, "two");
        put_task(&f, "c/two-again.task", "x", 2, "not used");
        load(&f, 1);
        path_is(&f, "x", "b/two.task");
        put(&f, "a/three.task", "[Task]\nName=x\nVersion=3\nExecStart=/bin/true\nMaxRetries=-1\n");
        load(&f, 2);
        path_is(&f, "x", "a/three.task");
        put(&f, "a/three.task", "[Task]\nName=x\nVersion=2\nExecStart=/bin/true\nMaxRetries=-1\n");
        load(&f, 2);
        path_is(&f, "x", "b/two.task");
        put(&f, "a/three.task", "[Task]\nName=other name\n");
        load(&f, 4);
        path_is(&f, "x", "b/two.task");
}

static void empty(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        load(&f, 0);
        assert_int_equal(definition_set_size(f.set), 0);
        assert_null(definition_set_at(f.set, 0));
        assert_null(definition_set_get(f.set, "x", 1));
        assert_false(definition_set_may_define(f.set, "x"));
        /* A directory that is not there is none. */
        assert_int_equal(rmdir(f.dirs[1]), 0);
        load(&f, 0);
}

static void precedence(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "b/x.task", "x", 1, "from b");
        put_task(&f, "c/x.task", "x", 2, "from c");
        put_task(&f, "c/y.task", "y", 7, "y");
        put_task(&f, "a/y2.task", "y", 10, "y2");
        put(&f, "a/.hidden.task", "broken");
        put(&f, "a/notes.txt", "broken");
        put(&f, "a/old.task~", "broken");
        load(&f, 0);
        assert_int_equal(definition_set_size(f.set), 3);
        assert_string_equal(description(&f, "x", 1), "from b");
        assert_null(description(&f, "x", 2));
        /* By name, then version as a number. */
        assert_string_equal(definition_set_at(f.set, 0)->name, "x");
        assert_int_equal(definition_set_at(f.set, 1)->version, 7);
        assert_int_equal(definition_set_at(f.set, 2)->version, 10);
        assert_null(definition_set_at(f.set, 3));
        for (size_t i = 0; i < 3; i++) {
                Definition *d = definition_set_at(f.set, i);
                assert_ptr_equal(definition_set_get(f.set, d->name, d->version), d);
                assert_ptr_equal(definition_set_get_hash(f.set, d->hash), d);
        }
        assert_null(definition_set_get_hash(f.set, 1));
        assert_null(definition_set_get(f.set, "y", 8));

        put_task(&f, "a/x.task", "x", 1, "from a");
        load(&f, 0);
        assert_string_equal(description(&f, "x", 1), "from a");
        drop(&f, "a/x.task");
        drop(&f, "b/x.task");
        load(&f, 0);
        assert_string_equal(description(&f, "x", 2), "from c");
        drop(&f, "c/x.task");
        load(&f, 0);
        assert_int_equal(definition_set_size(f.set), 2);
}

static void masks(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        _cleanup_free_ char *link = str_new("%s/a/y.task", f.root);
        put_task(&f, "c/x.task", "x", 1, "x");
        put_task(&f, "c/y.task", "y", 1, "y");
        put(&f, "b/x.task", "");
        assert_int_equal(symlink("/dev/null", link), 0);
        load(&f, 0);
        assert_int_equal(definition_set_size(f.set), 0);
        assert_false(definition_set_may_define(f.set, "x"));
        assert_int_equal(unlink(link), 0);
        assert_int_equal(symlink("../c/y.task", link), 0);
        load(&f, 0);
        assert_string_equal(description(&f, "y", 1), "y");
        assert_int_equal(unlink(link), 0);
        assert_int_equal(symlink("nowhere", link), 0);
        load(&f, 1);
        said(&f, "a/y.task:0: cannot be read: No such file");
        assert_string_equal(description(&f, "y", 1), "y");
        assert_int_equal(unlink(link), 0);
        assert_int_equal(mkfifo(link, 0600), 0);
        load(&f, 1);
        said(&f, "a/y.task:0: cannot be read: it is not a regular file");
}

static void drop_ins(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "c/x.task", "x", 1, "base");
        put(&f, "c/x.task.d/10.conf", "[Task]\nDescription=ten\nEnvironment=A=1\nTimeoutSec=5\n");
        put(&f, "a/x.task.d/20.conf", "[Task]\nDescription=twenty\nEnvironment=B=2\n");
        put(&f, "a/x.task.d/readme", "broken");
        load(&f, 0);
        Definition *d = definition_set_get(f.set, "x", 1);
        assert_string_equal(d->description, "twenty");
        assert_string_equal(d->environment[0], "A=1");
        assert_string_equal(d->environment[1], "B=2");
        assert_int_equal(d->timeout, 5 * USEC_PER_SEC);
        uint64_t hash = d->hash;

        /* The same name in an earlier directory counts; the order is that of the names. */
        put(&f, "b/x.task.d/10.conf", "[Task]\nMaxRetries=8\n");
        put(&f, "c/x.task.d/30.conf", "[Task]\nDescription=\nEnvironment=\n[Parameters]\na=string\n");
        load(&f, 0);
        d = definition_set_get(f.set, "x", 1);
        assert_null(d->description);
        assert_null(d->environment);
        assert_true(d->timeout == USEC_INFINITY && d->max_retries == 8 && d->has_parameters && d->hash != hash);

        /* One that is masked, and one that is bad: reported where it is. */
        put(&f, "a/x.task.d/30.conf", "");
        put(&f, "a/x.task.d/40.conf", "[Task]\n\nMaxRetry=8\n");
        load(&f, 1);
        said(&f, "a/x.task.d/40.conf:3: unknown key MaxRetry=");
        assert_null(definition_set_get(f.set, "x", 1)->environment);
        drop(&f, "a/x.task.d/40.conf");
        load(&f, 0);
        assert_string_equal(description(&f, "x", 1), "twenty");
        assert_false(definition_set_get(f.set, "x", 1)->has_parameters);
}

static void last_good(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "b/x.task", "x", 1, "good");
        put_task(&f, "b/y.task", "y", 1, "y");
        load(&f, 0);
        Definition *held = definition_ref(definition_set_get(f.set, "x", 1));

        put(&f, "b/x.task", "[Task]\nName=x\nVersion=2\nExecStart=/bin/true\nTimeoutSecs=3\nMaxRetries=-1\n");
        load(&f, 2);
        said(&f, "b/x.task:5: unknown key TimeoutSecs=");
        said(&f, "b/x.task:6: MaxRetries=-1");
        assert_ptr_equal(definition_set_get(f.set, "x", 1), held);
        assert_string_equal(description(&f, "y", 1), "y");
        /* Version 2 may be what it will define: its tasks wait; nobody else's do. */
        assert_true(definition_set_may_define(f.set, "x"));
        assert_false(definition_set_may_define(f.set, "y"));
        assert_false(definition_set_may_define(f.set, "z"));
        path_is(&f, "x", "b/x.task");
        path_is(&f, "y", "b/y.task");
        path_is(&f, "z", NULL);
        load(&f, 2);
        assert_ptr_equal(definition_set_get(f.set, "x", 1), held);

        /* Without a name it may be anybody's. */
        put(&f, "b/x.task", "Name=x\n");
        load(&f, 4);
        assert_true(definition_set_may_define(f.set, "z"));

        put_task(&f, "b/x.task", "x", 1, "better");
        load(&f, 0);
        assert_string_equal(description(&f, "x", 1), "better");
        assert_false(definition_set_may_define(f.set, "z"));
        drop(&f, "b/x.task");
        load(&f, 0);
        assert_null(definition_set_get(f.set, "x", 1));
        /* Who holds a definition keeps it. */
        assert_string_equal(held->description, "good");
        definition_unref(held);

        /* Bad from the beginning: not in force, and may define what it says. */
        put(&f, "a/z.task", "[Task]\nName=z\n");
        load(&f, 2);
        assert_null(definition_set_get(f.set, "z", 1));
        assert_true(definition_set_may_define(f.set, "z"));
        assert_false(definition_set_may_define(f.set, "q"));
}

static void duplicates(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "a/m.task", "x", 1, "a/m");
        put_task(&f, "a/k.task", "x", 1, "a/k");
        put_task(&f, "b/a.task", "x", 1, "b/a");
        load(&f, 2);
        said(&f, "a/m.task:0: x version 1 is defined by");
        said(&f, "b/a.task:0: x version 1 is defined by");
        assert_string_equal(description(&f, "x", 1), "a/k");
        assert_int_equal(definition_set_size(f.set), 1);
        drop(&f, "a/k.task");
        load(&f, 1);
        assert_string_equal(description(&f, "x", 1), "a/m");
        /* A last good version gives way to a file that is good now. */
        put(&f, "a/m.task", "broken");
        load(&f, 4);
        assert_string_equal(description(&f, "x", 1), "b/a");
}

static void executables(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        _cleanup_free_ char *path = str_new("%s/tool", f.root);
        put(&f, "a/x.task", "[Task]\nName=x\nVersion=1\nExecStart=tool --fast\n");
        load(&f, 1);
        said(&f, "a/x.task:4: the executable ");
        said(&f, "does not exist");
        /* In force all the same: its tasks then fail with the reason, and work again when the tool is back. */
        assert_string_equal(definition_set_get(f.set, "x", 1)->argv[0], path);
        put(&f, "tool", "#!/bin/sh\n");
        load(&f, 1);
        said(&f, "is not executable; run: chmod +x");
        assert_int_equal(chmod(path, 0755), 0);
        load(&f, 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        load(&f, 1);
        said(&f, "is not a file");
}

/* SPEC 3, last sentence. Run by anyone but root, everything here belongs to somebody else than root. */
static void ownership(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        _cleanup_free_ char *tool = str_new("%s/bin/tool", f.root), *bin = str_new("%s/bin", f.root), *task = str_new("%s/a/x.task", f.root),
                            *conf = str_new("%s/a/x.task.d/1.conf", f.root), *link = str_new("%s/link", f.root);
        struct stat st;
        put(&f, "bin/tool", "#!/bin/sh\n");
        assert_int_equal(chmod(tool, 0755), 0);
        put(&f, "a/x.task", "[Task]\nName=x\nVersion=1\nExecStart=bin/tool\n");
        put(&f, "a/x.task.d/1.conf", "[Task]\nMaxRetries=1\n");
        load(&f, 0);
        f.settings.user_mode = false;
        if (geteuid() != 0) {
                load(&f, 2);
                said(&f, "belongs to uid");
                assert_null(definition_set_get(f.set, "x", 1));
                return;
        }
        load(&f, 0);
        assert_non_null(definition_set_get(f.set, "x", 1));

        /* Each thing on its own, in both ways; then it is mended. */
        const char *const things[] = { tool, bin, task, f.dirs[0], conf };
        for (size_t i = 0; i < ARRAY_SIZE(things); i++) {
                mode_t mode = stat(things[i], &st) == 0 ? st.st_mode & 07777 : 0;
                static const mode_t others[] = { 0002, 0020 };
                for (size_t k = 0; k < 2; k++) {
                        assert_int_equal(chmod(things[i], mode | others[k]), 0);
                        definition_set_free(f.set);
                        f.set = definition_set_new();
                        assert_true(definition_set_load(f.set, &f.settings, remember, &f) > 0);
                        said(&f, "can be written by users other than root; run: chmod go-w");
                        said(&f, things[i]);
                        assert_null(definition_set_get(f.set, "x", 1));
                        assert_true(definition_set_may_define(f.set, "x"));
                }
                assert_int_equal(chmod(things[i], mode), 0);
                assert_int_equal(chown(things[i], 65534, 0), 0);
                str_reset(&f.problems);
                assert_true(definition_set_load(f.set, &f.settings, remember, &f) > 0);
                said(&f, "belongs to uid 65534");
                assert_null(definition_set_get(f.set, "x", 1));
                assert_int_equal(chown(things[i], 0, 0), 0);
                load(&f, 0);
        }

        /* A sticky directory will do further up, as /tmp here, but not as the one it lies in. */
        assert_int_equal(chmod(bin, 01777), 0);
        load(&f, 1);
        said(&f, "/bin: move the file to one that only root can change");
        assert_int_equal(chmod(bin, 0755), 0);
        load(&f, 0);

        /* A link is followed to the directory behind it. */
        assert_int_equal(mkdir(link, 0777), 0);
        assert_int_equal(chmod(link, 0777), 0);
        put(&f, "link/tool", "#!/bin/sh\n");
        assert_int_equal(unlink(tool), 0);
        assert_int_equal(symlink("../link/tool", tool), 0);
        _cleanup_free_ char *target = str_new("%s/link/tool", f.root);
        assert_int_equal(chmod(target, 0755), 0);
        load(&f, 1);
        said(&f, "/link can be written by users other than root");
        assert_null(definition_set_get(f.set, "x", 1));
        assert_int_equal(chmod(link, 0755), 0);
        load(&f, 0);

        /* A last good version does not help what it runs, but stays where only its file is in doubt. */
        assert_int_equal(chmod(task, 0666), 0);
        load(&f, 1);
        assert_non_null(definition_set_get(f.set, "x", 1));
        assert_int_equal(chmod(target, 0777), 0);
        load(&f, 1);
        assert_null(definition_set_get(f.set, "x", 1));
}

/* A directory that cannot be read is not an empty one. Root can read anything, so it is made a loop of links. */
static void unreadable(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "b/x.task", "x", 1, "x");
        put_task(&f, "c/y.task", "y", 1, "y");
        load(&f, 0);
        _cleanup_free_ char *aside = str_new("%s/aside", f.root);
        assert_int_equal(rename(f.dirs[1], aside), 0);
        assert_int_equal(symlink("b", f.dirs[1]), 0);
        /* Also what y would have had from it is not known. */
        load(&f, 2);
        said(&f, "b/y.task.d:0: the directory cannot be read");
        said(&f, "b:0: the directory cannot be read");
        assert_string_equal(description(&f, "x", 1), "x");
        assert_string_equal(description(&f, "y", 1), "y");
        assert_true(definition_set_may_define(f.set, "anything"));
        load(&f, 2);
        assert_string_equal(description(&f, "x", 1), "x");
        assert_int_equal(unlink(f.dirs[1]), 0);
        load(&f, 0);
        assert_null(definition_set_get(f.set, "x", 1));
        assert_false(definition_set_may_define(f.set, "anything"));
}

static int verify(Fixture *f, const char *name) {
        _cleanup_free_ char *path = str_new("%s/%s", f->root, name);
        str_reset(&f->problems);
        return definition_verify_file(path, &f->settings, remember, f);
}

/* The account may be made yet: the definition counts. */
static void accounts(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put(&f, "a/x.task", "[Task]\nName=x\nVersion=1\nExecStart=/bin/true\nUser=no-such-user\nGroup=no-such-group\n");
        put(&f, "a/y.task", "[Task]\nName=y\nVersion=1\nExecStart=/bin/true\nUser=root\nGroup=0\n");
        load(&f, 2);
        said(&f, "a/x.task:0: User=no-such-user: there is no such user on this host");
        said(&f, "a/x.task:0: Group=no-such-group: there is no such group on this host");
        assert_non_null(definition_set_get(f.set, "x", 1));
        assert_int_equal(verify(&f, "a/x.task"), 2);
        assert_int_equal(verify(&f, "a/y.task"), 0);
}

static void verifying(void **state) {
        _cleanup_fixture_ Fixture f;
        setup(&f);
        put_task(&f, "x.task", "x", 1, "x");
        assert_int_equal(verify(&f, "x.task"), 0);
        put(&f, "x.task.d/1.conf", "[Task]\nBroken=1\n");
        assert_int_equal(verify(&f, "x.task"), 1);
        said(&f, "x.task.d/1.conf:2: unknown key Broken=");
        assert_int_equal(verify(&f, "x.task.d/1.conf"), 1);
        put(&f, "x.task.d/1.conf", "[Task]\nMaxRetries=1\n");
        assert_int_equal(verify(&f, "x.task.d/1.conf"), 0);
        assert_int_equal(verify(&f, "x.task"), 0);
        put(&f, "bad.task", "[Task]\nName=x\nVersion=one\nExecStart=/nowhere/x\nKillMode=process\n");
        assert_int_equal(verify(&f, "bad.task"), 2);
        said(&f, "bad.task:3: Version=one");
        said(&f, "bad.task:5: KillMode=process");
        put(&f, "gone.task", "[Task]\nName=x\nVersion=1\nExecStart=/nowhere/x\n");
        assert_int_equal(verify(&f, "gone.task"), 1);
        said(&f, "gone.task:4: the executable /nowhere/x does not exist");
        put(&f, "empty.task", "");
        assert_int_equal(verify(&f, "empty.task"), 1);
        assert_int_equal(verify(&f, "missing.task"), 1);
        said(&f, "missing.task:0: cannot be read");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(empty),
                cmocka_unit_test(paths),
                cmocka_unit_test(precedence),
                cmocka_unit_test(masks),
                cmocka_unit_test(drop_ins),
                cmocka_unit_test(last_good),
                cmocka_unit_test(duplicates),
                cmocka_unit_test(executables),
                cmocka_unit_test(ownership),
                cmocka_unit_test(unreadable),
                cmocka_unit_test(accounts),
                cmocka_unit_test(verifying),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
