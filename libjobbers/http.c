/* http.c: see http.h. The sentences are for people: they name what was not reached and say what to do about it. */
#include "libjobbers/http.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

#define SYSTEM_SOCKET "/run/jobbers/jobbers.sock"
#define TOKEN_FILE "/etc/jobbers/token"
#define TOKEN_MAX 4096
#define TIMEOUT_DEFAULT (30 * USEC_PER_SEC)

/* ── where the daemon is ── */

/* As jobbersd --user places it (model/settings.c). */
static char *user_socket(void) {
        const char *runtime = secure_getenv("XDG_RUNTIME_DIR"), *state = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
        if (runtime && *runtime == '/')
                return str_new("%s/jobbers/jobbers.sock", runtime);
        if (state && *state == '/')
                return str_new("%s/jobbers/run/jobbers.sock", state);
        return str_new("%s/.local/state/jobbers/run/jobbers.sock", home ? home : "");
}

/* "host", "host:port", "[v6]:port", "v6" or a URL. */
static char *url_of(const char *address) {
        if (strstr(address, "://")) {
                size_t n = strlen(address);
                while (n > 0 && address[n - 1] == '/')
                        n--;
                return strndup(address, n);
        }
        const char *colon = strchr(address, ':');
        if (colon && strchr(colon + 1, ':') && *address != '[')
                return str_new("http://[%s]:8000", address);
        const char *port = *address == '[' ? strstr(address, "]:") : colon;
        return str_new("http://%s%s", address, port ? "" : ":8000");
}

/* What NULL stands for. */
static char *default_socket(bool *ret_user) {
        const char *socket = secure_getenv("JOBBERS_SOCKET");
        if (socket && *socket)
                return strdup(socket);
        *ret_user = geteuid() != 0 && access(SYSTEM_SOCKET, F_OK) < 0;
        return *ret_user ? user_socket() : strdup(SYSTEM_SOCKET);
}

int http_init(Http *h, const char *address) {
        *h = (Http) { .timeout = TIMEOUT_DEFAULT };
        if (!address)
                h->socket = default_socket(&h->user);
        else if (STREQ(address, "system"))
                h->socket = strdup(SYSTEM_SOCKET);
        else if (STREQ(address, "user")) {
                h->user = true;
                h->socket = user_socket();
        } else if (strncmp(address, "unix:", 5) == 0)
                h->socket = strdup(address + 5);
        else if (*address == '/')
                h->socket = strdup(address);
        else {
                if (!*address)
                        return -EINVAL;
                if (strstr(address, "://") && strncmp(address, "http://", 7) != 0 && strncmp(address, "https://", 8) != 0)
                        return -EINVAL;
                const char *file = secure_getenv("JOBBERS_TOKEN_FILE");
                h->base = url_of(address);
                if (file && *file && !(h->token_file = strdup(file)))
                        return -ENOMEM;
                return h->base ? 0 : -ENOMEM;
        }
        h->base = strdup("http://localhost");
        return h->socket && h->base ? 0 : -ENOMEM;
}

void http_done(Http *h) {
        if (h->easy)
                h->curl.easy_cleanup(h->easy);
        if (h->headers)
                h->curl.slist_free_all(h->headers);
        curl_unload(&h->curl);
        free(h->base);
        free(h->socket);
        if (h->token)
                explicit_bzero(h->token, strlen(h->token));
        free(h->token);
        free(h->token_file);
        free(h->sentence);
        *h = (Http) {};
}

int http_fail(Http *h, int error, const char *format, ...) {
        char *sentence = NULL;
        va_list ap;
        va_start(ap, format);
        if (vasprintf(&sentence, format, ap) < 0)
                sentence = NULL;
        va_end(ap);
        free(h->sentence);
        h->sentence = sentence;
        return error;
}

/* ── getting ready ── */

static int header_add(Http *h, const char *header) {
        struct curl_slist *l = h->curl.slist_append(h->headers, header);
        if (!l)
                return -ENOMEM;
        h->headers = l;
        return 0;
}

/* Where no file was named and the usual one is not there, the daemon may do without a token (--no-auth), and says if not: "" then. */
static int token_read(Http *h) {
        const char *path = h->token_file ? h->token_file : TOKEN_FILE;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        char *text = NULL;
        int r = fd >= 0 ? fd_read_all(fd, TOKEN_MAX, &text, NULL) : -errno;
        if (r == -ENOENT && !h->token_file) {
                text = strdup("");
                r = text ? 0 : -ENOMEM;
        }
        if (r < 0)
                return http_fail(h, r == -ENOMEM ? r : -EACCES, "cannot read the token in %s: %s; name another file with jobbers_client_set_token_file()",
                                 path, strerror(-r));
        text[strcspn(text, "\r\n")] = '\0';
        h->token = text;
        return 0;
}

static int get_ready(Http *h) {
        if (h->easy)
                return 0;
        int r = curl_load(&h->curl);
        if (r < 0)
                return http_fail(h, r, "libcurl is not installed, or is not the one that libjobbers can use; install the package libcurl4");
        if (!h->socket && !h->token && (r = token_read(h)) < 0)
                return r;
        /* Made anew: the token may be another one by now. */
        if (h->headers)
                h->curl.slist_free_all(h->headers);
        h->headers = NULL;
        r = header_add(h, "Content-Type: application/json");
        if (r >= 0)
                r = header_add(h, "Expect:");           /* no asking first: it costs a round trip */
        if (r >= 0 && !h->socket && *h->token) {
                _cleanup_free_ char *header = str_new("Authorization: Bearer %s", h->token);
                r = header ? header_add(h, header) : -ENOMEM;
        }
        if (r < 0 || !(h->easy = h->curl.easy_init()))
                return http_fail(h, -ENOMEM, "not enough memory");
        return 0;
}

/* ── a request ── */

static size_t collect(char *data, size_t size, size_t n, void *userdata) {
        return str_append_n(userdata, data, size * n) < 0 ? 0 : size * n;
}

static int unreachable(Http *h, CURLcode code) {
        const char *where = h->socket ? h->socket : h->base, *whose = h->user ? "--user " : "";
        long os = 0;

        h->curl.easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &os);
        switch (code) {
        case CURLE_OUT_OF_MEMORY:
        case CURLE_WRITE_ERROR:
                return http_fail(h, -ENOMEM, "not enough memory");
        case CURLE_UNSUPPORTED_PROTOCOL:
                return http_fail(h, -EPROTO, "what answers at %s is not jobbersd", where);
        case CURLE_URL_MALFORMAT:
                return http_fail(h, -EINVAL, "%s is no address of a daemon: it takes HOST, HOST:PORT, http://…, https://… or the path of a socket", where);
        case CURLE_OPERATION_TIMEDOUT:
                return http_fail(h, -ETIMEDOUT, "jobbersd at %s did not answer in time", where);
        case CURLE_COULDNT_RESOLVE_HOST:
                return http_fail(h, -ECONNREFUSED, "the host of %s is not known", where);
        case CURLE_COULDNT_CONNECT:
                if (h->socket && (os == EACCES || (access(h->socket, F_OK) < 0 && errno == EACCES)))
                        return http_fail(h, -EACCES, "no right to use %s: join the group \"jobbers\" (adduser USER jobbers, then log in again)", where);
                if (h->socket && access(h->socket, F_OK) < 0)
                        return http_fail(h, -ECONNREFUSED, "jobbersd is not running: there is no %s; start it: systemctl %sstart jobbersd", where, whose);
                if (h->socket && os == ECONNREFUSED)
                        return http_fail(h, -ECONNREFUSED, "jobbersd is not running: nobody listens on %s; start it: systemctl %sstart jobbersd", where, whose);
                return http_fail(h, -ECONNREFUSED, "nobody answers at %s: %s; on that host, see: systemctl status jobbersd", where,
                                 os != 0 ? strerror((int) os) : "no connection");
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
                return http_fail(h, -ECONNRESET, "the connection to jobbersd at %s broke off", where);
        default:
                return http_fail(h, -EPROTO, "cannot talk with jobbersd at %s: %s", where, h->curl.easy_strerror(code));
        }
}

int http_request(Http *h, const char *method, const char *path, const char *body, usec_t timeout, char **ret_answer) {
        _cleanup_free_ char *url = NULL;
        _cleanup_str_ Str answer = {};
        long status = 0;

        free(TAKE_PTR(h->sentence));
        int r = get_ready(h);
        if (r < 0)
                return r;
        url = str_new("%s%s", h->base, path);
        if (!url)
                return http_fail(h, -ENOMEM, "not enough memory");

        CURL *easy = h->easy;
        h->curl.easy_reset(easy);       /* keeps the connection */
        h->curl.easy_setopt(easy, CURLOPT_URL, url);
        h->curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
        if (h->socket)
                h->curl.easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, h->socket);
        h->curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        h->curl.easy_setopt(easy, CURLOPT_PROXY, "");
        h->curl.easy_setopt(easy, CURLOPT_USERAGENT, "libjobbers/" JOBBERS_VERSION);
        h->curl.easy_setopt(easy, CURLOPT_HTTPHEADER, h->headers);
        h->curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
        if (body || !STREQ(method, "GET")) {
                h->curl.easy_setopt(easy, CURLOPT_POSTFIELDS, body ? body : "");
                h->curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (body ? strlen(body) : 0));
        }
        h->curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
        h->curl.easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
        if (timeout != USEC_INFINITY)
                h->curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) MIN(timeout / USEC_PER_MSEC + 1, (usec_t) INT32_MAX));

        CURLcode code = h->curl.easy_perform(easy);
        h->curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK)
                r = unreachable(h, code);
        else if (status < 200 || status > 599)
                r = http_fail(h, -EPROTO, "what answers at %s is not jobbersd", h->socket ? h->socket : h->base);
        else if (!(*ret_answer = str_take(&answer)))
                r = http_fail(h, -ENOMEM, "not enough memory");
        else
                r = (int) status;
        return r;
}
