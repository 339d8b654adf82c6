/* test-unitfile.c: each text is read into a trace, "line [section] key=value" and "line! sentence", which is compared. */
#include <stdio.h>

#include <stddef.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "model/unitfile.h"

static int trace_assign(void *userdata, unsigned line, const char *section, const char *key, const char *value) {
        if (key)
                str_printf(userdata, "%u [%s] %s=%s\n", line, section, key, value);
        else
                str_printf(userdata, "%u [%s]\n", line, section);
        return key && STREQ(key, "Stop") ? -ECANCELED : 0;
}

static void trace_error(void *userdata, unsigned line, const char *sentence) {
        str_printf(userdata, "%u!\n", line);
}

static int parse(const char *text, size_t len, Str *trace) {
        /* Exactly as long as it is, so that the sanitizer sees a read past the end. */
        char *exact = malloc(len ?: 1);
        assert_non_null(exact);
        memcpy(exact, text, len);
        int r = unitfile_parse(exact, len, trace_assign, trace_error, trace);
        free(exact);
        return r;
}

static void check(const char *text, size_t len, int expected_r, const char *expected) {
        _cleanup_str_ Str trace = {};
        int r = parse(text, len, &trace);
        if (r != expected_r || !STREQ(trace.s ?: "", expected))
                fail_msg("\"%s\" gave %d and:\n%sinstead of %d and:\n%s", text, r, trace.s ?: "", expected_r, expected);
}
#define CHECK(text, r, expected) check((text), sizeof (text) - 1, (r), (expected))

static void assignments(void **state) {
        CHECK("", 0, "");
        CHECK("\n\n  \n", 0, "");
        CHECK("[Task]\nName=x", 0, "1 [Task]\n2 [Task] Name=x\n");
        CHECK("[Task]\r\nName=x\r\n", 0, "1 [Task]\n2 [Task] Name=x\n");
        CHECK("\xef\xbb\xbf[Task]\nName=x\n", 0, "1 [Task]\n2 [Task] Name=x\n");
        CHECK("[A]\n \tName \t=  a b  \n[B]\nEmpty=\nEq=a=b=c\n", 0, "1 [A]\n2 [A] Name=a b\n3 [B]\n4 [B] Empty=\n5 [B] Eq=a=b=c\n");
        CHECK("[A]\n[A]\nx=1\nx=2\n", 0, "1 [A]\n2 [A]\n3 [A] x=1\n4 [A] x=2\n");
        CHECK("x=1\n", 0, "1 [] x=1\n");
        /* A semicolon or hash inside a value is none; that is where libinih goes wrong. */
        CHECK("[A]\nExecStart=sh -c \"a ; b # c\"\n", 0, "1 [A]\n2 [A] ExecStart=sh -c \"a ; b # c\"\n");
        CHECK("[A]\nD=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n", 0, "1 [A]\n2 [A] D=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n");
}

static void comments(void **state) {
        CHECK("# a\n; b\n  # c\n[A]\nx=1 # not one\n#y=2\n", 0, "4 [A]\n5 [A] x=1 # not one\n");
        /* A comment does not continue. */
        CHECK("[A]\n# a\\\nx=1\n", 0, "1 [A]\n3 [A] x=1\n");
}

static void continuation(void **state) {
        CHECK("[A]\nx=a\\\n  b\\\nc\ny=2\n", 0, "1 [A]\n2 [A] x=a b c\n5 [A] y=2\n");
        CHECK("[A]\nx=a\\\n# skipped\n; too\nb\n", 0, "1 [A]\n2 [A] x=a b\n");
        CHECK("[A]\nx=a\\\n\ny=2\n", 0, "1 [A]\n2 [A] x=a\n4 [A] y=2\n");
        CHECK("[A]\nx=a\\", 0, "1 [A]\n2 [A] x=a\n");
        CHECK("[A]\nx=a\\\n", 0, "1 [A]\n2 [A] x=a\n");
        CHECK("[A]\nx=a\\\r\nb\r\n", 0, "1 [A]\n2 [A] x=a b\n");
        /* An escaped backslash is one of the value. */
        CHECK("[A]\nx=a\\\\\ny=2\n", 0, "1 [A]\n2 [A] x=a\\\\\n3 [A] y=2\n");
        CHECK("[A]\nx=a\\\\\\\nb\n", 0, "1 [A]\n2 [A] x=a\\\\ b\n");
        CHECK("[A]\nx=\\\n", 0, "1 [A]\n2 [A] x=\n");
        CHECK("[A]\nx\\\n=1\n", 0, "1 [A]\n2 [A] x=1\n");
}

static void errors(void **state) {
        CHECK("[A]\nnothing\nx=1\n", 1, "1 [A]\n2!\n3 [A] x=1\n");
        CHECK("[A]\n=1\n", 1, "1 [A]\n2!\n");
        CHECK("[A\nx=1\n[B]\ny=1\n", 1, "1!\n3 [B]\n4 [B] y=1\n");
        CHECK("[]\n[\n[A[B]\n", 3, "1!\n2!\n3!\n");
        CHECK("[A] x\n", 1, "1!\n");
        CHECK("[A]\nx=a\0b\ny=1\n", 1, "1 [A]\n2!\n3 [A] y=1\n");
        CHECK("[A]\nx=\x01\ny=\x7f\n", 2, "1 [A]\n2!\n3!\n");
        CHECK("[A]\nx=\xff\n", 1, "1 [A]\n2!\n");
        CHECK("[A]\nx=\xc0\x80\ny=\xed\xa0\x80\nz=\xf4\x90\x80\x80\nw=\xe2\x82\n", 4, "1 [A]\n2!\n3!\n4!\n5!\n");
        CHECK("[A]\nx=a\\ \nb=1\n", 1, "1 [A]\n2!\n");
        /* One report for a logical line, at the physical line that is wrong. */
        CHECK("[A]\nx=a\\\n\x01\\\n\x02\ny=1\n", 1, "1 [A]\n3!\n5 [A] y=1\n");
        CHECK("[A]\nx=1\nStop=1\ny=1\n", -ECANCELED, "1 [A]\n2 [A] x=1\n3 [A] Stop=1\n");
}

static void limits(void **state) {
        _cleanup_str_ Str text = {}, trace = {};

        str_append(&text, "[A]\nx=");
        for (size_t i = 0; i < UNITFILE_LINE_MAX - 2; i++)
                str_append(&text, "a");
        assert_int_equal(parse(text.s, text.len, &trace), 0);
        str_append(&text, "a");
        assert_int_equal(parse(text.s, text.len, &trace), 1);
        /* Also in pieces. */
        str_reset(&text);
        str_append(&text, "[A]\nx=");
        for (size_t i = 0; i < UNITFILE_LINE_MAX / 8; i++)
                str_append(&text, "aaaaaaaaa\\\n");
        str_append(&text, "\ny=1\n");
        str_reset(&trace);
        assert_int_equal(parse(text.s, text.len, &trace), 1);
        assert_non_null(strstr(trace.s, "y=1"));

        char *large = malloc(UNITFILE_SIZE_MAX + 1);
        assert_non_null(large);
        memset(large, '\n', UNITFILE_SIZE_MAX + 1);
        assert_int_equal(parse(large, UNITFILE_SIZE_MAX, &trace), 0);
        assert_int_equal(parse(large, UNITFILE_SIZE_MAX + 1, &trace), 1);
        free(large);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(assignments),
                cmocka_unit_test(comments),
                cmocka_unit_test(continuation),
                cmocka_unit_test(errors),
                cmocka_unit_test(limits),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
