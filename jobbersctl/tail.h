/* tail.h: what a task printed, as it arrives in pieces: all of it or the last lines, however long it is, and made plain for a terminal. */
#pragma once

#include <stdio.h>

#include "base/str.h"
#include "jobbersctl/plain.h"

typedef struct Tail {
        Str *lines;                     /* a ring */
        size_t cap, n;                  /* n: lines begun so far */
        bool open;                      /* the last one has no end yet */
} Tail;

int tail_init(Tail *t, size_t lines);
bool tail_write(Tail *t, const char *data, size_t n);
/* `end`: no more is to come, so the last line is over even where it has no end. */
void tail_print(const Tail *t, FILE *f, bool end);
void tail_done(Tail *t);
#define _cleanup_tail_ _cleanup_(tail_done)

typedef struct LogOutput {
        Tail *tail;                     /* NULL: straight to stdout */
        uint64_t seen;                  /* bytes of the log */
        Plain plain;
} LogOutput;

/* The write of a ClientStream; `output` is a LogOutput. */
bool log_output_write(void *output, const char *data, size_t n);
