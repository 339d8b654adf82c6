/* shortfall.h: which promises and limits do not hold on this host, by what the launcher said in its hello. One sentence each, for the log at the
 * start and for /health. */
#pragma once

#include "base/macro.h"

/* The next one, NULL after the last; *cursor is 0 at first. Flags 0 (no launcher yet): none. */
const char *launch_shortfall(uint32_t flags, size_t *cursor);
