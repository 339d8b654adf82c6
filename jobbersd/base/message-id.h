/* message-id.h: what `journalctl MESSAGE_ID=…` finds and `journalctl -x` explains. An id means one kind of event for ever; its text for people is
 * in units/jobbers.catalog (tests/api/test_catalog.py compares the two). */
#pragma once

/* ── a task's life: on each arrow of the table ── */
#define MESSAGE_TASK_SUBMITTED          "7b1851f661324f83b8db311bfdac9e28"
#define MESSAGE_TASK_STARTED            "e185de342be740ef8c24566fe9558e85"
#define MESSAGE_TASK_COMPLETED          "de21ebde728048d1801f54c1a6d43ae0"
#define MESSAGE_TASK_RETRY              "24a8fb5f49a3440d928aeb65f2885c91"
#define MESSAGE_TASK_FAILED             "cda79219b1d94791bec0e22b1a4cf3e0"
#define MESSAGE_TASK_STALLED            "328b9edb9209447fa56b4726efa48018"
#define MESSAGE_TASK_DROPPED            "e386649fd349415e876d114626157250"
#define MESSAGE_TASK_CANCEL             "f8bbae06246f4b4792fb1a7d44253a5d"
#define MESSAGE_TASK_CANCELLED          "54cf10f807ce407aaa853272fdf6cec1"
#define MESSAGE_TASK_AGAIN              "c611d8c772d04f8da64f8db08d2c297a"
#define MESSAGE_TASK_RESUBMITTED        "16263877fe9041e7afeaf304a848fef7"

/* ── an attempt that is out of the ordinary ── */
#define MESSAGE_ATTEMPT_ADOPTED         "92bdfc1de8a94660ab53acc799d63003"
#define MESSAGE_ATTEMPT_UNKILLABLE      "7983c4bd7d8e4227afde6aa8e2414958"
#define MESSAGE_RECORD_DAMAGED          "d64311e5a4a54f57a70932b1a4ff1edc"

/* ── what an administrator has to look at ── */
#define MESSAGE_DEFINITION_REFUSED      "53cd91dd22db44209fc1a0997f032aad"
#define MESSAGE_DISK_FULL               "e3f12734cc4048068db723334bc52fb8"
#define MESSAGE_LAUNCHER_LOST           "1fe0ac6deb1d421d91fc628e987cbdc1"
#define MESSAGE_BACKUP_RESTORED         "dd44a63f7a5748ebab7abaecc4333cff"
