/* inject.h: failures of memory and of system calls, where a test wants them. Defines the C library's own functions, so it is included by one
 * file of a test program. Memory is the sanitizers' and valgrind's own where those are at work: inject_works() tells. */
#pragma once

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <unistd.h>

/* The nth call from now on fails with the error; 0: none does. */
typedef struct Injection {
        unsigned nth;
        int error;
} Injection;

static struct {
        Injection memory, socket, getsockopt, pidfd_open, send, openat, add_io;
        size_t memory_size;             /* only allocations of this size count; 0: all */
        bool strangers;                 /* SO_PEERCRED tells another uid */
} injected;

static inline void inject_nothing(void) {
        __builtin_memset(&injected, 0, sizeof injected);
}

static inline bool inject(Injection *i) {
        if (i->nth == 0 || --i->nth > 0)
                return false;
        errno = i->error;
        return true;
}

#if !defined(__SANITIZE_ADDRESS__)
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static inline bool inject_memory(size_t n) {
        return (injected.memory_size == 0 || injected.memory_size == n) && inject(&injected.memory);
}
void *malloc(size_t n) {
        return inject_memory(n) ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
        return inject_memory(n * size) ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
        return inject_memory(n) ? NULL : __libc_realloc(p, n);
}
void free(void *p) {
        __libc_free(p);
}
#endif

static inline bool inject_works(void) {
        inject_nothing();
        injected.memory = (Injection) { 1, ENOMEM };
        void *(*volatile allocate)(size_t) = malloc;    /* the compiler knows what malloc() never does */
        void *p = allocate(100);
        inject_nothing();
        free(p);
        return !p;
}

int socket(int domain, int type, int protocol) {
        return inject(&injected.socket) ? -1 : (int) syscall(SYS_socket, domain, type, protocol);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
        if (inject(&injected.getsockopt))
                return -1;
        int r = (int) syscall(SYS_getsockopt, fd, level, name, value, len);
        if (r >= 0 && injected.strangers && level == SOL_SOCKET && name == SO_PEERCRED)
                ((struct ucred *) value)->uid = 12345;
        return r;
}

int pidfd_open(pid_t pid, unsigned flags) {
        return inject(&injected.pidfd_open) ? -1 : (int) syscall(SYS_pidfd_open, pid, flags);
}

ssize_t send(int fd, const void *data, size_t n, int flags) {
        return inject(&injected.send) ? -1 : (ssize_t) syscall(SYS_sendto, fd, data, n, flags, NULL, 0);
}

int openat(int dir_fd, const char *path, int flags, ...) {
        va_list ap;
        va_start(ap, flags);
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
        va_end(ap);
        return inject(&injected.openat) ? -1 : (int) syscall(SYS_openat, dir_fd, path, flags, mode);
}

int sd_event_add_io(sd_event *e, sd_event_source **ret, int fd, uint32_t events, sd_event_io_handler_t callback, void *userdata) {
        static int (*real)(sd_event *, sd_event_source **, int, uint32_t, sd_event_io_handler_t, void *);
        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "sd_event_add_io");
        return inject(&injected.add_io) ? -errno : real(e, ret, fd, events, callback, userdata);
}
