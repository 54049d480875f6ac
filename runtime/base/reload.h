/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration read again means to a running daemon: some of it changes, some waits. */
#ifndef CAUSEWAY_RUNTIME_BASE_RELOAD_H
#define CAUSEWAY_RUNTIME_BASE_RELOAD_H

#include "runtime/base/helper.h"
#include "runtime/base/options.h"

/*
 * The configuration file's text now, read by the helper, which may open what the daemon no longer
 * can. From malloc(); empty when there is no file; NULL when it cannot be read, which is logged.
 */
char *reload_text(struct helper *helper);

/* The helper's part of it: call it for requests of this kind. */
#define RELOAD_KIND_FILE 'f'
bool reload_serve(const struct option_file *file, char *answer, struct failure *failure);

/*
 * Logs what becomes of a fresh configuration: the live options in which it differs from what is in
 * force, in one line, and a line for each other option in which it differs from what was given
 * before, whose old value stays.
 */
void reload_report(const struct option_spec *table, const void *in_force, const void *given,
                   const void *fresh);

#endif
