/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of netdev share: one request, one answer, over the socket of struct netdev.
 *
 * Pipeline: request_begin() puts the message header into the request's own buffer, the caller adds
 * the family header and attributes (libmnl's unchecked put functions: every request here is far
 * below the buffer's size, names and aliases are bounded by the kernel's limits), netdev_talk()
 * sends it and reads until the kernel's acknowledgement or the end of the dump.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_NETDEV_PRIVATE_H
#define CAUSEWAY_RUNTIME_HOST_NETDEV_PRIVATE_H

#include <libmnl/libmnl.h>

#include "runtime/host/netdev.h"

#define REQUEST_BYTES 4096

struct request {
    struct nlmsghdr *header; /* points into buffer */
    _Alignas(struct nlmsghdr) char buffer[REQUEST_BYTES];
};

/* Starts a request of this type; flags beside NLM_F_REQUEST. The family header, zeroed, is
 * returned. */
void *request_begin(struct request *request, uint16_t type, uint16_t flags, size_t family_bytes);

/*
 * Sends the request and hands every answer to each (may be NULL), which returns MNL_CB_OK or
 * MNL_CB_ERROR with errno set; it must not use nd. 0 or negative errno, the kernel's own words at
 * debug level. A dump that the kernel calls inconsistent gives -EINTR.
 */
int netdev_talk(struct netdev *nd, struct request *request, mnl_cb_t each, void *context);

/* One interface as the kernel describes it. */
struct interface {
    struct interface_info info;
    struct mac mac;
    int peer_ifindex;      /* IFLA_LINK: of a veth, its other end; 0 if none */
    bool running;          /* up, and with carrier */
    bool no_arp;           /* IFF_NOARP */
    int master;            /* ifindex of the bridge, bond or VRF that it belongs to; 0 if none */
    bool forwards4;        /* conf/<name>/forwarding of IPv4 */
    bool routes_loopback4; /* conf/<name>/route_localnet */
    bool has_ipv6;         /* IPv6 knows the device: the kernel has IPv6, the MTU is large enough */
    bool ipv6_off;         /* conf/<name>/disable_ipv6 */
    uint8_t ipv6_mode;     /* IN6_ADDR_GEN_MODE_... */
};

/* Switches conf/<name>/... of IPv4 on: IPV4_DEVCONF_... By netlink: /proc/sys may be read-only. */
int netdev_switch_ipv4(struct netdev *nd, int ifindex, int setting);

/* No IPv6 address of its own making, no router solicitation, no autoconfiguration. */
int netdev_quiet_ipv6(struct netdev *nd, int ifindex, const char *name);

/* Writes /proc/sys/net/ipv6/conf/<device>/<key>; failure is a word at debug level. */
void netdev_write_ipv6_conf(const char *device, const char *key, const char *value);

/* Mends addresses, neighbours: 1 put back, 0 was there, or negative errno. */
int netdev_address_mend(struct netdev *nd, int ifindex, const struct ip_prefix *address);
int netdev_neighbour_mend(struct netdev *nd, int ifindex, const struct ip_addr *addr,
                          const struct mac *mac);
int netdev_route_mend(struct netdev *nd, const struct route_spec *route);

/* By name, or by index when name is NULL. 0 or negative errno, -ENODEV if absent. */
int netdev_interface_get(struct netdev *nd, const char *name, int ifindex, struct interface *out);

#endif
