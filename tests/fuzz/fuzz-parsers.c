/* fuzz-parsers.c: the parsers of base: any text as each kind of value. What is accepted must come out again as what it was. */
#include <signal.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/ulid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok) {
        if (!ok)
                abort();
}

static void fuzz_numbers(const char *s) {
        const uint64_t mark = 0xdeadbeefcafe;
        uint64_t u = mark, back;
        int64_t i;
        mode_t m;
        bool b;
        int n;

        if (parse_u64(s, &u) == 0) {
                _cleanup_free_ char *text = str_new("%llu", (unsigned long long) u);

                must(text && parse_u64(text, &back) == 0 && back == u);
                must(s[strspn(s, "0123456789")] == 0);
                /* What is a number is a number of bytes, and as many percent with a sign behind it. */
                must(u == UINT64_MAX ? parse_size(s, &back) == -ERANGE : parse_size(s, &back) == 0 && back == u);
        } else
                must(u == mark);
        if (parse_i64(s, &i) == 0) {
                _cleanup_free_ char *text = str_new("%lld", (long long) i);
                int64_t i_back;

                must(text && parse_i64(text, &i_back) == 0 && i_back == i);
        }
        if (parse_mode(s, &m) == 0)
                must(m <= 07777);
        if (parse_bool(s, &b) == 0)
                must(strlen(s) <= 5);
        u = mark;
        must(parse_size(s, &u) == 0 || u == mark);
        u = mark;
        must(parse_percent(s, &u) == 0 ? strchr(s, '%') != NULL : u == mark);
        u = mark;
        must(parse_permyriad(s, &u) == 0 ? strchr(s, '%') != NULL : u == mark);
        n = parse_signal(s);
        must(n == -EINVAL || (n >= 1 && n <= SIGRTMAX));
        if (n > 0 && !STREQ(signal_name(n), "SIG?"))
                must(parse_signal(signal_name(n)) == n);
}

static void fuzz_times(const char *s) {
        const usec_t mark = 0xdeadbeefcafe;
        char buf[CLOCK_STR_MAX], again[CLOCK_STR_MAX];
        usec_t t = mark, back;
        Ulid id, id_back;
        char id_text[ULID_STR_MAX];

        if (clock_parse(s, &t) == 0) {
                must(clock_parse(clock_format(t, buf), &back) == 0 && back == t);
                must(STREQ(clock_format(back, again), buf) && strlen(buf) == 27);
        } else
                must(t == mark);
        t = mark;
        if (parse_span(s, &t) == 0)
                /* What people are shown is itself a span; it may leave small units out, never add to it. */
                must(parse_span(clock_format_span(t, buf), &back) == 0 && back <= t && (t == 0 || back > 0));
        else
                must(t == mark);
        if (ulid_parse(s, &id) == 0) {
                must(ulid_parse(ulid_format(&id, id_text), &id_back) == 0 && ulid_cmp(&id, &id_back) == 0);
                must(strlen(s) == ULID_LEN && strlen(id_text) == ULID_LEN);
        } else
                must(ulid_parse(s, NULL) == -EINVAL);
}

/* Each argument, quoted, on a line: split again, the same arguments. */
static void fuzz_command(const char *s) {
        _cleanup_strv_ char **v = NULL, **again = NULL;
        _cleanup_str_ Str line = {};

        if (split_command(s, &v) < 0)
                return;
        for (char **w = v; *w; w++) {
                must(str_append(&line, " \"") == 0);
                for (const char *p = *w; *p; p++)
                        must((*p == '"' || *p == '\\' ? str_printf(&line, "\\%c", *p) : str_append_n(&line, p, 1)) == 0);
                must(str_append(&line, "\"") == 0);
        }
        must(split_command(line.s ?: "", &again) == 0);
        must(strv_len(v) == strv_len(again));
        for (size_t i = 0; v[i]; i++)
                must(STREQ(v[i], again[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        /* Memory of exactly this length, so that a read behind the end is seen. */
        _cleanup_free_ char *s = strndup((const char *) data, size);

        must(s);
        fuzz_numbers(s);
        fuzz_times(s);
        fuzz_command(s);
        if (name_valid(s))
                must(strlen(s) >= 1 && strlen(s) <= NAME_LEN_MAX && !strpbrk(s, "/ \n"));
        return 0;
}
