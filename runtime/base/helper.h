/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper: a child process that keeps the privileges which the daemon gives up.
 *
 * It is forked before the daemon drops its privileges and waits on a socket pair. When the daemon
 * ends in order it asks the helper to clean up: remove firewall rules, devices, restore sysctls.
 * When the daemon dies without asking (kill -9, a crash), the helper leaves everything as it is,
 * so that the daemon's next start finds the connections' rules and addresses still in place.
 *
 * Meanwhile it serves what a running daemon can no longer do itself: read its configuration file
 * again, exchange firewall rules. The requests are a fixed set that the daemon defines; their text
 * is parsed and checked here as if it came from a stranger. What they can do is no more than
 * CAP_NET_ADMIN, which the daemon keeps, can do anyway.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_HELPER_H
#define CAUSEWAY_RUNTIME_BASE_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "runtime/base/failure.h"

#define HELPER_TEXT_MAX 98304 /* bytes of a request or an answer, its NUL included */

struct helper {
    pid_t pid;
    int fd;
    bool broken; /* it did not answer once: nothing more is asked of it */
};

/*
 * What the helper does. Both run in the child, with the state of the moment of the fork.
 * serve() answers a request of the daemon's own kind: text is NUL-terminated and may be cut up.
 * The answer, empty at first, has room for HELPER_TEXT_MAX bytes. NULL: nothing is served.
 */
struct helper_duties {
    void (*cleanup)(void *context);
    bool (*serve)(void *context, char kind, char *text, char *answer, struct failure *failure);
    void *context;
};
#define HELPER_KIND_CLEANUP 'c' /* taken; all others are the daemon's to define */

/* Forks. Single-threaded callers only. 0 or -errno. */
int helper_start(struct helper *helper, const struct helper_duties *duties);

/*
 * Asks and waits for the answer, a text in answer[HELPER_TEXT_MAX] (NULL: none is expected).
 * The caller's thread stands still meanwhile: the lanes do not.
 */
bool helper_request(struct helper *helper, char kind, const char *text, char *answer,
                    struct failure *failure);

/* Asks for the clean-up and waits until it is done. */
void helper_finish(struct helper *helper);

#endif
