/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names answered here: --host, /etc/hosts, localhost and the loopback addresses' reverse names
 * (RFC 6761 6.3), nothing below "invalid" (6.4). No such name: what is below "onion" (RFC 7686) and
 * the reverse names of link-local addresses and the like (RFC 6303), unless --host or the hosts
 * file has it. The hosts file is read again when it changes.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_LOCAL_H
#define CAUSEWAY_DNS_RESOLVE_LOCAL_H

#include "runtime/base/failure.h"
#include "packet/addr.h"
#include "dns/message/render.h"

struct dns_local; /* opaque */

/* Most names of the hosts file, and of --host; more are ignored with a warning, or refused. */
#define DNS_LOCAL_ENTRIES 4096

/* hosts_path NULL: no hosts file; one that is not there may come later. NULL: no memory. */
struct dns_local *dns_local_create(const char *hosts_path);
void dns_local_free(struct dns_local *local);

/*
 * --host NAME=ADDR; again for more addresses. The name's lines in the hosts file do not count then.
 * False with what is wrong in error, a sentence whose subject is the text.
 */
bool dns_local_add(struct dns_local *local, const char *text, struct failure *failure);

/* Reads the hosts file again if it changed: a stat() when not. Called at most once a second. A file
 * that is there but cannot be read changes nothing. */
void dns_local_refresh(struct dns_local *local);

/*
 * Answers the query if its name is local: the length in out[limit], 0 if the name is not ours.
 * A local name without the asked type is answered with no data, not passed on.
 */
size_t dns_local_answer(const struct dns_local *local, const struct dns_query *query, size_t limit,
                        uint8_t *out);

#endif
