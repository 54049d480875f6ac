/* SPDX-License-Identifier: Apache-2.0 */
/* The report of --check: one finding a line, each with what follows from it. */
#ifndef CAUSEWAY_RUNTIME_BASE_CHECK_H
#define CAUSEWAY_RUNTIME_BASE_CHECK_H

#include <stdbool.h>

#include "runtime/base/failure.h"

struct check_report {
    unsigned failures; /* findings that keep the daemon from working */
};

/* A thing the daemon cannot work without. remedy is printed when it is missing. */
void check_required(struct check_report *report, bool there, const char *what, const char *remedy);
/* A thing with a fall-back. cost says what is used instead. */
void check_optional(struct check_report *report, bool there, const char *what, const char *cost);
/* Something that works and may harm: what, and what it does. */
void check_warning(const char *what, const char *effect);

/* Could a socket be made at this path (a file; "@NAME" and "none" always)? The directory is there
 * and can be written, or can be made if it is the daemons' own; nothing but a socket is in the way.
 */
bool check_socket_place(const char *path, struct failure *failure);

/* Could an AF_VSOCK socket be made? /dev/vsock is not needed for that. */
bool check_vsock(void);

/* Prints the closing line; the exit status for main(). */
int check_finish(const struct check_report *report);

#endif
