/* daemon.h: jobbersd from settings to its end. */
#pragma once

#include "model/settings.h"

/* Starts, serves until SIGTERM or SIGINT, applies the shutdown policies. 0, or -errno after a sentence in the log. argv is the daemon's own:
 * the launcher child is started with it. */
int daemon_run(const Settings *settings, int argc, char **argv);
