/* parameters.h: what [Parameters] declares, line by line. The check of given parameters is definition_check_parameters(). */
#pragma once

#include "base/str.h"
#include "model/definition.h"

/* NAME = TYPE[, required]: adds it or replaces the one of that name; an empty value takes it away. -EINVAL with the reason (caller
 * frees); -ENOMEM. */
int parameter_declare(Definition *d, const char *name, const char *value, char **ret_reason);
void parameters_clear(Definition *d);
/* The lines below the header, in the order of declaration. */
void parameters_print(Str *b, const Definition *d);
