/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers a system call of a sandboxed process, which the kernel asks about on a listener
 * (seccomp_unotify(2)): the caller gets a descriptor that was made here, whatever its arguments
 * were. Memory of the caller is neither read nor written.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_BROKER_H
#define CAUSEWAY_RUNTIME_BASE_BROKER_H

#include <stdbool.h>

/* Makes what the caller gets: a descriptor that becomes the broker's, or -errno. */
typedef int broker_make(void);

/* Answers one call. False: nobody can ask any more. */
bool broker_answer(int listener, broker_make *make);

#endif
