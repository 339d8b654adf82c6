/* record.h: the exit record: ID.n.started before the task's process exists, ID.n by rename of it; both in memory, and ID.n on disk as well when no
 * daemon is there to take it. */
#pragma once

#include "jobbers-run/job.h"
#include "model/exit.h"

typedef struct RecordFile {
        int dir_fd, saved_fd, fd;
        char started[PLACE_KEY_MAX + 16], final[PLACE_KEY_MAX];
        size_t head_len;
        char *text;             /* the encoded record while it is being written */
        size_t text_len, record_len;    /* with and without the blank lines at its end */
        bool renamed;           /* it is in memory, */
        bool saved;             /* on disk, to stay */
} RecordFile;

#define RECORD_FILE_INIT ((RecordFile) { .dir_fd = -1, .saved_fd = -1, .fd = -1 })

#define RECORD_SPACE 4096                       /* what a record without a large result needs */

/* The file of the attempt before, kept by a supervisor that goes on to another: it becomes ID.n.started by one rename, once the daemon has said that it
 * took what is in it (TAKEN in wire.h). To remove it and make one anew takes 10 µs more. */
typedef struct RecordKeep {
        int fd;                         /* -1: it is not fit to be used again */
        char name[PLACE_KEY_MAX];       /* "": there is none */
} RecordKeep;

#define RECORD_KEEP_INIT ((RecordKeep) { .fd = -1 })

/* Creates ID.n.started with the space that its record will need, out of `keep` or anew. `keep` may be NULL; else it is used up. -EEXIST: the
 * attempt has run already, and `keep` may be where it was. -ENOSPC, …: nothing is left behind. */
int record_file_begin(RecordFile *f, int dir_fd, const Job *job, RecordKeep *keep, const char *key);
/* Takes it back: no process was ever created. */
void record_file_undo(RecordFile *f);
/* Writes and renames; `alone`, when no daemon is there: saves it, that is, makes it durable on disk. What finds no room in memory goes to the disk in
 * any case. May be called again, after a failure (of saving, if it is in memory) and when there is no daemon any more. */
int record_file_finish(RecordFile *f, const ExitRecord *record, bool alone);
void record_file_close(RecordFile *f);
/* A copy in saved_dir, durable if `sync`. Of a record that is in memory (`in_memory`), none is left when a daemon has it forgotten meanwhile. */
int record_save(int records_fd, int saved_fd, const char *name, const char *text, size_t len, bool in_memory, bool sync);
/* The finished record's file, for the next attempt; what `keep` had is closed, and remains where it is. To be followed by record_file_close. */
void record_file_keep(RecordFile *f, RecordKeep *keep);

/* Takes the result out of the work directory by the rules of SPEC 4. 0: *ret is NUL-terminated, or NULL when there is none.
 * -EINVAL, -EFBIG, …: one sentence in *ret_sentence. */
int result_take(int work_fd, uid_t owner, uint64_t max, char **ret, size_t *ret_len, char **ret_sentence);
