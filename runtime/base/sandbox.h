/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon gives up once everything is open, and its helper at once. In this order:
 *
 *   user           sandbox_change_user(): somebody who owns no file
 *   files, signals Landlock (sandbox_landlock.c), where the kernel has it: no file is written but
 *                  those of the profile, none is made or executed; nobody outside gets a signal
 *   capabilities   all but those of the profile; no new privileges
 *   system calls   seccomp (sandbox_calls.c): those that the profile names, with their arguments
 *
 * Rings are the exception that costs most: an io_uring does what seccomp cannot see. So the daemon
 * may not make one; the kernel asks the helper instead (SECCOMP_RET_USER_NOTIF), which makes each
 * with the same few operations allowed, whatever was asked for, and puts it into the daemon.
 *
 * docs/security.md has a table of what is left to whoever takes a thread over; tests/netns/
 * test_sandbox.py holds it.
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
    bool files_read_only;  /* no file can be opened for writing, or made */
    bool files_everywhere; /* any file that its user may read, instead of /proc alone */
    bool threads;          /* more of them can be made */
    bool network;          /* TCP: connect and bind */
    /* Of its helper: CAP_..., as far as the daemon was started with them. */
    const int *helper_capabilities;
    unsigned helper_capability_count;
};

/* The packet path: CAP_NET_ADMIN and CAP_NET_RAW; rings, threads, netlink, files under /proc. */
extern const struct sandbox_profile sandbox_datapath;

/* Becomes this user, a name or a number, and keeps its capabilities until sandbox_enter(). */
bool sandbox_change_user(const char *user, struct failure *failure);

/*
 * Who a daemon that was started as root becomes if it was not told: the user causeway, or the
 * number of nobody's where there is none. NULL: it is not root. Static.
 */
const char *sandbox_default_user(void);

/*
 * Enters the sandbox, before any thread is made: they inherit it. listener, not NULL: where a
 * descriptor comes by which somebody outside answers io_uring_setup(), see broker.h; -1 if the
 * kernel gives none, and rings are then made freely. NULL: no rings are made any more.
 */
bool sandbox_enter(const struct sandbox_profile *profile, int *listener, struct failure *failure);

/* Folders in which the helper makes, writes and removes files: calls add for each. */
typedef void sandbox_add(void *context, const char *folder);
typedef void sandbox_folders(const void *config, sandbox_add *add, void *context);

/* The helper's own, looser sandbox, which the tools that it runs inherit. Best effort where
 * Landlock or a capability to give up is missing. */
bool sandbox_enter_helper(const struct sandbox_profile *profile, sandbox_folders *folders,
                          const void *config, struct failure *failure);

/* Does this process have what the packet path needs? */
bool sandbox_check_capabilities(struct failure *failure);

#endif
