/* passed.h: descriptors that a task passed to us, which are to be closed without waiting for anybody. */
#pragma once

#include "base/macro.h"

/* Closes them all: pipes at once, anything else in a process of its own. Nothing further is to be received while that one is at work. */
void passed_close(const int *fds, size_t n);
/* While it is at work: a descriptor that becomes readable when it is done; -1: nobody is. */
int passed_busy(void);
/* At the end of the attempt: gives it a moment. False when it had to be ended: this process is not to be used again. */
bool passed_finish(void);
