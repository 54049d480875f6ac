/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of the main table, and the way out of this host that its default routes tell. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/host/netdev_private.h"

static int change_route(struct netdev *nd, uint16_t type, uint16_t flags,
                        const struct route_spec *route)
{
    struct request request;
    struct rtmsg *info = request_begin(&request, type, flags, sizeof(*info));
    size_t bytes = addr_bits(&route->destination.addr) / 8;

    info->rtm_family = route->destination.addr.version == 4 ? AF_INET : AF_INET6;
    info->rtm_dst_len = route->destination.length;
    info->rtm_table = RT_TABLE_MAIN;
    info->rtm_protocol = RTPROT_STATIC;
    info->rtm_type = RTN_UNICAST;
    info->rtm_scope = route->gateway.version == 0 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    if (route->destination.length > 0)
        mnl_attr_put(request.header, RTA_DST, bytes, route->destination.addr.bytes);
    mnl_attr_put_u32(request.header, RTA_OIF, (uint32_t)route->ifindex);
    if (route->gateway.version != 0) {
        info->rtm_flags = RTNH_F_ONLINK;
        mnl_attr_put(request.header, RTA_GATEWAY, bytes, route->gateway.bytes);
    }
    if (route->source.version != 0)
        mnl_attr_put(request.header, RTA_PREFSRC, bytes, route->source.bytes);
    if (route->metric != 0)
        mnl_attr_put_u32(request.header, RTA_PRIORITY, route->metric);
    return netdev_talk(nd, &request, NULL, NULL);
}

static bool same_family(const struct ip_addr *other, const struct route_spec *route)
{
    return other->version == 0 || other->version == route->destination.addr.version;
}

int netdev_route(struct netdev *nd, const struct route_spec *route)
{
    if (!same_family(&route->gateway, route) || !same_family(&route->source, route))
        return -EINVAL;
    return change_route(nd, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
}

struct route_look {
    const struct route_spec *wanted;
    bool found;
};

/* Is this attribute that address? One that is not asked for matches in every case. */
static bool is_address(const struct nlattr *attribute, const struct ip_addr *wanted)
{
    size_t bytes = addr_bits(wanted) / 8;

    return wanted->version == 0 ||
           (mnl_attr_get_payload_len(attribute) == bytes &&
            memcmp(mnl_attr_get_payload(attribute), wanted->bytes, bytes) == 0);
}

static int on_looked_route(const struct nlmsghdr *message, void *context)
{
    struct route_look *look = context;
    const struct route_spec *wanted = look->wanted;
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;
    bool device = false, destination = wanted->destination.length == 0;
    bool gateway = wanted->gateway.version == 0;
    bool source = wanted->source.version == 0; /* goes alone, if its address goes and comes */

    if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(*info) ||
        info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST ||
        info->rtm_dst_len != wanted->destination.length)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type == RTA_OIF && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t))
            device = (int)mnl_attr_get_u32(attribute) == wanted->ifindex;
        else if (type == RTA_DST)
            destination = is_address(attribute, &wanted->destination.addr);
        else if (type == RTA_GATEWAY)
            gateway = is_address(attribute, &wanted->gateway);
        else if (type == RTA_PREFSRC)
            source = is_address(attribute, &wanted->source);
    }
    look->found |= device && destination && gateway && source;
    return MNL_CB_OK;
}

int netdev_route_mend(struct netdev *nd, const struct route_spec *route)
{
    struct route_look look = {.wanted = route};
    int result;

    do {
        struct request request;
        struct rtmsg *info = request_begin(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*info));

        info->rtm_family = route->destination.addr.version == 4 ? AF_INET : AF_INET6;
        info->rtm_table = RT_TABLE_MAIN;
        mnl_attr_put_u32(request.header, RTA_OIF, (uint32_t)route->ifindex);
        look.found = false;
        result = netdev_talk(nd, &request, on_looked_route, &look);
    } while (result == -EINTR);
    if (look.found)
        return 0;
    /* ENOENT: the table has no route at all. */
    if (result < 0 && result != -ENOENT)
        return result;
    result = netdev_route(nd, route);
    return result < 0 ? result : 1;
}

int netdev_route_delete(struct netdev *nd, const struct route_spec *route)
{
    int result;

    if (!same_family(&route->gateway, route) || !same_family(&route->source, route))
        return -EINVAL;
    result = change_route(nd, RTM_DELROUTE, 0, route);
    /* ENODEV: the device went, and its routes with it. */
    return result == -ESRCH || result == -ENODEV ? 0 : result;
}

/* The default routes of one family. A host has a handful; what is beyond is passed over. */
#define DEFAULT_ROUTES_MAX 32

struct default_route {
    int ifindex;
    uint32_t metric;
    uint32_t mtu; /* RTAX_MTU, 0 if the route has none */
};

struct route_scan {
    uint8_t family;
    struct default_route routes[DEFAULT_ROUTES_MAX];
    size_t count;
};

static uint32_t attribute_u32(const struct nlattr *attribute)
{
    return mnl_attr_get_payload_len(attribute) == sizeof(uint32_t) ? mnl_attr_get_u32(attribute)
                                                                   : 0;
}

static void read_route_metrics(const struct nlattr *metrics, struct default_route *route)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, metrics)
    {
        if (mnl_attr_get_type(attribute) == RTAX_MTU)
            route->mtu = attribute_u32(attribute);
    }
}

static void read_route_attribute(const struct nlattr *attribute, struct default_route *route,
                                 uint32_t *table)
{
    const struct rtnexthop *hop;

    switch (mnl_attr_get_type(attribute)) {
    case RTA_TABLE:
        *table = attribute_u32(attribute);
        break;
    case RTA_OIF:
        route->ifindex = (int)attribute_u32(attribute);
        break;
    case RTA_PRIORITY:
        route->metric = attribute_u32(attribute);
        break;
    case RTA_METRICS:
        read_route_metrics(attribute, route);
        break;
    case RTA_MULTIPATH: /* the first path stands for all */
        hop = mnl_attr_get_payload(attribute);
        if (mnl_attr_get_payload_len(attribute) >= sizeof(*hop))
            route->ifindex = hop->rtnh_ifindex;
        break;
    default:
        break;
    }
}

static int on_route(const struct nlmsghdr *message, void *context)
{
    struct route_scan *scan = context;
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;
    struct default_route route = {0};
    uint32_t table;

    if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(*info) ||
        info->rtm_family != scan->family || info->rtm_dst_len != 0 || info->rtm_src_len != 0 ||
        info->rtm_type != RTN_UNICAST)
        return MNL_CB_OK;
    table = info->rtm_table;
    mnl_attr_for_each(attribute, message, sizeof(*info))
        read_route_attribute(attribute, &route, &table);
    if (table == RT_TABLE_MAIN && route.ifindex > 0 && scan->count < DEFAULT_ROUTES_MAX)
        scan->routes[scan->count++] = route;
    return MNL_CB_OK;
}

static int scan_default_routes(struct netdev *nd, uint8_t family, struct route_scan *scan)
{
    int result;

    do {
        struct request request;
        struct rtmsg *info = request_begin(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*info));

        info->rtm_family = family;
        scan->family = family;
        scan->count = 0;
        result = netdev_talk(nd, &request, on_route, scan);
    } while (result == -EINTR);
    /* A kernel without this family has no route of it. */
    return result == -EAFNOSUPPORT || result == -EOPNOTSUPP ? 0 : result;
}

static void lower_mtu(uint32_t *mtu, uint32_t candidate)
{
    if (candidate != 0 && (*mtu == 0 || candidate < *mtu))
        *mtu = candidate;
}

/* The route with the lowest metric whose device works; its device in *ifindex and name. */
static int pick_default(struct netdev *nd, uint8_t family, int *ifindex, char *name, uint32_t *mtu)
{
    struct route_scan scan;
    const struct default_route *best = NULL;
    struct interface best_interface = {0};
    int result = scan_default_routes(nd, family, &scan);

    if (result < 0)
        return result;
    for (size_t i = 0; i < scan.count; i++) {
        struct interface interface;

        if (best != NULL && scan.routes[i].metric >= best->metric)
            continue;
        result = netdev_interface_get(nd, NULL, scan.routes[i].ifindex, &interface);
        if (result < 0 && result != -ENODEV)
            return result;
        if (result == 0 && interface.running) {
            best = &scan.routes[i];
            best_interface = interface;
        }
    }
    if (best == NULL)
        return 0;
    *ifindex = best_interface.info.ifindex;
    memcpy(name, best_interface.info.name, IFNAMSIZ);
    lower_mtu(mtu, best_interface.info.mtu);
    lower_mtu(mtu, best->mtu);
    return 0;
}

int netdev_find_uplink(struct netdev *nd, struct uplink *out)
{
    int result;

    memset(out, 0, sizeof(*out));
    result = pick_default(nd, AF_INET, &out->ifindex4, out->name4, &out->mtu);
    return result < 0 ? result : pick_default(nd, AF_INET6, &out->ifindex6, out->name6, &out->mtu);
}

int netdev_named_uplink(struct netdev *nd, const char *name, struct uplink *out)
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    struct interface interface;
    int result = netdev_interface_get(nd, name, 0, &interface);

    memset(out, 0, sizeof(*out));
    if (result < 0)
        return result;
    out->ifindex4 = out->ifindex6 = interface.info.ifindex;
    memcpy(out->name4, interface.info.name, IFNAMSIZ);
    memcpy(out->name6, interface.info.name, IFNAMSIZ);
    out->mtu = interface.info.mtu;
    for (size_t family = 0; family < 2; family++) {
        struct route_scan scan;

        result = scan_default_routes(nd, families[family], &scan);
        if (result < 0)
            return result;
        for (size_t i = 0; i < scan.count; i++) {
            if (scan.routes[i].ifindex == interface.info.ifindex)
                lower_mtu(&out->mtu, scan.routes[i].mtu);
        }
    }
    return 0;
}
