/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports as text: [NAME=][ADDRESS:]PORTS:PORTS[/tcp|/udp][,force]. */
#ifndef CAUSEWAY_PARENT_PUBLISH_H
#define CAUSEWAY_PARENT_PUBLISH_H

#include "runtime/base/failure.h"
#include "parent/config.h"

/*
 * PORTS is a number or FIRST-LAST; both ranges have the same size. An IPv6 ADDRESS stands in
 * brackets. False with a reason.
 */
bool publish_parse(const char *text, struct publish_entry *out, struct failure *failure);

/* The text that parses to the entry, into out[PUBLISH_TEXT_BYTES]; returns out. */
#define PUBLISH_TEXT_BYTES (PARENT_NAME_BYTES + ADDR_TEXT_BYTES + 48)
const char *publish_format(const struct publish_entry *entry, char *out);

/* Does a connection to this address of the host go to the enclave? 0.0.0.0 and ::, as a program
 * listens there, stand for the addresses of a family. */
bool publish_covers(const struct publish_entry *entry, const struct ip_addr *address,
                    uint16_t port);

/* Would both want the same port of the same address? */
bool publish_overlap(const struct publish_entry *a, const struct publish_entry *b);

#endif
