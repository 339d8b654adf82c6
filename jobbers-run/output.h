/* output.h: where a task's standard output and error go (SPEC 4, Logs).
 *
 * Into the journal directly where a scope marks the lines; else through a pipe to us, and on to the journal with the task's fields or to
 * log_dir/ID.log. That file is capped by cutting its oldest half; nothing about it ever stops the task. An attempt is over when journald has
 * read what it printed. */
#pragma once

#include <poll.h>

#include "jobbers-run/job.h"

typedef struct Output {
        const Job *job;
        OutputKind kind;
        int task_fd;            /* for the child; ours is closed by output_started or output_main_ended, the journal's at the end */
        int read_fd;            /* of the pipe, -1 without one or at its end */
        int file_fd;            /* opened on the first byte */
        bool file_failed;
        bool blocked;           /* the descriptor takes nothing in at the moment */
        char file[ULID_LEN + 8];
        uint64_t size, cap, cut, dropped;
        /* Journal relay. */
        int journal_fd;         /* -1 until the first line */
        char *line;             /* an unfinished one, as a field */
        size_t line_len;
        const char *rest;       /* read from the pipe, and for later: journald has no room */
        size_t rest_len;
        bool said;              /* something, to journald */
} Output;

#define OUTPUT_INIT ((Output) { .task_fd = -1, .read_fd = -1, .file_fd = -1, .journal_fd = -1 })

int output_open(Output *o, const Job *job);
/* The child has its copy. Ours of a pipe is closed when the main process has ended: else the end of the pipe, which comes with it, would wake us
 * for nothing a moment earlier. */
void output_started(Output *o);
void output_main_ended(Output *o);
/* What to wait for before the next pump: the pipe; or journald or the descriptor, where they have no room: then the task waits for its pipe. */
struct pollfd output_poll(const Output *o);
/* Moves what is there, at most one buffer full. 1 if it moved some, 0 if there was nothing, no room for it, or it is over. */
int output_pump(Output *o);
/* The attempt's cgroup is empty: moves all that is left and closes. */
void output_finish(Output *o);
