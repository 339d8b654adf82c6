/* task.c: the records' words and names, and their release. */
#include "model/task.h"

#include <stdio.h>

static const char *const stop_names[_STOP_REASON_MAX] = {
        [STOP_CANCELLED] = "cancelled",
        [STOP_SHUTDOWN] = "shutdown",
        [STOP_TIMEOUT] = "timeout",
        [STOP_STALLED] = "stalled",
};

static const char *const end_names[_END_REASON_MAX] = {
        [END_EXIT] = "exit",
        [END_SIGNAL] = "signal",
        [END_OOM] = "oom",
        [END_TIMEOUT] = "timeout",
        [END_STALLED] = "stalled",
        [END_CANCELLED] = "cancelled",
        [END_SHUTDOWN] = "shutdown",
        [END_HOST_LOST] = "host-lost",
};

void task_scope_name(const Ulid *id, unsigned attempt, char buf[static SCOPE_NAME_MAX]) {
        char text[ULID_STR_MAX];
        snprintf(buf, SCOPE_NAME_MAX, "jobbers-task-%s-%u.scope", ulid_format(id, text), attempt);
}

/* The first entry of such a table is "none" and has no word. */
static size_t word_find(const char *const *words, size_t n, const char *s) {
        for (size_t i = 1; s && i < n; i++)
                if (STREQ(words[i], s))
                        return i;
        return n;
}

const char *stop_reason_to_string(StopReason r) {
        return (unsigned) r < _STOP_REASON_MAX ? stop_names[r] : NULL;
}

StopReason stop_reason_from_string(const char *s) {
        return (StopReason) word_find(stop_names, _STOP_REASON_MAX, s);
}

const char *end_reason_to_string(EndReason r) {
        return (unsigned) r < _END_REASON_MAX ? end_names[r] : NULL;
}

EndReason end_reason_from_string(const char *s) {
        return (EndReason) word_find(end_names, _END_REASON_MAX, s);
}

void task_done(Task *t) {
        free(t->name);
        free(t->queue);
        free(t->status_text);
        free(t->last_error);
        free(t->results);
        free(t->parameters);
        *t = (Task) {};
}

void attempt_done(Attempt *a) {
        free(a->error);
        free(a->error_type);
        *a = (Attempt) {};
}
