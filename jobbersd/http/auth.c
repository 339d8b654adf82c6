/* auth.c: see auth.h. A Host header that is not ours is a web page's doing (DNS rebinding), so is an Origin; and a body that is
 * not announced as JSON could be sent by a plain form. All three are checked before anything is parsed. */
#include "http/auth.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define TOKEN_BYTES 32
#define TOKEN_FILE_MAX 4096
#define TOKEN_LEN_MIN 16

static int token_make(char **ret) {
        uint8_t random[TOKEN_BYTES];
        char *t = malloc(2 * TOKEN_BYTES + 1);

        if (!t)
                return -ENOMEM;
        if (getrandom(random, sizeof random, 0) != (ssize_t) sizeof random) {
                free(t);
                return -EIO;
        }
        for (size_t i = 0; i < TOKEN_BYTES; i++)
                (void) snprintf(t + 2 * i, 3, "%02x", random[i]);
        *ret = t;
        return 0;
}

/* The directory may be the state directory, which does not exist yet on a first start and must then be the daemon's. */
static int token_dir_make(const char *path, const Settings *settings, const Identity *identity) {
        struct stat st;

        if (lstat(path, &st) >= 0)
                return 0;
        int r = fd_mkdirs(path, settings->user_mode || STREQ(path, settings->state_dir) ? 0700 : 0755);
        if (r >= 0 && geteuid() == 0 && STREQ(path, settings->state_dir) && lchown(path, identity->uid, identity->gid) < 0)
                r = -errno;
        return r;
}

static int token_write(const char *path, const char *token, const Settings *settings, const Identity *identity) {
        bool share = geteuid() == 0 && !settings->user_mode;
        _cleanup_free_ char *dir = strdup(path), *text = str_new("%s\n", token);
        char *slash = dir ? strrchr(dir, '/') : NULL;

        if (!dir || !text)
                return -ENOMEM;
        if (slash && slash != dir) {
                *slash = '\0';
                int r = token_dir_make(dir, settings, identity);
                if (r < 0)
                        return r;
        }
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        int r = fd_write_all(fd, text, strlen(text));
        if (r >= 0 && share && (fchown(fd, 0, identity->gid) < 0 || fchmod(fd, 0640) < 0))
                r = -errno;
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r < 0)
                (void) unlink(path);
        return r;
}

static int token_read(int fd, const char *path, char **ret) {
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t n;

        int r = fd_read_all(fd, TOKEN_FILE_MAX, &text, &n);
        if (r < 0)
                return log_error_errno(r, "cannot read the token file %s", path);
        while (n > 0 && isspace((unsigned char) text[n - 1]))
                text[--n] = '\0';
        size_t lead = strspn(text, " \t\r\n");
        if (strlen(text + lead) < TOKEN_LEN_MIN || strpbrk(text + lead, " \t\r\n")) {
                log_error("%s holds no token (one word of %d characters or more): check --token-file=", path, TOKEN_LEN_MIN);
                return -EINVAL;
        }
        if (fstat(fd, &st) >= 0 && (st.st_mode & 0007))
                log_warning("the token file %s is open to everyone on this host: chmod o= %s", path, path);
        *ret = strdup(text + lead);
        return *ret ? 0 : -ENOMEM;
}

int auth_load(Auth *a, const Settings *settings, const Identity *identity, bool need) {
        *a = (Auth) {
                .no_auth = settings->no_auth,
                .own_uid_only = settings->user_mode,
                .uid = identity->uid,
                .allow_hosts = settings->allow_hosts,
                .allow_origins = settings->allow_origins,
        };
        if (a->no_auth || !need)
                return 0;
        _cleanup_close_ int fd = open(settings->token_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0)
                return token_read(fd, settings->token_file, &a->token);
        if (errno != ENOENT)
                return log_error_errno(errno, "cannot read the token file %s", settings->token_file);
        int r = token_make(&a->token);
        if (r >= 0)
                r = token_write(settings->token_file, a->token, settings, identity);
        if (r < 0)
                return log_error_errno(r, "cannot make the token file %s", settings->token_file);
        log_notice("made a token for the API: %s", settings->token_file);
        return 0;
}

void auth_done(Auth *a) {
        if (a->token)
                explicit_bzero(a->token, strlen(a->token));
        a->token = (free(a->token), NULL);
}

/* The length of the host part of "host", "host:port", "[v6]" or "[v6]:port", without brackets. */
static const char *host_part(const char *s, size_t *ret_len, const char **ret_port) {
        const char *end;

        *ret_port = NULL;
        if (*s == '[') {
                end = strchr(s, ']');
                if (!end)
                        return NULL;
                if (end[1] == ':')
                        *ret_port = end + 2;
                else if (end[1])
                        return NULL;
                *ret_len = (size_t) (end - s - 1);
                return s + 1;
        }
        end = strchr(s, ':');
        if (end && strchr(end + 1, ':'))
                end = NULL;                             /* a bare v6 address, as we write local ones */
        if (end)
                *ret_port = end + 1;
        *ret_len = end ? (size_t) (end - s) : strlen(s);
        return s;
}

bool auth_host_is(const char *host, const char *name) {
        const char *hport, *nport;
        size_t hn, nn;
        const char *h = host_part(host, &hn, &hport), *n = host_part(name, &nn, &nport);

        if (!h || !n || hn == 0 || hn != nn || strncasecmp(h, n, hn) != 0)
                return false;
        return !nport || (hport && STREQ(hport, nport));
}

static bool listed(char *const *list, const char *host) {
        for (; list && *list; list++)
                if (auth_host_is(host, *list))
                        return true;
        return false;
}

unsigned auth_check_origin(const Auth *a, const AuthRequest *r, const char **ret_sentence) {
        if (r->is_unix) {
                if (!a->own_uid_only || r->peer_uid == a->uid || r->peer_uid == 0)
                        return 0;
                *ret_sentence = "this is a user's own daemon: only that user and root may use its socket";
                return 403;
        }
        if (!r->host) {
                *ret_sentence = "the request has no Host header";
                return 403;
        }
        if (!(r->local && auth_host_is(r->host, r->local)) && !(r->listen_name && auth_host_is(r->host, r->listen_name)) &&
            !auth_host_is(r->host, "localhost") && !listed(a->allow_hosts, r->host)) {
                *ret_sentence = "the Host header names a host that is not served here; --allow-host= allows it";
                return 403;
        }
        if (!r->origin)
                return 0;
        for (char *const *o = a->allow_origins; o && *o; o++)
                if (strcasecmp(*o, r->origin) == 0)
                        return 0;
        *ret_sentence = "the Origin header names a web page that may not call this API; --allow-origin= allows it";
        return 403;
}

/* Takes as long for any token of the right length. */
static bool same_secret(const char *given, const char *secret) {
        size_t n = strlen(secret);
        unsigned char difference = 0;

        if (strlen(given) != n)
                return false;
        for (size_t i = 0; i < n; i++)
                difference |= (unsigned char) (given[i] ^ secret[i]);
        return difference == 0;
}

unsigned auth_check_token(const Auth *a, const AuthRequest *r, const char **ret_sentence) {
        const char *given = r->authorization;

        if (r->is_unix || a->no_auth)
                return 0;
        if (!given || strncasecmp(given, "Bearer ", 7) != 0) {
                *ret_sentence = a->own_uid_only ? "a token is required: Authorization: Bearer TOKEN (usually the one in ~/.local/state/jobbers/token)"
                                                : "a token is required: Authorization: Bearer TOKEN (usually the one in " JOBBERS_SYSCONFDIR "/jobbers/token)";
                return 401;
        }
        given += 7 + strspn(given + 7, " ");
        if (a->token && same_secret(given, a->token))
                return 0;
        *ret_sentence = "the token is wrong (jobbersd reads its token file at start; restart it after changing the file)";
        return 401;
}

bool auth_content_is_json(const char *content_type) {
        static const char json[] = "application/json";
        const char *s = content_type;

        if (!s || strncasecmp(s, json, sizeof json - 1) != 0)
                return false;
        s += sizeof json - 1;
        s += strspn(s, " \t");
        return *s == '\0' || *s == ';';
}
