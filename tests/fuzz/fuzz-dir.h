/* fuzz-dir.h: a directory in memory for the fuzz targets that need files; gone at the end of the process. */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

static char fuzz_dir[64];

#define must(condition) fuzz_must(condition, #condition, __LINE__)
static inline void fuzz_must(bool ok, const char *condition, unsigned line) {
        if (ok)
                return;
        fprintf(stderr, "line %u: %s: does not hold\n", line, condition);
        abort();
}

static void fuzz_dir_remove(void) {
        char *slash = strrchr(fuzz_dir, '/');
        *slash = '\0';
        _cleanup_close_ int parent = open(fuzz_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        (void) fd_remove_tree_at(parent, slash + 1);
}

static inline void fuzz_dir_make(void) {
        snprintf(fuzz_dir, sizeof fuzz_dir, "%s/jobbers-fuzz-XXXXXX", access("/dev/shm", W_OK) >= 0 ? "/dev/shm" : "/tmp");
        must(mkdtemp(fuzz_dir) && chmod(fuzz_dir, 0755) >= 0);
        (void) atexit(fuzz_dir_remove);
}

static inline char *fuzz_path(const char *name) {
        char *path = str_new("%s/%s", fuzz_dir, name);
        must(path);
        return path;
}

static inline char *fuzz_dir_in(const char *name) {
        char *path = fuzz_path(name);
        must(mkdir(path, 0755) >= 0);
        return path;
}

static inline void fuzz_file(const char *name, const char *text) {
        _cleanup_free_ char *path = fuzz_path(name);
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        must(fd >= 0 && fd_write_all(fd, text, strlen(text)) >= 0);
}
