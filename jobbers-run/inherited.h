/* inherited.h: what tasks get from the process that is forked for them, where nobody sets it: resource limits, and how they are scheduled. */
#pragma once

/* Makes of it, once and for all of our children, what processes of a freshly booted host have, whoever started us and how. Where that takes
 * rights that an ordinary user has not, it comes as near as it can. The one exception is SCHED_BATCH for ourselves, which a task does not get. */
void inherited_reset(void);
