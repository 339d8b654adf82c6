/* output.h: where a task's standard output and error go (SPEC 4, Logs).
 *
 * Through a pipe to us, and on: to the journal, in a scope as the main process's own lines, else with the task's fields; or to log_dir/ID.log.
 * That file is capped by cutting its oldest half; nothing about it ever stops the task. An attempt is over when journald has read what it
 * printed. */
#pragma once

#include <poll.h>

#include "jobbers-run/job.h"

typedef struct Output {
        const Job *job;
        OutputKind kind;
        int task_fd;            /* for the child; ours is closed by output_started or output_main_ends */
        int read_fd;            /* of the pipe, -1 without one or at its end */
        int file_fd;            /* opened on the first byte */
        bool file_failed;
        bool blocked;           /* the descriptor takes nothing in at the moment */
        char file[ULID_LEN + 8];
        uint64_t size, cap, dropped;
        /* The journal. */
        int journal_fd;         /* -1 until there is something to say */
        pid_t main_pid;         /* as long as it can be spoken for, else 0 */
        size_t line_len;        /* of one that is unfinished */
        const char *rest;       /* read from the pipe, and for later: journald has no room */
        size_t rest_len;
        bool said;              /* something, to journald */
        bool in_our_name;       /* of it: to journald these lines are of this process */
} Output;

#define OUTPUT_INIT ((Output) { .task_fd = -1, .read_fd = -1, .file_fd = -1, .journal_fd = -1 })

int output_open(Output *o, const Job *job);
/* The child has its copy. Ours of a pipe is closed when the main process has ended: else the end of the pipe, which comes with it, would wake us
 * for nothing a moment earlier. 0: there will be no main process. */
void output_started(Output *o, pid_t main_pid);
/* It has ended and is not reaped yet, so that what it has said can still be sent as its own. Waits for nothing. */
void output_main_ends(Output *o);
/* What to wait for before the next pump: the pipe; or journald or the descriptor, where they have no room: then the task waits for its pipe. */
struct pollfd output_poll(const Output *o);
/* Moves what is there, at most one buffer full. 1 if it moved some, 0 if there was nothing, no room for it, or it is over. */
int output_pump(Output *o);
/* The attempt's cgroup is empty: moves all that is left and closes. */
void output_finish(Output *o);
