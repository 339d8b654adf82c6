/* client.c: see client.h. */
#include "jobbersctl/client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

struct Client {
        CURL *curl;
        char *base;                     /* "http://localhost" or the host's URL */
        char *where;                    /* for sentences */
        bool over_socket;
        ClientMode mode;
        const char *hint;
        FILE *errors;
        struct curl_slist *headers;
};

void client_free(Client *c) {
        if (!c)
                return;
        curl_easy_cleanup(c->curl);
        curl_slist_free_all(c->headers);
        free(c->base);
        free(c->where);
        free(c);
}

void client_free_p(Client **c) {
        client_free(*c);
}

#define SYSTEM_SOCKET "/run/jobbers/jobbers.sock"

static char *state_path(const char *name) {
        const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        return state && *state == '/' ? str_new("%s/jobbers/%s", state, name) : str_new("%s/.local/state/jobbers/%s", home ? home : "", name);
}

/* Where jobbersd --user and --system have theirs: see jobbersd.conf(5). */
static char *default_socket(ClientMode mode) {
        const char *run = getenv("XDG_RUNTIME_DIR");
        if (mode != CLIENT_USER)
                return strdup(SYSTEM_SOCKET);
        return run && *run == '/' ? str_new("%s/jobbers/jobbers.sock", run) : state_path("run/jobbers.sock");
}

static char *default_token(ClientMode mode) {
        return mode == CLIENT_USER ? state_path("token") : strdup(JOBBERS_SYSCONFDIR "/jobbers/token");
}

static int header_add(Client *c, const char *header) {
        struct curl_slist *l = curl_slist_append(c->headers, header);
        if (!l)
                return -ENOMEM;
        c->headers = l;
        return 0;
}

/* The token's file; where none was named and the default is not there, the daemon may do without (--no-auth) and will say if not. */
static int token_add(Client *c, const ClientAddress *a) {
        _cleanup_free_ char *text = NULL, *header = NULL, *usual = a->token_file ? NULL : default_token(a->mode);
        const char *path = a->token_file ? a->token_file : usual;
        size_t n;
        _cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0 && errno == ENOENT && !a->token_file)
                return 0;
        int r = !path ? -ENOMEM : fd < 0 ? -errno : fd_read_all(fd, 4096, &text, &n);
        if (r < 0) {
                fprintf(stderr, "jobbersctl: cannot read the token in %s: %s. Name one that you can read with --token-file=.\n", path, strerror(-r));
                return r;
        }
        text[strcspn(text, "\r\n")] = '\0';
        header = str_new("Authorization: Bearer %s", text);
        return header ? header_add(c, header) : -ENOMEM;
}

void client_address_resolve(ClientAddress *a) {
        if (a->mode != CLIENT_ANY)
                return;
        a->mode = CLIENT_SYSTEM;
        if (geteuid() != 0 && access(SYSTEM_SOCKET, F_OK) < 0)
                a->mode = CLIENT_USER;
}

/* "host" gets scheme and port; what has them already stays. */
static char *base_url(const char *host) {
        if (strstr(host, "://")) {
                char *url = strdup(host);
                size_t n = url ? strlen(url) : 0;
                if (n > 0 && url[n - 1] == '/')
                        url[n - 1] = '\0';
                return url;
        }
        const char *after = *host == '[' ? strchr(host, ']') : host;
        return str_new("http://%s%s", host, after && strchr(after, ':') ? "" : ":8000");
}

int client_new(Client **ret, const ClientAddress *a) {
        _cleanup_client_ Client *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->mode = a->mode;
        c->errors = stderr;
        if (a->host) {
                c->base = base_url(a->host);
                if (!c->base || !(c->where = strdup(c->base)))
                        return -ENOMEM;
                int r = token_add(c, a);
                if (r < 0)
                        return r;
        } else {
                c->over_socket = true;
                c->where = a->socket ? strdup(a->socket) : default_socket(a->mode);
                c->base = strdup("http://localhost");
                if (!c->where || !c->base)
                        return -ENOMEM;
        }
        /* TLS is initialised only where it is used: it costs more than all the rest of a short call. */
        if (curl_global_init(strncmp(c->base, "https:", 6) == 0 ? CURL_GLOBAL_ALL : CURL_GLOBAL_NOTHING) != 0 || !(c->curl = curl_easy_init()) ||
            header_add(c, "Content-Type: application/json") < 0 || header_add(c, "Expect:") < 0)
                return -ENOMEM;
        if (c->over_socket)
                curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->where);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 10L);
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
        curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "jobbersctl/" JOBBERS_VERSION);
        *ret = TAKE_PTR(c);
        return 0;
}

/* Says what went wrong on the way, and what to do about it. */
static int say_unreachable(const Client *c, CURLcode code) {
        const char *whose = c->mode == CLIENT_USER ? "--user " : "";
        long os = 0;
        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os);
        if (code == CURLE_COULDNT_CONNECT && c->over_socket && (os == EACCES || os == EPERM))
                fprintf(c->errors, "jobbersctl: no right to use %s: join the group \"jobbers\" (adduser USER jobbers, then log in again), or become root.\n", c->where);
        else if (code == CURLE_COULDNT_CONNECT && c->over_socket)
                fprintf(c->errors, "jobbersctl: jobbersd is not running: %s %s. Start it: systemctl %sstart jobbersd\n",
                        access(c->where, F_OK) < 0 ? "there is no" : "nobody listens on", c->where, whose);
        else if (code == CURLE_COULDNT_CONNECT)
                fprintf(c->errors, "jobbersctl: nobody answers at %s: %s. On that host, see: systemctl status jobbersd\n", c->where,
                        os != 0 ? strerror((int) os) : "no connection");
        else if (code == CURLE_COULDNT_RESOLVE_HOST)
                fprintf(c->errors, "jobbersctl: there is no host \"%s\": check --host=.\n", c->where);
        else if (code == CURLE_URL_MALFORMAT)
                fprintf(c->errors, "jobbersctl: --host= takes HOST, HOST:PORT or a URL, not \"%s\".\n", c->where);
        else
                fprintf(c->errors, "jobbersctl: the conversation with jobbersd at %s broke off: %s. See: systemctl %sstatus jobbersd\n", c->where,
                        curl_easy_strerror(code), whose);
        return os != 0 ? -(int) os : -EIO;
}

void client_errors_to(Client *c, FILE *errors) {
        c->errors = errors ? errors : stderr;
}

void client_timeout(Client *c, long msec) {
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, msec);
}

void client_hint(Client *c, const char *hint) {
        c->hint = hint;
}

/* The daemon's own words, with what to do where it cannot know. Returns -errno. */
int client_refused(Client *c, int status, const json_t *answer) {
        const char *detail = json_string_value(json_object_get(answer, "detail"));
        bool ours = status == 400 || status == 404 || status == 409 || status == 422;
        const char *hint = status == 401 ? "Name the file with the token: --token-file=FILE" : ours ? c->hint : NULL;
        if (!detail)
                fprintf(c->errors, "jobbersctl: what answers at %s is not jobbersd, or is broken (HTTP status %d).\n", c->where, status);
        else {
                char last = *detail ? detail[strlen(detail) - 1] : '.';
                fprintf(c->errors, "jobbersctl: %s%s%s%s\n", detail, strchr(".?!", last) ? "" : ".", hint ? " " : "", hint ? hint : "");
        }
        c->hint = NULL;
        return status == 404 ? -ENOENT : status == 400 || status == 422 ? -EINVAL : -EREMOTEIO;
}

static size_t collect(char *data, size_t size, size_t n, void *userdata) {
        return str_append_n(userdata, data, size * n) < 0 ? 0 : size * n;
}

int client_call(Client *c, const char *method, const char *path, const json_t *body, json_t **ret) {
        _cleanup_free_ char *url = str_new("%s%s", c->base, path), *text = NULL;
        _cleanup_str_ Str answer = { 0 };
        long status = 0;

        if (!url || (body && !(text = json_dumps(body, JSON_COMPACT))))
                return -ENOMEM;
        curl_easy_setopt(c->curl, CURLOPT_URL, url);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, text ? (long) strlen(text) : 0L);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text ? text : NULL);
        if (!text && STREQ(method, "GET"))
                curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
        else if (!text)
                curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &answer);

        CURLcode code = curl_easy_perform(c->curl);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, NULL);
        if (code != CURLE_OK)
                return say_unreachable(c, code);
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        if (ret)
                *ret = json_loadb(answer.s ? answer.s : "", answer.len, JSON_DECODE_ANY, NULL);
        return (int) status;
}

int client_send(Client *c, const char *method, const char *path, const json_t *body, json_t **ret) {
        json_t *answer = NULL;
        int status = client_call(c, method, path, body, &answer);
        if (status < 0)
                return status;
        if (status >= 300) {
                status = client_refused(c, status, answer);
                json_decref(answer);
                return status;
        }
        c->hint = NULL;
        if (ret)
                *ret = answer;
        else
                json_decref(answer);
        return 0;
}

int client_get(Client *c, const char *path, json_t **ret) {
        return client_send(c, "GET", path, NULL, ret);
}

typedef struct Stream {
        Client *client;
        client_write_fn write;
        void *userdata;
        Str error;
        bool stopped;
} Stream;

static size_t stream_data(char *data, size_t size, size_t n, void *userdata) {
        Stream *s = userdata;
        long status = 0;
        curl_easy_getinfo(s->client->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200)
                return str_append_n(&s->error, data, size * n) < 0 ? 0 : size * n;
        if (s->write(s->userdata, data, size * n))
                return size * n;
        s->stopped = true;
        return 0;
}

int client_stream(Client *c, const char *path, client_write_fn write, void *userdata) {
        _cleanup_free_ char *url = str_new("%s%s", c->base, path);
        Stream s = { .client = c, .write = write, .userdata = userdata };
        long status = 0;

        if (!url)
                return -ENOMEM;
        curl_easy_setopt(c->curl, CURLOPT_URL, url);
        curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, NULL);
        curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, stream_data);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &s);
        CURLcode code = curl_easy_perform(c->curl);
        curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);

        int r = 0;
        if (code != CURLE_OK && !s.stopped)
                r = say_unreachable(c, code);
        else if (status != 200) {
                json_t *answer = json_loadb(s.error.s ? s.error.s : "", s.error.len, 0, NULL);
                r = client_refused(c, (int) status, answer);
                json_decref(answer);
        }
        str_free(&s.error);
        c->hint = NULL;
        return r;
}

char *client_path(Client *c, const char *pattern, const char *arg) {
        char *escaped = curl_easy_escape(c->curl, arg, 0), *path = NULL;
        const char *at = strstr(pattern, "%s");
        if (escaped && at)
                path = str_new("%.*s%s%s", (int) (at - pattern), pattern, escaped, at + 2);
        curl_free(escaped);
        return path;
}
