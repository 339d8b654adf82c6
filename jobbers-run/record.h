/* record.h: the exit record on disk: ID.n.started before the task's process exists, ID.n by rename of it. */
#pragma once

#include "jobbers-run/job.h"
#include "model/exit.h"

typedef struct RecordFile {
        int dir_fd, fd;
        char started[PLACE_KEY_MAX + 16], final[PLACE_KEY_MAX];
        size_t head_len;
        char *text;             /* the encoded record while it is being written */
        size_t text_len, record_len;    /* with and without the blank lines at its end */
        bool renamed;
} RecordFile;

#define RECORD_SPACE 4096                       /* what a record without a large result needs */
/* The name of a record file that waits to be used again. */
#define RECORD_SPARE_PREFIX "spare."
#define RECORD_SPARE_NAME_MAX 32
char *record_spare_name(uint32_t number, char buf[static RECORD_SPARE_NAME_MAX]);
void record_spare_drop(const Job *job);         /* an attempt that comes to nothing has no use for its spare */

#define RECORD_FILE_INIT ((RecordFile) { .dir_fd = -1, .fd = -1 })

/* Creates ID.n.started with the space that its record will need, out of the job's spare if there is one. -EEXIST: the attempt has run already. -ENOSPC, …: nothing is left behind. */
int record_file_begin(RecordFile *f, int dir_fd, const Job *job, const char *key);
/* Takes it back: no process was ever created. */
void record_file_undo(RecordFile *f);
/* Writes and renames; `sync` makes it durable. May be called again after a failure. */
int record_file_finish(RecordFile *f, const ExitRecord *record, bool sync);
void record_file_close(RecordFile *f);

/* Takes the result out of the work directory by the rules of SPEC 4. 0: *ret is NUL-terminated, or NULL when there is none.
 * -EINVAL, -EFBIG, …: one sentence in *ret_sentence. */
int result_take(int work_fd, uid_t owner, uint64_t max, char **ret, size_t *ret_len, char **ret_sentence);
