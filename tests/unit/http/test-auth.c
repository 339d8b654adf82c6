/* Who may call: every rule of SPEC 7 as a decision. And how addresses are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "http/auth.h"
#include "http/listen.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

static void hosts(void **state) {
        assert_true(auth_host_is("127.0.0.1", "127.0.0.1"));
        assert_true(auth_host_is("127.0.0.1:8000", "127.0.0.1"));
        assert_true(auth_host_is("LocalHost:1", "localhost"));
        assert_true(auth_host_is("[::1]:8000", "::1"));
        assert_true(auth_host_is("[::1]", "::1"));
        assert_true(auth_host_is("a.example:443", "a.example:443"));
        assert_false(auth_host_is("a.example:444", "a.example:443"));
        assert_false(auth_host_is("a.example", "a.example:443"));
        assert_false(auth_host_is("127.0.0.1.evil", "127.0.0.1"));
        assert_false(auth_host_is("evil", "127.0.0.1"));
        assert_false(auth_host_is("", "127.0.0.1"));
        assert_false(auth_host_is(":8000", ""));
        assert_false(auth_host_is("[::1", "::1"));
        assert_false(auth_host_is("[::1]x", "::1"));
        assert_false(auth_host_is("localhost@evil", "localhost"));
}

static unsigned origin(const Auth *a, AuthRequest r) {
        const char *sentence = NULL;
        unsigned status = auth_check_origin(a, &r, &sentence);
        assert_true((status == 0) == (sentence == NULL));
        return status;
}

static void origins(void **state) {
        char *allow_hosts[] = { (char *) "jobs.example", NULL }, *allow_origins[] = { (char *) "https://ui.example", NULL };
        const Auth a = { .allow_hosts = allow_hosts, .allow_origins = allow_origins };
        const Auth plain = {};

        assert_int_equal(origin(&plain, (AuthRequest) { .local = "127.0.0.1", .host = "127.0.0.1:8000" }), 0);
        assert_int_equal(origin(&plain, (AuthRequest) { .local = "127.0.0.1", .host = "localhost" }), 0);
        assert_int_equal(origin(&plain, (AuthRequest) { .local = "10.0.0.5", .listen_name = "box.lan", .host = "box.lan:8000" }), 0);
        assert_int_equal(origin(&plain, (AuthRequest) { .local = "127.0.0.1", .host = "jobs.example" }), 403);
        assert_int_equal(origin(&a, (AuthRequest) { .local = "127.0.0.1", .host = "jobs.example" }), 0);
        assert_int_equal(origin(&plain, (AuthRequest) { .local = "127.0.0.1" }), 403);
        assert_int_equal(origin(&plain, (AuthRequest) { .local = "", .host = "" }), 403);
        assert_int_equal(origin(&plain, (AuthRequest) { .local = "127.0.0.1", .host = "localhost", .origin = "https://ui.example" }), 403);
        assert_int_equal(origin(&a, (AuthRequest) { .local = "127.0.0.1", .host = "localhost", .origin = "https://ui.example" }), 0);
        assert_int_equal(origin(&a, (AuthRequest) { .local = "127.0.0.1", .host = "localhost", .origin = "https://ui.example.evil" }), 403);
        assert_int_equal(origin(&a, (AuthRequest) { .local = "127.0.0.1", .host = "localhost", .origin = "null" }), 403);
}

static void unix_peers(void **state) {
        const Auth user = { .own_uid_only = true, .uid = 1000 }, system = { .uid = 1000 };

        assert_int_equal(origin(&user, (AuthRequest) { .is_unix = true, .peer_uid = 1000, .host = "evil", .origin = "evil" }), 0);
        assert_int_equal(origin(&user, (AuthRequest) { .is_unix = true, .peer_uid = 0 }), 0);
        assert_int_equal(origin(&user, (AuthRequest) { .is_unix = true, .peer_uid = 1001 }), 403);
        assert_int_equal(origin(&user, (AuthRequest) { .is_unix = true, .peer_uid = (uid_t) -1 }), 403);
        assert_int_equal(origin(&system, (AuthRequest) { .is_unix = true, .peer_uid = 1001 }), 0);      /* the file's mode decides */
}

static unsigned token(const Auth *a, bool is_unix, const char *authorization) {
        const char *sentence = NULL;
        return auth_check_token(a, &(AuthRequest) { .is_unix = is_unix, .authorization = authorization }, &sentence);
}

static void tokens(void **state) {
        const Auth a = { .token = (char *) TOKEN }, none = { .no_auth = true }, empty = {};

        assert_int_equal(token(&a, false, "Bearer " TOKEN), 0);
        assert_int_equal(token(&a, false, "bearer   " TOKEN), 0);
        assert_int_equal(token(&a, true, NULL), 0);
        assert_int_equal(token(&none, false, NULL), 0);
        assert_int_equal(token(&a, false, NULL), 401);
        assert_int_equal(token(&a, false, ""), 401);
        assert_int_equal(token(&a, false, "Bearer"), 401);
        assert_int_equal(token(&a, false, "Bearer "), 401);
        assert_int_equal(token(&a, false, TOKEN), 401);
        assert_int_equal(token(&a, false, "Basic " TOKEN), 401);
        assert_int_equal(token(&a, false, "Bearer " TOKEN "x"), 401);
        assert_int_equal(token(&a, false, "Bearer 0123456789abcdef0123456789abcdeF"), 401);
        assert_int_equal(token(&empty, false, "Bearer "), 401);         /* no token is not the empty token */
}

static void content_types(void **state) {
        assert_true(auth_content_is_json("application/json"));
        assert_true(auth_content_is_json("Application/JSON ; charset=utf-8"));
        assert_false(auth_content_is_json(NULL));
        assert_false(auth_content_is_json(""));
        assert_false(auth_content_is_json("application/jsonp"));
        assert_false(auth_content_is_json("text/plain; application/json"));
}

static void token_files(void **state) {
        char dir[] = "/tmp/jobbers-auth-XXXXXX";
        assert_non_null(mkdtemp(dir));
        _cleanup_free_ char *path = str_new("%s/new/token", dir);
        Settings s = { .user_mode = true, .token_file = path, .state_dir = dir };
        Identity me = { .uid = getuid(), .gid = getgid() };
        Auth a, b;
        struct stat st;

        assert_int_equal(auth_load(&a, &s, &me, true), 0);
        assert_int_equal(strlen(a.token), 64);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(auth_load(&b, &s, &me, true), 0);
        assert_string_equal(a.token, b.token);
        auth_done(&b);
        auth_done(&a);

        static const struct {
                const char *text, *token;
        } cases[] = { { "  " TOKEN "\n\n", TOKEN }, { "", NULL }, { "short\n", NULL }, { TOKEN " " TOKEN, NULL } };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                assert_int_equal(fd_write_file_at(AT_FDCWD, path, cases[i].text, strlen(cases[i].text), 0600, false), 0);
                int r = auth_load(&a, &s, &me, true);
                assert_true((r == 0) == (cases[i].token != NULL));
                if (r == 0)
                        assert_string_equal(a.token, cases[i].token);
                auth_done(&a);
        }
        _cleanup_close_ int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(fd_remove_tree_at(tmp, dir + strlen("/tmp/")), 0);
}

static void addresses(void **state) {
        static const struct {
                const char *text, *host, *port;
        } good[] = { { "127.0.0.1:8000", "127.0.0.1", "8000" }, { "[::1]:80", "::1", "80" }, { "localhost:0", "localhost", "0" },
                     { ":8000", NULL, "8000" }, { "*:1", NULL, "1" }, { "[fe80::1%eth0]:1", "fe80::1%eth0", "1" } };
        static const char *const bad[] = { "", "8000", "host", "host:", "host:x", "host:65536", "::1:80", "[::1]80", "[::1:80", "[]:80", "host:-1" };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                _cleanup_free_ char *host = NULL, *port = NULL;
                assert_int_equal(listen_parse(good[i].text, &host, &port), 0);
                assert_string_equal(port, good[i].port);
                assert_true((host == NULL) == (good[i].host == NULL));
                if (host)
                        assert_string_equal(host, good[i].host);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                char *host = NULL, *port = NULL;
                assert_int_equal(listen_parse(bad[i], &host, &port), -EINVAL);
                assert_null(host);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hosts), cmocka_unit_test(origins), cmocka_unit_test(unix_peers), cmocka_unit_test(tokens),
                cmocka_unit_test(content_types), cmocka_unit_test(token_files), cmocka_unit_test(addresses),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
