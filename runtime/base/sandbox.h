/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon gives up once everything is open: all capabilities but those of its profile, its
 * user if told so, new privileges, and every system call that its profile does not name (seccomp).
 */
#ifndef CAUSEWAY_RUNTIME_BASE_SANDBOX_H
#define CAUSEWAY_RUNTIME_BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/failure.h"

/* What a kind of daemon keeps. Static data of its owner. */
struct sandbox_profile {
    const int *capabilities; /* CAP_...: kept, permitted and effective */
    unsigned capability_count;
    const int *calls; /* numbers of the system calls beyond those that every daemon needs */
    unsigned call_count;
    bool files_read_only; /* no file can be opened for writing, or made */
};

/* The packet path: CAP_NET_ADMIN and CAP_NET_RAW; rings, threads, netlink, files under /proc. */
extern const struct sandbox_profile sandbox_datapath;

/*
 * Enters the sandbox; user may be NULL (stay). Before any thread is made: they inherit it.
 */
bool sandbox_enter(const struct sandbox_profile *profile, const char *user,
                   struct failure *failure);

/* Does this process have what the packet path needs? */
bool sandbox_check_capabilities(struct failure *failure);

#endif
