/* SPDX-License-Identifier: Apache-2.0 */
/* Notice of changes. What changed is asked again with netdev_find_uplink() or netdev_mend(): a
 * notice may be lost, a question is not. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/host/netdev.h"

/* One datagram holds one notice; the largest is an interface's, of a few KB. */
#define NOTICE_BYTES 16384
/* Hosts with many containers make notices in bursts. */
#define QUEUE_BYTES  (1 << 20)

#define GROUP(number) (1u << ((number)-1))

int netdev_monitor_open(void)
{
    struct sockaddr_nl address = {
        .nl_family = AF_NETLINK,
        .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                     RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH | RTMGRP_TC | GROUP(RTNLGRP_IPV4_NETCONF) |
                     GROUP(RTNLGRP_IPV6_NETCONF),
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
    int bytes = QUEUE_BYTES;

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* A number of a message whose family header has so many bytes; 0 if it has none. */
static int find_number(const struct nlmsghdr *message, size_t header_bytes, uint16_t type)
{
    const struct nlattr *attribute;

    mnl_attr_for_each(attribute, message, header_bytes)
    {
        if (mnl_attr_get_type(attribute) == type &&
            mnl_attr_get_payload_len(attribute) == sizeof(uint32_t))
            return (int)mnl_attr_get_u32(attribute);
    }
    return 0;
}

/* Default routes, and routes to a network that a device is in. */
static bool route_is_relevant(const struct nlmsghdr *message)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;

    if (route->rtm_table == RT_TABLE_LOCAL)
        return false;
    if (route->rtm_dst_len == 0)
        return true;
    mnl_attr_for_each(attribute, message, sizeof(*route))
    {
        if (mnl_attr_get_type(attribute) == RTA_GATEWAY)
            return false;
    }
    return true;
}

struct notice {
    int ifindex;   /* 0: of no device */
    bool relevant; /* to the way out of this host */
};

static struct notice read_notice(const struct nlmsghdr *message)
{
    size_t bytes = mnl_nlmsg_get_payload_len(message);
    union {
        const void *raw;
        const struct ifinfomsg *interface;
        const struct ifaddrmsg *address;
        const struct rtmsg *route;
        const struct ndmsg *neighbour;
        const struct tcmsg *filter;
    } body = {mnl_nlmsg_get_payload(message)};

    switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        if (bytes >= sizeof(*body.interface))
            return (struct notice){body.interface->ifi_index, true};
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (bytes >= sizeof(*body.address))
            return (struct notice){(int)body.address->ifa_index, true};
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        if (bytes >= sizeof(*body.route))
            return (struct notice){find_number(message, sizeof(*body.route), RTA_OIF),
                                   route_is_relevant(message)};
        break;
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        if (bytes >= sizeof(*body.neighbour))
            return (struct notice){body.neighbour->ndm_ifindex, false};
        break;
    case RTM_NEWQDISC:
    case RTM_DELQDISC:
    case RTM_NEWTFILTER:
    case RTM_DELTFILTER:
        if (bytes >= sizeof(*body.filter))
            return (struct notice){body.filter->tcm_ifindex, false};
        break;
    case RTM_NEWNETCONF: /* for all and default the index is negative */
        return (struct notice){find_number(message, sizeof(struct netconfmsg), NETCONFA_IFINDEX),
                               true};
    default:
        break;
    }
    return (struct notice){0};
}

bool netdev_monitor_drain(int fd, void (*visit)(int ifindex, void *context), void *context)
{
    _Alignas(struct nlmsghdr) char buffer[NOTICE_BYTES];
    bool changed = false;

    for (;;) {
        struct sockaddr_nl sender = {0};
        socklen_t sender_bytes = sizeof(sender);
        ssize_t bytes =
            recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&sender, &sender_bytes);
        const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;
        int left = (int)bytes;

        if (bytes < 0 && errno == ENOBUFS) {
            changed = true; /* the kernel dropped notices: anything may have changed */
            visit(0, context);
            continue;
        }
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes <= 0)
            return changed;
        if (sender.nl_pid != 0) /* another process may write to us, but not in the kernel's name */
            continue;
        for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
            struct notice notice = read_notice(message);
            changed |= notice.relevant;
            if (notice.ifindex > 0)
                visit(notice.ifindex, context);
        }
    }
}
