/* test-definition.c: each key of a *.task file: its default, its values, its refusals; the canonical text; and [Parameters]. */
#include <signal.h>
#include <stddef.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "model/definition-keys.h"
#include "model/retry-on.h"

#define HEAD "[Task]\nName=report\nVersion=1\nExecStart=/bin/true\n"

static void remember(void *userdata, const char *path, unsigned line, const char *sentence) {
        str_printf(userdata, "%s:%u: %s\n", path, line, sentence);
}

/* The definition, or NULL and what was reported. */
static Definition *read_text(const char *text, Str *problems) {
        _cleanup_(definition_reader_end) DefinitionReader r = {};
        Definition *d = NULL;

        str_reset(problems);
        assert_int_equal(definition_reader_begin(&r, "x.task", "/usr/libexec/jobbers", remember, problems), 0);
        assert_int_equal(definition_reader_read(&r, "x.task", text, strlen(text)), 0);
        assert_int_equal(definition_reader_finish(&r, &d), 0);
        assert_int_equal(d == NULL, r.problems > 0);
        return d;
}

/* HEAD with more lines, which must be right; and its text must read back as the same. */
static Definition *good(const char *lines) {
        _cleanup_str_ Str problems = {};
        _cleanup_free_ char *text = str_new(HEAD "%s", lines), *once = NULL, *twice = NULL;
        Definition *d = read_text(text, &problems), *again = NULL;

        if (!d)
                fail_msg("%s: %s", lines, problems.s);
        once = definition_text(d);
        assert_non_null(once);
        if (definition_from_text(once, "/elsewhere", &again) < 0)
                fail_msg("cannot read back:\n%s", once);
        twice = definition_text(again);
        assert_string_equal(once, twice);
        assert_true(d->hash == again->hash);
        definition_unref(again);
        return d;
}

/* One problem, in the line given, that says `what`. */
static void bad_text(const char *text, unsigned line, const char *what) {
        _cleanup_str_ Str problems = {};
        _cleanup_free_ char *place = str_new("x.task:%u: ", line);
        Definition *d = read_text(text, &problems);

        if (d || strncmp(problems.s, place, strlen(place)) != 0 || !strstr(problems.s, what) || strchr(problems.s, '\n')[1])
                fail_msg("%s\n→ %s (expected line %u, \"%s\")", text, d ? "accepted" : problems.s, line, what);
        definition_unref(d);
}

static void bad(const char *line, const char *what) {
        _cleanup_free_ char *text = str_new(HEAD "%s\n", line);
        bad_text(text, 5, what);
}

static void bad_resource(const char *line) {
        _cleanup_free_ char *text = str_new(HEAD "[Resources]\n%s\n", line);
        bad_text(text, 6, line);
}

static void defaults(void **state) {
        _cleanup_(definition_unref_p) Definition *d = good("");

        assert_string_equal(d->name, "report");
        assert_int_equal(d->version, 1);
        assert_string_equal(d->argv[0], "/bin/true");
        assert_null(d->argv[1]);
        assert_null(d->description);
        assert_null(d->documentation);
        assert_int_equal(d->max_retries, 3);
        assert_true(d->retry_delay == USEC_INFINITY);
        assert_int_equal(d->backoff, BACKOFF_EXPONENTIAL);
        assert_int_equal(d->max_retry_delay, 3600 * USEC_PER_SEC);
        assert_true(retry_on_has_status(&d->retry_on, 75));
        assert_false(d->retry_on.oom);
        assert_int_equal(d->retry_on.signals, 0);
        assert_true(d->timeout == USEC_INFINITY);
        assert_false(d->dead_letter_save);
        assert_true(d->max_heartbeat_interval == USEC_INFINITY);
        assert_int_equal(d->max_concurrent, 1);
        assert_int_equal(d->on_shutdown, ON_SHUTDOWN_STOP);
        assert_int_equal(d->kill_signal, SIGTERM);
        assert_int_equal(d->kill_mode, KILL_CONTROL_GROUP);
        assert_int_equal(d->kill_grace, 10 * USEC_PER_SEC);
        assert_null(d->user);
        assert_null(d->group);
        assert_null(d->working_directory);
        assert_int_equal(d->umask, 0022);
        assert_null(d->environment);
        assert_null(d->environment_files);
        assert_int_equal(d->launcher, LAUNCHER_AUTO);
        assert_true(d->memory_max == UINT64_MAX && d->memory_high == UINT64_MAX && d->tasks_max == UINT64_MAX);
        assert_true(d->cpu_quota == 0 && d->cpu_weight == 0 && d->io_weight == 0);
        assert_true(d->limit_nofile_soft == UINT64_MAX && d->limit_nofile_hard == UINT64_MAX);
        assert_false(d->has_parameters);

        _cleanup_free_ char *text = definition_text(d);
        assert_string_equal(text, HEAD);
}

static void values(void **state) {
        _cleanup_(definition_unref_p) Definition *d =
                good("Description=Weekly; # report\nDocumentation=https://example.org/\nMaxRetries=0\nRetryDelaySec=0\nBackoffStrategy=linear\n"
                     "MaxRetryDelaySec=5min 20s\nTimeoutSec=1500ms\nDeadLetterPolicy=save\nMaxHeartbeatIntervalSec=2min\nMaxConcurrent=7\n"
                     "OnShutdown=continue\nKillSignal=INT\nKillMode=mixed\nKillGraceSec=0\nUser=backup\nGroup=1000\nWorkingDirectory=/srv\n"
                     "UMask=077\nEnvironmentFile=/etc/a\nEnvironmentFile=-/etc/b c\nLauncher=subprocess\n"
                     "[Resources]\nMemoryMax=512M\nMemoryHigh=1.5G\nCPUQuota=150%\nCPUWeight=20\nIOWeight=10000\nTasksMax=64\nLimitNOFILE=100:200\n");
        assert_string_equal(d->description, "Weekly; # report");
        assert_string_equal(d->documentation, "https://example.org/");
        assert_int_equal(d->max_retries, 0);
        assert_int_equal(d->retry_delay, 0);
        assert_int_equal(d->backoff, BACKOFF_LINEAR);
        assert_int_equal(d->max_retry_delay, 320 * USEC_PER_SEC);
        assert_int_equal(d->timeout, 1500000);
        assert_true(d->dead_letter_save);
        assert_int_equal(d->max_heartbeat_interval, 120 * USEC_PER_SEC);
        assert_int_equal(d->max_concurrent, 7);
        assert_int_equal(d->on_shutdown, ON_SHUTDOWN_CONTINUE);
        assert_int_equal(d->kill_signal, SIGINT);
        assert_int_equal(d->kill_mode, KILL_MIXED);
        assert_int_equal(d->kill_grace, 0);
        assert_string_equal(d->user, "backup");
        assert_string_equal(d->group, "1000");
        assert_string_equal(d->working_directory, "/srv");
        assert_int_equal(d->umask, 0077);
        assert_string_equal(d->environment_files[0], "/etc/a");
        assert_string_equal(d->environment_files[1], "-/etc/b c");
        assert_int_equal(d->launcher, LAUNCHER_SUBPROCESS);
        assert_int_equal(d->memory_max, 512 << 20);
        assert_int_equal(d->memory_high, 1536 << 20);
        assert_int_equal(d->cpu_quota, 15000);
        assert_int_equal(d->cpu_weight, 20);
        assert_int_equal(d->io_weight, 10000);
        assert_int_equal(d->tasks_max, 64);
        assert_int_equal(d->limit_nofile_soft, 100);
        assert_int_equal(d->limit_nofile_hard, 200);
}

/* Where 0, infinity, none and nothing mean something of their own. */
static void nothing_set(void **state) {
        _cleanup_(definition_unref_p) Definition *a =
                good("MaxConcurrent=infinity\nTimeoutSec=0\nMaxHeartbeatIntervalSec=infinity\nRetryDelaySec=30\nRetryDelaySec=none\n"
                     "[Resources]\nMemoryMax=1G\nMemoryMax=infinity\nTasksMax=infinity\nLimitNOFILE=1024\n");
        assert_int_equal(a->max_concurrent, 0);
        assert_true(a->timeout == USEC_INFINITY && a->max_heartbeat_interval == USEC_INFINITY && a->retry_delay == USEC_INFINITY);
        assert_true(a->memory_max == UINT64_MAX && a->tasks_max == UINT64_MAX);
        assert_true(a->limit_nofile_soft == 1024 && a->limit_nofile_hard == 1024);

        _cleanup_(definition_unref_p) Definition *b = good("MaxConcurrent=0\nTimeoutSec=infinity\nMaxRetries=9\nMaxRetries=\nUser=x\nUser=\nKillGraceSec=5\nKillGraceSec=\n");
        assert_true(b->max_concurrent == 0 && b->timeout == USEC_INFINITY && b->max_retries == 3 && !b->user);
        assert_int_equal(b->kill_grace, 10 * USEC_PER_SEC);

        /* Percentages are of this host. */
        _cleanup_(definition_unref_p) Definition *c = good("[Resources]\nMemoryMax=50%\nTasksMax=10%\n");
        assert_true(c->memory_max > 0 && c->memory_max < UINT64_MAX && c->tasks_max > 0 && c->tasks_max < UINT64_MAX);
        _cleanup_(definition_unref_p) Definition *eighth = good("[Resources]\nMemoryMax=50%\nMemoryHigh=12.5%\nTasksMax=12.5%\nCPUQuota=12.5%\nCPUWeight=idle\n");
        assert_true(eighth->memory_high == eighth->memory_max / 4 && eighth->tasks_max > c->tasks_max);
        assert_true(eighth->cpu_quota == 1250 && eighth->cpu_weight == CPU_WEIGHT_IDLE);
        _cleanup_free_ char *text = definition_text(eighth);
        assert_non_null(strstr(text, "\nCPUQuota=12.50%\nCPUWeight=idle\n"));
}

static void refusals(void **state) {
        bad_text("[Task]\nVersion=1\nExecStart=/bin/true\n", 0, "Name= is missing");
        bad_text("[Task]\nName=a\nVersion=1\n", 0, "ExecStart= is missing");
        bad_text("[Task]\nName=a\nExecStart=/bin/true\n", 0, "Version= is missing");
        bad_text(HEAD "ExecStart=\n", 0, "ExecStart= is missing");
        bad("Name=a b", "Name=a b");
        bad("Name=..", "Name=..");
        bad("Version=-1", "2147483647");
        bad("Version=2147483648", "2147483647");
        bad("TimeoutSecs=3", "unknown key TimeoutSecs= in [Task]");
        bad("MemoryMax=3", "MemoryMax= in [Resources]");
        bad("[Tasks]", "unknown section [Tasks]");
        bad_text("Name=a\n" HEAD, 1, "before the first [Section]");
        bad("nonsense", "neither KEY=VALUE nor");
        bad("MaxRetries=-1", "MaxRetries=-1");
        bad("MaxRetries=infinity", "MaxRetries=infinity");
        bad("MaxConcurrent=many", "MaxConcurrent=many");
        bad("RetryDelaySec=infinity", "cannot be infinite");
        bad("MaxRetryDelaySec=infinity", "cannot be infinite");
        bad("KillGraceSec=infinity", "cannot be infinite");
        bad("RetryDelaySec=200y", "too long");
        bad("TimeoutSec=abc", "it must be a time");
        bad("BackoffStrategy=quadratic", "constant, linear, exponential or exponential_jitter");
        bad("DeadLetterPolicy=yes", "none or save");
        bad("OnShutdown=kill", "stop, resubmit or continue");
        bad("KillMode=process", "control-group or mixed");
        bad("KillSignal=SIGFOO", "KillSignal=SIGFOO");
        bad("KillSignal=0", "KillSignal=0");
        bad("UMask=0999", "octal");
        bad("UMask=01000", "octal");
        bad("Launcher=container", "auto, scope or subprocess");
        bad("User=a b", "a name or a number");
        bad("Group=-x", "a name or a number");
        bad("WorkingDirectory=srv", "absolute");
        bad("WorkingDirectory=/a/../b", "absolute");
        bad("EnvironmentFile=env", "absolute");
        bad("Environment=1A=x", "is not NAME=VALUE");
        bad("Environment=novalue", "is not NAME=VALUE");
        bad("Environment=\"A=b", "unclosed quote");
        bad("Environment=JOBBERS_RESULT=/etc/passwd", "is set by jobbers");
        bad("Environment=NOTIFY_SOCKET=x", "is set by jobbers");
        bad_resource("MemoryMax=0");
        bad_resource("MemoryMax=lots");
        bad_resource("MemoryMax=101%");
        bad_resource("CPUQuota=50");
        bad_resource("CPUQuota=0%");
        bad_resource("CPUQuota=0.99%");
        bad_resource("CPUQuota=12.345%");
        bad_resource("MemoryHigh=100.01%");
        bad_resource("IOWeight=idle");
        bad_resource("CPUWeight=Idle");
        bad_resource("CPUWeight=0");
        bad_resource("IOWeight=10001");
        bad_resource("TasksMax=0");
        bad_resource("LimitNOFILE=200:100");
        bad_resource("LimitNOFILE=0");
        bad_text(HEAD "[Resources]\nTimeoutSec=3\n", 6, "there is TimeoutSec= in [Task]");
}

/* Other people's sections and keys. */
static void ignored(void **state) {
        definition_unref(good("X-Mine=anything\n[X-Other]\nName=not a name\n[Resources]\nX-Limit=a\n"));
}

static void commands(void **state) {
        _cleanup_(definition_unref_p) Definition *d = good("ExecStart=bin/tool --flag=\"a b\" 'c\"d' \"\" \\x41\\n \"100%\" $HOME ; ü\n");
        static const char *const expected[] = { "/usr/libexec/jobbers/bin/tool", "--flag=a b", "c\"d", "", "A\n", "100%", "$HOME", ";", "ü" };
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
                assert_string_equal(d->argv[i], expected[i]);
        assert_null(d->argv[ARRAY_SIZE(expected)]);

        definition_unref(good("ExecStart=\"/opt/my tools/x\" y\n"));
        definition_unref(good("ExecStart=/opt/a..b/x..\n"));
        bad("ExecStart=/a/../b", "without \"..\"");
        bad("ExecStart=../b", "without \"..\"");
        bad("ExecStart=/a/..", "without \"..\"");
        bad("ExecStart=/a/", "path to a file");
        bad("ExecStart=-/bin/true", "prefix -");
        bad("ExecStart=+/bin/true", "prefix +");
        bad("ExecStart=/bin/echo \"x", "unclosed quote");
        bad("ExecStart=/bin/echo \\q", "backslash");
        bad("ExecStart=\"\"", "no executable");
}

static void environments(void **state) {
        _cleanup_(definition_unref_p) Definition *d = good("Environment=A=1 \"B=two words\" C=\nEnvironment=A=3 'D=\"'\n");
        static const char *const expected[] = { "A=3", "B=two words", "C=", "D=\"" };
        for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
                assert_string_equal(d->environment[i], expected[i]);
        assert_null(d->environment[4]);

        _cleanup_(definition_unref_p) Definition *e = good("Environment=A=1\nEnvironmentFile=/a\nEnvironment=\nEnvironmentFile=\nEnvironment=B=2\n");
        assert_string_equal(e->environment[0], "B=2");
        assert_null(e->environment[1]);
        assert_null(e->environment_files);
}

static void retry_on(void **state) {
        _cleanup_(definition_unref_p) Definition *d = good("RetryOn=1 255 UNAVAILABLE SIGKILL\nRetryOn=oom SourceChanged my.Error:x-1 SourceChanged EX_NOHOST\n");
        const RetryOn *on = &d->retry_on;

        for (int status = 0; status < 256; status++)
                assert_int_equal(retry_on_has_status(on, status), status == 1 || status == 255 || status == 69 || status == 68);
        for (int signal = 0; signal < 70; signal++)
                assert_int_equal(retry_on_has_signal(on, signal), signal == SIGKILL);
        assert_true(on->oom);
        assert_true(retry_on_has_type(on, "SourceChanged"));
        assert_true(retry_on_has_type(on, "my.Error:x-1"));
        assert_false(retry_on_has_type(on, "sourcechanged"));
        assert_false(retry_on_has_type(on, NULL));
        assert_int_equal(strv_len(on->error_types), 2);
        _cleanup_free_ char *text = definition_text(d);
        assert_non_null(strstr(text, "RetryOn=1 NOHOST UNAVAILABLE 255 SIGKILL oom SourceChanged my.Error:x-1\n"));

        /* Emptied, it stays empty; and the emptied list is not the default when read back. */
        _cleanup_(definition_unref_p) Definition *none = good("RetryOn=\n");
        assert_false(retry_on_has_status(&none->retry_on, 75));
        _cleanup_(definition_unref_p) Definition *some = good("RetryOn=\nRetryOn=TEMPFAIL\n");
        assert_true(retry_on_has_status(&some->retry_on, 75));

        bad("RetryOn=0", "success");
        bad("RetryOn=OK", "success");
        bad("RetryOn=256", "1 to 255");
        bad("RetryOn=1x", "1 to 255");
        bad("RetryOn=SIGFOO", "not a signal");
        bad("RetryOn=a,b", "can it be an error type");
        /* Nearly one of the names is a slip, and not an error type. */
        bad("RetryOn=KILL", "\"KILL\": write SIGKILL for the signal");
        bad("RetryOn=sigkill", "write SIGKILL for the signal");
        bad("RetryOn=Term", "write SIGTERM for the signal");
        bad("RetryOn=tempfail", "\"tempfail\": write TEMPFAIL for exit status 75");
        bad("RetryOn=Ex_TempFail", "write TEMPFAIL for exit status 75");
        bad("RetryOn=OOM", "write oom for being out of memory");
        bad("RetryOn=ok", "success");
        bad("RetryOn=SIGKIL", "is not a signal");
        _cleanup_(definition_unref_p) Definition *types = good("RetryOn=SIGNATURE_EXPIRED SigKill.Error Killed EX_TEMPFAILED Oom1\n");
        assert_true(types->retry_on.signals == 0 && !types->retry_on.oom && strv_len(types->retry_on.error_types) == 5);
        assert_true(retry_on_has_type(&types->retry_on, "SIGNATURE_EXPIRED"));
}

static void sysexits(void **state) {
        static const char *const names[] = { "USAGE", "DATAERR", "NOINPUT", "NOUSER", "NOHOST", "UNAVAILABLE", "SOFTWARE", "OSERR",
                                             "OSFILE", "CANTCREAT", "IOERR", "TEMPFAIL", "PROTOCOL", "NOPERM", "CONFIG" };
        for (int i = 0; i < 15; i++)
                assert_string_equal(exit_status_name(64 + i), names[i]);
        assert_null(exit_status_name(63));
        assert_null(exit_status_name(79));
        assert_null(exit_status_name(0));
}

static void check(const Definition *d, const char *json, const char *expected) {
        _cleanup_free_ char *sentence = NULL;
        json_t *j = json_loads(json, 0, NULL);
        assert_non_null(j);
        int r = definition_check_parameters(d, j, &sentence);
        json_decref(j);
        if (!expected) {
                if (r != 0)
                        fail_msg("%s: %s", json, sentence);
                return;
        }
        assert_int_equal(r, -EINVAL);
        if (!strstr(sentence, expected))
                fail_msg("%s: \"%s\" does not say %s", json, sentence, expected);
}

static void parameters(void **state) {
        _cleanup_(definition_unref_p) Definition *d =
                good("[Parameters]\nreport_id = integer, required\ntitle=string\nratio=number\ndry=boolean\nopts=object\nlist=array,required\n");
        assert_true(d->has_parameters);
        assert_int_equal(d->n_parameters, 6);
        check(d, "{\"report_id\": 42, \"list\": []}", NULL);
        check(d, "{\"report_id\": 42, \"list\": [1], \"title\": \"x\", \"ratio\": 1, \"dry\": false, \"opts\": {}}", NULL);
        check(d, "{\"report_id\": 42, \"list\": [1], \"ratio\": 1.5}", NULL);
        check(d, "{\"list\": []}", "Parameter \"report_id\" is missing");
        check(d, "{\"report_id\": 42}", "Parameter \"list\" is missing");
        check(d, "{\"report_id\": 3.0, \"list\": []}", "Parameter \"report_id\" of task \"report\" version 1 must be of type integer");
        check(d, "{\"report_id\": \"42\", \"list\": []}", "type integer");
        check(d, "{\"report_id\": true, \"list\": []}", "type integer");
        check(d, "{\"report_id\": null, \"list\": []}", "type integer");
        check(d, "{\"report_id\": 1, \"list\": {}}", "type array");
        check(d, "{\"report_id\": 1, \"list\": [], \"title\": 1}", "type string");
        check(d, "{\"report_id\": 1, \"list\": [], \"ratio\": \"1\"}", "type number");
        check(d, "{\"report_id\": 1, \"list\": [], \"dry\": 1}", "type boolean");
        check(d, "{\"report_id\": 1, \"list\": [], \"opts\": []}", "type object");
        check(d, "{\"report_id\": 1, \"list\": [], \"reprot\": 1}", "has no parameter \"reprot\"; it takes report_id, title");
        _cleanup_free_ char *sentence = NULL;
        assert_int_equal(definition_check_parameters(d, NULL, &sentence), -EINVAL);

        _cleanup_(definition_unref_p) Definition *any = good("");
        check(any, "{\"x\": [1]}", NULL);
        /* The section is there and empty: nothing is taken. */
        _cleanup_(definition_unref_p) Definition *none = good("[Parameters]\n");
        assert_true(none->has_parameters);
        check(none, "{}", NULL);
        check(none, "{\"x\": 1}", "it takes none");
        /* Drop-ins replace and take away. */
        _cleanup_(definition_unref_p) Definition *changed = good("[Parameters]\na=string, required\nb=string\nc=array\na=integer\nb=\n");
        assert_int_equal(changed->n_parameters, 2);
        check(changed, "{\"a\": 1, \"c\": []}", NULL);
        check(changed, "{}", NULL);
        check(changed, "{\"b\": \"x\"}", "no parameter \"b\"");

        bad_text(HEAD "[Parameters]\nx=text\n", 6, "x=text");
        bad_text(HEAD "[Parameters]\nx=string, optional\n", 6, "required");
        bad_text(HEAD "[Parameters]\nx=string required\n", 6, "required");
        bad_text(HEAD "[Parameters]\na b=string\n", 6, "name of a parameter");
        bad_text(HEAD "[Parameters]\n1=string\n", 6, "name of a parameter");
}

/* The hash is of what counts, not of how it is written. */
static void hashes(void **state) {
        _cleanup_(definition_unref_p) Definition *a = good("TimeoutSec=120\nMaxRetries=3\n# x\n"), *b = good("TimeoutSec=2min\n"),
                                                 *c = good("TimeoutSec=121\n");
        assert_true(a->hash == b->hash);
        assert_true(a->hash != c->hash);
}

static void references(void **state) {
        Definition *d = good("");
        assert_ptr_equal(definition_ref(d), d);
        assert_null(definition_unref(d));
        assert_string_equal(d->name, "report");
        assert_null(definition_unref(d));
        assert_null(definition_unref(NULL));
        assert_int_equal(definition_from_text("[Task]\nName=x\n", "/", &d), -EINVAL);
        assert_int_equal(definition_from_text("", "/", &d), -EINVAL);
}

/* Every key has a line in the manual page, and the words go both ways. */
static void manual(void **state) {
        char *page = NULL;
        size_t len;
        FILE *f = open_memstream(&page, &len);
        assert_non_null(f);
        definition_print_man(f);
        fclose(f);
        for (size_t i = 0; i < N_DEFINITION_KEYS; i++) {
                _cleanup_free_ char *line = str_new(".B %s=\n", definition_keys[i].name);
                assert_non_null(strstr(page, line));
        }
        free(page);
        assert_string_equal(on_shutdown_to_string(ON_SHUTDOWN_RESUBMIT), "resubmit");
        assert_string_equal(kill_mode_to_string(KILL_MIXED), "mixed");
        assert_string_equal(parameter_type_to_string(PARAM_ARRAY), "array");
        assert_null(parameter_type_to_string(_PARAM_TYPE_MAX));
}

/* What a hostile or careless file can do at most. */
static void too_large(void **state) {
        _cleanup_str_ Str text = {}, problems = {};

        str_append(&text, HEAD "Environment=\"A=");
        for (int i = 0; i < 20000; i++)
                str_append(&text, "\\a");
        str_append(&text, "\"\n");
        /* Written out, the escapes are longer than a line may be. */
        assert_null(read_text(text.s, &problems));
        assert_non_null(strstr(problems.s, "too large"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults),
                cmocka_unit_test(values),
                cmocka_unit_test(nothing_set),
                cmocka_unit_test(refusals),
                cmocka_unit_test(ignored),
                cmocka_unit_test(commands),
                cmocka_unit_test(environments),
                cmocka_unit_test(retry_on),
                cmocka_unit_test(sysexits),
                cmocka_unit_test(parameters),
                cmocka_unit_test(hashes),
                cmocka_unit_test(references),
                cmocka_unit_test(manual),
                cmocka_unit_test(too_large),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
