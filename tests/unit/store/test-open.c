/* Opening: who may, what is refused and with which sentence, the epoch, what a close leaves. */
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fixture.h"

/* Opens in a process of its own (record locks are a process's) and gives back the error and the sentence. */
static int open_elsewhere(const char *path, char *sentence, size_t size) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Store *s = NULL;
                char *text = NULL;
                int r = store_open(&s, path, &text);
                if (write(fds[1], &r, sizeof r) != sizeof r || (text && write(fds[1], text, strlen(text)) < 0))
                        _exit(9);
                _exit(0);
        }
        close(fds[1]);
        int r = 1;
        assert_int_equal(read(fds[0], &r, sizeof r), sizeof r);
        size_t n = 0;
        for (ssize_t k; n < size - 1 && (k = read(fds[0], sentence + n, size - 1 - n)) > 0;)
                n += (size_t) k;
        sentence[n] = 0;
        close(fds[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        return r;
}

static void must_refuse(Fixture *f, int want, const char *word) {
        store_close(f->store);
        f->store = NULL;
        _cleanup_free_ char *sentence = NULL;
        int r = store_open(&f->store, f->path, &sentence);
        if (r != want)
                print_message("%d: %s\n", r, sentence ? sentence : "");
        assert_int_equal(r, want);
        assert_null(f->store);
        assert_non_null(sentence);
        assert_non_null(strstr(sentence, f->path));
        assert_non_null(strstr(sentence, word));
        assert_null(strstr(sentence, "***"));           /* SQLite's heading */
}

static void sql(Fixture *f, const char *text) {
        sqlite3 *db;
        store_close(f->store);
        f->store = NULL;
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void second_is_refused(void **state) {
        Fixture *f = *state;
        char sentence[512], pid[32];
        snprintf(pid, sizeof pid, "process %ld.", (long) getpid());
        assert_int_equal(open_elsewhere(f->path, sentence, sizeof sentence), -EBUSY);
        assert_non_null(strstr(sentence, pid));
        assert_non_null(strstr(sentence, f->path));
        /* The refused one hurt nothing, and the lock ends with its holder. */
        task_put(f->store, "q", "n", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        store_close(f->store);
        f->store = NULL;
        assert_int_equal(open_elsewhere(f->path, sentence, sizeof sentence), 0);
        assert_string_equal(sentence, "");
        fixture_open(f);
}

static void another_program_has_it(void **state) {
        Fixture *f = *state;
        store_close(f->store);
        f->store = NULL;
        sqlite3 *db;
        assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM meta", NULL, NULL, NULL), SQLITE_OK);
        char sentence[512];
        assert_int_equal(open_elsewhere(f->path, sentence, sizeof sentence), -EBUSY);
        assert_non_null(strstr(sentence, "another program"));
        sqlite3_close(db);
}

static void newer_is_refused(void **state) {
        Fixture *f = *state;
        sql(f, "PRAGMA user_version = 1000");
        must_refuse(f, -ENOTSUP, "newer");
        sql(f, "PRAGMA user_version = 1");
        fixture_open(f);
}

static void strangers_are_refused(void **state) {
        Fixture *f = *state;
        sql(f, "PRAGMA application_id = 0");
        must_refuse(f, -EBADMSG, "not made by jobbers");
        int fd = open(f->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_true(fd >= 0);
        char text[8192];
        memset(text, 'x', sizeof text);
        assert_int_equal(fd_write_all(fd, text, sizeof text), 0);
        close(fd);
        must_refuse(f, -EBADMSG, "no SQLite database");
}

static void damage(Fixture *f, off_t page, bool unclean) {
        for (int i = 0; i < 3000; i++)
                task_put(f->store, "q", "n", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        if (unclean)
                sql(f, "UPDATE meta SET value = '' WHERE name = 'clean'");
        store_close(f->store);
        f->store = NULL;
        int fd = open(f->path, O_RDWR | O_CLOEXEC);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_size > 20 * 4096);
        char junk[4096];
        memset(junk, 0xa5, sizeof junk);
        assert_int_equal(pwrite(fd, junk, sizeof junk, page >= 0 ? page * 4096 : st.st_size + page * 4096), sizeof junk);
        close(fd);
        must_refuse(f, -EBADMSG, "damaged");
}

static void damage_is_found(void **state) {
        damage(*state, 25, false);
}

static void damage_at_the_end_is_found(void **state) {
        damage(*state, -2, true);
}

static void cut_file_is_found(void **state) {
        Fixture *f = *state;
        for (int i = 0; i < 3000; i++)
                task_put(f->store, "q", "n", 0, 0);
        assert_int_equal(store_commit(f->store), 0);
        store_close(f->store);
        f->store = NULL;
        assert_int_equal(truncate(f->path, 10 * 4096), 0);
        must_refuse(f, -EBADMSG, "damaged");
}

static void bad_paths(void **state) {
        Fixture *f = *state;
        store_close(f->store);
        f->store = NULL;
        char old[96];
        strcpy(old, f->path);
        snprintf(f->path, sizeof f->path, "%s/none/jobbers.db", f->directory);
        must_refuse(f, -ENOENT, "No such file");
        strcpy(f->path, old);
}

static void modes(void **state) {
        Fixture *f = *state;
        mode_t mask = umask(0);
        store_close(f->store);
        assert_int_equal(unlink(f->path), 0);
        f->store = NULL;
        fixture_open(f);
        umask(mask);
        static const char *const files[] = { "jobbers.db", "jobbers.db-wal", "jobbers.db.lock", "epoch", "ballast" };
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                char path[160];
                struct stat st;
                snprintf(path, sizeof path, "%s/%s", f->directory, files[i]);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_mode & 0777, 0600);
        }
        char shm[160];
        snprintf(shm, sizeof shm, "%s-shm", f->path);
        assert_int_equal(access(shm, F_OK), -1);
}

static void copy(const char *from, const char *to) {
        _cleanup_free_ char *data = NULL;
        size_t n;
        assert_int_equal(fd_read_file_at(AT_FDCWD, from, 16 << 20, &data, &n), 0);
        int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, n), 0);
        close(fd);
}

static void backup_is_noticed(void **state) {
        Fixture *f = *state;
        char backup[112];
        snprintf(backup, sizeof backup, "%s.backup", f->path);
        assert_false(store_restored(f->store));
        fixture_reopen(f);
        assert_false(store_restored(f->store));
        store_close(f->store);
        copy(f->path, backup);
        fixture_open(f);
        assert_false(store_restored(f->store));
        store_close(f->store);
        copy(backup, f->path);
        /* Until the operator says so, and no restart says it for them. */
        fixture_open(f);
        for (int i = 0; i < 3; i++) {
                assert_true(store_restored(f->store));
                fixture_reopen(f);
        }
        task_put(f->store, "q", "n", 0, 0);
        assert_int_equal(store_restored_accept(f->store), -EBUSY);
        assert_int_equal(store_commit(f->store), 0);
        assert_int_equal(store_restored_accept(f->store), 0);
        assert_false(store_restored(f->store));
        fixture_reopen(f);
        assert_false(store_restored(f->store));
        /* The other way: without the file. */
        store_close(f->store);
        copy(backup, f->path);
        char epoch[160];
        snprintf(epoch, sizeof epoch, "%s/epoch", f->directory);
        assert_int_equal(unlink(epoch), 0);
        fixture_open(f);
        assert_false(store_restored(f->store));
        /* A new database in an old directory is no backup. */
        store_close(f->store);
        assert_int_equal(unlink(f->path), 0);
        f->store = NULL;
        fixture_open(f);
        assert_false(store_restored(f->store));
        /* A broken epoch file keeps nobody from starting. */
        int fd = open(epoch, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(fd_write_all(fd, "soon\n", 5), 0);
        close(fd);
        fixture_reopen(f);
        assert_false(store_restored(f->store));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(second_is_refused), TEST(another_program_has_it), TEST(newer_is_refused), TEST(strangers_are_refused), TEST(damage_is_found),
                TEST(damage_at_the_end_is_found), TEST(cut_file_is_found), TEST(bad_paths), TEST(modes), TEST(backup_is_noticed),
        };
        return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
