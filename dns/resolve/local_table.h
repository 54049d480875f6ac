/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of names that are answered here: names to records, reverse names included, so that
 * "192.0.2.1 db" gives db an A record and 1.2.0.192.in-addr.arpa a PTR. Everything is held by
 * index, grows while the table is built and is only read afterwards.
 */
#ifndef CAUSEWAY_DNS_RESOLVE_LOCAL_TABLE_H
#define CAUSEWAY_DNS_RESOLVE_LOCAL_TABLE_H

#include "dns/resolve/local.h"

#define LOCAL_RECORDS_MAX   64                      /* of one name */
#define LOCAL_ADDRESSES_MAX (4 * DNS_LOCAL_ENTRIES) /* of all names */

struct local_table; /* opaque */

struct local_table *local_table_create(void);     /* NULL: no memory */
void local_table_free(struct local_table *table); /* NULL is allowed */

enum local_add { LOCAL_ADDED, LOCAL_NO_MEMORY, LOCAL_TOO_MANY };

/*
 * Gives the name an address, behind those that it has; once if it is told twice. with_reverse: the
 * name is the address's own, not an alias; the first of these is what the reverse name points to.
 */
enum local_add local_table_add(struct local_table *table, const struct dns_name *name,
                               const struct ip_addr *address, bool with_reverse);

/* 0: not there. The name must be in lower case. */
uint32_t local_table_find(const struct local_table *table, const struct dns_name *lowered);

/* The records of the name at `index` that are of the type (or all, for DNS_TYPE_ANY); they borrow
 * from the table. Returns their number. */
size_t local_table_records(const struct local_table *table, uint32_t index, uint16_t type,
                           struct dns_local_record out[LOCAL_RECORDS_MAX]);

/* 1.2.0.192.in-addr.arpa (RFC 1035 3.5), or nibbles below ip6.arpa (RFC 3596 2.5). */
void local_reverse_name(const struct ip_addr *address, struct dns_name *out);

#endif
