/* retry-on.c: see retry-on.h. */
#include "model/retry-on.h"

#include <ctype.h>

static const struct {
        const char *name;
        int status;
} sysexits[] = {
        { "USAGE", 64 }, { "DATAERR", 65 }, { "NOINPUT", 66 }, { "NOUSER", 67 }, { "NOHOST", 68 }, { "UNAVAILABLE", 69 },
        { "SOFTWARE", 70 }, { "OSERR", 71 }, { "OSFILE", 72 }, { "CANTCREAT", 73 }, { "IOERR", 74 }, { "TEMPFAIL", 75 },
        { "PROTOCOL", 76 }, { "NOPERM", 77 }, { "CONFIG", 78 },
};

const char *exit_status_name(int status) {
        for (size_t i = 0; i < ARRAY_SIZE(sysexits); i++)
                if (sysexits[i].status == status)
                        return sysexits[i].name;
        return NULL;
}

static int refuse(char **ret_reason, char *reason) {
        *ret_reason = reason;
        return reason ? -EINVAL : -ENOMEM;
}

static void status_add(RetryOn *r, unsigned status) {
        r->statuses[status / 64] |= UINT64_C(1) << status % 64;
}

static bool type_valid(const char *s) {
        if (!isalpha((unsigned char) *s) && *s != '_')
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char) *s) && !strchr("_.:-", *s))
                        return false;
        return true;
}

/* As an error type, "KILL" or "tempfail" would silently not be what it was surely meant to be. */
static int check_not_nearly(const char *word, char **ret_reason) {
        _cleanup_free_ char *upper = strdup(word);
        if (!upper)
                return -ENOMEM;
        for (char *c = upper; *c; c++)
                *c = (char) toupper((unsigned char) *c);
        const char *bare = strncmp(upper, "EX_", 3) == 0 ? upper + 3 : upper;
        int signal = parse_signal(upper);

        if (STREQ(upper, "OOM"))
                return refuse(ret_reason, str_new("\"%s\": write oom for being out of memory", word));
        if (signal > 0)
                return refuse(ret_reason, str_new("\"%s\": write %s for the signal", word, signal_name(signal)));
        for (size_t i = 0; i < ARRAY_SIZE(sysexits); i++)
                if (STREQ(sysexits[i].name, bare))
                        return refuse(ret_reason, str_new("\"%s\": write %s for exit status %d", word, sysexits[i].name, sysexits[i].status));
        return 0;
}

/* SIG and only what names of signals are made of: a signal, or a slip in one. "SIGNATURE_EXPIRED" is neither. */
static bool looks_like_signal(const char *word) {
        return strncmp(word, "SIG", 3) == 0 && strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") == strlen(word);
}

int retry_on_add(RetryOn *r, const char *word, char **ret_reason) {
        const char *bare = strncmp(word, "EX_", 3) == 0 ? word + 3 : word;
        uint64_t n;

        if (isdigit((unsigned char) *word)) {
                if (parse_u64(word, &n) < 0 || n > 255)
                        return refuse(ret_reason, str_new("\"%s\" is not an exit status: those are 1 to 255", word));
                if (n == 0)
                        return refuse(ret_reason, strdup("exit status 0 is success and never tried again"));
                status_add(r, (unsigned) n);
                return 0;
        }
        if (strcasecmp(bare, "OK") == 0)
                return refuse(ret_reason, strdup("OK is exit status 0: success, and never tried again"));
        for (size_t i = 0; i < ARRAY_SIZE(sysexits); i++)
                if (STREQ(sysexits[i].name, bare)) {
                        status_add(r, (unsigned) sysexits[i].status);
                        return 0;
                }
        if (looks_like_signal(word)) {
                int signal = parse_signal(word);
                if (signal <= 0 || signal > 63)
                        return refuse(ret_reason, str_new("\"%s\" is not a signal, and looks too much like one to be an error type", word));
                r->signals |= UINT64_C(1) << signal;
                return 0;
        }
        if (STREQ(word, "oom")) {
                r->oom = true;
                return 0;
        }
        if (!type_valid(word))
                return refuse(ret_reason, str_new("\"%s\" is neither an exit status nor a signal, nor can it be an error type", word));
        int near = check_not_nearly(word, ret_reason);
        if (near < 0)
                return near;
        return retry_on_has_type(r, word) ? 0 : strv_push(&r->error_types, word);
}

void retry_on_clear(RetryOn *r) {
        strv_free(r->error_types);
        *r = (RetryOn) {};
}

static void word_append(Str *b, size_t start, const char *word) {
        if (b->len > start)
                str_append(b, " ");
        str_append(b, word);
}

void retry_on_print(Str *b, const RetryOn *r) {
        size_t start = b->len;

        for (int status = 1; status < 256; status++)
                if (retry_on_has_status(r, status)) {
                        const char *name = exit_status_name(status);
                        if (b->len > start)
                                str_append(b, " ");
                        if (name)
                                str_append(b, name);
                        else
                                str_printf(b, "%d", status);
                }
        for (int signal = 1; signal < 64; signal++)
                if (retry_on_has_signal(r, signal))
                        word_append(b, start, signal_name(signal));
        if (r->oom)
                word_append(b, start, "oom");
        for (size_t i = 0; i < strv_len(r->error_types); i++)
                word_append(b, start, r->error_types[i]);
}

bool retry_on_has_status(const RetryOn *r, int status) {
        return status >= 0 && status < 256 && (r->statuses[status / 64] >> status % 64 & 1);
}

bool retry_on_has_signal(const RetryOn *r, int signal) {
        return signal > 0 && signal < 64 && (r->signals >> signal & 1);
}

bool retry_on_has_type(const RetryOn *r, const char *type) {
        for (size_t i = 0; type && i < strv_len(r->error_types); i++)
                if (STREQ(r->error_types[i], type))
                        return true;
        return false;
}
