/* unitfile.c: systemd's unit-file syntax. Our own, since a library that cuts values at " ;" or splits long ones cannot carry a command
 * line (SPEC 3). Works on the text as given, a physical line at a time; a logical line is gathered only where one is continued.
 *
 * As with systemd: a comment line inside a continuation is skipped, an empty line ends it, and a backslash continues a line only when
 * no backslash before it takes its meaning away. Blanks after a continuing backslash are an error here and not silently another
 * meaning; so no value ever ends in an unpaired backslash. */
#include "model/unitfile.h"

#include "base/str.h"
#include "model/utf8.h"

typedef struct Reader {
        unitfile_assign_fn assign;
        unitfile_error_fn error;
        void *userdata;
        int errors;
        unsigned line;                  /* of the physical line */
        unsigned start;                 /* of the logical line */
        bool bad;                       /* the logical line has an error already */
        bool continued;                 /* the logical line is not over */
        bool section_bad;               /* assignments are skipped up to the next header */
        Str text;                       /* the logical line */
        char *section;
} Reader;

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

/* What is wrong with the bytes of a line, NULL when nothing is. */
static const char *bytes_problem(const char *s, size_t n) {
        for (size_t i = 0; i < n;) {
                unsigned char c = (unsigned char) s[i];
                if (c == 0)
                        return "there is a NUL byte in this line";
                if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
                        return "there is a control character in this line";
                size_t len = utf8_length(s + i, n - i);
                if (len == 0)
                        return "this line is not UTF-8";
                i += len;
        }
        return NULL;
}

static void complain(Reader *r, unsigned line, const char *sentence) {
        if (r->bad)
                return;
        r->bad = true;
        r->errors++;
        if (r->error)
                r->error(r->userdata, line, sentence);
}

static char *strip(char *s) {
        while (is_blank(*s))
                s++;
        size_t n = strlen(s);
        while (n > 0 && is_blank(s[n - 1]))
                s[--n] = 0;
        return s;
}

static int header(Reader *r, char *s) {
        size_t n = strlen(s);
        r->section_bad = true;
        if (s[n - 1] != ']') {
                complain(r, r->start, "a section header must end with ]");
                return 0;
        }
        s[n - 1] = 0;
        s++;
        if (*s == 0 || strpbrk(s, "[]")) {
                complain(r, r->start, "this is not the name of a section");
                return 0;
        }
        char *copy = strdup(s);
        if (!copy)
                return -ENOMEM;
        free(r->section);
        r->section = copy;
        r->section_bad = false;
        return r->assign(r->userdata, r->start, r->section, NULL, "");
}

/* The logical line is whole. */
static int line_end(Reader *r) {
        int ret = 0;
        if (r->text.failed)
                return -ENOMEM;
        char *s = r->text.s ? strip(r->text.s) : NULL;
        if (!r->bad && s && *s) {
                char *eq = strchr(s, '=');
                if (*s == '[')
                        ret = header(r, s);
                else if (!eq)
                        complain(r, r->start, "this is neither KEY=VALUE nor a [Section]");
                else {
                        *eq = 0;
                        char *key = strip(s), *value = strip(eq + 1);
                        if (*key == 0)
                                complain(r, r->start, "there is no key before the =");
                        else if (!r->section_bad)
                                ret = r->assign(r->userdata, r->start, r->section ?: "", key, value);
                }
        }
        str_reset(&r->text);
        r->bad = r->continued = false;
        return ret < 0 ? ret : 0;
}

static int line_read(Reader *r, const char *s, size_t n) {
        while (n > 0 && is_blank(*s))
                s++, n--;
        if (n > 0 && (*s == '#' || *s == ';'))
                return 0;

        if (!r->continued) {
                r->start = r->line;
                r->bad = false;
        }
        const char *problem = bytes_problem(s, n);
        if (problem)
                complain(r, r->line, problem);

        size_t end = n, slashes = 0;
        while (end > 0 && is_blank(s[end - 1]))
                end--;
        while (slashes < end && s[end - 1 - slashes] == '\\')
                slashes++;
        bool goes_on = slashes % 2 == 1;
        /* A carriage return alone is the other systems' line end. */
        if (goes_on && end < n && !(n - end == 1 && s[end] == '\r'))
                complain(r, r->line, "there are blanks after the backslash at the end of this line, so the next line does not continue it");

        if (r->text.len + n > UNITFILE_LINE_MAX)
                complain(r, r->start, "this line is longer than 65536 bytes");
        if (!r->bad) {
                str_append_n(&r->text, s, goes_on ? end - 1 : n);
                if (goes_on)
                        str_append_n(&r->text, " ", 1);
        }
        r->continued = goes_on;
        return goes_on ? 0 : line_end(r);
}

int unitfile_parse(const char *text, size_t len, unitfile_assign_fn assign, unitfile_error_fn error, void *userdata) {
        Reader r = { .assign = assign, .error = error, .userdata = userdata };
        int ret = 0;

        if (len > UNITFILE_SIZE_MAX) {
                complain(&r, 0, "the file is larger than 1 MiB");
                return r.errors;
        }
        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
                text += 3, len -= 3;

        while (len > 0 && ret == 0) {
                const char *newline = memchr(text, '\n', len);
                size_t n = newline ? (size_t) (newline - text) : len;
                r.line++;
                ret = line_read(&r, text, n);
                n += newline ? 1 : 0;
                text += n;
                len -= n;
        }
        /* The last line may ask for more and there is none. */
        if (ret == 0 && r.continued)
                ret = line_end(&r);
        str_free(&r.text);
        free(r.section);
        return ret < 0 ? ret : r.errors;
}
