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

static int header_add(Client *c, const char *header) {
        struct curl_slist *l = curl_slist_append(c->headers, header);
        if (!l)
                return -ENOMEM;
        c->headers = l;
        return 0;
}

static int token_add(Client *c, const char *path) {
        _cleanup_free_ char *text = NULL, *header = NULL;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t n;
        int r = fd < 0 ? -errno : fd_read_all(fd, 4096, &text, &n);
        if (r < 0) {
                fprintf(stderr, "jobbersctl: cannot read the token in %s: %s. Name another file with --token-file=.\n", path, strerror(-r));
                return r;
        }
        text[strcspn(text, "\r\n")] = '\0';
        header = str_new("Authorization: Bearer %s", text);
        return header ? header_add(c, header) : -ENOMEM;
}

static char *default_socket(bool user_mode) {
        const char *run = getenv("XDG_RUNTIME_DIR");
        if (user_mode && run && *run == '/')
                return str_new("%s/jobbers/jobbers.sock", run);
        if (user_mode) {
                const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
                return state && *state == '/' ? str_new("%s/jobbers/run/jobbers.sock", state)
                                              : str_new("%s/.local/state/jobbers/run/jobbers.sock", home ? home : "");
        }
        return strdup("/run/jobbers/jobbers.sock");
}

int client_new(Client **ret, const ClientAddress *a) {
        _cleanup_client_ Client *c = calloc(1, sizeof *c);
        if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(c->curl = curl_easy_init()))
                return -ENOMEM;

        if (a->host) {
                c->base = strstr(a->host, "://") ? strdup(a->host) : str_new("http://%s%s", a->host, strchr(a->host, ':') ? "" : ":8000");
                if (!c->base || !(c->where = strdup(c->base)))
                        return -ENOMEM;
                size_t n = strlen(c->base);
                if (n > 0 && c->base[n - 1] == '/')
                        c->base[n - 1] = '\0';
                int r = token_add(c, a->token_file ? a->token_file : "/etc/jobbers/token");
                if (r < 0)
                        return r;
        } else {
                c->over_socket = true;
                c->where = a->socket ? strdup(a->socket) : default_socket(a->user_mode);
                c->base = strdup("http://localhost");
                if (!c->where || !c->base)
                        return -ENOMEM;
                curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->where);
        }
        if (header_add(c, "Content-Type: application/json") < 0 || header_add(c, "Expect:") < 0)
                return -ENOMEM;
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
        curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "jobbersctl/" JOBBERS_VERSION);
        *ret = TAKE_PTR(c);
        return 0;
}

/* Says what went wrong on the way, and what to do about it. */
static int say_unreachable(const Client *c, CURLcode code) {
        long os = 0;
        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os);
        if (c->over_socket && os == EACCES)
                fprintf(stderr, "jobbersctl: no right to use %s: join the group \"jobbers\" (adduser USER jobbers, then log in again), or become root.\n", c->where);
        else if (c->over_socket && access(c->where, F_OK) < 0)
                fprintf(stderr, "jobbersctl: jobbersd is not running: there is no %s. Start it with: systemctl start jobbersd\n", c->where);
        else if (code == CURLE_COULDNT_CONNECT)
                fprintf(stderr, "jobbersctl: nobody answers at %s: %s. Is jobbersd running? See: systemctl status jobbersd\n", c->where,
                        os != 0 ? strerror((int) os) : "no connection");
        else
                fprintf(stderr, "jobbersctl: the conversation with jobbersd at %s broke off: %s.\n", c->where, curl_easy_strerror(code));
        return os != 0 ? -(int) os : -EIO;
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
                const char *detail = json_string_value(json_object_get(answer, "detail"));
                if (detail)
                        fprintf(stderr, "jobbersctl: %s\n", detail);
                else
                        fprintf(stderr, "jobbersctl: jobbersd answered %d without saying why.\n", status);
                json_decref(answer);
                return status == 404 ? -ENOENT : -EREMOTEIO;
        }
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
                const char *detail = json_string_value(json_object_get(answer, "detail"));
                fprintf(stderr, "jobbersctl: %s\n", detail ? detail : "jobbersd refused without saying why.");
                json_decref(answer);
                r = status == 404 ? -ENOENT : -EREMOTEIO;
        }
        str_free(&s.error);
        return r;
}

char *client_escape(Client *c, const char *s) {
        char *e = curl_easy_escape(c->curl, s, 0), *copy = e ? strdup(e) : NULL;
        curl_free(e);
        return copy;
}
