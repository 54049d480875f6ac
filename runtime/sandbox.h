/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon gives up once everything is open: all capabilities but CAP_NET_ADMIN and
 * CAP_NET_RAW, its user if told so, new privileges, and every system call that the packet path and
 * its control do not use (seccomp).
 */
#ifndef CAUSEWAY_RUNTIME_SANDBOX_H
#define CAUSEWAY_RUNTIME_SANDBOX_H

#include <stddef.h>

/*
 * Enters the sandbox; user may be NULL (stay). Before any thread is made: they inherit it.
 * 0, or -1 with a sentence in error.
 */
int sandbox_enter(const char *user, char *error, size_t error_size);

/* Does this process have both capabilities? If not, writes the sentence that says so. */
int sandbox_check_capabilities(char *error, size_t error_size);

#endif
