/* jobbers.h: libjobbers, the C library of jobbers.
 *
 * Two halves, of which a program mostly needs one:
 *
 *     JobbersClient   hands tasks to jobbersd and asks what became of them (submit, status, wait, cancel; call for the rest of the API)
 *     JobbersTask     is for programs that jobbersd runs: parameters, heartbeat, progress, result, error
 *
 * Link with `pkg-config --cflags --libs libjobbers`.
 *
 * Errors: functions that return int return a value >= 0, or -errno. What went wrong in words is said by jobbers_client_error() and
 * jobbers_task_error(): one sentence without a line end, which belongs to the handle and lasts until the next call with it.
 * Nothing is ever printed, but for the three functions whose comment says so.
 *
 * JSON goes in and out as text (UTF-8, NUL-terminated), so that no JSON library is part of this interface. jobbers_json_pack() makes such
 * text, jobbers_json_get_*() read it; any JSON library does as well.
 *
 * Memory: text that is handed out through `char **ret` is the caller's and released with free(). `const char *` belongs to the handle.
 * Outputs are written on success only, unless said otherwise; every one may be NULL where it is not of interest.
 *
 * Threads: there is no global state. A JobbersClient is used by one thread at a time; each thread may have its own. A JobbersTask may be
 * used by several threads at once, but for jobbers_task_error(). Neither blocks or handles any signal.
 *
 * Times are microseconds. JOBBERS_INFINITY is for ever.
 */
#ifndef JOBBERS_H
#define JOBBERS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JOBBERS_INFINITY UINT64_MAX

/* Bytes of a task's id as text, with its NUL: a ULID of 26 characters. */
#define JOBBERS_ID_SIZE 27

/* ── clients ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

typedef struct JobbersClient JobbersClient;

/* A task's state. More may be added: take one that you do not know for one that is not final. */
typedef enum JobbersState {
        JOBBERS_UNKNOWN = 0,    /* one that this version of the library does not know */
        JOBBERS_SUBMITTED = 1,  /* waits for its turn */
        JOBBERS_SCHEDULED = 2,  /* waits for its time, or for its next try */
        JOBBERS_STARTED = 3,    /* runs */
        /* The final ones. */
        JOBBERS_COMPLETED = 4,  /* exit status 0 and a valid result */
        JOBBERS_FAILED = 5,
        JOBBERS_CANCELLED = 6,
        JOBBERS_STALLED = 7,    /* no heartbeat, or stopped together with its daemon */
        JOBBERS_DROPPED = 8,    /* its definition was gone when its turn came */
} JobbersState;

/* 1 for states that only a resubmission leaves, else 0. */
int jobbers_state_is_final(int state);
/* "submitted", "started", …; "unknown" for all others. */
const char *jobbers_state_name(int state);

/* A client of the daemon at `address`:
 *     NULL                    $JOBBERS_SOCKET if that is set, else the system's daemon; for who is not root, their own where that is not there
 *     "system", "user"        the system's daemon (/run/jobbers/jobbers.sock); the calling user's own (jobbersd --user)
 *     "/path", "unix:/path"   a Unix socket
 *     "host", "host:port", "[v6]:port", "http://…", "https://…"   over TCP (port 8000 unless said), with a token
 * Nothing is opened yet; a daemon that is not there is reported by the first call. -EINVAL: no such kind of address; -ENOMEM. */
int jobbers_client_new(JobbersClient **ret, const char *address);
/* NULL is fine. */
void jobbers_client_free(JobbersClient *client);

/* The token for TCP, as text or as the name of the file whose first line it is (default: $JOBBERS_TOKEN_FILE, else
 * /etc/jobbers/token if it is there; the file is read by the first call). Sockets need none. -ENOMEM, -EINVAL. */
int jobbers_client_set_token(JobbersClient *client, const char *token);
int jobbers_client_set_token_file(JobbersClient *client, const char *path);
/* How long a call may take from connecting to its answer; 30 s unless set. jobbers_wait() has its own. 0 is -EINVAL. */
int jobbers_client_set_timeout(JobbersClient *client, uint64_t usec);

/* Why the last call with this client failed: a sentence for people, "" after one that did not. Never NULL. */
const char *jobbers_client_error(const JobbersClient *client);

/* What calls fail with; anything else is an error of the system's:
 *     -EINVAL        the daemon finds the request wrong: an unknown task or queue, parameters that do not fit, no ULID (400, 415, 422)
 *     -EACCES        no right to use the socket; no, an unreadable or a wrong token; the daemon refuses (401, 403)
 *     -ENOENT        no such task, queue or path (404)
 *     -EEXIST        this id was submitted before with another body; the name is taken (409)
 *     -EALREADY      the task is in a final state, so that there is nothing to cancel (409)
 *     -E2BIG         too large (413)
 *     -EAGAIN        not now, try again later (429, 503)
 *     -ENOSPC        the daemon's disk is full; nothing was changed (507)
 *     -ECONNREFUSED  no daemon is there
 *     -ECONNRESET    the conversation broke off: whether the request was carried out is not known
 *     -ETIMEDOUT     no answer in time: whether the request was carried out is not known
 *     -EPROTO        an answer that is not jobbersd's
 *     -ELIBACC       libcurl, which the first call loads, is not installed
 */

/* What to run. `size` lets later versions add fields; JOBBERS_SUBMISSION() sets it. Everything but `name` may be left 0. */
typedef struct JobbersSubmission {
        size_t size;                    /* sizeof(JobbersSubmission) */
        const char *name;               /* of the definition, with… */
        unsigned version;               /* …its version; 0 is a version too, the one that tasks without one have */
        int priority;                   /* -100 … 100, higher goes first */
        const char *queue;              /* NULL: "default" */
        const char *parameters;         /* a JSON object; NULL: {} */
        const char *run_at;             /* RFC 3339 ("2026-03-12T10:00:00Z"); NULL: now */
        const char *id;                 /* a ULID of your own; NULL: a new one */
} JobbersSubmission;

/* In C: jobbers_submit(client, JOBBERS_SUBMISSION(.name = "generate_report", .version = 1, .parameters = "{\"report_id\": 42}"), id) */
#define JOBBERS_SUBMISSION(...) (&(const JobbersSubmission) { .size = sizeof(JobbersSubmission), __VA_ARGS__ })

/* Submits a task. 0 means that the daemon has it on disk and will not lose it.
 * `ret_id` is written in either case (but for -EINVAL about the submission itself), before anything is sent: after -ECONNRESET or -ETIMEDOUT
 * submit again with that id, which is harmless, for a daemon that has this task already answers with the same one. */
int jobbers_submit(JobbersClient *client, const JobbersSubmission *submission, char ret_id[JOBBERS_ID_SIZE]);

/* The state of a task, a JobbersState. *ret_record: its whole record as JSON (docs/API.md, "Status"). */
int jobbers_status(JobbersClient *client, const char *id, char **ret_record);

/* Waits until the task is final, and returns that state. -ETIMEDOUT when it was not within `usec`: then *ret_record is NULL.
 * A daemon that restarts meanwhile is waited for, half a minute at most. */
int jobbers_wait(JobbersClient *client, const char *id, uint64_t usec, char **ret_record);

/* Cancels a task. 0: it is cancelled, or it runs and its processes are being ended; jobbers_wait() tells when that is over. Once answered it is
 * final: a task that is being cancelled ends `cancelled`, whatever it does. Again is 0 too; -EALREADY when it had ended otherwise. */
int jobbers_cancel(JobbersClient *client, const char *id);

/* Any other request of the HTTP API (docs/API.md). `path` begins with "/"; `body` is JSON or NULL. Returns the status code (200 … 299) and the
 * answer's text; other codes are the errors above, and then *ret_answer is the daemon's answer with its `detail` (NULL when there was none). */
int jobbers_client_call(JobbersClient *client, const char *method, const char *path, const char *body, char **ret_answer);

/* ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

typedef struct JobbersTask JobbersTask;

/* The attempt that this process was started for. Started from a shell instead it works too: the parameters are read from standard input unless
 * that is a terminal, heartbeats go nowhere, and the result is printed. -ENOMEM, or why the parameters could not be read:
 * -EBADMSG when they are no JSON object. */
int jobbers_task_new(JobbersTask **ret);
void jobbers_task_free(JobbersTask *task);
/* The sentence about the last call with this task that failed, "" when none did. */
const char *jobbers_task_error(const JobbersTask *task);

const char *jobbers_task_id(const JobbersTask *task);           /* "" when started from a shell; so are name and queue */
const char *jobbers_task_name(const JobbersTask *task);
const char *jobbers_task_queue(const JobbersTask *task);
unsigned jobbers_task_version(const JobbersTask *task);
unsigned jobbers_task_attempt(const JobbersTask *task);         /* 1 for the first start, counting every start */
unsigned jobbers_task_retry_attempt(const JobbersTask *task);   /* 0, then 1 for the first retry, … */

/* The parameters: a JSON object. Read single ones with jobbers_json_get_*(). */
const char *jobbers_task_parameters(const JobbersTask *task);

/* "I am alive": to be called more often than MaxHeartbeatIntervalSec=. As often as you like: at most ten a second are sent. Never waits; a
 * heartbeat that cannot be sent (-EAGAIN: the socket is full) is no reason to stop working. (The others below wait a second at most.) */
int jobbers_task_heartbeat(JobbersTask *task);
/* The microseconds within which heartbeats are asked for, JOBBERS_INFINITY where none are. */
uint64_t jobbers_task_heartbeat_interval(const JobbersTask *task);
/* How far the work is, 0 … 100 (more or less is taken for the nearest), and what it is about (NULL: as it is). Counts as a heartbeat. */
int jobbers_task_progress(JobbersTask *task, int percent, const char *status);
/* What the task is doing, a line. Not a heartbeat. */
int jobbers_task_status(JobbersTask *task, const char *status);
/* The timeout (TimeoutSec=) ends this much from now, if that is later than it would. */
int jobbers_task_extend_timeout(JobbersTask *task, uint64_t usec);
/* Returns when all of the above has been taken notice of; -ETIMEDOUT. Only of use to a process that is not the task's first one, and ends at once:
 * who is gone cannot be proven to belong to the task. */
int jobbers_task_flush(JobbersTask *task, uint64_t usec);

/* The result: a JSON object, at most 1 MiB (--max-result=). The last call counts. It is written beside and renamed, so that nobody ever
 * takes half of one. -EINVAL when it is no JSON object. */
int jobbers_task_result(JobbersTask *task, const char *json);

/* How a task ends that did not do its work; each writes the error as the task's result, prints the message to standard error, and returns the
 * exit status to end with:      return jobbers_task_fail(task, "NoSource", "there is no such file");
 * `type` is a name of your own ("NoSource") that RetryOn= may list. NULL for none. jobbers_task_fail() returns 1: failed for good unless RetryOn=
 * lists the type or the status. jobbers_task_retry() returns 75 (EX_TEMPFAIL): expected, to be tried again later as the definition says. */
int jobbers_task_fail(JobbersTask *task, const char *type, const char *message);
int jobbers_task_retry(JobbersTask *task, const char *type, const char *message);

/* ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* JSON text from C values; NULL and errno (EINVAL: format or value, ENOMEM). The format, blanks and commas being decoration:
 *     s   string (const char *, UTF-8)      s?  the same, null for NULL      s*  in objects: left out when NULL
 *     i   integer (int)      I   integer (long long)      f   number (double)      b   boolean (int)      n   null
 *     {…} object of alternating keys (s) and values          […] array
 * jobbers_json_pack("{s:i, s:[s, s]}", "report_id", 42, "sections", "summary", "history") */
char *jobbers_json_pack(const char *format, ...);

/* The value at `path` in a JSON text: keys and array indexes after a slash each, as in "/attempts/0/exit_status" (RFC 6901); "" is all of it.
 * -ENOENT when there is no such value or it is null, -EINVAL when it is of another type, -EBADMSG when `json` is no JSON.
 * boolean writes 0 or 1. number takes integers too; text hands out any value as JSON text. */
int jobbers_json_get_string(const char *json, const char *path, char **ret);
int jobbers_json_get_integer(const char *json, const char *path, int64_t *ret);
int jobbers_json_get_number(const char *json, const char *path, double *ret);
int jobbers_json_get_boolean(const char *json, const char *path, int *ret);
int jobbers_json_get_text(const char *json, const char *path, char **ret);

#ifdef __cplusplus
}
#endif

#endif
