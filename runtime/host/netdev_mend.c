/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that others have changed.
 *
 * Everything is looked at before it is touched: what is as planned causes no request that changes
 * anything, hence no notice, hence no further look. From the bottom up, because each storey takes
 * the ones above with it when it goes: a device that is set down loses its routes, one whose MTU is
 * too small for IPv6 its addresses.
 */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/host/netdev_private.h"

#define IPV6_MIN_MTU 1280 /* RFC 8200 5 */

/* What was put back, as words separated by commas. */
struct report {
    char *text;
    size_t size, length;
};

static void add_word(struct report *report, const char *word)
{
    int written = snprintf(report->text + report->length, report->size - report->length, "%s%s",
                           report->length > 0 ? ", " : "", word);

    if (written > 0 && (size_t)written < report->size - report->length)
        report->length += (size_t)written;
}

/* One end, as planned. */
struct end {
    int ifindex;
    const char *name;
    const struct mac *mac;
    const struct device_plan *plan;
};

static int rename_back(struct netdev *nd, const struct end *end)
{
    struct request request;
    int result = netdev_set_up(nd, end->ifindex, false); /* only then it takes a name */

    if (result < 0)
        return result;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));
    info->ifi_index = end->ifindex;
    mnl_attr_put_strz(request.header, IFLA_IFNAME, end->name);
    return netdev_talk(nd, &request, NULL, NULL);
}

/* Bridge, MAC address, MTU, alias and flags in one request, with what differs. */
static int put_interface_back(struct netdev *nd, const struct end *end,
                              const struct interface *interface, struct report *report)
{
    const struct veth_spec *veth = &end->plan->veth;
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));
    size_t before = report->length;

    info->ifi_index = end->ifindex;
    if (interface->master != 0) {
        add_word(report, "out of a bridge");
        mnl_attr_put_u32(request.header, IFLA_MASTER, 0);
    }
    if (memcmp(&interface->mac, end->mac, sizeof(interface->mac)) != 0) {
        add_word(report, "MAC address");
        mnl_attr_put(request.header, IFLA_ADDRESS, sizeof(end->mac->bytes), end->mac->bytes);
    }
    if (interface->info.mtu != veth->mtu) {
        add_word(report, "MTU");
        mnl_attr_put_u32(request.header, IFLA_MTU, veth->mtu);
    }
    if (strcmp(interface->info.alias, veth->alias) != 0) {
        add_word(report, "alias");
        mnl_attr_put_strz(request.header, IFLA_IFALIAS, veth->alias);
    }
    if (interface->no_arp)
        add_word(report, "ARP");
    if (!interface->info.up)
        add_word(report, "up");
    info->ifi_change = IFF_UP | IFF_NOARP;
    info->ifi_flags = IFF_UP;
    return report->length == before ? 0 : netdev_talk(nd, &request, NULL, NULL);
}

/* Of the kernel's end, which routes. */
static int put_ipv4_back(struct netdev *nd, const struct end *end,
                         const struct interface *interface, struct report *report)
{
    const struct device_plan *plan = end->plan;
    int result = 0;

    if (end->ifindex != plan->ifindex)
        return 0;
    if (plan->forwards4 && !interface->forwards4) {
        add_word(report, "forwarding");
        result = netdev_switch_ipv4(nd, end->ifindex, IPV4_DEVCONF_FORWARDING);
    }
    if (result == 0 && plan->routes_loopback4 && !interface->routes_loopback4) {
        add_word(report, "route_localnet");
        result = netdev_switch_ipv4(nd, end->ifindex, IPV4_DEVCONF_ROUTE_LOCALNET);
    }
    return result;
}

static int put_ipv6_back(struct netdev *nd, const struct end *end,
                         const struct interface *interface, struct report *report)
{
    int result = 0;

    if (end->plan->families[1].own.addr.version == 0)
        return 0;
    if (interface->ipv6_off) {
        add_word(report, "IPv6 (disable_ipv6)");
        netdev_write_ipv6_conf(end->name, "disable_ipv6", "0");
    }
    if (!interface->has_ipv6 || interface->ipv6_mode != IN6_ADDR_GEN_MODE_NONE) {
        if (interface->has_ipv6)
            add_word(report, "IPv6 settings");
        result = netdev_quiet_ipv6(nd, end->ifindex, end->name);
    }
    return result;
}

/*
 * The kernel takes IPv6 from a device whose MTU is too small for it, and gives it back with an
 * address of its own making if the device is up.
 */
static int revive_ipv6(struct netdev *nd, const struct end *end, const struct interface *interface)
{
    const struct device_plan *plan = end->plan;
    int result;

    if (plan->families[1].own.addr.version == 0 || interface->has_ipv6 ||
        interface->info.mtu >= IPV6_MIN_MTU || plan->veth.mtu < IPV6_MIN_MTU)
        return 0;
    result = netdev_set_up(nd, end->ifindex, false);
    if (result == 0)
        result = netdev_set_mtu(nd, end->ifindex, plan->veth.mtu);
    return result < 0 ? result : netdev_quiet_ipv6(nd, end->ifindex, end->name);
}

static int mend_end(struct netdev *nd, const struct end *end, struct report *report)
{
    struct interface interface;
    int result = netdev_interface_get(nd, NULL, end->ifindex, &interface);

    if (result < 0)
        return result;
    if (strcmp(interface.info.name, end->name) != 0) {
        add_word(report, "name");
        interface.info.up = false;
        result = rename_back(nd, end);
    }
    if (result == 0)
        result = revive_ipv6(nd, end, &interface);
    if (result == 0)
        result = put_interface_back(nd, end, &interface, report);
    /* IPv6 may have come and gone with the MTU. */
    if (result == 0)
        result = netdev_interface_get(nd, NULL, end->ifindex, &interface);
    if (result == 0)
        result = put_ipv6_back(nd, end, &interface, report);
    return result < 0 ? result : put_ipv4_back(nd, end, &interface, report);
}

static int count_word(int result, struct report *report, const char *word)
{
    if (result > 0)
        add_word(report, word);
    return result < 0 ? result : 0;
}

static int mend_family(struct netdev *nd, const struct device_plan *plan,
                       const struct device_family *family, struct report *report)
{
    bool six = family->own.addr.version == 6;

    if (family->own.addr.version == 0)
        return 0;
    int result = netdev_address_mend(nd, plan->ifindex, &family->own);
    result = count_word(result, report, six ? "IPv6 address" : "IPv4 address");
    if (result == 0)
        result = count_word(
            netdev_neighbour_mend(nd, plan->ifindex, &family->neighbour, &family->neighbour_mac),
            report, six ? "IPv6 neighbour" : "IPv4 neighbour");
    if (result == 0)
        result = count_word(netdev_route_mend(nd, &family->route), report,
                            six ? "IPv6 route" : "IPv4 route");
    return result;
}

int netdev_mend(struct netdev *nd, const struct device_plan *plan, char *what, size_t size)
{
    struct report report = {.text = what, .size = size};
    struct end peer = {plan->peer_ifindex, plan->veth.peer, &plan->veth.peer_mac, plan};
    struct end end = {plan->ifindex, plan->veth.name, &plan->veth.mac, plan};

    what[0] = '\0';
    int result = mend_end(nd, &peer, &report);
    if (result == 0)
        result = mend_end(nd, &end, &report);
    for (size_t i = 0; result == 0 && i < 2; i++)
        result = mend_family(nd, plan, &plan->families[i], &report);
    return result < 0 ? result : report.length > 0;
}
