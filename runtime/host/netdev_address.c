/* SPDX-License-Identifier: Apache-2.0 */
/* Interface addresses and permanent neighbours. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/host/netdev_private.h"

/* Strangers removed in one pass; more are found by the next pass. */
#define STRANGERS_MAX 16

struct address_scan {
    int ifindex;
    const struct ip_prefix *wanted;
    bool found; /* the wanted one is there */
    struct ip_prefix strangers[STRANGERS_MAX];
    size_t count;
};

static uint8_t address_family(const struct ip_addr *addr)
{
    return addr->version == 4 ? AF_INET : AF_INET6;
}

static size_t address_bytes(const struct ip_addr *addr)
{
    return addr_bits(addr) / 8;
}

/* The interface's own address: IFA_LOCAL, or IFA_ADDRESS where the family has only that (IPv6). */
static bool read_address(const struct nlmsghdr *message, struct ip_prefix *out)
{
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute, *own = NULL;

    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type == IFA_LOCAL || (type == IFA_ADDRESS && own == NULL))
            own = attribute;
    }
    memset(out, 0, sizeof(*out));
    out->addr.version = info->ifa_family == AF_INET ? 4 : 6;
    out->length = info->ifa_prefixlen;
    if (own == NULL || mnl_attr_get_payload_len(own) != address_bytes(&out->addr))
        return false;
    memcpy(out->addr.bytes, mnl_attr_get_payload(own), address_bytes(&out->addr));
    return true;
}

static int on_address(const struct nlmsghdr *message, void *context)
{
    struct address_scan *scan = context;
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    struct ip_prefix found;

    /* A kernel without IPv6 answers a question for AF_INET6 with all families. */
    if (message->nlmsg_type != RTM_NEWADDR || mnl_nlmsg_get_payload_len(message) < sizeof(*info) ||
        (int)info->ifa_index != scan->ifindex ||
        info->ifa_family != address_family(&scan->wanted->addr) || !read_address(message, &found))
        return MNL_CB_OK;
    if (addr_equal(&found.addr, &scan->wanted->addr) && found.length == scan->wanted->length)
        scan->found = true;
    else if (scan->count < STRANGERS_MAX)
        scan->strangers[scan->count++] = found;
    return MNL_CB_OK;
}

static int scan_addresses(struct netdev *nd, struct address_scan *scan)
{
    int result;

    do {
        struct request request;
        struct ifaddrmsg *info = request_begin(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(*info));

        scan->count = 0;
        scan->found = false;
        info->ifa_index = (unsigned)scan->ifindex;
        info->ifa_family = address_family(&scan->wanted->addr);
        result = netdev_talk(nd, &request, on_address, scan);
    } while (result == -EINTR);
    return result;
}

static int change_address(struct netdev *nd, uint16_t type, uint16_t flags, int ifindex,
                          const struct ip_prefix *address)
{
    struct request request;
    struct ifaddrmsg *info = request_begin(&request, type, flags, sizeof(*info));
    size_t bytes = address_bytes(&address->addr);

    info->ifa_family = address_family(&address->addr);
    info->ifa_prefixlen = address->length;
    info->ifa_scope = RT_SCOPE_UNIVERSE;
    info->ifa_index = (unsigned)ifindex;
    mnl_attr_put(request.header, IFA_LOCAL, bytes, address->addr.bytes);
    mnl_attr_put(request.header, IFA_ADDRESS, bytes, address->addr.bytes);
    /* Nobody else is on this network: an address in its tentative phase would only cost a second.
     */
    if (address->addr.version == 6 && type == RTM_NEWADDR)
        mnl_attr_put_u32(request.header, IFA_FLAGS, IFA_F_NODAD);
    return netdev_talk(nd, &request, NULL, NULL);
}

/* Removes all addresses of the wanted one's family but that. */
static int remove_others(struct netdev *nd, int ifindex, const struct ip_prefix *wanted)
{
    struct address_scan scan = {.ifindex = ifindex, .wanted = wanted};

    do {
        int result = scan_addresses(nd, &scan);
        if (result < 0)
            return result;
        for (size_t i = 0; i < scan.count; i++) {
            result = change_address(nd, RTM_DELADDR, 0, ifindex, &scan.strangers[i]);
            /* Removing a primary IPv4 address takes its secondaries along. */
            if (result < 0 && result != -EADDRNOTAVAIL)
                return result;
        }
    } while (scan.count > 0);
    return 0;
}

int netdev_address_none(struct netdev *nd, int ifindex, int version)
{
    /* An address that no interface has. */
    struct ip_prefix none = {.addr = {.version = (uint8_t)version}};

    return remove_others(nd, ifindex, &none);
}

int netdev_address_only(struct netdev *nd, int ifindex, const struct ip_prefix *address)
{
    int error = remove_others(nd, ifindex, address);

    if (error < 0)
        return error;
    /* Last, because the wanted address may have been such a secondary. */
    return change_address(nd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, address);
}

int netdev_address_mend(struct netdev *nd, int ifindex, const struct ip_prefix *address)
{
    struct address_scan scan = {.ifindex = ifindex, .wanted = address};
    int result = scan_addresses(nd, &scan);

    if (result < 0 || scan.found)
        return result;
    result = change_address(nd, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, address);
    return result < 0 ? result : 1;
}

int netdev_neighbour(struct netdev *nd, int ifindex, const struct ip_addr *addr,
                     const struct mac *mac)
{
    struct request request;
    struct ndmsg *info =
        request_begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*info));

    info->ndm_family = address_family(addr);
    info->ndm_ifindex = ifindex;
    info->ndm_state = NUD_PERMANENT;
    mnl_attr_put(request.header, NDA_DST, address_bytes(addr), addr->bytes);
    mnl_attr_put(request.header, NDA_LLADDR, sizeof(mac->bytes), mac->bytes);
    return netdev_talk(nd, &request, NULL, NULL);
}

struct neighbour_look {
    const struct mac *wanted;
    bool found; /* permanent, and with that address */
};

static int on_neighbour(const struct nlmsghdr *message, void *context)
{
    struct neighbour_look *look = context;
    const struct ndmsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;

    if (message->nlmsg_type != RTM_NEWNEIGH || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(*info))
    {
        if (mnl_attr_get_type(attribute) == NDA_LLADDR &&
            mnl_attr_get_payload_len(attribute) == sizeof(look->wanted->bytes))
            look->found = (info->ndm_state & NUD_PERMANENT) != 0 &&
                          memcmp(mnl_attr_get_payload(attribute), look->wanted->bytes,
                                 sizeof(look->wanted->bytes)) == 0;
    }
    return MNL_CB_OK;
}

int netdev_neighbour_mend(struct netdev *nd, int ifindex, const struct ip_addr *addr,
                          const struct mac *mac)
{
    struct neighbour_look look = {.wanted = mac};
    struct request request;
    struct ndmsg *info = request_begin(&request, RTM_GETNEIGH, 0, sizeof(*info));

    info->ndm_family = address_family(addr);
    info->ndm_ifindex = ifindex;
    mnl_attr_put(request.header, NDA_DST, address_bytes(addr), addr->bytes);
    int result = netdev_talk(nd, &request, on_neighbour, &look);
    if (result < 0 && result != -ENOENT)
        return result;
    if (look.found)
        return 0;
    result = netdev_neighbour(nd, ifindex, addr, mac);
    return result < 0 ? result : 1;
}
