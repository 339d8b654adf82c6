/* slow-flush.c: a disk that takes longer for a flush, for whoever is started with this in LD_PRELOAD: each fsync() and fdatasync() sleeps
 * FLUSH_DELAY microseconds more, as a process does that waits for its disk. What a flush costs differs tenfold from one machine to another, and some
 * virtual ones have next to nothing to flush to. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static int (*real_fsync)(int), (*real_fdatasync)(int);
static struct timespec delay;

__attribute__((constructor)) static void prepare(void) {
        const char *text = getenv("FLUSH_DELAY");
        real_fsync = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");
        real_fdatasync = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");
        delay.tv_nsec = text ? atol(text) * 1000 : 0;
}

/* To the microsecond, and not the 50 more that a timer may take its time for. */
static int slowly(int (*flush)(int), int fd) {
        int r = flush(fd), e = errno;
        (void) prctl(PR_SET_TIMERSLACK, 1);
        (void) nanosleep(&delay, NULL);
        (void) prctl(PR_SET_TIMERSLACK, 0);
        errno = e;
        return r;
}

int fsync(int fd) {
        return slowly(real_fsync, fd);
}

int fdatasync(int fd) {
        return slowly(real_fdatasync, fd);
}
