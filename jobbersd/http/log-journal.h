/* log-journal.h: what one attempt printed, out of the journal, by way of a journalctl child: reading the journal means scanning and
 * mapping files that may be large and cold, which must not happen in the daemon's loop. */
#pragma once

#include <systemd/sd-event.h>

#include "base/str.h"
#include "base/ulid.h"

typedef struct LogJournal {
        int fd;                         /* its output; -1: no child */
        int pidfd;
        bool follow;
        uint64_t got;                   /* bytes handed out of this attempt, by all children */
        uint64_t skip;                  /* of this child's output, seen before */
        sd_event_source *watch;
} LogJournal;

#define LOG_JOURNAL_INIT ((LogJournal) { .fd = -1, .pidfd = -1 })

/* Starts a child. With `follow` it goes on until it is closed. What was handed out of this attempt before is skipped. */
int log_journal_open(LogJournal *j, const Ulid *id, unsigned attempt, const char *name, bool follow);
/* Ends the child, without waiting for it. `event` collects it. */
void log_journal_close(LogJournal *j, sd_event *event);
/* Bytes; 0: nothing at the moment; -ENODATA: it has ended. */
ssize_t log_journal_read(LogJournal *j, char *buf, size_t max);
int log_journal_watch(LogJournal *j, sd_event *event, sd_event_io_handler_t fn, void *userdata);
