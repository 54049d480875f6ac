/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names answered here: --host, /etc/hosts, localhost and the loopback addresses' reverse names
 * (RFC 6761 6.3), nothing below "invalid" (6.4). The hosts file is read again when it changes.
 */
#ifndef CAUSEWAY_ENCLAVE_DNS_LOCAL_H
#define CAUSEWAY_ENCLAVE_DNS_LOCAL_H

#include "packet/addr.h"
#include "packet/dns_render.h"

struct dns_local; /* opaque */

/* hosts_path NULL: no hosts file. Bounded: DNS_LOCAL_ENTRIES names. NULL: no memory. */
#define DNS_LOCAL_ENTRIES 4096
struct dns_local *dns_local_create(const char *hosts_path);
void dns_local_free(struct dns_local *local);

/* --host NAME=ADDR. False with a reason. */
bool dns_local_add(struct dns_local *local, const char *text, char *error, size_t error_size);

/* Reads the hosts file again if it changed. Cheap; called at most once a second. */
void dns_local_refresh(struct dns_local *local);

/*
 * Answers the query if its name is local: the length in out[limit], 0 if the name is not ours.
 * A local name without the asked type is answered with no data, not passed on.
 */
size_t dns_local_answer(const struct dns_local *local, const struct dns_query *query, size_t limit,
                        uint8_t *out);

#endif
