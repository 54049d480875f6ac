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
 * CAP_NET_ADMIN, which the daemon keeps, can do anyway. It has a sandbox of its own (sandbox.h),
 * and makes the rings that the daemon may not make (broker.h).
 */
#ifndef CAUSEWAY_RUNTIME_BASE_HELPER_H
#define CAUSEWAY_RUNTIME_BASE_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "runtime/base/broker.h"
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
    /* First of all: gives up what the rest does not need. False ends it. NULL: nothing. */
    bool (*confine)(void *context, struct failure *failure);
    broker_make *make; /* what helper_listen() asks for; NULL: nothing */
};
#define HELPER_KIND_CLEANUP 'c' /* these are taken; all others are the daemon's to define */
#define HELPER_KIND_LISTEN  'l'

/* Forks. Single-threaded callers only. 0 or -errno. */
int helper_start(struct helper *helper, const struct helper_duties *duties);

/*
 * Asks and waits for the answer, a text in answer[HELPER_TEXT_MAX] (NULL: none is expected).
 * The caller's thread stands still meanwhile: the lanes do not.
 */
bool helper_request(struct helper *helper, char kind, const char *text, char *answer,
                    struct failure *failure);

/* Has it answer on the listener (broker.h), which is closed here. */
bool helper_listen(struct helper *helper, int listener, struct failure *failure);

/* Asks for the clean-up and waits until it is done. */
void helper_finish(struct helper *helper);

#endif
