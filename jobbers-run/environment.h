/* environment.h: a task's environment, from scratch (SPEC 4). */
#pragma once

#include "jobbers-run/attempt-dir.h"
#include "jobbers-run/job.h"

/* NULL-terminated, freed with strv_free. -errno with a sentence in *ret_sentence when an EnvironmentFile= cannot be read, or not as one. */
int environment_build(const Job *job, const AttemptDir *dir, char ***ret, char **ret_sentence);
/* Adds the assignments of an EnvironmentFile='s text to *env; later ones win. Lines that assign nothing are skipped. -EINVAL and
 * the number of the line where a quote opens that is never closed: what follows it would be lost. */
int environment_parse(const char *text, char ***env, unsigned *ret_line);
/* Sets NAME=VALUE in *env, replacing what was there. */
int environment_put(char ***env, const char *assignment);
