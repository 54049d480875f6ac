/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The janitor: a child process that keeps the privileges which the daemon gives up, for one deed.
 *
 * It is forked before the daemon drops its privileges and waits on a pipe. When the daemon ends in
 * order it asks the janitor to clean up: remove firewall rules, devices, restore sysctls. When
 * the daemon dies without asking (kill -9, a crash), the janitor leaves everything as it is, so
 * that the daemon's next start finds the connections' rules and addresses still in place.
 */
#ifndef CAUSEWAY_RUNTIME_JANITOR_H
#define CAUSEWAY_RUNTIME_JANITOR_H

#include <sys/types.h>

struct janitor {
    pid_t pid;
    int pipe_fd;
};

/* Forks. cleanup runs in the child, on request. Single-threaded callers only. 0 or -errno. */
int janitor_start(struct janitor *janitor, void (*cleanup)(void *context), void *context);

/* Asks for the clean-up and waits until it is done. */
void janitor_finish(struct janitor *janitor);

#endif
