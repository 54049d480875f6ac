/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The name servers that a file in the form of resolv.conf names, followed as the file changes: the
 * machine's own /etc/resolv.conf, or what causeway-enclave writes down from the handshake.
 */
#ifndef CAUSEWAY_DNS_FILES_FOLLOW_H
#define CAUSEWAY_DNS_FILES_FOLLOW_H

#include "dns/upstream/spec.h"
#include "runtime/base/event.h"
#include "runtime/base/failure.h"

struct follow; /* opaque */

struct follow_config {
    const char *path; /* copied */
    /* Addresses that this very program serves on port 53 ("0.0.0.0" and "::" stand for all of their
     * family): a name server that is one of them is left out, or questions would go in circles. */
    const struct ip_addr *own; /* copied */
    unsigned own_count;
    /* Called from the loop or follow_tick() when the servers have changed. */
    void (*changed)(void *context, const struct upstream_spec *specs, unsigned count);
    void *context;
};
#define FOLLOW_OWN_MAX 32

/*
 * Starts to follow; follow_servers() then has what the file says now. A file that is missing is
 * waited for; one that disappears later leaves the servers as they were. Needs, also in a sandbox,
 * to open files for reading, readlink, inotify_add_watch and inotify_rm_watch. NULL with a
 * sentence.
 */
struct follow *follow_open(struct event_loop *loop, const struct follow_config *config,
                           struct failure *failure);
void follow_close(struct follow *follow); /* NULL is allowed */
const char *follow_path(const struct follow *follow);
unsigned follow_servers(const struct follow *follow, const struct upstream_spec **specs);

/* While the file is missing it is looked for: milliseconds until follow_tick(), -1: none needed. */
int follow_timeout(const struct follow *follow, uint64_t now_ms);
void follow_tick(struct follow *follow, uint64_t now_ms);

/* The servers of a file's text, without own ones; for tests, too. Returns how many. */
unsigned follow_parse(const char *text, const struct ip_addr *own, unsigned own_count,
                      struct upstream_spec *specs);

#endif
