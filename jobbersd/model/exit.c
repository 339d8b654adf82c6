/* exit.c: the exit record as text. Written by the supervisor, which is root's, and read by the daemon, which trusts it; but what is in it
 * partly came from the task (status, error, result), and a record may be cut off by a full disk or a power cut. So it is read as
 * strictly as if a stranger had sent it. */
#include "model/exit.h"

#include <ctype.h>
#include <stdio.h>

#include "model/utf8.h"

#define MAGIC "JOBBERS_EXIT_RECORD=1\n"
#define HEAD_MAX (256U * 1024)

/* ── the fields, in the order in which they are written ── */

typedef enum FieldType { FIELD_ULID, FIELD_COUNT, FIELD_BOOT_ID, FIELD_TIME, FIELD_REASON, FIELD_INT, FIELD_MEASURE, FIELD_TEXT, FIELD_LENGTH } FieldType;

typedef struct Field {
        const char *key;
        FieldType type;
        size_t offset;
        int64_t min, max;
        bool required;
} Field;

#define AT(member) offsetof(ExitRecord, member)
static const Field fields[] = {
        { "TASK", FIELD_ULID, AT(task_id), .required = true },
        { "ATTEMPT", FIELD_COUNT, AT(attempt), 1, INT32_MAX, .required = true },
        { "BOOT_ID", FIELD_BOOT_ID, AT(boot_id), .required = true },
        { "STARTED_AT", FIELD_TIME, AT(started_at), .required = true },
        { "ENDED_AT", FIELD_TIME, AT(ended_at), .required = true },
        { "HEARTBEAT_AT", FIELD_TIME, AT(heartbeat_at) },
        { "ALLOWED_USEC", FIELD_TIME, AT(allowed) },
        { "END_REASON", FIELD_REASON, AT(end_reason), .required = true },
        { "EXIT_STATUS", FIELD_INT, AT(exit_status), -1, 255, .required = true },
        { "TERM_SIGNAL", FIELD_INT, AT(term_signal), 0, 64, .required = true },
        { "PROGRESS", FIELD_INT, AT(progress), -1, 100 },
        { "STATUS_TEXT", FIELD_TEXT, AT(status_text) },
        { "ERROR", FIELD_TEXT, AT(error) },
        { "CPU_USEC", FIELD_MEASURE, AT(cpu_usec) },
        { "MEMORY_PEAK", FIELD_MEASURE, AT(memory_peak) },
        { "IO_READ", FIELD_MEASURE, AT(io_read) },
        { "IO_WRITE", FIELD_MEASURE, AT(io_write) },
        { "OOM_KILLS", FIELD_MEASURE, AT(oom_kills) },
        { "PIDS_PEAK", FIELD_MEASURE, AT(pids_peak) },
        /* How many bytes follow the empty line; without it there was no result file. */
        { "RESULT_LENGTH", FIELD_LENGTH, AT(result_len) },
};

void exit_record_done(ExitRecord *r) {
        free(r->status_text);
        free(r->error);
        free(r->result);
        *r = (ExitRecord) {};
}

/* ── writing ── */

static void text_append(Str *b, const char *key, const char *s) {
        str_printf(b, "%s=", key);
        for (; *s; s++) {
                char c = *s == '\n' || *s == '\r' ? ' ' : *s;
                str_append_n(b, &c, 1);
        }
        str_append(b, "\n");
}

static void field_append(Str *b, const Field *f, const ExitRecord *r) {
        const void *p = (const char *) r + f->offset;
        char ulid[ULID_STR_MAX];

        switch (f->type) {
        case FIELD_ULID:
                str_printf(b, "%s=%s\n", f->key, ulid_format(p, ulid));
                break;
        case FIELD_COUNT:
                str_printf(b, "%s=%u\n", f->key, *(const unsigned *) p);
                break;
        case FIELD_BOOT_ID:
                str_printf(b, "%s=%s\n", f->key, (const char *) p);
                break;
        case FIELD_TIME:
                str_printf(b, "%s=%llu\n", f->key, (unsigned long long) *(const usec_t *) p);
                break;
        case FIELD_REASON:
                str_printf(b, "%s=%s\n", f->key, end_reason_to_string(*(const EndReason *) p) ?: "");
                break;
        case FIELD_INT:
                str_printf(b, "%s=%d\n", f->key, *(const int *) p);
                break;
        case FIELD_MEASURE:
                if (*(const int64_t *) p >= 0)
                        str_printf(b, "%s=%lld\n", f->key, (long long) *(const int64_t *) p);
                break;
        case FIELD_TEXT:
                if (*(char *const *) p)
                        text_append(b, f->key, *(char *const *) p);
                break;
        case FIELD_LENGTH:
                if (r->result)
                        str_printf(b, "%s=%zu\n", f->key, r->result_len);
                break;
        }
}

int exit_record_encode(const ExitRecord *r, Str *ret) {
        str_append(ret, MAGIC);
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                field_append(ret, fields + i, r);
        str_append(ret, "\n");
        if (r->result)
                str_append_n(ret, r->result, r->result_len);
        return ret->failed ? -ENOMEM : 0;
}

/* ── reading ── */

static int int_read(const char *value, const Field *f, int64_t *ret) {
        int64_t n;
        /* One way to write a number: "+5" or "007" was not written by us. */
        if (parse_i64(value, &n) < 0 || value[0] == '+' || (value[0] == '0' && value[1]) || n < f->min || n > f->max)
                return -EBADMSG;
        *ret = n;
        return 0;
}

/* 32 hexadecimal digits, or nothing on a kernel that does not tell. */
static int boot_id_read(const char *value, char *ret) {
        if (!*value) {
                *ret = 0;
                return 0;
        }
        for (size_t i = 0; i < 32; i++)
                if (!isdigit((unsigned char) value[i]) && !(value[i] >= 'a' && value[i] <= 'f'))
                        return -EBADMSG;
        if (value[32])
                return -EBADMSG;
        memcpy(ret, value, 33);
        return 0;
}

static int field_read(const Field *f, const char *value, ExitRecord *r, bool *has_result) {
        void *p = (char *) r + f->offset;
        uint64_t u;
        int64_t i;

        switch (f->type) {
        case FIELD_ULID:
                return ulid_parse(value, p) < 0 ? -EBADMSG : 0;
        case FIELD_COUNT:
                if (int_read(value, f, &i) < 0)
                        return -EBADMSG;
                *(unsigned *) p = (unsigned) i;
                return 0;
        case FIELD_BOOT_ID:
                return boot_id_read(value, p);
        case FIELD_TIME:
                if (parse_u64(value, &u) < 0 || u > INT64_MAX)
                        return -EBADMSG;
                *(usec_t *) p = u;
                return 0;
        case FIELD_REASON:
                *(EndReason *) p = end_reason_from_string(value);
                return *(EndReason *) p == _END_REASON_MAX ? -EBADMSG : 0;
        case FIELD_INT:
                if (int_read(value, f, &i) < 0)
                        return -EBADMSG;
                *(int *) p = (int) i;
                return 0;
        case FIELD_MEASURE:
                if (parse_u64(value, &u) < 0 || u > INT64_MAX)
                        return -EBADMSG;
                *(int64_t *) p = (int64_t) u;
                return 0;
        case FIELD_TEXT:
                *(char **) p = strdup(value);
                if (!*(char **) p)
                        return -ENOMEM;
                /* What is not UTF-8 could not be shown by the API. */
                utf8_clean(*(char **) p);
                return 0;
        case FIELD_LENGTH:
                if (parse_u64(value, &u) < 0 || u > SIZE_MAX / 2)
                        return -EBADMSG;
                *(size_t *) p = (size_t) u;
                *has_result = true;
                return 0;
        }
        return -EBADMSG;
}

/* One line of the head, without its newline. */
static int line_read(const char *line, ExitRecord *r, uint32_t *seen, bool *has_result) {
        const char *eq = strchr(line, '=');
        if (!eq || eq == line)
                return -EBADMSG;
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
                if (strlen(fields[i].key) != (size_t) (eq - line) || memcmp(fields[i].key, line, (size_t) (eq - line)) != 0)
                        continue;
                if (*seen & 1U << i)
                        return -EBADMSG;
                *seen |= 1U << i;
                return field_read(fields + i, eq + 1, r, has_result);
        }
        return 0;
}

/* Status and signal as the end reason implies. */
static bool record_consistent(const ExitRecord *r) {
        bool exited = r->exit_status >= 0, killed = r->term_signal > 0;
        if (exited && killed)
                return false;
        /* Neither: there never was a process. */
        if (r->end_reason == END_EXIT)
                return !killed;
        return r->end_reason == END_SIGNAL ? killed : true;
}

/* Behind the result, up to the space that was taken at the attempt's start. */
static bool only_newlines(const char *s, size_t n) {
        return n == 0 || (s[0] == '\n' && memcmp(s, s + 1, n - 1) == 0);
}

static int record_read(char *head, const char *body, size_t body_len, ExitRecord *r) {
        bool has_result = false;
        uint32_t seen = 0;

        r->exit_status = r->progress = -1;
        r->cpu_usec = r->memory_peak = r->io_read = r->io_write = r->oom_kills = r->pids_peak = -1;
        for (char *line = head, *end; *line; line = end + 1) {
                end = strchr(line, '\n');
                *end = 0;
                int n = line_read(line, r, &seen, &has_result);
                if (n < 0)
                        return n;
        }
        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                if (fields[i].required && !(seen & 1U << i))
                        return -EBADMSG;
        if (r->result_len > body_len || !only_newlines(body + r->result_len, body_len - r->result_len) || !record_consistent(r))
                return -EBADMSG;
        if (has_result) {
                r->result = malloc(r->result_len + 1);
                if (!r->result)
                        return -ENOMEM;
                memcpy(r->result, body, r->result_len);
                r->result[r->result_len] = 0;
        }
        return 0;
}

int exit_record_decode(const char *data, size_t len, ExitRecord *ret) {
        _cleanup_exit_record_ ExitRecord r = {};
        size_t magic = strlen(MAGIC);

        if (len < magic || memcmp(data, MAGIC, magic) != 0)
                return -EBADMSG;
        data += magic;
        len -= magic;
        const char *empty = memmem(data, MIN(len, (size_t) HEAD_MAX), "\n\n", 2);
        if (!empty || memchr(data, 0, (size_t) (empty - data)))
                return -EBADMSG;

        size_t head_len = (size_t) (empty - data) + 1;
        _cleanup_free_ char *head = strndup(data, head_len);
        if (!head)
                return -ENOMEM;
        int n = record_read(head, empty + 2, len - head_len - 1, &r);
        if (n < 0)
                return n;
        *ret = r;
        r = (ExitRecord) {};
        return 0;
}
