/* client.c: JobbersClient: the few calls that programs make, over http.c. */
#include "libjobbers/jobbers.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "base/ulid.h"
#include "libjobbers/http.h"

#define POLL_MAX (60 * USEC_PER_SEC)            /* what ?wait= takes at most */
#define PATIENCE (30 * USEC_PER_SEC)            /* with a daemon that does not answer while we wait for a task */

/* The size of the first release's JobbersSubmission. */
#define SUBMISSION_SIZE_0 (offsetof(JobbersSubmission, id) + sizeof(const char *))

struct JobbersClient {
        Http http;
};

static void json_decref_p(json_t **j) {
        json_decref(*j);
}
#define _cleanup_json_ _cleanup_(json_decref_p)

/* ── states ── */

static const char *const state_names[] = {
        [JOBBERS_UNKNOWN] = "unknown",     [JOBBERS_SUBMITTED] = "submitted", [JOBBERS_SCHEDULED] = "scheduled",
        [JOBBERS_STARTED] = "started",     [JOBBERS_COMPLETED] = "completed", [JOBBERS_FAILED] = "failed",
        [JOBBERS_CANCELLED] = "cancelled", [JOBBERS_STALLED] = "stalled",     [JOBBERS_DROPPED] = "dropped",
};

const char *jobbers_state_name(int state) {
        return state_names[state > 0 && (size_t) state < ARRAY_SIZE(state_names) ? state : JOBBERS_UNKNOWN];
}

int jobbers_state_is_final(int state) {
        return state >= JOBBERS_COMPLETED && state <= JOBBERS_DROPPED;
}

static JobbersState state_from_record(const json_t *record) {
        const char *name = json_string_value(json_object_get(record, "status"));
        for (size_t i = 1; name && i < ARRAY_SIZE(state_names); i++)
                if (STREQ(state_names[i], name))
                        return (JobbersState) i;
        return JOBBERS_UNKNOWN;
}

/* ── the handle ── */

int jobbers_client_new(JobbersClient **ret, const char *address) {
        JobbersClient *c = malloc(sizeof *c);
        if (!c)
                return -ENOMEM;
        int r = http_init(&c->http, address);
        if (r < 0) {
                jobbers_client_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

void jobbers_client_free(JobbersClient *c) {
        if (!c)
                return;
        http_done(&c->http);
        free(c);
}

const char *jobbers_client_error(const JobbersClient *c) {
        return c->http.sentence ? c->http.sentence : "";
}

/* What was made with the former token is thrown away. */
static void token_forget(JobbersClient *c) {
        free(TAKE_PTR(c->http.token));
        if (c->http.easy)
                c->http.curl.easy_cleanup(TAKE_PTR(c->http.easy));
}

int jobbers_client_set_token(JobbersClient *c, const char *token) {
        if (!token || strpbrk(token, "\r\n"))
                return -EINVAL;
        char *copy = strdup(token);
        if (!copy)
                return -ENOMEM;
        token_forget(c);
        c->http.token = copy;
        return 0;
}

int jobbers_client_set_token_file(JobbersClient *c, const char *path) {
        if (!path || !*path)
                return -EINVAL;
        char *copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        token_forget(c);
        free(c->http.token_file);
        c->http.token_file = copy;
        return 0;
}

int jobbers_client_set_timeout(JobbersClient *c, uint64_t usec) {
        if (usec == 0)
                return -EINVAL;
        c->http.timeout = usec;
        return 0;
}

/* ── calls ── */

static int errno_of_status(int status) {
        switch (status) {
        case 401:
        case 403: return -EACCES;
        case 404: return -ENOENT;
        case 409: return -EEXIST;
        case 413: return -E2BIG;
        case 429:
        case 503: return -EAGAIN;
        case 507: return -ENOSPC;
        default: return status >= 400 && status < 500 ? -EINVAL : -EPROTO;
        }
}

/* One call. Status codes other than 2xx become errors with the daemon's own sentence; *ret_answer is set for them too. */
static int call(JobbersClient *c, const char *method, const char *path, const char *body, usec_t timeout, char **ret_answer) {
        _cleanup_free_ char *answer = NULL;
        int status = http_request(&c->http, method, path, body, timeout, &answer);
        if (status >= 300) {
                _cleanup_json_ json_t *j = json_loads(answer, JSON_DECODE_ANY, NULL);
                const char *detail = json_string_value(json_object_get(j, "detail"));
                status = detail ? http_fail(&c->http, errno_of_status(status), "%s", detail)
                                : http_fail(&c->http, errno_of_status(status), "jobbersd answered %d without saying why", status);
        }
        if (ret_answer)
                *ret_answer = TAKE_PTR(answer);
        return status;
}

int jobbers_client_call(JobbersClient *c, const char *method, const char *path, const char *body, char **ret_answer) {
        if (ret_answer)
                *ret_answer = NULL;
        if (!method || !path || *path != '/')
                return http_fail(&c->http, -EINVAL, "a request needs a method and a path that begins with \"/\"");
        return call(c, method, path, body, c->http.timeout, ret_answer);
}

/* The id in its canonical form: what goes into a path is nothing else than an id. */
static int id_take(JobbersClient *c, const char *id, char ret[static ULID_STR_MAX]) {
        Ulid u;
        if (!id || ulid_parse(id, &u) < 0)
                return http_fail(&c->http, -EINVAL, "\"%s\" is no task id: that is a ULID of 26 characters", id ? id : "");
        ulid_format(&u, ret);
        return 0;
}

/* base/ulid.c keeps the last one, which a library that several threads use may not. */
static int id_new(char ret[static ULID_STR_MAX]) {
        Ulid id;
        uint64_t ms = clock_wall() / USEC_PER_MSEC;
        ssize_t n;
        do
                n = getrandom(id.b + 6, sizeof id.b - 6, 0);
        while (n < 0 && errno == EINTR);
        if (n != sizeof id.b - 6)
                return n < 0 ? -errno : -EIO;
        for (unsigned i = 0; i < 6; i++)
                id.b[i] = (uint8_t) (ms >> (40 - 8 * i));
        ulid_format(&id, ret);
        return 0;
}

/* A JSON object in a caller's text. Numbers beyond 64 bits are fine: the text goes on as it is. */
static int parameters_check(JobbersClient *c, const char *text) {
        json_error_t error;
        _cleanup_json_ json_t *j = json_loads(text, 0, &error);
        if (!j && json_error_code(&error) == json_error_numeric_overflow)
                j = json_loads(text, JSON_DECODE_INT_AS_REAL, &error);
        if (!j)
                return http_fail(&c->http, -EINVAL, "the parameters are not JSON: line %d: %s", error.line, error.text);
        return json_is_object(j) ? 0 : http_fail(&c->http, -EINVAL, "the parameters are not a JSON object");
}

static int submission_body(JobbersClient *c, const JobbersSubmission *s, const char *id, char **ret) {
        const char *parameters = s->parameters ? s->parameters : "{}";
        int r = parameters_check(c, parameters);
        if (r < 0)
                return r;
        _cleanup_json_ json_t *task = json_pack("{s:s, s:s, s:I, s:i, s:s*}", "id", id, "name", s->name, "version", (json_int_t) s->version,
                                                "priority", s->priority, "queue", s->queue);
        _cleanup_json_ json_t *run_at = s->run_at ? json_string(s->run_at) : json_null();
        if (!task || !run_at)
                return http_fail(&c->http, -EINVAL, "name, queue and run_at must be UTF-8");
        _cleanup_free_ char *head = json_dumps(task, JSON_COMPACT), *when = json_dumps(run_at, JSON_ENCODE_ANY);
        if (head && when)
                *ret = s->run_at ? str_new("{\"run_at\":%s,\"task\":%.*s,\"parameters\":%s}}", when, (int) strlen(head) - 1, head, parameters)
                                 : str_new("%.*s,\"parameters\":%s}", (int) strlen(head) - 1, head, parameters);
        return head && when && *ret ? 0 : http_fail(&c->http, -ENOMEM, "not enough memory");
}

int jobbers_submit(JobbersClient *c, const JobbersSubmission *given, char ret_id[JOBBERS_ID_SIZE]) {
        JobbersSubmission s = {};
        char id[ULID_STR_MAX];
        if (!given || given->size < SUBMISSION_SIZE_0)
                return http_fail(&c->http, -EINVAL, "the submission's size is not set: use JOBBERS_SUBMISSION()");
        /* A caller compiled with a later header may have fields that are not known here, as long as they say nothing. */
        for (size_t i = sizeof s; i < given->size; i++)
                if (((const char *) given)[i] != 0)
                        return http_fail(&c->http, -EINVAL, "the submission has fields that this version of libjobbers does not know");
        memcpy(&s, given, MIN(given->size, sizeof s));
        if (!s.name || !*s.name)
                return http_fail(&c->http, -EINVAL, "a submission needs the name of a task");

        _cleanup_free_ char *body = NULL;
        int r = s.id ? id_take(c, s.id, id) : id_new(id);
        if (r == 0)
                r = submission_body(c, &s, id, &body);
        if (r < 0)
                return r;
        if (ret_id)
                memcpy(ret_id, id, sizeof id);
        r = call(c, "POST", s.run_at ? "/schedule-task" : "/submit-task", body, c->http.timeout, NULL);
        return r < 0 ? r : 0;
}

/* One look at the task; `wait` makes the daemon answer when it is final, or when that much has passed. */
static int look(JobbersClient *c, const char *id, usec_t wait, usec_t timeout, char **ret_record) {
        _cleanup_free_ char *path = wait > 0 ? str_new("/task-status/%s?wait=%llu.%06llu", id, (unsigned long long) (wait / USEC_PER_SEC),
                                                       (unsigned long long) (wait % USEC_PER_SEC))
                                             : str_new("/task-status/%s", id);
        _cleanup_free_ char *answer = NULL;
        int r = path ? call(c, "GET", path, NULL, timeout, &answer) : http_fail(&c->http, -ENOMEM, "not enough memory");
        if (r < 0)
                return r;
        json_error_t error;
        json_t *record = json_loads(answer, 0, &error);
        if (!record && json_error_code(&error) == json_error_numeric_overflow)
                record = json_loads(answer, JSON_DECODE_INT_AS_REAL, &error);
        if (!json_is_string(json_object_get(record, "status"))) {
                json_decref(record);
                return http_fail(&c->http, -EPROTO, "jobbersd answered something that is no task's record");
        }
        r = state_from_record(record);
        json_decref(record);
        if (ret_record)
                *ret_record = TAKE_PTR(answer);
        return r;
}

int jobbers_status(JobbersClient *c, const char *id, char **ret_record) {
        char canonical[ULID_STR_MAX];
        int r = id_take(c, id, canonical);
        return r < 0 ? r : look(c, canonical, 0, c->http.timeout, ret_record);
}

static void pause_for(usec_t span) {
        struct timespec left = { .tv_sec = (time_t) (span / USEC_PER_SEC), .tv_nsec = (long) (span % USEC_PER_SEC * 1000) };
        while (nanosleep(&left, &left) < 0 && errno == EINTR)
                ;
}

static usec_t left_until(usec_t deadline, usec_t now) {
        return deadline == USEC_INFINITY ? USEC_INFINITY : deadline > now ? deadline - now : 0;
}

int jobbers_wait(JobbersClient *c, const char *id, uint64_t usec, char **ret_record) {
        char canonical[ULID_STR_MAX];
        usec_t start = clock_boot(), deadline = usec > USEC_INFINITY - start ? USEC_INFINITY : start + usec, failing = 0;
        int state = JOBBERS_UNKNOWN;
        bool reached = false;

        if (ret_record)
                *ret_record = NULL;
        int r = id_take(c, id, canonical);
        if (r < 0)
                return r;
        for (usec_t pause = 100 * USEC_PER_MSEC;;) {
                _cleanup_free_ char *record = NULL;
                usec_t now = clock_boot(), left = left_until(deadline, now), poll = MIN(left, POLL_MAX);
                /* The daemon keeps the time; ours is for one that does not answer at all. */
                r = look(c, canonical, poll, poll + c->http.timeout < poll ? USEC_INFINITY : poll + c->http.timeout, &record);
                now = clock_boot();
                if (r >= 0) {
                        if (jobbers_state_is_final(r)) {
                                if (ret_record)
                                        *ret_record = TAKE_PTR(record);
                                return r;
                        }
                        state = r;
                        reached = true;
                        failing = 0;
                        pause = 100 * USEC_PER_MSEC;
                        if (left_until(deadline, now) == 0)
                                return http_fail(&c->http, -ETIMEDOUT, "task %s is not final yet: it is %s", canonical, jobbers_state_name(state));
                        continue;
                }
                /* It restarts, or has no place for another long poll. One that was never there is another matter. */
                reached = reached || r == -EAGAIN || r == -ECONNRESET;
                if (!reached || (r != -EAGAIN && r != -ECONNRESET && r != -ECONNREFUSED && r != -ETIMEDOUT))
                        return r;
                if (failing == 0)
                        failing = now;
                if (now - failing > PATIENCE)
                        return r;
                if (left_until(deadline, now) == 0)
                        return -ETIMEDOUT;      /* with the sentence about the daemon */
                pause_for(MIN(pause, left_until(deadline, now)));
                pause = MIN(2 * pause, USEC_PER_SEC);
        }
}

int jobbers_cancel(JobbersClient *c, const char *id) {
        char canonical[ULID_STR_MAX];
        int r = id_take(c, id, canonical);
        if (r < 0)
                return r;
        _cleanup_free_ char *path = str_new("/task/%s/cancel", canonical);
        r = path ? call(c, "POST", path, NULL, c->http.timeout, NULL) : http_fail(&c->http, -ENOMEM, "not enough memory");
        if (r != -EEXIST)
                return MIN(r, 0);
        /* Final. Cancelled is what was wanted, whoever did it. */
        _cleanup_free_ char *sentence = TAKE_PTR(c->http.sentence);
        r = look(c, canonical, 0, c->http.timeout, NULL);
        return r == JOBBERS_CANCELLED ? 0 : http_fail(&c->http, -EALREADY, "%s", sentence ? sentence : "the task is final already");
}
