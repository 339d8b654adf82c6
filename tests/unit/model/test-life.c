/* test-life.c: walks the whole matrix of a task's life, against SPEC 2 written down a second time, and against the diagram in the docs. */
#include <stddef.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "model/life.h"

/* SPEC 2, as from > event > to lines. What is not here is a refusal. */
static const struct {
        TaskStatus from;
        LifeEvent event;
        TaskStatus to;
        unsigned effects;
} expected[] = {
        { TASK_UNSUBMITTED, LIFE_SUBMIT, TASK_SUBMITTED, LIFE_FX_READY },
        { TASK_UNSUBMITTED, LIFE_SCHEDULE, TASK_SCHEDULED, LIFE_FX_TIMER },
        { TASK_SCHEDULED, LIFE_DUE, TASK_SUBMITTED, LIFE_FX_UNTIMER | LIFE_FX_READY },
        { TASK_SCHEDULED, LIFE_CANCEL, TASK_CANCELLED, LIFE_FX_UNTIMER | LIFE_FX_FINAL },
        { TASK_SUBMITTED, LIFE_LAUNCH, TASK_STARTED, LIFE_FX_UNREADY | LIFE_FX_SPAWN },
        { TASK_SUBMITTED, LIFE_DROP, TASK_DROPPED, LIFE_FX_UNREADY | LIFE_FX_FINAL },
        { TASK_SUBMITTED, LIFE_CANCEL, TASK_CANCELLED, LIFE_FX_UNREADY | LIFE_FX_FINAL },
        { TASK_STARTED, LIFE_NOT_STARTED, TASK_SUBMITTED, LIFE_FX_FREE_SLOT | LIFE_FX_UNDO_START | LIFE_FX_READY_AGAIN },
        { TASK_STARTED, LIFE_COMPLETE, TASK_COMPLETED, LIFE_FX_FREE_SLOT | LIFE_FX_FINAL },
        { TASK_STARTED, LIFE_RETRY, TASK_SUBMITTED, LIFE_FX_FREE_SLOT | LIFE_FX_SPEND_RETRY | LIFE_FX_READY },
        { TASK_STARTED, LIFE_RETRY_LATER, TASK_SCHEDULED, LIFE_FX_FREE_SLOT | LIFE_FX_SPEND_RETRY | LIFE_FX_TIMER },
        { TASK_STARTED, LIFE_FAIL, TASK_FAILED, LIFE_FX_FREE_SLOT | LIFE_FX_FINAL | LIFE_FX_BURY },
        { TASK_STARTED, LIFE_STALL, TASK_STALLED, LIFE_FX_FREE_SLOT | LIFE_FX_FINAL },
        { TASK_STARTED, LIFE_REQUEUE, TASK_SUBMITTED, LIFE_FX_FREE_SLOT | LIFE_FX_READY_AGAIN },
        { TASK_STARTED, LIFE_CANCEL, TASK_STARTED, LIFE_FX_SIGNAL },
        { TASK_STARTED, LIFE_CANCELLED, TASK_CANCELLED, LIFE_FX_FREE_SLOT | LIFE_FX_FINAL },
        { TASK_COMPLETED, LIFE_RESUBMIT, TASK_SUBMITTED, LIFE_FX_READY | LIFE_FX_UNBURY },
        { TASK_FAILED, LIFE_RESUBMIT, TASK_SUBMITTED, LIFE_FX_READY | LIFE_FX_UNBURY },
        { TASK_CANCELLED, LIFE_RESUBMIT, TASK_SUBMITTED, LIFE_FX_READY | LIFE_FX_UNBURY },
        { TASK_STALLED, LIFE_RESUBMIT, TASK_SUBMITTED, LIFE_FX_READY | LIFE_FX_UNBURY },
        { TASK_DROPPED, LIFE_RESUBMIT, TASK_SUBMITTED, LIFE_FX_READY | LIFE_FX_UNBURY },
};

static void every_cell(void **state) {
        for (TaskStatus from = 0; from < _TASK_STATUS_MAX; from++)
                for (LifeEvent e = 0; e < _LIFE_EVENT_MAX; e++) {
                        const LifeArrow *a = life_arrow(from, e);
                        size_t i = 0;
                        while (i < ARRAY_SIZE(expected) && (expected[i].from != from || expected[i].event != e))
                                i++;
                        if (i == ARRAY_SIZE(expected)) {
                                if (a)
                                        fail_msg("%s is allowed in %s", life_event_to_string(e), task_status_to_string(from));
                                continue;
                        }
                        if (!a || a->to != expected[i].to || a->effects != expected[i].effects)
                                fail_msg("%s in %s leads elsewhere", life_event_to_string(e), task_status_to_string(from));
                }
        assert_null(life_arrow(_TASK_STATUS_MAX, LIFE_SUBMIT));
        assert_null(life_arrow(TASK_STARTED, _LIFE_EVENT_MAX));
}

/* Each state can be reached from the start, and from each an end can be reached; no event is without use. */
static void reachable(void **state) {
        bool reached[_TASK_STATUS_MAX] = { [TASK_UNSUBMITTED] = true }, ends[_TASK_STATUS_MAX] = {};

        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++)
                ends[s] = task_status_is_final(s);
        for (int round = 0; round < _TASK_STATUS_MAX; round++)
                for (TaskStatus from = 0; from < _TASK_STATUS_MAX; from++)
                        for (LifeEvent e = 0; e < _LIFE_EVENT_MAX; e++) {
                                const LifeArrow *a = life_arrow(from, e);
                                if (!a)
                                        continue;
                                reached[a->to] = reached[a->to] || reached[from];
                                ends[from] = ends[from] || ends[a->to];
                        }
        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++) {
                assert_true(reached[s]);
                assert_true(ends[s]);
        }
        for (LifeEvent e = 0; e < _LIFE_EVENT_MAX; e++) {
                bool used = false;
                for (TaskStatus from = 0; from < _TASK_STATUS_MAX; from++)
                        used = used || life_arrow(from, e);
                assert_true(used);
        }
}

/* What whoever applies an arrow relies on: a slot is freed exactly when started is left, an end is told exactly when one is reached. */
static void effects_fit(void **state) {
        for (TaskStatus from = 0; from < _TASK_STATUS_MAX; from++)
                for (LifeEvent e = 0; e < _LIFE_EVENT_MAX; e++) {
                        const LifeArrow *a = life_arrow(from, e);
                        if (!a)
                                continue;
                        assert_int_equal(!!(a->effects & LIFE_FX_FREE_SLOT), from == TASK_STARTED && a->to != TASK_STARTED);
                        assert_int_equal(!!(a->effects & LIFE_FX_FINAL), task_status_is_final(a->to));
                        assert_int_equal(!!(a->effects & (LIFE_FX_READY | LIFE_FX_READY_AGAIN)), a->to == TASK_SUBMITTED);
                        assert_int_equal(!!(a->effects & LIFE_FX_UNREADY), from == TASK_SUBMITTED);
                        assert_int_equal(!!(a->effects & LIFE_FX_TIMER), a->to == TASK_SCHEDULED);
                        assert_int_equal(!!(a->effects & LIFE_FX_UNTIMER), from == TASK_SCHEDULED);
                        assert_int_equal(!!(a->effects & LIFE_FX_SPAWN), a->to == TASK_STARTED && from != TASK_STARTED);
                }
}

static void words(void **state) {
        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++)
                assert_int_equal(task_status_from_string(task_status_to_string(s)), s);
        assert_int_equal(task_status_from_string("COMPLETED"), _TASK_STATUS_MAX);
        assert_int_equal(task_status_from_string(""), _TASK_STATUS_MAX);
        assert_null(task_status_to_string(_TASK_STATUS_MAX));
        for (LifeEvent e = 0; e < _LIFE_EVENT_MAX; e++)
                assert_non_null(life_event_to_string(e));
}

/* docs/ARCHITECTURE.md carries what the table prints. */
static void diagram(void **state) {
        char *printed = NULL, *page = NULL;
        size_t len, page_len = 0;
        FILE *f = open_memstream(&printed, &len);
        assert_non_null(f);
        life_print(f);
        fclose(f);

        f = fopen("docs/ARCHITECTURE.md", "re");
        assert_non_null(f);
        assert_true(getdelim(&page, &page_len, 0, f) > 0);
        fclose(f);
        if (!strstr(page, printed))
                fail_msg("the diagram in docs/ARCHITECTURE.md is not the table's, which is:\n%s", printed);
        free(printed);
        free(page);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_cell),
                cmocka_unit_test(reachable),
                cmocka_unit_test(effects_fit),
                cmocka_unit_test(words),
                cmocka_unit_test(diagram),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
