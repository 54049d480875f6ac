/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's way out: which device, which MTU, and word when that changes.
 *
 * Addresses need no watching: MASQUERADE asks the kernel for the address at every new connection,
 * and the kernel itself forgets the connections of an address that goes away.
 */
#ifndef CAUSEWAY_PARENT_UPLINK_H
#define CAUSEWAY_PARENT_UPLINK_H

#include <stdbool.h>

#include "runtime/host/netdev.h"

#define UPLINK_FALLBACK_MTU 1500 /* while there is no way out at all */
#define UPLINK_MTU_MIN      1280 /* RFC 8200 5: IPv6 needs it */
#define UPLINK_MTU_MAX      65535

/* The MTU that enclaves are to use. name: a device, or NULL for the default routes' one.
 * Also keeps the uplink's IPv6 default route alive although this host forwards. */
uint32_t uplink_mtu(struct netdev *netdev, const char *name);

#endif
