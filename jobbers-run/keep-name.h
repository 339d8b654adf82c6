/* keep-name.h: the name of what a supervisor takes from one attempt to its next: its number and start time, so that no name is ever used twice. */
#pragma once

#include "base/macro.h"

#define KEEP_NAME_MAX 36

/* This process's. -EAGAIN: it cannot be found out now (no descriptors, for example). */
int keep_name_make(char name[static KEEP_NAME_MAX]);
/* 1: such a name, and its process lives; 0: such a name, and its process is gone; -EINVAL: another name. */
int keep_name_is_used(const char *name);
