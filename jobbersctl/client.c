/* client.c: see client.h. */
#include "jobbersctl/client.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "model/json-dump.h"
#include "jobbersctl/transport.h"

struct Client {
        ClientMode mode;
        char *where;                    /* the socket, or the URL of the host: also for sentences */
        char *authorization;            /* a header, NULL without a token */
        bool over_socket;
        UnixTransport unix_transport;
        CurlTransport *curl;
        long timeout_msec;
        const char *hint;
        FILE *errors;
};

void client_free(Client *c) {
        if (!c)
                return;
        fd_close(c->unix_transport.fd);
        curl_transport_free(c->curl);
        free(c->authorization);
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

/* The token's file; where none was named and the default is not there, the daemon may do without (--no-auth) and will say if not. */
static int token_add(Client *c, const ClientAddress *a) {
        _cleanup_free_ char *text = NULL, *usual = a->token_file ? NULL : default_token(a->mode);
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
        c->authorization = str_new("Authorization: Bearer %s", text);
        return c->authorization ? 0 : -ENOMEM;
}

void client_address_resolve(ClientAddress *a) {
        if (a->mode != CLIENT_ANY)
                return;
        a->mode = CLIENT_SYSTEM;
        if (!a->socket && geteuid() != 0 && access(SYSTEM_SOCKET, F_OK) < 0)
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
        c->unix_transport.fd = -1;
        c->mode = a->mode;
        c->errors = stderr;
        c->over_socket = !a->host;
        c->where = a->host ? base_url(a->host) : a->socket ? strdup(a->socket) : default_socket(a->mode);
        if (!c->where)
                return -ENOMEM;
        if (a->host) {
                int r = token_add(c, a);
                if (r < 0)
                        return r;
                c->curl = curl_transport_new(c->where, c->authorization);
                if (!c->curl) {
                        fprintf(stderr, "jobbersctl: --host= needs libcurl, which cannot be loaded. Install it: apt install libcurl4\n");
                        return -ELIBACC;
                }
        }
        *ret = TAKE_PTR(c);
        return 0;
}

/* Says what went wrong on the way, and what to do about it. */
static int say_unreachable(const Client *c, CallFault fault, const Call *call) {
        const char *whose = c->mode == CLIENT_USER ? "--user " : "";
        int os = call->error;
        if (fault == CALL_CONNECT && c->over_socket && (os == EACCES || os == EPERM))
                fprintf(c->errors, "jobbersctl: no right to use %s: join the group \"jobbers\" (adduser USER jobbers, then log in again), or become root.\n", c->where);
        else if (fault == CALL_CONNECT && c->over_socket)
                fprintf(c->errors, "jobbersctl: jobbersd is not running: %s %s. Start it: systemctl %sstart jobbersd\n",
                        os == ECONNREFUSED ? "nobody listens on" : "there is no", c->where, whose);
        else if (fault == CALL_CONNECT)
                fprintf(c->errors, "jobbersctl: nobody answers at %s: %s. On that host, see: systemctl status jobbersd\n", c->where,
                        os != 0 ? strerror(os) : "no connection");
        else if (fault == CALL_RESOLVE)
                fprintf(c->errors, "jobbersctl: cannot find the host in \"%s\": check --host=.\n", c->where);
        else if (fault == CALL_URL)
                fprintf(c->errors, "jobbersctl: --host= takes HOST, HOST:PORT or a URL, not \"%s\".\n", c->where);
        else if (fault == CALL_TIMEOUT)
                fprintf(c->errors, "jobbersctl: jobbersd at %s does not answer. See: systemctl %sstatus jobbersd\n", c->where, whose);
        else
                fprintf(c->errors, "jobbersctl: the connection to jobbersd at %s broke off: %s. See: systemctl %sstatus jobbersd\n", c->where,
                        call->reason ? call->reason : "no reason given", whose);
        return -EHOSTDOWN;
}

void client_errors_to(Client *c, FILE *errors) {
        c->errors = errors ? errors : stderr;
}

void client_timeout(Client *c, long msec) {
        c->timeout_msec = msec;
}

void client_hint(Client *c, const char *hint) {
        c->hint = hint;
}

/* The daemon's own words, with what to do where it cannot know. Returns -errno. */
int client_refused(Client *c, int status, const json_t *answer) {
        const char *detail = json_string_value(json_object_get(answer, "detail"));
        /* Some of its sentences say what to do already. */
        bool ours = !(detail && (strstr(detail, "jobbersctl ") || strstr(detail, "Did you mean"))) && (status == 400 || status == 404 || status == 409 || status == 422);
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

static CallFault transport_call(Client *c, Call *call) {
        return c->over_socket ? unix_call(&c->unix_transport, c->where, call) : curl_call(c->curl, call);
}

static bool collect(void *userdata, int status, const char *data, size_t n) {
        return str_append_n(userdata, data, n) >= 0;
}

int client_call(Client *c, const char *method, const char *path, const json_t *body, json_t **ret) {
        _cleanup_free_ char *text = body ? json_dump_text(body, JSON_COMPACT) : NULL;
        _cleanup_str_ Str answer = { 0 };
        Call call = { .method = method, .path = path, .body = text, .data = collect, .userdata = &answer };

        if (body && !text)
                return -ENOMEM;
        call.timeout_msec = c->timeout_msec;
        CallFault fault = transport_call(c, &call);
        if (fault == CALL_HUNG_UP && STREQ(method, "GET")) {
                /* Most likely it is being restarted: where systemd holds the socket, the next one answers. */
                str_reset(&answer);
                fault = transport_call(c, &call);
        }
        if (fault != CALL_OK)
                return say_unreachable(c, fault, &call);
        if (ret)
                *ret = json_loadb(answer.s ? answer.s : "", answer.len, JSON_DECODE_ANY, NULL);
        return call.status;
}

int client_get_soon(Client *c, const char *path, long msec, json_t **ret) {
        _cleanup_str_ Str answer = { 0 };
        Call call = { .method = "GET", .path = path, .data = collect, .userdata = &answer, .timeout_msec = msec };

        if (transport_call(c, &call) != CALL_OK || call.status != 200)
                return -EAGAIN;
        *ret = json_loadb(answer.s ? answer.s : "", answer.len, JSON_DECODE_ANY, NULL);
        return 0;
}

int client_send(Client *c, const char *method, const char *path, const json_t *body, json_t **ret) {
        json_t *answer = NULL;
        int status = client_call(c, method, path, body, &answer);
        if (status < 0) {
                c->hint = NULL;
                return status;
        }
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

#define HANGUPS_MAX 5           /* one after the other */

typedef struct Streaming {
        const ClientStream *how;
        uint64_t seen, skip;            /* bytes passed on so far; of those, what is to come once more */
        Str error;
} Streaming;

static bool stream_data(void *userdata, int status, const char *data, size_t n) {
        Streaming *s = userdata;
        if (status != 200)
                return str_append_n(&s->error, data, n) >= 0;
        size_t again = (size_t) MIN(s->skip, (uint64_t) n);
        s->skip -= again;
        s->seen += n - again;
        return again == n || s->how->write(s->how->userdata, data + again, n - again);
}

static void stream_idle(void *userdata) {
        Streaming *s = userdata;
        s->how->idle(s->how->userdata);
}

int client_stream(Client *c, const char *path, const ClientStream *how) {
        Streaming s = { .how = how, .seen = how->skip };
        CallFault fault;
        Call call;
        int hung_up = 0, r = 0;
        bool more;

        do {
                call = (Call) { .method = "GET", .path = path, .data = stream_data, .idle = how->idle ? stream_idle : NULL, .userdata = &s,
                                .timeout_msec = c->timeout_msec };
                s.skip = s.seen;
                fault = transport_call(c, &call);
                /* Cut off by a daemon that went, or brought to an end by one that stops or has held it for long enough. */
                hung_up = fault == CALL_HUNG_UP ? hung_up + 1 : 0;
                more = fault == CALL_HUNG_UP ? hung_up < HANGUPS_MAX : fault == CALL_OK && call.status == 200 && how->again && how->again(how->userdata);
        } while (more);
        if (fault != CALL_OK)
                r = say_unreachable(c, fault, &call);
        else if (call.status != 200) {
                json_t *answer = json_loadb(s.error.s ? s.error.s : "", s.error.len, 0, NULL);
                r = client_refused(c, call.status, answer);
                json_decref(answer);
        }
        str_free(&s.error);
        c->hint = NULL;
        return r;
}

char *client_path(Client *c, const char *pattern, const char *arg) {
        const char *at = strstr(pattern, "%s");
        _cleanup_str_ Str s = { 0 };
        (void) str_append_n(&s, pattern, (size_t) (at - pattern));
        for (; *arg; arg++)
                if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *arg))
                        (void) str_append_n(&s, arg, 1);
                else
                        (void) str_printf(&s, "%%%02X", (unsigned char) *arg);
        (void) str_append(&s, at + 2);
        return str_take(&s);
}
