/* launcher.h: the privileged process (wire.h). */
#pragma once

#include "model/settings.h"

/* fd: the daemon's connection when we are its child; -1: systemd hands us the listening socket. Returns the exit status. */
int launcher_run(const Settings *settings, int fd);
