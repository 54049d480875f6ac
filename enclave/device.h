/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave's network card: the veth pair cw0 (the kernel's end, with address and default route)
 * and cw1 (the daemon's end, where packets are captured and injected).
 */
#ifndef CAUSEWAY_ENCLAVE_DEVICE_H
#define CAUSEWAY_ENCLAVE_DEVICE_H

#include <stdbool.h>

#include "packet/frame.h"
#include "runtime/base/log.h"
#include "runtime/host/netdev.h"

#define DEVICE_NAME  "cw0"
#define DEVICE_PEER  "cw1"
#define DEVICE_ALIAS "causeway-enclave"

extern const struct mac device_mac;      /* of cw0 */
extern const struct mac device_peer_mac; /* of cw1 */
/* A third address that no interface has: what goes there reaches the taps of cw1, not its IP stack.
 */
extern const struct mac device_tap_mac;

struct device {
    struct netdev netdev;
    int index, peer_index;
    uint32_t mtu;         /* as last set */
    const char *ipv6_off; /* why this machine has no IPv6; NULL if it has */
    struct log_limit log; /* of what others do to the pair */
};

/* Opens rtnetlink, then device_make(). 0 or negative errno. */
int device_create(struct device *device);

/* Makes or adopts the pair and brings it up, at the start and when it was removed. */
int device_make(struct device *device);

/* Segmentation offloads that cw0 may leave to the capture side. 0 or negative errno. */
int device_limit_offloads(bool udp_gso);

/* Where the gateway's neighbour entry points: at cw1 itself (packets go through its IP hooks, for
 * NFQUEUE) or at nobody (its taps alone see them). Addresses, MTU, default routes as config says.
 */
int device_apply(struct device *device, const struct wire_config *config,
                 const struct mac *gateway_mac);
int device_set_mtu(struct device *device, uint32_t mtu);

/* Looks whether the pair is as device_apply() left it (as device_make() did, if config is NULL),
 * puts back what is not and says so. 0 or negative errno; -ENODEV: the pair was removed. */
int device_mend(struct device *device, const struct wire_config *config,
                const struct mac *gateway_mac);

/* Removes the pair, and with it all that hangs on it. */
void device_remove(void);

#endif
