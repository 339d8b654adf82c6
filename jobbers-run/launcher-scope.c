/* launcher-scope.c: scope mode. */
#include "jobbers-run/launcher-private.h"

struct Scopes {
        int unused;
};

int scopes_new(Launcher *l, Scopes **ret) {
        return -EOPNOTSUPP;
}
void scopes_free(Scopes *s) {
}
void scopes_close_fds(Scopes *s) {
}
bool scopes_ready(const Scopes *s) {
        return false;
}
void scopes_add(Scopes *s, const LauncherRequest *q, const Definition *d, pid_t supervisor) {
}
void scopes_slice(Scopes *s, const LauncherRequest *q) {
}
