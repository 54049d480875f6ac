/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The networks that this host is in, as a table: a parent closes them to enclaves, an enclave takes
 * no packet that claims to come from one.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_CONNECTED_H
#define CAUSEWAY_RUNTIME_HOST_CONNECTED_H

#include "packet/policy.h"
#include "runtime/host/netdev.h"

/*
 * Adds to *table what the devices are connected to, but for those whose names begin with `ours`,
 * and for what policy_never, policy_closed or an entry of *table covers already. The order is that
 * of addresses, so that two looks at the same host give the same table. 0; -ENOSPC: not all have
 * found room; or another negative errno.
 */
int connected_networks(struct netdev *nd, const char *ours, struct prefix_table *table);

#endif
