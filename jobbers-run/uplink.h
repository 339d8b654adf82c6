/* uplink.h: the supervisor's connection to the daemon (wire.h, CHANNEL): the socket it was born with, or one that came to `control`. */
#pragma once

#include "jobbers-run/job.h"
#include "model/task.h"

typedef struct Uplink {
        const Job *job;
        int fd;                         /* -1: no daemon is there */
        int ended_fd;                   /* its stream has ended, but ours must not end before we do: that end is the news of our own */
        int listen_fd;                  /* borrowed from the attempt's directory; -1 before there is one */
        bool go;                        /* GO has come */
        bool taken;                     /* and TAKEN: the daemon needs the record of the attempt before no more */
        bool adopted;                   /* somebody came to `control`, and may hold a pidfd of this process */
        StopReason stop;                /* the first STOP that has come */
        /* What the daemon is to know; resent in full to a new one. */
        usec_t beat;                    /* wall */
        int progress;                   /* -1 none */
        char *status;
        bool beat_due, progress_due, status_due;
        usec_t flush_at;                /* boot; no datagram of notes before */
} Uplink;

#define UPLINK_INIT ((Uplink) { .fd = -1, .ended_fd = -1, .listen_fd = -1, .progress = -1 })

/* Reads all that has come; state ("running", "ending") is for answers to HELLO. At the end of the stream fd is -1. */
void uplink_read(Uplink *u, const char *state);
/* Takes a new connection on listen_fd, if its peer may. */
void uplink_accept(Uplink *u);

void uplink_beat(Uplink *u, usec_t wall);
void uplink_progress(Uplink *u, int progress);
void uplink_status(Uplink *u, const char *status);
/* Sends what is due, at most ten times a second. Returns when to call again (boot), USEC_INFINITY when nothing is left. */
usec_t uplink_flush(Uplink *u, usec_t now);
/* STOPPING=, at once. */
void uplink_stopping(Uplink *u, StopReason reason);
/* END=, with the record unless that is long: this process goes on to another attempt. False: the daemon was not told. */
bool uplink_end(Uplink *u, const char *record, size_t len);
void uplink_close(Uplink *u);
