/* log-file.h: a task's log file as one stream that only grows, also when its oldest part is cut while it is read, and whose marks tell
 * which attempt printed what (model/log-mark.h). */
#pragma once

#include <systemd/sd-event.h>

#include "base/str.h"
#include "base/ulid.h"

typedef struct LogFile {
        char *path, *dir;
        int fd;
        uint64_t at;                    /* in the file */
        uint64_t seen;                  /* of the stream: what was ever written before `at` */
        unsigned attempt;               /* that what comes next is of; 1 until a mark says more */
        bool line_start;                /* at `at` */
        sd_event_source *watch;
        bool watches_file;
} LogFile;

int log_file_init(LogFile *f, const char *dir, const Ulid *id);
void log_file_done(LogFile *f);
/* What comes next, of one attempt. 0 at its present end, also when there is no file (a task without output has none); -EAGAIN when
 * `attempt` has changed; another error where it cannot be read. */
ssize_t log_file_read(LogFile *f, char *buf, size_t max);
/* Calls fn when more may be there. Arm it before the read that finds nothing. */
int log_file_watch(LogFile *f, sd_event *event, sd_event_inotify_handler_t fn, void *userdata);
