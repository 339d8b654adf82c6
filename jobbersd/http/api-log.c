/* api-log.c: what a task printed, framed by what became of its attempts. The output is the log's bytes as they are; lines of ours start
 * with "-- " and a time. Which attempt printed what, the journal knows and the marks in a log file tell.
 *
 * A reader gets at most what MHD's buffer takes; nothing is kept for slow ones. */
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "http/api.h"
#include "http/log-file.h"
#include "http/log-journal.h"
#include "http/task-json.h"

typedef struct LogQuery {
        Given given;
        bool follow, lifecycle, stopping;
} LogQuery;

const Schema SCHEMA_LOG_QUERY = { "LogQuery", sizeof(LogQuery), .fields = (const Field[]) {
        { "follow", FIELD_BOOL, 0, offsetof(LogQuery, follow), .fallback = "false", .help = "Go on until the task has ended" },
        { "lifecycle", FIELD_BOOL, 0, offsetof(LogQuery, lifecycle), .fallback = "true", .help = "Lines about starts and ends of attempts" },
        { "stopping", FIELD_BOOL, 0, offsetof(LogQuery, stopping), .fallback = "true",
          .help = "With follow and lifecycle: a last line when the daemon stops before the task has ended" },
        {},
} };

#define TICK_USEC (1 * USEC_PER_SEC)    /* starts and ends of attempts that print nothing */

typedef struct LogStream {
        Stream stream;
        Request *request;
        Store *store;
        Ulid id;
        int64_t seq;
        char *name;
        bool follow, lifecycle;
        bool say_stopping, say_dropped; /* not yet said */
        bool in_journal;
        LogFile file;
        LogJournal journal;
        unsigned reading;               /* the attempt that `journal` is about, 0 none */
        bool reading_over;              /* it has ended */
        unsigned started, ended;        /* the newest attempts that were told of */
        bool at_end;                    /* all output that there is has been read */
        bool mid_line;                  /* the last byte of output was no newline */
        Str say;                        /* our own lines, on their way */
        size_t said;
        EngineWatch watch;
        sd_event_source *tick;
} LogStream;

/* ── lifecycle lines ── */

static void say_start(LogStream *s, const Attempt *a) {
        char when[CLOCK_STR_MAX];
        (void) str_printf(&s->say, "-- %s attempt %u started\n", clock_format(a->started_at, when), a->attempt);
        s->started = a->attempt;
}

static void say_end(LogStream *s, const Attempt *a) {
        char when[CLOCK_STR_MAX];
        _cleanup_str_ Str end = {};

        (void) str_printf(&s->say, "%s-- %s attempt %u ended: ", s->mid_line ? "\n" : "", clock_format(a->ended_at, when), a->attempt);
        attempt_put_end(&end, a);
        /* Most errors begin with how it ended: once is enough. */
        if (!a->error || !end.s || strncmp(a->error, end.s, strlen(end.s)) != 0)
                (void) str_printf(&s->say, "%s%s", end.s ?: "", a->error ? "; " : "");
        (void) str_printf(&s->say, "%s\n", a->error ?: "");
        s->mid_line = false;
        s->ended = a->attempt;
}

/* An attempt's end is told when its output is through: another one's is next, or nothing more is there. */
static int tell_attempt(void *userdata, const Attempt *a) {
        LogStream *s = userdata;

        if (a->attempt > s->file.attempt && !s->at_end)
                return 0;
        if (a->attempt > s->started)
                say_start(s, a);
        if (a->ended_at && a->attempt > s->ended && (a->attempt < s->file.attempt || s->at_end))
                say_end(s, a);
        return 0;
}

static int tell(LogStream *s, bool at_end) {
        s->at_end = at_end;
        return s->lifecycle ? store_attempt_list(s->store, s->seq, tell_attempt, s) : 0;
}

static ssize_t take_said(LogStream *s, char *buf, size_t max) {
        size_t n = MIN(max, s->say.len - s->said);

        memcpy(buf, s->say.s + s->said, n);
        s->said += n;
        if (s->said == s->say.len) {
                str_reset(&s->say);
                s->said = 0;
        }
        return (ssize_t) n;
}

/* ── the stream ── */

static int on_file(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        LogStream *s = userdata;
        request_wake(s->request);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t now, void *userdata) {
        LogStream *s = userdata;
        request_wake(s->request);
        return 0;
}

static void on_final(EngineWatch *w) {
        request_wake(CONTAINER_OF(w, LogStream, watch)->request);
}

static int is_final(LogStream *s) {
        _cleanup_task_ Task t = {};
        int r = store_task_get(s->store, &s->id, false, &t);
        return r == -ENOENT ? 1 : r < 0 ? r : task_status_is_final(t.status);
}

static void arm(LogStream *s) {
        Request *r = s->request;

        if (!s->in_journal)
                (void) log_file_watch(&s->file, r->event, on_file, s);  /* without inotify the tick remains */
        if (!s->tick)
                (void) sd_event_add_time_relative(r->event, &s->tick, CLOCK_MONOTONIC, TICK_USEC, TICK_USEC / 4, on_tick, s);
        else {
                (void) sd_event_source_set_time_relative(s->tick, TICK_USEC);
                (void) sd_event_source_set_enabled(s->tick, SD_EVENT_ONESHOT);
        }
}

/* What is missing must not look like what was never printed. */
static ssize_t cannot_read(LogStream *s, const char *what, int error) {
        char id[ULID_STR_MAX];
        log_warning_errno(error, "the log of task %s cannot be read from %s", ulid_format(&s->id, id), what);
        return STREAM_CUT;
}

static ssize_t read_file(LogStream *s, char *buf, size_t max, bool over) {
        ssize_t n;

        do {
                if (tell(s, false) < 0)
                        return STREAM_CUT;
                if (s->say.len > 0)
                        return take_said(s, buf, max);
        } while ((n = log_file_read(&s->file, buf, max)) == -EAGAIN);
        if (n > 0) {
                s->mid_line = buf[n - 1] != '\n';
                return n;
        }
        if (n < 0)
                return cannot_read(s, s->file.path, (int) n);
        if (tell(s, true) < 0)
                return STREAM_CUT;
        if (s->say.len > 0)
                return take_said(s, buf, max);
        return over ? -1 : 0;
}

/* ── out of the journal: attempt by attempt ── */

static int on_journal(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        LogStream *s = userdata;
        request_wake(s->request);
        return 0;
}

/* The attempt to be read: the one that is being read, or the first that was not. */
static int find_next(void *userdata, const Attempt *a) {
        LogStream *s = userdata;

        if (a->attempt == s->reading)
                s->reading_over = a->ended_at != 0;
        if (s->reading || a->attempt <= s->ended)
                return 0;
        s->reading = a->attempt;
        s->reading_over = a->ended_at != 0;
        s->journal.got = 0;
        if (s->lifecycle)
                say_start(s, a);
        return 0;
}

static int tell_end(void *userdata, const Attempt *a) {
        LogStream *s = userdata;

        if (a->attempt != s->reading)
                return 0;
        if (s->lifecycle)
                say_end(s, a);
        s->ended = a->attempt;
        return 0;
}

/* A child that followed is stopped at the attempt's end, and one that reads to the end takes over where it was. */
static ssize_t read_journal(LogStream *s, char *buf, size_t max, bool over) {
        for (;;) {
                if (store_attempt_list(s->store, s->seq, find_next, s) < 0)
                        return STREAM_CUT;
                if (s->say.len > 0)
                        return take_said(s, buf, max);
                if (!s->reading)
                        return over ? -1 : 0;
                bool follow = !over && !s->reading_over;
                if (s->journal.fd >= 0 && s->journal.follow && !follow)
                        log_journal_close(&s->journal, s->request->event);
                int r = s->journal.fd < 0 ? log_journal_open(&s->journal, &s->id, s->reading, s->name, follow) : 0;
                if (r < 0)
                        return cannot_read(s, "the journal with journalctl", r);
                (void) log_journal_watch(&s->journal, s->request->event, on_journal, s);
                ssize_t n = log_journal_read(&s->journal, buf, max);
                if (n > 0)
                        s->mid_line = buf[n - 1] != '\n';
                if (n >= 0)
                        return n;
                log_journal_close(&s->journal, s->request->event);
                if (follow)
                        return 0;               /* it broke off: the next tick starts another */
                if (!s->reading_over)
                        return -1;
                if (store_attempt_list(s->store, s->seq, tell_end, s) < 0)
                        return STREAM_CUT;
                s->reading = 0;
        }
}

/* A task that is dropped has no attempt that could tell of it. */
static ssize_t finish(LogStream *s, char *buf, size_t max) {
        _cleanup_task_ Task t = {};
        char when[CLOCK_STR_MAX];

        if (!s->say_dropped || store_task_get(s->store, &s->id, false, &t) < 0 || t.status != TASK_DROPPED)
                return -1;
        s->say_dropped = false;
        (void) str_printf(&s->say, "%s-- %s dropped: %s\n", s->mid_line ? "\n" : "", clock_format(t.completed_at, when), t.last_error ?: "");
        return s->say.len > 0 ? take_said(s, buf, max) : -1;
}

/* A daemon that stops ends what follows a task; that must not look like the task's end. */
static ssize_t break_off(LogStream *s, char *buf, size_t max) {
        if (!s->say_stopping)
                return STREAM_CUT;
        s->say_stopping = false;
        (void) str_printf(&s->say, "%s-- jobbersd is stopping; the task has not ended, follow it again later\n", s->mid_line ? "\n" : "");
        return s->say.len > 0 ? take_said(s, buf, max) : STREAM_CUT;
}

static ssize_t log_read(Stream *stream, char *buf, size_t max) {
        LogStream *s = CONTAINER_OF(stream, LogStream, stream);

        if (s->say.len > 0)
                return take_said(s, buf, max);
        /* Asked before anything is read: what a final task has printed is all there. */
        int complete = s->follow ? is_final(s) : 1;
        if (complete < 0)
                return STREAM_CUT;
        bool over = complete || s->request->waited_out;
        if (!over)
                arm(s);
        ssize_t n = s->in_journal ? read_journal(s, buf, max, over) : read_file(s, buf, max, over);
        return n >= 0 || n == STREAM_CUT ? n : complete ? finish(s, buf, max) : break_off(s, buf, max);
}

static void log_free(Stream *stream) {
        LogStream *s = CONTAINER_OF(stream, LogStream, stream);

        engine_unwatch(&s->watch);
        s->tick = sd_event_source_disable_unref(s->tick);
        log_file_done(&s->file);
        log_journal_close(&s->journal, s->request->event);
        free(s->name);
        str_free(&s->say);
        free(s);
}

static LogStream *stream_new(Request *r, const Task *t) {
        const LogQuery *q = REQUEST_QUERY(r, LogQuery);
        LogStream *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->stream = (Stream) { .read = log_read, .free = log_free };
        s->journal = LOG_JOURNAL_INIT;
        s->name = strdup(t->name);
        s->request = r;
        s->store = r->store;
        s->id = t->id;
        s->seq = t->seq;
        s->follow = q->follow;
        s->lifecycle = q->lifecycle;
        s->say_stopping = q->lifecycle && q->stopping;
        s->say_dropped = q->lifecycle;
        link_init(&s->watch.link);
        s->watch.id = t->id;
        s->watch.fn = on_final;
        if (log_file_init(&s->file, engine_settings(r->engine)->log_dir, &t->id) < 0 || !s->name) {
                log_free(&s->stream);
                return NULL;
        }
        /* A file is from before there was a journal, or its only place. */
        s->in_journal = engine_launch_flags(r->engine) & LAUNCHER_HAS_JOURNAL && access(s->file.path, F_OK) < 0;
        if (s->follow)
                engine_watch(r->engine, &s->watch);
        return s;
}

int api_task_logs(Request *r, Reply *ret) {
        _cleanup_task_ Task t = {};
        char id[ULID_STR_MAX];

        int e = store_task_get(r->store, &r->id, false, &t);
        if (e == -ENOENT) {
                reply_error(ret, 404, "there is no task %s", ulid_format(&r->id, id));
                return 0;
        }
        if (e < 0)
                return e;
        LogStream *s = stream_new(r, &t);
        if (!s)
                return -ENOMEM;
        ret->status = 200;
        ret->type = "text/plain; charset=utf-8";
        ret->stream = &s->stream;
        return 0;
}
