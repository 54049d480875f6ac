/* SPDX-License-Identifier: Apache-2.0 */
/* Connections as the kernel's conntrack knows them, over ctnetlink: listed, and forgotten. */
#ifndef CAUSEWAY_RUNTIME_HOST_CONNTRACK_H
#define CAUSEWAY_RUNTIME_HOST_CONNTRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/addr.h"

/* As the first packet had it, and as answers come: they differ where it is translated. */
struct conntrack_entry {
    uint8_t protocol; /* IPPROTO_... */
    bool answered;
    struct ip_addr source, destination, answer_source, answer_destination;
    uint16_t source_port, destination_port, answer_source_port, answer_destination_port;
};

/*
 * Forgets every entry of the family (4 or 6) that unwanted() names. How many, or negative errno; a
 * kernel without ctnetlink or the family has none. Needs CAP_NET_ADMIN.
 */
int conntrack_forget(int version,
                     bool (*unwanted)(const struct conntrack_entry *entry, void *context),
                     void *context);

#endif
