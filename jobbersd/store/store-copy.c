/* store-copy.c: a backup: a copy of the database, made a few pages at a time while everything goes on.
 *
 * What is written meanwhile reaches the copy as well (the driver sees to that), so it is the database as it is when the last page is copied. A copy
 * that is put back must be noticed (store.c, "epoch"): so before it gets its name, the epoch of the living database and of its file go one
 * ahead of the copy's. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "store/store-private.h"

#define COPY_PAGES 128                  /* half a MiB: a step takes a millisecond or two */
#define COPY_NAME "backup.db"

struct StoreCopy {
        Store *store;
        char *path, *unfinished;
        StoreDbCopy *db;                /* NULL once all is copied */
        int64_t epoch;                  /* of the living database from now on; 0: it is ahead of the copy anyway */
        int error;
};

static void copy_pages(StoreCopy *c) {
        if (!c->db || c->error < 0 || c->store->staged)
                return;
        int r = c->store->driver->copy_step(c->db, COPY_PAGES);
        if (r == 0) {
                r = c->store->driver->copy_close(c->db);
                c->db = NULL;
        }
        c->error = r < 0 ? r : 0;
}

void store_copy_commit(Store *s) {
        if (s->copy)
                copy_pages(s->copy);
}

int store_copy_new(StoreCopy **ret, Store *s) {
        if (s->copy)
                return -EBUSY;
        _cleanup_store_copy_ StoreCopy *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->store = s;
        c->path = str_new("%s/" COPY_NAME, s->files.directory);
        c->unfinished = str_new("%s/" COPY_NAME ".new", s->files.directory);
        if (!c->path || !c->unfinished)
                return -ENOMEM;
        if (unlink(c->unfinished) < 0 && errno != ENOENT)
                return -errno;
        int r = s->driver->copy_open(&c->db, s->db, c->unfinished);
        if (r < 0)
                return r;
        s->copy = c;
        *ret = TAKE_PTR(c);
        return 0;
}

void store_copy_free(StoreCopy *c) {
        if (!c)
                return;
        if (c->store->copy == c)
                c->store->copy = NULL;
        if (c->db)
                (void) c->store->driver->copy_close(c->db);
        if (c->unfinished)
                (void) unlink(c->unfinished);
        free(c->unfinished);
        free(c->path);
        free(c);
}

/* The living database goes ahead of the copy. */
static int epoch_stage(StoreCopy *c) {
        int64_t epoch;
        int r = store_meta_get_int(c->store, "epoch", &epoch);
        if (r < 0)
                return r;
        c->epoch = epoch + 1;
        return store_write(c->store, Q_META_PUT, VALUES(v_text("epoch"), v_int(c->epoch)), NULL);
}

static int publish(StoreCopy *c) {
        int r = c->epoch > 0 ? store_files_epoch_put(&c->store->files, c->epoch) : 0;
        if (r < 0)
                return r;
        if (rename(c->unfinished, c->path) < 0)
                return -errno;
        _cleanup_close_ int dir = open(c->store->files.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir < 0 || fsync(dir) < 0 ? -errno : 0;
}

int store_copy_step(StoreCopy *c) {
        if (c->db) {
                copy_pages(c);
                if (c->error < 0)
                        return c->error;
                if (c->db)
                        return 1;
        }
        if (c->error < 0)
                return c->error;
        if (c->epoch == 0 && !c->store->restored) {
                int r = epoch_stage(c);
                return r < 0 ? r : 1;
        }
        return publish(c);
}

const char *store_copy_path(const StoreCopy *c) {
        return c->path;
}

int64_t store_copy_bytes(const StoreCopy *c) {
        struct stat st;
        return stat(c->path, &st) < 0 ? 0 : (int64_t) st.st_size;
}
