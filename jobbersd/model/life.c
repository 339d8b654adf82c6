/* life.c: the table of a task's life, SPEC 2. It is all there is to know about which change is possible; whoever moves a task looks
 * here first. No cell has a condition: what depends on facts is decided before, in exit.c, by choosing the event. */
#include "model/life.h"

#define ON(from, event, next, fx) [TASK_##from][LIFE_##event] = { .allowed = true, .to = TASK_##next, .effects = (fx) },
#define FX(name) LIFE_FX_##name
/* Every final state: the one way out. */
#define AGAIN(from) ON(from, RESUBMIT, SUBMITTED, FX(READY) | FX(UNBURY))

static const LifeArrow table[_TASK_STATUS_MAX][_LIFE_EVENT_MAX] = {
        /* in this state  on this event  → this state  and then */
        ON(UNSUBMITTED,   SUBMIT,        SUBMITTED,    FX(READY))
        ON(UNSUBMITTED,   SCHEDULE,      SCHEDULED,    FX(TIMER))

        ON(SCHEDULED,     DUE,           SUBMITTED,    FX(UNTIMER) | FX(READY))
        ON(SCHEDULED,     CANCEL,        CANCELLED,    FX(UNTIMER) | FX(FINAL))

        ON(SUBMITTED,     LAUNCH,        STARTED,      FX(UNREADY) | FX(SPAWN))
        ON(SUBMITTED,     DROP,          DROPPED,      FX(UNREADY) | FX(FINAL))
        ON(SUBMITTED,     CANCEL,        CANCELLED,    FX(UNREADY) | FX(FINAL))

        ON(STARTED,       NOT_STARTED,   SUBMITTED,    FX(FREE_SLOT) | FX(UNDO_START) | FX(READY_AGAIN))
        ON(STARTED,       COMPLETE,      COMPLETED,    FX(FREE_SLOT) | FX(FINAL))
        ON(STARTED,       RETRY,         SUBMITTED,    FX(FREE_SLOT) | FX(SPEND_RETRY) | FX(READY))
        ON(STARTED,       RETRY_LATER,   SCHEDULED,    FX(FREE_SLOT) | FX(SPEND_RETRY) | FX(TIMER))
        ON(STARTED,       FAIL,          FAILED,       FX(FREE_SLOT) | FX(FINAL) | FX(BURY))
        ON(STARTED,       STALL,         STALLED,      FX(FREE_SLOT) | FX(FINAL))
        ON(STARTED,       REQUEUE,       SUBMITTED,    FX(FREE_SLOT) | FX(READY_AGAIN))
        ON(STARTED,       CANCEL,        STARTED,      FX(SIGNAL))
        ON(STARTED,       CANCELLED,     CANCELLED,    FX(FREE_SLOT) | FX(FINAL))

        AGAIN(COMPLETED)
        AGAIN(FAILED)
        AGAIN(CANCELLED)
        AGAIN(STALLED)
        AGAIN(DROPPED)
};

static const char *const status_names[_TASK_STATUS_MAX] = {
        [TASK_UNSUBMITTED] = "unsubmitted",
        [TASK_SUBMITTED] = "submitted",
        [TASK_SCHEDULED] = "scheduled",
        [TASK_STARTED] = "started",
        [TASK_COMPLETED] = "completed",
        [TASK_FAILED] = "failed",
        [TASK_CANCELLED] = "cancelled",
        [TASK_STALLED] = "stalled",
        [TASK_DROPPED] = "dropped",
};

static const char *const event_names[_LIFE_EVENT_MAX] = {
        [LIFE_SUBMIT] = "submit",
        [LIFE_SCHEDULE] = "schedule",
        [LIFE_DUE] = "due",
        [LIFE_LAUNCH] = "launch",
        [LIFE_DROP] = "drop",
        [LIFE_NOT_STARTED] = "not started",
        [LIFE_COMPLETE] = "complete",
        [LIFE_RETRY] = "retry",
        [LIFE_RETRY_LATER] = "retry later",
        [LIFE_FAIL] = "fail",
        [LIFE_STALL] = "stall",
        [LIFE_REQUEUE] = "requeue",
        [LIFE_CANCEL] = "cancel",
        [LIFE_CANCELLED] = "attempt cancelled",
        [LIFE_RESUBMIT] = "resubmit",
};

const LifeArrow *life_arrow(TaskStatus from, LifeEvent event) {
        if ((unsigned) from >= _TASK_STATUS_MAX || (unsigned) event >= _LIFE_EVENT_MAX)
                return NULL;
        return table[from][event].allowed ? &table[from][event] : NULL;
}

const char *task_status_to_string(TaskStatus s) {
        return (unsigned) s < _TASK_STATUS_MAX ? status_names[s] : NULL;
}

TaskStatus task_status_from_string(const char *s) {
        for (TaskStatus i = 0; s && i < _TASK_STATUS_MAX; i++)
                if (STREQ(status_names[i], s))
                        return i;
        return _TASK_STATUS_MAX;
}

const char *life_event_to_string(LifeEvent e) {
        return (unsigned) e < _LIFE_EVENT_MAX ? event_names[e] : NULL;
}

/* The client side's "unsubmitted" and the end after a final state are both Mermaid's [*]. */
static const char *diagram_name(TaskStatus s) {
        return s == TASK_UNSUBMITTED ? "[*]" : status_names[s];
}

void life_print(FILE *f) {
        fputs("stateDiagram-v2\n", f);
        for (TaskStatus from = 0; from < _TASK_STATUS_MAX; from++)
                for (LifeEvent e = 0; e < _LIFE_EVENT_MAX; e++) {
                        const LifeArrow *a = life_arrow(from, e);
                        if (a)
                                fprintf(f, "    %s --> %s: %s\n", diagram_name(from), diagram_name(a->to), event_names[e]);
                }
        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++)
                if (task_status_is_final(s))
                        fprintf(f, "    %s --> [*]\n", status_names[s]);
}
