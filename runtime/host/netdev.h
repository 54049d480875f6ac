/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network devices, addresses, routes, neighbours and tc, over rtnetlink (libmnl) and the ethtool
 * ioctl. No external program is run.
 *
 * All calls are synchronous, made by one thread, and "ensure" the wanted state: an object that is
 * already as asked is success, so that a daemon restarted after kill -9 finds its way.
 * They return 0 or a negative errno; the caller makes the sentence for the user.
 */
#ifndef CAUSEWAY_RUNTIME_HOST_NETDEV_H
#define CAUSEWAY_RUNTIME_HOST_NETDEV_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "packet/addr.h"

struct mnl_socket;

struct netdev {
    struct mnl_socket *socket;
    unsigned port;
    uint32_t sequence;
};

struct mac {
    uint8_t bytes[6];
};

int netdev_open(struct netdev *nd);
void netdev_close(struct netdev *nd); /* idempotent; safe on a zeroed struct */

struct veth_spec {
    const char *name; /* the kernel's end: has the addresses */
    const char *peer; /* the daemon's end: captured from and injected into */
    struct mac mac, peer_mac;
    uint32_t mtu;      /* of both ends */
    const char *alias; /* IFLA_IFALIAS of both ends, the mark by which a restart knows its own */
};

/*
 * Makes the veth pair, or adopts an existing one with the same alias (setting MTU and MACs). An end
 * with our alias whose other end is not the one asked for is removed.
 * IPv6 stays on but silent on both ends: address generation off (IN6_ADDR_GEN_MODE_NONE), no
 * router advertisements accepted, no autoconf. Both ends are NOT brought up here.
 * 0 made, 1 adopted; -EEXIST: a device of that name is there and is not ours.
 */
int netdev_veth_ensure(struct netdev *nd, const struct veth_spec *spec);

/* Deletes an interface by name; absent is success. With alias not NULL only if its alias equals it;
 * a stranger's interface is left alone, which is success too. */
int netdev_delete(struct netdev *nd, const char *name, const char *alias);

int netdev_index(const char *name); /* > 0, or negative errno */
int netdev_set_up(struct netdev *nd, int ifindex, bool up);
int netdev_set_mtu(struct netdev *nd, int ifindex, uint32_t mtu);

/*
 * Makes addr/length the interface's only address of that family (scope global; IPv6 without
 * duplicate address detection). Others of the family on this interface are removed.
 */
int netdev_address_only(struct netdev *nd, int ifindex, const struct ip_prefix *address);

/* Removes all addresses of the family (4 or 6) from the interface; IPv4 routes that name one of
 * them as their source go with them. */
int netdev_address_none(struct netdev *nd, int ifindex, int version);

/* Adds or replaces a permanent neighbour entry. */
int netdev_neighbour(struct netdev *nd, int ifindex, const struct ip_addr *addr,
                     const struct mac *mac);

/*
 * Adds or replaces a unicast route in the main table. gateway "none" (version 0): on-link, scope
 * link. A gateway is taken as on-link (RTNH_F_ONLINK). source "none": left to the kernel. metric 0:
 * the family's default.
 */
struct route_spec {
    struct ip_prefix destination;
    struct ip_addr gateway;
    struct ip_addr source;
    int ifindex;
    uint32_t metric;
};
int netdev_route(struct netdev *nd, const struct route_spec *route);
int netdev_route_delete(struct netdev *nd, const struct route_spec *route); /* absent is success */

/*
 * Turns off the segmentation and checksum offloads that a frame cannot describe (tunnels, SCTP,
 * fraglist, …; and UDP segmentation unless udp_gso), so the kernel finishes such packets before it
 * hands them to this device.
 */
int netdev_limit_offloads(const char *name, bool udp_gso);

/* Attaches a program of runtime/host/tc_mark.h to the ingress of the device (clsact, direct action)
 * under a name that `tc filter` shows. Idempotent: replaces an earlier one at the same place. The
 * program lives on without its file descriptor. */
int netdev_attach_ingress(struct netdev *nd, int ifindex, int program_fd, const char *name);

/* Calls visit for every interface whose alias starts with prefix, from a list made beforehand:
 * visit may use nd. Stops early when visit returns false. */
struct interface_info {
    int ifindex;
    char name[IFNAMSIZ];
    char alias[256];
    char kind[16]; /* "veth", "bridge"; empty for a physical device */
    uint32_t mtu;
    bool up;
};
int netdev_each_interface(struct netdev *nd, const char *alias_prefix,
                          bool (*visit)(const struct interface_info *interface, void *context),
                          void *context);

/*
 * Calls visit for every unicast route of the main table, connected networks included, with the name
 * of its device ("" if it has none). Stops early when visit returns false; the socket may then hold
 * unread answers: close it. A kernel without the family has no routes.
 */
int netdev_each_prefix(struct netdev *nd, int version,
                       bool (*visit)(const struct ip_prefix *prefix, const char *device,
                                     void *context),
                       void *context);

/*
 * Calls visit for every network that a device of this host is in: of its addresses, and routes
 * without a gateway. The same network may come twice; visit is to return true.
 */
int netdev_each_connected(struct netdev *nd, int version,
                          bool (*visit)(const struct ip_prefix *prefix, const char *device,
                                        void *context),
                          void *context);

/* The way out of this host: devices of the default routes (lowest metric, running) and the smaller
 * MTU of the two. */
struct uplink {
    int ifindex4, ifindex6; /* 0: no default route of that family */
    char name4[IFNAMSIZ], name6[IFNAMSIZ];
    uint32_t mtu; /* bytes; 0 when there is no uplink at all. A route's own mtu metric counts too */
};
int netdev_find_uplink(struct netdev *nd, struct uplink *out);

/* The same for one named device, for both families, whatever the routes say. -ENODEV if absent. */
int netdev_named_uplink(struct netdev *nd, const char *name, struct uplink *out);

/*
 * A veth pair as it has to be, and what hangs on its kernel's end, for as long as it is in use:
 * others may change it (an administrator, systemd-networkd, NetworkManager).
 */
struct device_plan {
    struct veth_spec veth;
    int ifindex, peer_ifindex; /* by which it is known, whatever it is called meanwhile */
    bool forwards4;            /* the kernel's end forwards IPv4, whatever the default is */
    bool routes_loopback4; /* and takes 127.0.0.0/8 as a source, and as an answer's destination */
    struct device_family {
        struct ip_prefix own; /* version 0: nothing of this family */
        struct ip_addr neighbour;
        struct mac neighbour_mac;
        struct route_spec route;
    } families[2];
};

/*
 * Compares and puts back: names, bridge, flags, MAC addresses, MTU, settings of IPv4 and IPv6; of
 * every family address, neighbour and route. What somebody added is left alone. 0 all was as
 * planned; 1 something was put back, which what[] names ("up, route"); negative errno, -ENODEV: an
 * end is gone, the pair has to be made anew.
 */
int netdev_mend(struct netdev *nd, const struct device_plan *plan, char *what, size_t size);

/* Is there a filter of that name at the device's ingress? 1, 0 or negative errno. */
int netdev_has_ingress(struct netdev *nd, int ifindex, const char *name);

/* A socket that becomes readable when anything of a device changes: itself, addresses,
 * neighbours, routes, filters, forwarding. Non-blocking; >= 0 or negative errno. */
int netdev_monitor_open(void);
/*
 * Drains it. visit(ifindex) is called for every notice about a device, with 0 if notices were lost:
 * all devices may have changed. True if a device, an address, a default route or a forwarding
 * switch has changed (or notices were lost, which counts as a change).
 */
bool netdev_monitor_drain(int fd, void (*visit)(int ifindex, void *context), void *context);

#endif
