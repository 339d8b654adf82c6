/* shim.h: SQLite's real file layer with faults in it: the nth write, sync or read fails, once or from then on. For tests of the store and of
 * what stands on it. */
#pragma once

#include <sqlite3.h>

typedef enum Fault { FAULT_WRITE_FULL, FAULT_WRITE_EIO, FAULT_SYNC_EIO, FAULT_READ_EIO, FAULT_TRUNCATE_EIO, _FAULT_MAX } Fault;
[[maybe_unused]] static const char *const fault_names[] = { "write: full", "write: EIO", "sync: EIO", "read: EIO", "truncate: EIO" };

/* The shim's only state; the driver opens its files through a name. */
static struct {
        sqlite3_vfs vfs, *real;
        Fault fault;
        long countdown;         /* the operation of that kind that fails; 0: none */
        bool for_ever;
        long hits;
} shim;

typedef struct ShimFile {
        sqlite3_file base;
        sqlite3_file *real;
} ShimFile;

static bool strikes(Fault fault) {
        if (shim.fault != fault || shim.countdown == 0)
                return false;
        if (shim.countdown > 1) {
                shim.countdown--;
                return false;
        }
        shim.hits++;
        if (!shim.for_ever)
                shim.countdown = 0;
        return true;
}

#define REAL(f) (((ShimFile *) (f))->real)
static int shim_close(sqlite3_file *f) {
        int rc = REAL(f)->pMethods ? REAL(f)->pMethods->xClose(REAL(f)) : SQLITE_OK;
        free(REAL(f));
        return rc;
}
static int shim_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at) {
        return strikes(FAULT_READ_EIO) ? SQLITE_IOERR_READ : REAL(f)->pMethods->xRead(REAL(f), data, n, at);
}
static int shim_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at) {
        if (strikes(FAULT_WRITE_FULL))
                return SQLITE_FULL;
        if (strikes(FAULT_WRITE_EIO)) {
                /* Half of it, as disks do. */
                (void) REAL(f)->pMethods->xWrite(REAL(f), data, n / 2, at);
                return SQLITE_IOERR_WRITE;
        }
        return REAL(f)->pMethods->xWrite(REAL(f), data, n, at);
}
static int shim_truncate(sqlite3_file *f, sqlite3_int64 size) {
        return strikes(FAULT_TRUNCATE_EIO) ? SQLITE_IOERR_TRUNCATE : REAL(f)->pMethods->xTruncate(REAL(f), size);
}
static int shim_sync(sqlite3_file *f, int flags) {
        return strikes(FAULT_SYNC_EIO) ? SQLITE_IOERR_FSYNC : REAL(f)->pMethods->xSync(REAL(f), flags);
}
static int shim_size(sqlite3_file *f, sqlite3_int64 *ret) {
        return REAL(f)->pMethods->xFileSize(REAL(f), ret);
}
static int shim_lock(sqlite3_file *f, int level) {
        return REAL(f)->pMethods->xLock(REAL(f), level);
}
static int shim_unlock(sqlite3_file *f, int level) {
        return REAL(f)->pMethods->xUnlock(REAL(f), level);
}
static int shim_reserved(sqlite3_file *f, int *ret) {
        return REAL(f)->pMethods->xCheckReservedLock(REAL(f), ret);
}
static int shim_control(sqlite3_file *f, int op, void *arg) {
        return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}
static int shim_sector(sqlite3_file *f) {
        return REAL(f)->pMethods->xSectorSize(REAL(f));
}
static int shim_device(sqlite3_file *f) {
        return REAL(f)->pMethods->xDeviceCharacteristics(REAL(f));
}

static const sqlite3_io_methods shim_methods = {
        .iVersion = 1,          /* no shared memory: the WAL's index must live on the heap */
        .xClose = shim_close, .xRead = shim_read, .xWrite = shim_write, .xTruncate = shim_truncate, .xSync = shim_sync, .xFileSize = shim_size,
        .xLock = shim_lock, .xUnlock = shim_unlock, .xCheckReservedLock = shim_reserved, .xFileControl = shim_control,
        .xSectorSize = shim_sector, .xDeviceCharacteristics = shim_device,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags) {
        ShimFile *file = (ShimFile *) f;
        file->base.pMethods = NULL;
        file->real = calloc(1, (size_t) shim.real->szOsFile);
        if (!file->real)
                return SQLITE_NOMEM;
        int rc = shim.real->xOpen(shim.real, name, file->real, flags, ret_flags);
        if (rc != SQLITE_OK) {
                free(file->real);
                return rc;
        }
        file->base.pMethods = &shim_methods;
        return SQLITE_OK;
}

static void shim_install(void) {
        shim.real = sqlite3_vfs_find("unix-excl");
        assert_non_null(shim.real);
        shim.vfs = *shim.real;
        shim.vfs.pNext = NULL;
        shim.vfs.szOsFile = sizeof(ShimFile);
        shim.vfs.xOpen = shim_open;
        /* The same name, found before the real one. */
        assert_int_equal(sqlite3_vfs_register(&shim.vfs, 0), SQLITE_OK);
        assert_ptr_equal(sqlite3_vfs_find("unix-excl"), &shim.vfs);
}

[[maybe_unused]] static void shim_remove(void) {
        shim.countdown = 0;
        assert_int_equal(sqlite3_vfs_unregister(&shim.vfs), SQLITE_OK);
}
