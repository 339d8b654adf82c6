/* task.h: the inside of a JobbersTask. Private to the library. */
#pragma once

#include <pthread.h>

#include "base/macro.h"
#include "libjobbers/jobbers.h"

struct JobbersTask {
        const char *id, *name, *queue;  /* the environment's, copied into `words` */
        unsigned version, attempt, retry_attempt;
        char *words[3];                 /* what is owned of the environment */
        char *parameters;
        char *result_path;              /* NULL: started from a shell */
        char *notify_address;           /* NULL: nobody listens */
        usec_t heartbeat_interval;      /* USEC_INFINITY: none asked for */

        pthread_mutex_t lock;           /* of what follows */
        int notify_fd;
        usec_t beat_at;                 /* boot; when the last heartbeat was sent, 0 for never */
        int progress;                   /* as last sent; -1 for never */
        char *status;                   /* as last sent */
        char *sentence;
};

/* Keeps the sentence and returns `error`. The lock is taken. */
int task_fail(JobbersTask *t, int error, const char *format, ...) _printf_(3, 4);
