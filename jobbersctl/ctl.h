/* ctl.h: what the verbs of jobbersctl share: the options, the client, and how a verb stands in the table. */
#pragma once

#include <jansson.h>

#include "base/macro.h"
#include "jobbersctl/client.h"

typedef enum JsonMode { JSON_OFF, JSON_SHORT, JSON_PRETTY } JsonMode;

/* Exit statuses, as documented in jobbersctl(1). */
#define CTL_OK 0
#define CTL_FAILED 1            /* refused, or not reachable */
#define CTL_USAGE 2
#define CTL_NOT_FOUND 4         /* as systemctl: no such unit */

#define CTL_OWN_FAULT 125       /* of verbs that end with a task's exit status: it is not the task's */

/* An option's place in verbs.def. */
typedef enum CtlOptionId {
#define GROUP(title)
#define VERB(function, name, min, max, words, options, flags, help, more)
#define OPTION(ident, name, letter, argument, common, help) OPT_##ident,
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION
        _OPT_MAX,
} CtlOptionId;
_Static_assert(_OPT_MAX <= 64, "Ctl.given has a bit for each");

typedef struct Ctl {
        ClientAddress address;
        uint64_t given;                 /* 1 << OPT_… of the options on the command line */
        JsonMode json;
        bool no_legend, no_pager, quiet, help, version;
        /* of single verbs */
        bool wait, follow, force, all, dry_run, keep_retries, no_lifecycle, once;
        const char *at, *queue, *status, *id, *task, *since;
        long task_version;              /* -1: none given */
        long limit, priority, lines, interval;

        Client *client;                 /* NULL for verbs that are OFFLINE */
} Ctl;

/* Was this option on the command line? */
static inline bool ctl_given(const Ctl *ctl, CtlOptionId option) {
        return ctl->given >> option & 1;
}

/* Words after the verb. Returns an exit status. */
typedef int (*CtlVerbFn)(Ctl *ctl, int argc, char **argv);

enum {
        OFFLINE = 1 << 0,               /* needs no daemon */
        OWN_STATUS = 1 << 1,            /* ends with the task's exit status */
        OWN_STATUS_WAITING = 1 << 2,    /* the same with --wait and --follow */
};

typedef struct CtlVerb {
        const char *name;
        CtlVerbFn run;
        int min, max;                   /* words; max -1: any number */
        const char *words;              /* "NAME [KEY=VALUE…]" */
        const char *options;            /* "at queue": besides the common ones */
        unsigned flags;
        const char *help, *more;
        const char *group;              /* the heading it stands under */
} CtlVerb;

#define GROUP(title)
#define VERB(function, name, min, max, words, options, flags, help, more) int verb_##function(Ctl *ctl, int argc, char **argv);
#define OPTION(ident, name, letter, argument, common, help)
#include "jobbersctl/verbs.def"
#undef GROUP
#undef VERB
#undef OPTION

/* ── shared by verbs (ctl.c) ── */
#define _cleanup_json_ _cleanup_(json_decrefp)

/* With --json= prints `value` and returns true. */
bool ctl_print_json(const Ctl *ctl, const json_t *value);
/* The exit status for what client_send and friends returned. */
int ctl_exit(int r);
const char *ctl_str(const json_t *object, const char *key);            /* "" when absent or null */
int64_t ctl_int(const json_t *object, const char *key, int64_t otherwise);
bool ctl_true(const json_t *object, const char *key);
/* "14:03:07" today, "Mar 12 14:03" this year, "2025-03-12" else; local time; "-" when there is none. Returns buf. */
const char *ctl_time(const char *timestamp, char buf[static 40]);
/* "Thu 2026-03-12 14:03:07 CET; 5min ago" as systemctl status has it. Returns buf. */
const char *ctl_time_long(const char *timestamp, char buf[static 96]);
/* "5min 3s" between two timestamps, to now where the second is "": seconds at the finest beyond one second. "-" when unknown. Returns buf. */
const char *ctl_span(const char *from, const char *to, char buf[static 40]);
/* "512.0M". Returns buf. */
const char *ctl_bytes(int64_t n, char buf[static 24]);
/* "1 task", "3 tasks". Returns buf. */
const char *ctl_count(int64_t n, const char *noun, char buf[static 64]);
/* Says that no role of /status has the queue, what follows from that, and the command that changes it. */
void ctl_say_unserved(const json_t *status, const char *queue, const char *so);
/* "open", or why a queue of /status starts nothing. */
const char *ctl_queue_state(const json_t *queue);
/* Is this the id of a task? Says so where it is none: the daemon would, but not in the words of this program. */
bool ctl_id_valid(const char *id);
/* Can a queue or a role (`kind`) have this name? Says so where not: as part of a path the daemon would take it for something else. */
bool ctl_name_valid(const char *kind, const char *name);
/* Is there a queue of this name? Says so where there is none, and what to do. (verb-task.c) */
bool queue_known(Ctl *ctl, const char *name);
/* "100/hour", "5/10minute", "-" of a queue's configuration. Returns buf. (verb-queue.c) */
const char *queue_rate(const json_t *queue, char buf[static 64]);
/* Sends long output through $PAGER (less -FRX) when stdout is a terminal and neither --no-pager nor --json= was given. */
void ctl_pager(const Ctl *ctl);
/* "path?key=value&…" from the filters on the command line (--queue=, --task=, --task-version=), `more` (may be "") first. NULL without memory. */
char *ctl_query(const Ctl *ctl, const char *path, const char *more);

/* ── the list of definitions, as GET /definitions has it (verb-definition.c) ── */
/* The version that --task-version= names, else the newest; borrowed. */
const json_t *definition_find(const Ctl *ctl, const json_t *definitions, const char *name);
/* The name that was probably meant; NULL. */
const char *definition_nearest(const json_t *definitions, const char *name);

/* ── tasks ── */
#define HINT_TASK "See: jobbersctl list --all"
#define HINT_QUEUE "See: jobbersctl queues"
#define HINT_ROLE "See: jobbersctl roles"

/* Long polls until the task has ended; *ret is its record (new reference). (verb-task.c) */
int task_wait(Ctl *ctl, const char *id, json_t **ret);
/* Since when the task is what it is: a timestamp, borrowed. (verb-list.c) */
const char *task_since(const json_t *task);
/* "42% importing rows", "in 5min", "exit status 70": what is worth a column. Returns buf. (verb-list.c) */
const char *task_info(const json_t *task, char buf[static 256]);
/* The table of tasks that list and dlq print. */
void task_table_print(const Ctl *ctl, const json_t *tasks);
/* The table of attempts that status and dlq print, with a column of errors where nothing else shows them. (verb-status.c) */
void attempt_table_print(const Ctl *ctl, const json_t *attempts, bool errors);
/* "███████░░░": part of whole in `width` columns (70 at most), ASCII where the locale knows nothing else. Returns buf. */
const char *task_bar(int64_t part, int64_t whole, int width, char buf[static 256]);
