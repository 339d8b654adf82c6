/* test-exit.c: exit records there and back and refused; results; and the fold, as a table of facts and what they come to. */
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "model/exit.h"
#include "model/result.h"

#define BOOT "0123456789abcdef0123456789abcdef"
#define MAX_RESULT 200

/* ── the record ── */

static ExitRecord example(void) {
        ExitRecord r = { .attempt = 3, .boot_id = BOOT, .started_at = 1000, .ended_at = 2000, .heartbeat_at = 1500, .allowed = 77, .end_reason = END_EXIT,
                         .exit_status = 75, .progress = 40, .cpu_usec = 123, .memory_peak = -1, .io_read = 0, .io_write = 5, .oom_kills = -1, .pids_peak = 2 };
        assert_int_equal(ulid_parse("01JBKR2E5F3G4H5J6K7M8N9P0Q", &r.task_id), 0);
        return r;
}

static void there_and_back(void **state) {
        _cleanup_str_ Str text = {};
        _cleanup_exit_record_ ExitRecord back = {};
        ExitRecord r = example();
        static char result[] = "{\"a\":\n\n\"\0\"}\n";

        r.status_text = (char *) "half\nway\r= €";
        r.error = (char *) "";
        r.result = result;
        r.result_len = sizeof result - 1;
        assert_int_equal(exit_record_encode(&r, &text), 0);
        assert_int_equal(strncmp(text.s, "JOBBERS_EXIT_RECORD=1\n", 22), 0);
        assert_int_equal(exit_record_decode(text.s, text.len, &back), 0);
        assert_memory_equal(&back.task_id, &r.task_id, sizeof r.task_id);
        assert_int_equal(back.attempt, 3);
        assert_string_equal(back.boot_id, BOOT);
        assert_true(back.started_at == 1000 && back.ended_at == 2000 && back.heartbeat_at == 1500 && back.allowed == 77);
        assert_true(back.end_reason == END_EXIT && back.exit_status == 75 && back.term_signal == 0 && back.progress == 40);
        assert_string_equal(back.status_text, "half way = €");
        assert_string_equal(back.error, "");
        assert_true(back.cpu_usec == 123 && back.memory_peak == -1 && back.io_read == 0 && back.io_write == 5 && back.oom_kills == -1 && back.pids_peak == 2);
        assert_int_equal(back.result_len, r.result_len);
        assert_memory_equal(back.result, result, sizeof result);
}

/* No result file is not an empty one. */
static void results_or_none(void **state) {
        _cleanup_str_ Str text = {};
        _cleanup_exit_record_ ExitRecord none = {}, empty = {};
        ExitRecord r = example();

        r.end_reason = END_SIGNAL;
        r.exit_status = -1;
        r.term_signal = SIGSEGV;
        assert_int_equal(exit_record_encode(&r, &text), 0);
        assert_int_equal(exit_record_decode(text.s, text.len, &none), 0);
        assert_null(none.result);
        assert_null(none.status_text);
        assert_int_equal(none.term_signal, SIGSEGV);
        str_reset(&text);
        r.result = (char *) "";
        r.boot_id[0] = 0;
        assert_int_equal(exit_record_encode(&r, &text), 0);
        assert_int_equal(exit_record_decode(text.s, text.len, &empty), 0);
        assert_non_null(empty.result);
        assert_int_equal(empty.result_len, 0);
}

#define GOOD "JOBBERS_EXIT_RECORD=1\nTASK=01JBKR2E5F3G4H5J6K7M8N9P0Q\nATTEMPT=1\nBOOT_ID=" BOOT "\nSTARTED_AT=1\nENDED_AT=2\n"
#define ENDED GOOD "END_REASON=exit\nEXIT_STATUS=0\nTERM_SIGNAL=0\n"

static int decode(const char *text, size_t len, ExitRecord *ret) {
        char *exact = malloc(len ?: 1);
        assert_non_null(exact);
        memcpy(exact, text, len);
        int r = exit_record_decode(exact, len, ret);
        free(exact);
        return r;
}

static void refused(void **state) {
#define BAD(s) { s, sizeof (s) - 1 }
        static const struct {
                const char *text;
                size_t len;
        } bad[] = {
                BAD(""), BAD("JOBBERS_EXIT_RECORD=1"), BAD("JOBBERS_EXIT_RECORD=1\n"), BAD("JOBBERS_EXIT_RECORD=1\n\n"),
                BAD("JOBBERS_STARTED=1\n\n"), BAD("JOBBERS_EXIT_RECORD=2\n" "TASK=01JBKR2E5F3G4H5J6K7M8N9P0Q\n\n"),
                BAD(ENDED), BAD(ENDED "x"), BAD(ENDED "\n{}"), BAD(ENDED "RESULT_LENGTH=2\n\n"), BAD(ENDED "RESULT_LENGTH=2\n\n{"),
                BAD(ENDED "RESULT_LENGTH=2\n\n{} "), BAD(ENDED "RESULT_LENGTH=2\n\n{}\n \n"), BAD(ENDED "RESULT_LENGTH=-1\n\n"), BAD(ENDED "RESULT_LENGTH=99999999999999999999\n\n"),
                BAD(ENDED "ATTEMPT=1\n\n"), BAD(ENDED "nonsense\n\n"), BAD(ENDED "=x\n\n"), BAD(ENDED "ERROR=a\0b\n\n"),
                BAD(ENDED "PROGRESS=101\n\n"), BAD(ENDED "PROGRESS=-2\n\n"), BAD(ENDED "PROGRESS=+5\n\n"), BAD(ENDED "PROGRESS=05\n\n"),
                BAD(ENDED "CPU_USEC=-1\n\n"), BAD(ENDED "CPU_USEC=9223372036854775808\n\n"), BAD(ENDED "CPU_USEC=\n\n"),
                BAD(GOOD "END_REASON=exit\nEXIT_STATUS=-1\nTERM_SIGNAL=9\n\n"), BAD(GOOD "END_REASON=exit\nEXIT_STATUS=256\nTERM_SIGNAL=0\n\n"),
                BAD(GOOD "END_REASON=exit\nEXIT_STATUS=0\nTERM_SIGNAL=9\n\n"), BAD(GOOD "END_REASON=signal\nEXIT_STATUS=-1\nTERM_SIGNAL=0\n\n"),
                BAD(GOOD "END_REASON=signal\nEXIT_STATUS=-1\nTERM_SIGNAL=65\n\n"), BAD(GOOD "END_REASON=\nEXIT_STATUS=0\nTERM_SIGNAL=0\n\n"),
                BAD(GOOD "END_REASON=success\nEXIT_STATUS=0\nTERM_SIGNAL=0\n\n"), BAD(GOOD "EXIT_STATUS=0\nTERM_SIGNAL=0\n\n"),
                BAD("JOBBERS_EXIT_RECORD=1\nTASK=01JBKR2E5F3G4H5J6K7M8N9P0\nATTEMPT=1\nBOOT_ID=" BOOT "\nSTARTED_AT=1\nENDED_AT=2\nEND_REASON=exit\nEXIT_STATUS=0\nTERM_SIGNAL=0\n\n"),
                BAD("JOBBERS_EXIT_RECORD=1\nTASK=01JBKR2E5F3G4H5J6K7M8N9P0Q\nATTEMPT=0\nBOOT_ID=" BOOT "\nSTARTED_AT=1\nENDED_AT=2\nEND_REASON=exit\nEXIT_STATUS=0\nTERM_SIGNAL=0\n\n"),
                BAD("JOBBERS_EXIT_RECORD=1\nTASK=01JBKR2E5F3G4H5J6K7M8N9P0Q\nATTEMPT=1\nBOOT_ID=0123\nSTARTED_AT=1\nENDED_AT=2\nEND_REASON=exit\nEXIT_STATUS=0\nTERM_SIGNAL=0\n\n"),
        };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                ExitRecord r = { .attempt = 77 };
                if (decode(bad[i].text, bad[i].len, &r) != -EBADMSG || r.attempt != 77)
                        fail_msg("not refused, or written to: %zu: %s", i, bad[i].text);
        }
        /* The one they are all near to is right, and later versions may say more. */
        static const char good[] = ENDED "LATER=x\n\n", with_result[] = ENDED "RESULT_LENGTH=2\n\n{}";
        _cleanup_exit_record_ ExitRecord a = {}, b = {};
        assert_int_equal(decode(good, sizeof good - 1, &a), 0);
        assert_true(a.progress == -1 && a.cpu_usec == -1 && a.exit_status == 0);
        assert_int_equal(decode(with_result, sizeof with_result - 1, &b), 0);
        assert_string_equal(b.result, "{}");
        static const char filled[] = ENDED "RESULT_LENGTH=2\n\n{}\n\n\n";
        _cleanup_exit_record_ ExitRecord c = {};
        assert_int_equal(decode(filled, sizeof filled - 1, &c), 0);
        assert_string_equal(c.result, "{}");
        /* No process, no status. */
        static const char never[] = GOOD "END_REASON=exit\nEXIT_STATUS=-1\nTERM_SIGNAL=0\nERROR=cannot\n\n";
        _cleanup_exit_record_ ExitRecord e = {};
        assert_int_equal(decode(never, sizeof never - 1, &e), 0);
        assert_true(e.end_reason == END_EXIT && e.exit_status == -1 && e.term_signal == 0);
        /* Cut off anywhere, it is no record. */
        for (size_t n = 0; n < sizeof with_result - 1; n++) {
                ExitRecord r = {};
                assert_int_equal(decode(with_result, n, &r), -EBADMSG);
        }
}

/* A task's status text is bytes; what is shown is UTF-8. */
static void cleaned(void **state) {
        _cleanup_exit_record_ ExitRecord r = {};
        static const char text[] = ENDED "STATUS_TEXT=a\xff" "b\xe2\x82\xacz\xc3\nERROR=\xed\xa0\x80\xf0\x9f\x98\x80\xc0\x80\n\n";
        assert_int_equal(decode(text, sizeof text - 1, &r), 0);
        assert_string_equal(r.status_text, "a?b\xe2\x82\xacz?");
        assert_string_equal(r.error, "???\xf0\x9f\x98\x80??");
}

/* ── results ── */

static void result_is(const char *text, size_t len, const char *expected) {
        _cleanup_free_ char *got = NULL, *sentence = NULL;
        if (result_read(text, len, MAX_RESULT, &got, &sentence) != 0)
                fail_msg("%s: %s", text, sentence);
        assert_string_equal(got, expected);
}

static void result_is_bad(const char *text, const char *why) {
        _cleanup_free_ char *got = NULL, *sentence = NULL;
        if (result_read(text, strlen(text), MAX_RESULT, &got, &sentence) != -EINVAL || !strstr(sentence, why))
                fail_msg("%s: %s", text, sentence ?: "accepted");
}

static void results(void **state) {
        _cleanup_str_ Str deep = {}, large = {};

        result_is(NULL, 0, "{}");
        result_is("{}", 2, "{}");
        result_is(" {\n \"b\" : [ 1 , 2.50 ],\t\"a b\":\"x \\\" y \\\\\" } \n", 45, "{\"b\":[1,2.50],\"a b\":\"x \\\" y \\\\\"}");
        /* The task's own numbers and order. */
        result_is("{\"n\": 0.1, \"big\": 123456789012345678901234567890, \"a\": 1E5}", 59, "{\"n\":0.1,\"big\":123456789012345678901234567890,\"a\":1E5}");
        result_is("{\"nul\": \"\\u0000\"}", 17, "{\"nul\":\"\\u0000\"}");

        result_is_bad("", "the result is empty: it must be a JSON object");
        result_is_bad(" \t\r\n", "the result is empty");
        result_is_bad("done", "is not a JSON object: line 1");
        result_is_bad("{\"a\": 1", "is not a JSON object");
        result_is_bad("{} {}", "is not a JSON object");
        result_is_bad("{\"a\": \"\xff\"}", "is not a JSON object");
        result_is_bad("{\"a\": 1e999}", "is not a JSON object");
        result_is_bad("[1]", "another JSON value");
        result_is_bad("\"x\"", "another JSON value");
        result_is_bad("null", "another JSON value");

        str_append(&deep, "{\"a\":");
        for (int i = 1; i < RESULT_DEPTH_MAX; i++)
                str_append(&deep, "[");
        for (int i = 1; i < RESULT_DEPTH_MAX; i++)
                str_append(&deep, "]");
        str_append(&deep, "}");
        result_is(deep.s, deep.len, deep.s);
        _cleanup_free_ char *deeper = str_new("{\"b\": %s}", deep.s), *quoted = str_new("{\"b\": \"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}");
        result_is_bad(deeper, "more than 32 levels");
        result_is_bad("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "more than 32 levels");
        assert_non_null(quoted);
        _cleanup_free_ char *got = NULL, *sentence = NULL;
        assert_int_equal(result_read(quoted, strlen(quoted), MAX_RESULT, &got, &sentence), 0);

        str_append(&large, "{\"a\":\"");
        while (large.len < MAX_RESULT - 2)
                str_append(&large, "x");
        str_append(&large, "\"}");
        result_is(large.s, large.len, large.s);
        _cleanup_free_ char *larger = str_new(" %s", large.s);
        result_is_bad(larger, "the result has 201 bytes, and 200 are allowed");
}

static void error_is(const char *text, const char *type, const char *message) {
        _cleanup_free_ char *got_type = NULL, *got_message = NULL;
        assert_int_equal(result_read_error(text, text ? strlen(text) : 0, 100000, &got_type, &got_message), 0);
        assert_int_equal(!type, !got_type);
        assert_int_equal(!message, !got_message);
        if (type)
                assert_string_equal(got_type, type);
        if (message)
                assert_string_equal(got_message, message);
}

static void errors(void **state) {
        _cleanup_str_ Str text = {};

        error_is("{\"error\": {\"type\": \"SourceChanged\", \"message\": \"moved\"}}", "SourceChanged", "moved");
        error_is("{\"error\": {\"message\": \"moved\"}, \"more\": []}", NULL, "moved");
        /* No commands for the terminal it is shown in. */
        error_is("{\"error\": {\"message\": \"a\\u001b[2J\\rb\\n\\u009b31m\xc2\xa0\xc3\xa4\\u007f\"}}", NULL, "a [2J b\n 31m\xc2\xa0\xc3\xa4 ");
        error_is("{\"error\": {\"type\": \"T\", \"message\": 5}}", "T", NULL);
        error_is("{\"error\": {\"type\": \"\", \"message\": \"\"}}", NULL, NULL);
        error_is("{\"error\": \"moved\"}", NULL, "moved");
        error_is("{\"error\": [1]}", NULL, NULL);
        error_is("{}", NULL, NULL);
        error_is("[1]", NULL, NULL);
        error_is("{\"error\": {\"type\"", NULL, NULL);
        error_is("", NULL, NULL);
        error_is(NULL, NULL, NULL);
        error_is("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", NULL, NULL);
        /* Cut between characters. */
        str_append(&text, "{\"error\": \"x");
        for (int i = 0; i < 3000; i++)
                str_append(&text, "€");
        str_append(&text, "\"}");
        _cleanup_free_ char *type = NULL, *message = NULL;
        assert_int_equal(result_read_error(text.s, text.len, 100000, &type, &message), 0);
        assert_int_equal(strlen(message), 4096);
        assert_string_equal(message + 4093, "€");
}

/* ── the fold ── */

static Definition *definition(const char *lines) {
        _cleanup_free_ char *text = str_new("[Task]\nName=x\nVersion=1\nExecStart=/bin/true\n%s", lines);
        Definition *d = NULL;
        assert_int_equal(definition_from_text(text, "/", &d), 0);
        return d;
}

typedef struct Fold {
        const char *lines;              /* of the definition; NULL: it is lost */
        EndReason reason;
        int status, signal;
        const char *result, *own;       /* the result file, the supervisor's sentence */
        StopReason stop;
        unsigned retry_attempt;
        LifeEvent event;
        const char *error;              /* NULL: none */
        const char *type;
        usec_t delay;
        int64_t peak;                   /* 0: not measured */
        usec_t allowed;                 /* with the time it had asked for */
} Fold;

static void fold_one(const Fold *f, size_t i) {
        _cleanup_(definition_unref_p) Definition *d = f->lines ? definition(f->lines) : NULL;
        _cleanup_outcome_ Outcome o = {};
        ExitRecord r = example();

        r.end_reason = f->reason;
        r.exit_status = f->signal ? -1 : f->status;
        r.term_signal = f->signal;
        r.result = (char *) f->result;
        r.result_len = f->result ? strlen(f->result) : 0;
        r.error = (char *) f->own;
        r.allowed = f->allowed;
        r.memory_peak = f->peak ?: -1;
        assert_int_equal(exit_fold(f->reason == END_HOST_LOST ? NULL : &r, "its host went down", d, f->stop, f->retry_attempt, MAX_RESULT, 0, &o), 0);
        if (o.event != f->event || o.end_reason != f->reason || o.delay != f->delay || !f->error != !o.error || (f->error && !STREQ(f->error, o.error)) ||
            !f->type != !o.error_type || (f->type && !STREQ(f->type, o.error_type)) || (o.event == LIFE_COMPLETE) != !!o.results)
                fail_msg("case %zu: %s, %s, \"%s\", type %s, delay %llu", i, life_event_to_string(o.event), end_reason_to_string(o.end_reason),
                         o.error ?: "", o.error_type ?: "-", (unsigned long long) o.delay);
}

#define S USEC_PER_SEC
#define TYPED "{\"error\": {\"type\": \"Gone\", \"message\": \"it moved\"}}"

static void fold(void **state) {
        static const Fold cases[] = {
                /* Success, and what is none. */
                { "", END_EXIT, .event = LIFE_COMPLETE },
                { "", END_EXIT, .result = " {\"a\": 1}", .event = LIFE_COMPLETE },
                { NULL, END_EXIT, .event = LIFE_COMPLETE },
                { "", END_EXIT, .result = "", .event = LIFE_FAIL, .error = "the result is empty: it must be a JSON object" },
                { "", END_EXIT, .result = "[]", .event = LIFE_FAIL, .error = "the result is not a JSON object but another JSON value" },
                { "", END_EXIT, .own = "the result is larger than 1M", .event = LIFE_FAIL, .error = "the result is larger than 1M" },
                /* Unexpected failures. */
                { "", END_EXIT, 1, .event = LIFE_FAIL, .error = "exit status 1" },
                { "", END_EXIT, 78, .event = LIFE_FAIL, .error = "exit status 78 (CONFIG)" },
                { "", END_SIGNAL, .signal = SIGSEGV, .event = LIFE_FAIL, .error = "killed by SIGSEGV" },
                { "", END_OOM, .signal = SIGKILL, .event = LIFE_FAIL, .error = "out of memory: killed by the kernel" },
                { "[Resources]\nMemoryMax=64M\n", END_OOM, .signal = SIGKILL, .peak = 63 << 20, .event = LIFE_FAIL, .error = "out of memory: it needed more than MemoryMax=, which is 64 MiB" },
                { "[Resources]\nMemoryMax=64M\n", END_OOM, .signal = SIGKILL, .peak = 30 << 20, .event = LIFE_FAIL, .error = "out of memory: killed by the kernel below its own MemoryMax=, so its queue or the host had none left" },
                { "[Resources]\nMemoryMax=64M\n", END_OOM, .signal = SIGKILL, .event = LIFE_FAIL, .error = "out of memory: it needed more than MemoryMax=, which is 64 MiB" },
                { "", END_EXIT, 203, .own = "cannot run /bin/x: no such file", .event = LIFE_FAIL, .error = "cannot run /bin/x: no such file" },
                { "RetryOn=255\n", END_EXIT, -1, .own = "cannot read the environment file /x: no such file", .event = LIFE_FAIL,
                  .error = "cannot read the environment file /x: no such file" },
                { "", END_EXIT, -1, .event = LIFE_FAIL, .error = "it could not be started" },
                { "", END_EXIT, 1, .result = TYPED, .event = LIFE_FAIL, .error = "it moved", .type = "Gone" },
                { NULL, END_EXIT, 75, .event = LIFE_FAIL, .error = "exit status 75 (TEMPFAIL)" },
                /* Expected ones, with retries left. */
                { "", END_EXIT, 75, .event = LIFE_RETRY, .error = "exit status 75 (TEMPFAIL)" },
                { "", END_EXIT, 75, .retry_attempt = 2, .event = LIFE_RETRY, .error = "exit status 75 (TEMPFAIL)" },
                { "RetryOn=7\n", END_EXIT, 7, .event = LIFE_RETRY, .error = "exit status 7" },
                { "RetryOn=7\n", END_EXIT, 75, .event = LIFE_FAIL, .error = "exit status 75 (TEMPFAIL)" },
                { "RetryOn=SIGSEGV\n", END_SIGNAL, .signal = SIGSEGV, .event = LIFE_RETRY, .error = "killed by SIGSEGV" },
                { "RetryOn=Gone\n", END_EXIT, 1, .result = TYPED, .event = LIFE_RETRY, .error = "it moved", .type = "Gone" },
                { "RetryOn=Gone\n", END_SIGNAL, .signal = SIGABRT, .result = TYPED, .event = LIFE_RETRY, .error = "it moved", .type = "Gone" },
                { "RetryOn=oom\n", END_OOM, .signal = SIGKILL, .event = LIFE_RETRY, .error = "out of memory: killed by the kernel" },
                /* Something in it ran out of memory: how it ended itself still counts. */
                { "", END_OOM, 75, .event = LIFE_RETRY, .error = "out of memory: killed by the kernel" },
                { "RetryOn=137\n", END_OOM, 137, .event = LIFE_RETRY, .error = "out of memory: killed by the kernel" },
                { "RetryOn=SIGKILL\n", END_OOM, .signal = SIGKILL, .event = LIFE_RETRY, .error = "out of memory: killed by the kernel" },
                { "RetryOn=oom\n", END_OOM, 75, .event = LIFE_RETRY, .error = "out of memory: killed by the kernel" },
                { "RetryOn=SIGTERM 1\n", END_OOM, .signal = SIGKILL, .event = LIFE_FAIL, .error = "out of memory: killed by the kernel" },
                { "RetryOn=SIGKILL\n", END_OOM, 137, .event = LIFE_FAIL, .error = "out of memory: killed by the kernel" },
                { "TimeoutSec=2min\nRetryOn=\n", END_TIMEOUT, .signal = SIGTERM, .event = LIFE_RETRY, .error = "timed out after 2min" },
                { "TimeoutSec=2min\n", END_TIMEOUT, 0, .stop = STOP_TIMEOUT, .event = LIFE_RETRY, .error = "timed out after 2min" },
                { "TimeoutSec=2min\n", END_TIMEOUT, .signal = SIGTERM, .event = LIFE_RETRY, .allowed = 150 * S,
                  .error = "timed out after 2min 30s (TimeoutSec=2min and the time it had asked for)" },
                { "TimeoutSec=2min\n", END_TIMEOUT, 1, .result = TYPED, .event = LIFE_RETRY, .error = "it moved", .type = "Gone" },
                /* Delays: retry 1 waits b·2, retry 3 b·8, never more than the cap. */
                { "RetryDelaySec=10\n", END_EXIT, 75, .event = LIFE_RETRY_LATER, .error = "exit status 75 (TEMPFAIL)", .delay = 20 * S },
                { "RetryDelaySec=10\n", END_EXIT, 75, .retry_attempt = 2, .event = LIFE_RETRY_LATER, .error = "exit status 75 (TEMPFAIL)", .delay = 80 * S },
                { "RetryDelaySec=10\nMaxRetryDelaySec=15\n", END_EXIT, 75, .event = LIFE_RETRY_LATER, .error = "exit status 75 (TEMPFAIL)", .delay = 15 * S },
                { "RetryDelaySec=0\n", END_EXIT, 75, .event = LIFE_RETRY_LATER, .error = "exit status 75 (TEMPFAIL)" },
                /* Retries used up. */
                { "", END_EXIT, 75, .retry_attempt = 3, .event = LIFE_FAIL, .error = "exit status 75 (TEMPFAIL), and its 3 retries are used up" },
                { "MaxRetries=1\n", END_EXIT, 75, .retry_attempt = 1, .event = LIFE_FAIL, .error = "exit status 75 (TEMPFAIL), and its one retry is used up" },
                { "MaxRetries=0\n", END_EXIT, 75, .event = LIFE_FAIL, .error = "exit status 75 (TEMPFAIL)" },
                { "RetryOn=Gone\n", END_EXIT, 1, .result = TYPED, .retry_attempt = 3, .event = LIFE_FAIL, .error = "it moved", .type = "Gone" },
                { "TimeoutSec=5\n", END_TIMEOUT, .signal = SIGKILL, .retry_attempt = 9, .event = LIFE_FAIL, .error = "timed out after 5s, and its 3 retries are used up" },
                /* Cancelled is cancelled, whatever the exit. */
                { "", END_CANCELLED, .signal = SIGTERM, .stop = STOP_CANCELLED, .event = LIFE_CANCELLED, .error = "cancelled" },
                { "", END_EXIT, 0, .stop = STOP_CANCELLED, .event = LIFE_CANCELLED, .error = "cancelled" },
                { "", END_EXIT, 75, .stop = STOP_CANCELLED, .event = LIFE_CANCELLED, .error = "cancelled" },
                { "", END_TIMEOUT, .signal = SIGTERM, .stop = STOP_CANCELLED, .event = LIFE_CANCELLED, .error = "cancelled" },
                { "OnShutdown=resubmit\n", END_SHUTDOWN, .signal = SIGTERM, .stop = STOP_CANCELLED, .event = LIFE_CANCELLED, .error = "cancelled" },
                { "OnShutdown=resubmit\n", END_HOST_LOST, .stop = STOP_CANCELLED, .event = LIFE_CANCELLED, .error = "its host went down" },
                /* Stalled, stopped, lost. */
                { "MaxHeartbeatIntervalSec=5min\n", END_STALLED, .signal = SIGTERM, .event = LIFE_STALL, .error = "stalled: no heartbeat for 5min" },
                { "OnShutdown=resubmit\n", END_STALLED, 75, .own = "the result is a directory", .event = LIFE_STALL, .error = "stalled: no heartbeat" },
                { "", END_SHUTDOWN, .signal = SIGTERM, .stop = STOP_SHUTDOWN, .event = LIFE_STALL, .error = "stopped because the daemon was stopped" },
                { "OnShutdown=continue\n", END_SHUTDOWN, 0, .stop = STOP_SHUTDOWN, .event = LIFE_STALL, .error = "stopped because the daemon was stopped" },
                { "OnShutdown=resubmit\n", END_SHUTDOWN, 75, .stop = STOP_SHUTDOWN, .event = LIFE_REQUEUE, .error = "stopped because the daemon was stopped" },
                { NULL, END_SHUTDOWN, 0, .stop = STOP_SHUTDOWN, .event = LIFE_STALL, .error = "stopped because the daemon was stopped" },
                { "", END_HOST_LOST, .event = LIFE_STALL, .error = "its host went down" },
                { "OnShutdown=continue\n", END_HOST_LOST, .event = LIFE_STALL, .error = "its host went down" },
                { "OnShutdown=resubmit\n", END_HOST_LOST, .event = LIFE_REQUEUE, .error = "its host went down" },
                { "OnShutdown=resubmit\n", END_HOST_LOST, .stop = STOP_STALLED, .event = LIFE_STALL, .error = "its host went down" },
                { NULL, END_HOST_LOST, .event = LIFE_STALL, .error = "its host went down" },
                /* It ended by itself before the daemon's stop reached it: that counts. */
                { "OnShutdown=resubmit\n", END_EXIT, 0, .stop = STOP_SHUTDOWN, .event = LIFE_COMPLETE },
                { "OnShutdown=resubmit\n", END_EXIT, 1, .stop = STOP_SHUTDOWN, .event = LIFE_FAIL, .error = "exit status 1" },
                { "OnShutdown=resubmit\n", END_EXIT, 75, .stop = STOP_SHUTDOWN, .event = LIFE_RETRY, .error = "exit status 75 (TEMPFAIL)" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                fold_one(cases + i, i);
}

/* Whatever the facts: the event is one that a started task can take, and only exit 0 completes. */
static void fold_fits_life(void **state) {
        static const char *const texts[] = { NULL, "", "OnShutdown=resubmit\n", "RetryOn=1 SIGKILL oom\nRetryDelaySec=1\n" };
        for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
                _cleanup_(definition_unref_p) Definition *d = texts[t] ? definition(texts[t]) : NULL;
                for (EndReason reason = END_NONE; reason < _END_REASON_MAX; reason++)
                        for (StopReason stop = 0; stop < _STOP_REASON_MAX; stop++)
                                for (int status = 0; status < 2; status++)
                                        for (unsigned retry = 0; retry < 5; retry++) {
                                                _cleanup_outcome_ Outcome o = {};
                                                ExitRecord r = example();
                                                r.end_reason = reason;
                                                r.exit_status = reason == END_SIGNAL ? -1 : status;
                                                r.term_signal = reason == END_SIGNAL ? SIGKILL : 0;
                                                assert_int_equal(exit_fold(&r, NULL, d, stop, retry, MAX_RESULT, 0, &o), 0);
                                                const LifeArrow *a = life_arrow(TASK_STARTED, o.event);
                                                assert_non_null(a);
                                                assert_true(a->to != TASK_STARTED);
                                                assert_true(o.event == LIFE_COMPLETE || o.error);
                                                if (o.event == LIFE_COMPLETE)
                                                        assert_true(reason == END_EXIT && status == 0 && stop != STOP_CANCELLED);
                                                assert_int_equal(stop == STOP_CANCELLED || reason == END_CANCELLED, o.event == LIFE_CANCELLED);
                                        }
        }
}

static void words(void **state) {
        assert_null(stop_reason_to_string(STOP_NONE));
        assert_null(end_reason_to_string(END_NONE));
        for (StopReason r = STOP_NONE + 1; r < _STOP_REASON_MAX; r++)
                assert_int_equal(stop_reason_from_string(stop_reason_to_string(r)), r);
        for (EndReason r = END_NONE + 1; r < _END_REASON_MAX; r++)
                assert_int_equal(end_reason_from_string(end_reason_to_string(r)), r);
        assert_int_equal(stop_reason_from_string("none"), _STOP_REASON_MAX);
        assert_int_equal(end_reason_from_string(NULL), _END_REASON_MAX);
        assert_string_equal(end_reason_to_string(END_HOST_LOST), "host-lost");
}

static void release(void **state) {
        Task t = { .seq = 1, .name = strdup("a"), .queue = strdup("b"), .status_text = strdup("c"), .last_error = strdup("d"), .results = strdup("e"), .parameters = strdup("f") };
        Attempt a = { .error = strdup("a"), .error_type = strdup("b"), .attempt = 3 };
        task_done(&t);
        attempt_done(&a);
        assert_true(t.seq == 0 && !t.name && a.attempt == 0 && !a.error);
        task_done(&t);
        attempt_done(&a);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(there_and_back),
                cmocka_unit_test(results_or_none),
                cmocka_unit_test(refused),
                cmocka_unit_test(cleaned),
                cmocka_unit_test(results),
                cmocka_unit_test(errors),
                cmocka_unit_test(fold),
                cmocka_unit_test(fold_fits_life),
                cmocka_unit_test(words),
                cmocka_unit_test(release),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
