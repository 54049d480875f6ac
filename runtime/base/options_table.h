/* SPDX-License-Identifier: Apache-2.0 */
/* A row of a table of options, and a value for it: what the command line and the file share. */
#ifndef CAUSEWAY_RUNTIME_BASE_OPTIONS_TABLE_H
#define CAUSEWAY_RUNTIME_BASE_OPTIONS_TABLE_H

#include "runtime/base/failure.h"
#include "runtime/base/options.h"

/* The row of that name; NULL if there is none. */
const struct option_spec *options_find(const struct option_spec *table, const char *name,
                                       size_t length);

/* Sets a value that is not a flag's. False with "'VALUE' REASON". */
bool options_set(const struct option_spec *row, void *context, const char *value,
                 struct failure *failure);

#endif
