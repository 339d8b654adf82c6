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

typedef struct Ctl {
        ClientAddress address;
        JsonMode json;
        bool no_legend, no_pager, quiet;
        /* of single verbs */
        bool wait, follow, force, all, dry_run, keep_retries;
        const char *at, *queue, *status, *id, *task;
        const char *task_version;
        long limit, priority, lines, interval;
        bool has_priority;

        Client *client;                 /* opened by ctl_client */
} Ctl;

/* Words after the verb. Returns an exit status. */
typedef int (*CtlVerbFn)(Ctl *ctl, int argc, char **argv);

typedef struct CtlVerb {
        const char *name;
        int min, max;                   /* words; max -1: any number */
        const char *usage;              /* "NAME [KEY=VALUE…]" */
        CtlVerbFn run;
        const char *help;
        bool offline;                   /* does without a daemon */
} CtlVerb;

int verb_submit(Ctl *ctl, int argc, char **argv);
int verb_run(Ctl *ctl, int argc, char **argv);
int verb_list(Ctl *ctl, int argc, char **argv);
int verb_status(Ctl *ctl, int argc, char **argv);
int verb_wait(Ctl *ctl, int argc, char **argv);
int verb_logs(Ctl *ctl, int argc, char **argv);
int verb_cancel(Ctl *ctl, int argc, char **argv);
int verb_resubmit(Ctl *ctl, int argc, char **argv);
int verb_queues(Ctl *ctl, int argc, char **argv);
int verb_set_queue(Ctl *ctl, int argc, char **argv);
int verb_delete_queue(Ctl *ctl, int argc, char **argv);
int verb_pause(Ctl *ctl, int argc, char **argv);
int verb_resume(Ctl *ctl, int argc, char **argv);
int verb_roles(Ctl *ctl, int argc, char **argv);
int verb_set_role(Ctl *ctl, int argc, char **argv);
int verb_delete_role(Ctl *ctl, int argc, char **argv);
int verb_dlq(Ctl *ctl, int argc, char **argv);
int verb_tasks(Ctl *ctl, int argc, char **argv);
int verb_verify(Ctl *ctl, int argc, char **argv);
int verb_cat(Ctl *ctl, int argc, char **argv);
int verb_edit(Ctl *ctl, int argc, char **argv);
int verb_reload(Ctl *ctl, int argc, char **argv);
int verb_drain(Ctl *ctl, int argc, char **argv);
int verb_top(Ctl *ctl, int argc, char **argv);
int verb_show_metrics(Ctl *ctl, int argc, char **argv);

/* ── shared by verbs (ctl.c) ── */
/* With --json= prints `value` and returns true. */
bool ctl_print_json(const Ctl *ctl, const json_t *value);
/* The exit status for what client_send and friends returned. */
int ctl_exit(int r);
const char *ctl_str(const json_t *object, const char *key);            /* "" when absent or null */
int64_t ctl_int(const json_t *object, const char *key, int64_t otherwise);
/* "14:03:07" today, "Mar 12 14:03" this year, "2025-03-12" else; local time; "-" when absent. Returns buf. */
const char *ctl_time(const json_t *object, const char *key, char buf[static 40]);
/* "Thu 2026-03-12 14:03:07 CET; 5min ago" as systemctl status has it. Returns buf. */
const char *ctl_time_long(const char *timestamp, char buf[static 96]);
/* "512.0M". Returns buf. */
const char *ctl_bytes(int64_t n, char buf[static 24]);
/* Sends long output through $PAGER (less -FRSX) when stdout is a terminal and --no-pager was not given. */
void ctl_pager(const Ctl *ctl);
