/* str.h: strings: a growing buffer, and the value parsers that settings, definitions and queries share. */
#pragma once

#include <stdarg.h>

#include "base/macro.h"

/* A growing, always NUL-terminated buffer. Zero-initialise; release with str_free. After -ENOMEM the buffer
 * stays usable with what it had, and `failed` is set, so that a run of appends needs one check at its end. */
typedef struct Str {
        char *s;
        size_t len, cap;
        bool failed;
} Str;

int str_append(Str *b, const char *s);
int str_append_n(Str *b, const void *data, size_t n);
int str_printf(Str *b, const char *format, ...) _printf_(2, 3);
void str_reset(Str *b);         /* empties, keeps the memory */
char *str_take(Str *b);         /* the text, to be freed by the caller ("" when empty); NULL when an append failed */
void str_free(Str *b);
#define _cleanup_str_ _cleanup_(str_free)

/* A printf into fresh memory, NULL without memory. */
char *str_new(const char *format, ...) _printf_(1, 2);

/* Value parsers; all return 0 or -EINVAL/-ERANGE and write *ret only on success. Surrounding blanks are not accepted. */
int parse_u64(const char *s, uint64_t *ret);            /* decimal */
int parse_i64(const char *s, int64_t *ret);
int parse_bool(const char *s, bool *ret);               /* systemd's: 1 yes y true t on / 0 no n false f off */
int parse_size(const char *s, uint64_t *ret);           /* bytes; suffixes K M G T (1024), fractions; "infinity" = UINT64_MAX */
int parse_span(const char *s, usec_t *ret);             /* systemd.time: "5min 20s", "90", "1.5h", "infinity"; bare numbers are seconds */
int parse_percent(const char *s, uint64_t *ret);        /* "150%" → 150; the sign is required */
int parse_permyriad(const char *s, uint64_t *ret);      /* "12.5%" → 1250; at most two decimals, the sign is required */
int parse_mode(const char *s, mode_t *ret);             /* octal, up to 07777 */
int parse_signal(const char *s);                        /* "SIGTERM", "TERM" or "15" → 15; -EINVAL */
const char *signal_name(int signal);                    /* "SIGTERM"; "SIG?" when unknown */

/* [A-Za-z0-9_.-]{1,64}: names of tasks, queues, roles (SPEC 3). "." and ".." are refused. */
#define NAME_LEN_MAX 64
bool name_valid(const char *s);

/* Splits a command line as systemd does: blanks, "double" and 'single' quotes, C escapes; in single quotes an unknown escape
 * stays as it is. ret: NULL-terminated array (empty for a blank line) to free with strv_free. -EINVAL on an unbalanced
 * quote, on an unknown escape elsewhere, and on one that means NUL. */
int split_command(const char *s, char ***ret);

void strv_free(char **v);
void strv_free_p(char ***v);
#define _cleanup_strv_ _cleanup_(strv_free_p)
int strv_push(char ***v, const char *s);                /* appends a copy */
size_t strv_len(char *const *v);
