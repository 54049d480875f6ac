/* SPDX-License-Identifier: Apache-2.0 */
/* The destinations of the main routing table: which networks this host already knows. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/host/netdev_private.h"

struct prefix_scan {
    uint8_t family;
    bool (*visit)(const struct ip_prefix *prefix, const char *device, void *context);
    void *context;
};

static int on_route(const struct nlmsghdr *message, void *context)
{
    struct prefix_scan *scan = context;
    const struct rtmsg *info = mnl_nlmsg_get_payload(message);
    struct ip_prefix prefix = {0};
    char device[IFNAMSIZ] = "";
    const struct nlattr *attribute;
    size_t bytes = scan->family == AF_INET ? 4 : 16;

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
    }
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
