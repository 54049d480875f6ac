/* SPDX-License-Identifier: Apache-2.0 */
/* The destinations of the main routing table: which networks this host already knows; and those
 * that its devices are in. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/host/netdev_private.h"

struct prefix_scan {
    uint8_t family;
    bool (*visit)(const struct ip_prefix *prefix, const char *device, void *context);
    void *context;
    bool connected_only;
};

/* Has it a next hop? Then its destination is not behind the device itself. */
static bool has_gateway(uint16_t attribute)
{
    return attribute == RTA_GATEWAY || attribute == RTA_VIA || attribute == RTA_MULTIPATH ||
           attribute == RTA_NH_ID;
}

static int on_route(const struct nlmsghdr *message, void *context)
{
    struct prefix_scan *scan = context;
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    struct ip_prefix prefix = {0};
    char device[IFNAMSIZ] = "";
    const struct nlattr *attribute;
    size_t bytes = scan->family == AF_INET ? 4 : 16;
    bool gateway = false;

    if (message->nlmsg_type != RTM_NEWROUTE || mnl_nlmsg_get_payload_len(message) < sizeof(*info) ||
        info->rtm_family != scan->family || info->rtm_table != RT_TABLE_MAIN ||
        info->rtm_type != RTN_UNICAST)
        return MNL_CB_OK;
    prefix.addr.version = scan->family == AF_INET ? 4 : 6;
    prefix.length = info->rtm_dst_len;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type == RTA_DST && mnl_attr_get_payload_len(attribute) == bytes)
            memcpy(prefix.addr.bytes, mnl_attr_get_payload(attribute), bytes);
        else if (type == RTA_OIF && mnl_attr_get_payload_len(attribute) == sizeof(uint32_t))
            if_indextoname(mnl_attr_get_u32(attribute), device);
        gateway |= has_gateway(type);
    }
    if (scan->connected_only && gateway)
        return MNL_CB_OK;
    return scan->visit(&prefix, device, scan->context) ? MNL_CB_OK : MNL_CB_STOP;
}

int netdev_each_prefix(struct netdev *nd, int version,
                       bool (*visit)(const struct ip_prefix *prefix, const char *device,
                                     void *context),
                       void *context)
{
    struct prefix_scan scan = {
        .family = version == 4 ? AF_INET : AF_INET6, .visit = visit, .context = context};
    struct request request;
    struct rtmsg *info = request_begin(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*info));

    info->rtm_family = scan.family;
    int result = netdev_talk(nd, &request, on_route, &scan);
    return result == -EAFNOSUPPORT || result == -EOPNOTSUPP ? 0 : result;
}

static void clear_host_bits(struct ip_prefix *prefix)
{
    for (unsigned bit = prefix->length; bit < addr_bits(&prefix->addr); bit++)
        prefix->addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static int on_address(const struct nlmsghdr *message, void *context)
{
    struct prefix_scan *scan = context;
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    struct ip_prefix prefix = {0};
    char device[IFNAMSIZ] = "";
    const struct nlattr *attribute;
    size_t bytes = scan->family == AF_INET ? 4 : 16;

    if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(*info) ||
        info->ifa_family != scan->family)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        uint16_t type = mnl_attr_get_type(attribute);
        /* The other end of a point-to-point device; on all others the same as IFA_LOCAL, or alone.
         */
        if ((type == IFA_ADDRESS || (type == IFA_LOCAL && prefix.addr.version == 0)) &&
            mnl_attr_get_payload_len(attribute) == bytes) {
            prefix.addr.version = scan->family == AF_INET ? 4 : 6;
            memcpy(prefix.addr.bytes, mnl_attr_get_payload(attribute), bytes);
        }
    }
    prefix.length = info->ifa_prefixlen;
    clear_host_bits(&prefix);
    if_indextoname(info->ifa_index, device);
    return prefix.addr.version == 0 || scan->visit(&prefix, device, scan->context) ? MNL_CB_OK
                                                                                   : MNL_CB_STOP;
}

int netdev_each_connected(struct netdev *nd, int version,
                          bool (*visit)(const struct ip_prefix *prefix, const char *device,
                                        void *context),
                          void *context)
{
    struct prefix_scan scan = {
        .family = version == 4 ? AF_INET : AF_INET6,
        .visit = visit,
        .context = context,
        .connected_only = true,
    };
    struct request routes, addresses;
    struct rtmsg *route = request_begin(&routes, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));
    struct ifaddrmsg *address =
        request_begin(&addresses, RTM_GETADDR, NLM_F_DUMP, sizeof(*address));

    route->rtm_family = address->ifa_family = scan.family;
    int result = netdev_talk(nd, &routes, on_route, &scan);
    if (result == 0)
        result = netdev_talk(nd, &addresses, on_address, &scan);
    return result == -EAFNOSUPPORT || result == -EOPNOTSUPP ? 0 : result;
}
