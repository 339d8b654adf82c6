/* tail.h: the last lines of a text that arrives in pieces, however long it is. */
#pragma once

#include <stdio.h>

#include "base/str.h"

typedef struct Tail {
        Str *lines;                     /* a ring */
        size_t cap, n;                  /* n: lines begun so far */
        bool open;                      /* the last one has no end yet */
} Tail;

int tail_init(Tail *t, size_t lines);
/* A client_write_fn. */
bool tail_write(void *tail, const char *data, size_t n);
void tail_print(const Tail *t, FILE *f);
void tail_done(Tail *t);
#define _cleanup_tail_ _cleanup_(tail_done)
