/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rtnetlink socket, interfaces, and the veth pair that stands for a network card.
 *
 * Theory of operation of netdev_veth_ensure(): the kernel makes a pair in one request but takes no
 * alias in it, so there is a moment in which a pair of ours does not carry our mark yet. A process
 * killed in that moment leaves an unmarked pair; it is known by both names and both MAC addresses.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/log.h"
#include "runtime/host/netdev_private.h"

/* The kernel fills a dump's buffer to at most 32 KB (net/netlink/af_netlink.c, netlink_dump()). */
#define ANSWER_BYTES 32768

int netdev_open(struct netdev *nd)
{
    int one = 1;

    memset(nd, 0, sizeof(*nd));
    nd->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (nd->socket == NULL)
        return -errno;
    if (mnl_socket_bind(nd->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int error = -errno;
        netdev_close(nd);
        return error;
    }
    nd->port = mnl_socket_get_portid(nd->socket);
    /* Explanations in error messages (Linux 4.12); without them an errno must do. */
    (void)mnl_socket_setsockopt(nd->socket, NETLINK_EXT_ACK, &one, sizeof(one));
    (void)mnl_socket_setsockopt(nd->socket, NETLINK_CAP_ACK, &one, sizeof(one));
    /* Dumps of one device's addresses and routes alone (Linux 4.20); callers look again anyway. */
    (void)mnl_socket_setsockopt(nd->socket, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
    return 0;
}

void netdev_close(struct netdev *nd)
{
    if (nd->socket != NULL)
        mnl_socket_close(nd->socket);
    nd->socket = NULL;
}

void *request_begin(struct request *request, uint16_t type, uint16_t flags, size_t family_bytes)
{
    memset(request->buffer, 0, sizeof(request->buffer));
    request->header = mnl_nlmsg_put_header(request->buffer);
    request->header->nlmsg_type = type;
    request->header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    return mnl_nlmsg_put_extra_header(request->header, family_bytes);
}

/* The end of an exchange: an errno, with the kernel's explanation behind it. */
static int on_error_message(const struct nlmsghdr *message, void *context)
{
    const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;

    (void)context;
    if (mnl_nlmsg_get_payload_len(message) < sizeof(*error)) {
        errno = EBADMSG;
        return MNL_CB_ERROR;
    }
    if (error->error == 0)
        return MNL_CB_STOP;
    /* With NETLINK_CAP_ACK the request is not echoed beyond its header. */
    if ((message->nlmsg_flags & NLM_F_ACK_TLVS) && (message->nlmsg_flags & NLM_F_CAPPED)) {
        mnl_attr_for_each(attribute, message, sizeof(*error))
        {
            if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
                mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) == 0)
                log_debug("rtnetlink: %s: %s", strerror(-error->error),
                          mnl_attr_get_str(attribute));
        }
    }
    errno = -error->error;
    return MNL_CB_ERROR;
}

/* The end of a dump, with an errno of its own if the dump broke off. */
static int on_done(const struct nlmsghdr *message, void *context)
{
    const int *status = mnl_nlmsg_get_payload(message);

    (void)context;
    if (mnl_nlmsg_get_payload_len(message) < sizeof(*status) || *status >= 0)
        return MNL_CB_STOP;
    errno = -*status;
    return MNL_CB_ERROR;
}

/* Where this table ends libmnl's own begins, which does not look at a NULL in ours. Not const only
 * because libmnl's prototype is not. */
static mnl_cb_t control_callbacks[] = {[NLMSG_ERROR] = on_error_message, [NLMSG_DONE] = on_done};
#define CONTROL_CALLBACKS (sizeof(control_callbacks) / sizeof(control_callbacks[0]))

int netdev_talk(struct netdev *nd, struct request *request, mnl_cb_t each, void *context)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    int state;

    request->header->nlmsg_seq = ++nd->sequence;
    if ((request->header->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
        request->header->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(nd->socket, request->header, request->header->nlmsg_len) < 0)
        return -errno;
    do {
        ssize_t bytes = mnl_socket_recvfrom(nd->socket, answer, sizeof(answer));
        if (bytes < 0 && errno == EINTR) {
            state = MNL_CB_OK;
            continue;
        }
        if (bytes < 0)
            return -errno;
        state = mnl_cb_run2(answer, (size_t)bytes, nd->sequence, nd->port, each, context,
                            control_callbacks, CONTROL_CALLBACKS);
        /* Left over from an exchange that was broken off: not ours, read on. */
        if (state == MNL_CB_ERROR && (errno == ESRCH || errno == EPROTO) &&
            ((const struct nlmsghdr *)answer)->nlmsg_seq != nd->sequence)
            state = MNL_CB_OK;
    } while (state == MNL_CB_OK);
    return state == MNL_CB_ERROR ? -errno : 0;
}

static void copy_text(char *out, size_t size, const struct nlattr *attribute)
{
    size_t length = strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

    if (length >= size)
        length = size - 1;
    memcpy(out, mnl_attr_get_payload(attribute), length);
    out[length] = '\0';
}

static void read_kind(const struct nlattr *nested, struct interface *interface)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, nested)
    {
        if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
            copy_text(interface->info.kind, sizeof(interface->info.kind), attribute);
    }
}

/* An element of an array of 32-bit numbers; 0 if it is shorter. */
static int array_element(const struct nlattr *attribute, size_t index)
{
    int32_t value;

    if (mnl_attr_get_payload_len(attribute) < (index + 1) * sizeof(value))
        return 0;
    memcpy(&value, (const int32_t *)mnl_attr_get_payload(attribute) + index, sizeof(value));
    return value;
}

static void read_ipv4_settings(const struct nlattr *settings, struct interface *interface)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, settings)
    {
        /* The array begins with setting 1 (net/ipv4/devinet.c, inet_fill_link_af()). */
        if (mnl_attr_get_type(attribute) != IFLA_INET_CONF)
            continue;
        interface->forwards4 = array_element(attribute, IPV4_DEVCONF_FORWARDING - 1) != 0;
        interface->routes_loopback4 =
            array_element(attribute, IPV4_DEVCONF_ROUTE_LOCALNET - 1) != 0;
    }
}

static void read_ipv6_settings(const struct nlattr *settings, struct interface *interface)
{
    const struct nlattr *attribute;

    interface->has_ipv6 = true;
    mnl_attr_for_each_nested(attribute, settings)
    {
        if (mnl_attr_get_type(attribute) == IFLA_INET6_CONF)
            interface->ipv6_off = array_element(attribute, DEVCONF_DISABLE_IPV6) != 0;
        else if (mnl_attr_get_type(attribute) == IFLA_INET6_ADDR_GEN_MODE)
            interface->ipv6_mode = mnl_attr_get_u8(attribute);
    }
}

static void read_families(const struct nlattr *families, struct interface *interface)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, families)
    {
        if (mnl_attr_get_type(attribute) == AF_INET)
            read_ipv4_settings(attribute, interface);
        else if (mnl_attr_get_type(attribute) == AF_INET6)
            read_ipv6_settings(attribute, interface);
    }
}

static void read_attribute(const struct nlattr *attribute, struct interface *interface)
{
    size_t bytes = mnl_attr_get_payload_len(attribute);

    switch (mnl_attr_get_type(attribute)) {
    case IFLA_IFNAME:
        copy_text(interface->info.name, sizeof(interface->info.name), attribute);
        break;
    case IFLA_IFALIAS:
        copy_text(interface->info.alias, sizeof(interface->info.alias), attribute);
        break;
    case IFLA_MTU:
        if (bytes == sizeof(uint32_t))
            interface->info.mtu = mnl_attr_get_u32(attribute);
        break;
    case IFLA_LINK:
        if (bytes == sizeof(uint32_t))
            interface->peer_ifindex = (int)mnl_attr_get_u32(attribute);
        break;
    case IFLA_ADDRESS:
        if (bytes == sizeof(interface->mac.bytes))
            memcpy(interface->mac.bytes, mnl_attr_get_payload(attribute), bytes);
        break;
    case IFLA_MASTER:
        if (bytes == sizeof(uint32_t))
            interface->master = (int)mnl_attr_get_u32(attribute);
        break;
    case IFLA_LINKINFO:
        read_kind(attribute, interface);
        break;
    case IFLA_AF_SPEC:
        read_families(attribute, interface);
        break;
    default:
        break;
    }
}

/* False for a message that is no interface. */
static bool read_interface(const struct nlmsghdr *message, struct interface *interface)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;

    memset(interface, 0, sizeof(*interface));
    if (message->nlmsg_type != RTM_NEWLINK || mnl_nlmsg_get_payload_len(message) < sizeof(*info))
        return false;
    interface->info.ifindex = info->ifi_index;
    interface->info.up = (info->ifi_flags & IFF_UP) != 0;
    interface->running = interface->info.up && (info->ifi_flags & IFF_RUNNING) != 0;
    interface->no_arp = (info->ifi_flags & IFF_NOARP) != 0;
    mnl_attr_for_each(attribute, message, sizeof(*info)) read_attribute(attribute, interface);
    return true;
}

static int on_interface(const struct nlmsghdr *message, void *context)
{
    (void)read_interface(message, context);
    return MNL_CB_OK;
}

int netdev_interface_get(struct netdev *nd, const char *name, int ifindex, struct interface *out)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_GETLINK, 0, sizeof(*info));

    if (name != NULL && (name[0] == '\0' || strlen(name) >= IFNAMSIZ))
        return -EINVAL;
    memset(out, 0, sizeof(*out));
    info->ifi_index = name == NULL ? ifindex : 0;
    if (name != NULL)
        mnl_attr_put_strz(request.header, IFLA_IFNAME, name);
    mnl_attr_put_u32(request.header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    return netdev_talk(nd, &request, on_interface, out);
}

int netdev_index(const char *name)
{
    unsigned index = if_nametoindex(name);

    return index > 0 ? (int)index : -errno;
}

int netdev_set_up(struct netdev *nd, int ifindex, bool up)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));

    info->ifi_index = ifindex;
    info->ifi_change = IFF_UP;
    info->ifi_flags = up ? IFF_UP : 0;
    return netdev_talk(nd, &request, NULL, NULL);
}

int netdev_set_mtu(struct netdev *nd, int ifindex, uint32_t mtu)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));

    info->ifi_index = ifindex;
    mnl_attr_put_u32(request.header, IFLA_MTU, mtu);
    return netdev_talk(nd, &request, NULL, NULL);
}

static int delete_index(struct netdev *nd, int ifindex)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_DELLINK, 0, sizeof(*info));
    int result;

    info->ifi_index = ifindex;
    result = netdev_talk(nd, &request, NULL, NULL);
    return result == -ENODEV ? 0 : result;
}

int netdev_delete(struct netdev *nd, const char *name, const char *alias)
{
    struct interface interface;
    int result = netdev_interface_get(nd, name, 0, &interface);

    if (result == -ENODEV)
        return 0;
    if (result < 0)
        return result;
    if (alias != NULL && strcmp(interface.info.alias, alias) != 0)
        return 0;
    return delete_index(nd, interface.info.ifindex);
}

/* The interfaces of one dump; grown on the heap: hosts with many containers have thousands. */
struct interface_list {
    const char *alias_prefix;
    struct interface_info *entries;
    size_t count, capacity;
};

static int on_listed_interface(const struct nlmsghdr *message, void *context)
{
    struct interface_list *list = context;
    struct interface interface;

    if (!read_interface(message, &interface) ||
        strncmp(interface.info.alias, list->alias_prefix, strlen(list->alias_prefix)) != 0)
        return MNL_CB_OK;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct interface_info *grown = realloc(list->entries, capacity * sizeof(*grown));
        if (grown == NULL)
            return MNL_CB_ERROR;
        list->entries = grown;
        list->capacity = capacity;
    }
    list->entries[list->count++] = interface.info;
    return MNL_CB_OK;
}

int netdev_each_interface(struct netdev *nd, const char *alias_prefix,
                          bool (*visit)(const struct interface_info *interface, void *context),
                          void *context)
{
    struct interface_list list = {.alias_prefix = alias_prefix};
    int result;

    do {
        struct request request;

        list.count = 0;
        (void)request_begin(&request, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
        mnl_attr_put_u32(request.header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        result = netdev_talk(nd, &request, on_listed_interface, &list);
    } while (result == -EINTR);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        if (!visit(&list.entries[i], context))
            break;
    }
    free(list.entries);
    return result;
}

/* A read-only /proc/sys or a kernel without IPv6 is no error: the address generation mode alone
 * keeps the device silent, these are the second lock. */
void netdev_write_ipv6_conf(const char *device, const char *key, const char *value)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", device, key);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        log_debug("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

int netdev_quiet_ipv6(struct netdev *nd, int ifindex, const char *name)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));
    struct nlattr *specs, *ipv6;
    int result;

    info->ifi_index = ifindex;
    specs = mnl_attr_nest_start(request.header, IFLA_AF_SPEC);
    ipv6 = mnl_attr_nest_start(request.header, AF_INET6);
    mnl_attr_put_u8(request.header, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(request.header, ipv6);
    mnl_attr_nest_end(request.header, specs);
    result = netdev_talk(nd, &request, NULL, NULL);
    /* No IPv6 in this kernel, or none on a device whose MTU is below 1280 (RFC 8200, 5). */
    if (result == -EAFNOSUPPORT || result == -EOPNOTSUPP)
        return 0;
    netdev_write_ipv6_conf(name, "accept_ra", "0");
    netdev_write_ipv6_conf(name, "autoconf", "0");
    return result;
}

int netdev_switch_ipv4(struct netdev *nd, int ifindex, int setting)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));

    info->ifi_index = ifindex;
    struct nlattr *specs = mnl_attr_nest_start(request.header, IFLA_AF_SPEC);
    struct nlattr *ipv4 = mnl_attr_nest_start(request.header, AF_INET);
    struct nlattr *values = mnl_attr_nest_start(request.header, IFLA_INET_CONF);
    mnl_attr_put_u32(request.header, (uint16_t)setting, 1);
    mnl_attr_nest_end(request.header, values);
    mnl_attr_nest_end(request.header, ipv4);
    mnl_attr_nest_end(request.header, specs);
    return netdev_talk(nd, &request, NULL, NULL);
}

static int create_veth(struct netdev *nd, const struct veth_spec *spec)
{
    struct request request;
    struct nlmsghdr *header;
    struct nlattr *info, *data, *peer;

    (void)request_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    header = request.header;
    mnl_attr_put_strz(header, IFLA_IFNAME, spec->name);
    mnl_attr_put_u32(header, IFLA_MTU, spec->mtu);
    mnl_attr_put(header, IFLA_ADDRESS, sizeof(spec->mac.bytes), spec->mac.bytes);
    info = mnl_attr_nest_start(header, IFLA_LINKINFO);
    mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
    data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
    peer = mnl_attr_nest_start(header, VETH_INFO_PEER);
    (void)mnl_nlmsg_put_extra_header(header, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(header, IFLA_IFNAME, spec->peer);
    mnl_attr_put_u32(header, IFLA_MTU, spec->mtu);
    mnl_attr_put(header, IFLA_ADDRESS, sizeof(spec->peer_mac.bytes), spec->peer_mac.bytes);
    mnl_attr_nest_end(header, peer);
    mnl_attr_nest_end(header, data);
    mnl_attr_nest_end(header, info);
    return netdev_talk(nd, &request, NULL, NULL);
}

static int configure_end(struct netdev *nd, const struct interface *interface,
                         const struct mac *mac, uint32_t mtu, const char *alias)
{
    struct request request;
    struct ifinfomsg *info = request_begin(&request, RTM_SETLINK, 0, sizeof(*info));
    int result;

    info->ifi_index = interface->info.ifindex;
    mnl_attr_put_u32(request.header, IFLA_MTU, mtu);
    mnl_attr_put_strz(request.header, IFLA_IFALIAS, alias);
    /* Setting the same address again would still flush the neighbour table and notify. */
    if (memcmp(&interface->mac, mac, sizeof(*mac)) != 0)
        mnl_attr_put(request.header, IFLA_ADDRESS, sizeof(mac->bytes), mac->bytes);
    result = netdev_talk(nd, &request, NULL, NULL);
    return result < 0 ? result
                      : netdev_quiet_ipv6(nd, interface->info.ifindex, interface->info.name);
}

/* Both ends as they are now. -ENODEV: at least one is missing; its ifindex is 0. */
static int find_ends(struct netdev *nd, const struct veth_spec *spec, struct interface *end,
                     struct interface *peer)
{
    int result = netdev_interface_get(nd, spec->name, 0, end);
    int peer_result = netdev_interface_get(nd, spec->peer, 0, peer);

    if (result < 0 && result != -ENODEV)
        return result;
    return peer_result < 0 ? peer_result : result;
}

static bool marked(const struct interface *interface, const struct veth_spec *spec)
{
    return interface->info.ifindex > 0 && strcmp(interface->info.alias, spec->alias) == 0;
}

static bool is_our_pair(const struct interface *end, const struct interface *peer,
                        const struct veth_spec *spec)
{
    if (strcmp(end->info.kind, "veth") != 0 || strcmp(peer->info.kind, "veth") != 0 ||
        end->peer_ifindex != peer->info.ifindex || peer->peer_ifindex != end->info.ifindex)
        return false;
    if (marked(end, spec) && marked(peer, spec))
        return true;
    /* Made by us, killed before the mark was set on one end or on both. */
    return (marked(end, spec) || end->info.alias[0] == '\0') &&
           (marked(peer, spec) || peer->info.alias[0] == '\0') &&
           memcmp(&end->mac, &spec->mac, sizeof(spec->mac)) == 0 &&
           memcmp(&peer->mac, &spec->peer_mac, sizeof(spec->peer_mac)) == 0;
}

/* Removes single ends that carry our mark, whose other end has another name: of no use to anyone.
 * -EEXIST if a name is taken by a stranger. */
static int clear_names(struct netdev *nd, const struct veth_spec *spec, const struct interface *end,
                       const struct interface *peer)
{
    int result = 0;

    if ((end->info.ifindex > 0 && !marked(end, spec)) ||
        (peer->info.ifindex > 0 && !marked(peer, spec)))
        return -EEXIST;
    if (end->info.ifindex > 0)
        result = delete_index(nd, end->info.ifindex);
    if (result == 0 && peer->info.ifindex > 0)
        result = delete_index(nd, peer->info.ifindex);
    return result;
}

int netdev_veth_ensure(struct netdev *nd, const struct veth_spec *spec)
{
    struct interface end, peer;
    int result = find_ends(nd, spec, &end, &peer);
    bool adopt = result == 0 && is_our_pair(&end, &peer, spec);

    if (result < 0 && result != -ENODEV)
        return result;
    if (strlen(spec->alias) >= sizeof(end.info.alias))
        return -EINVAL;
    if (!adopt) {
        result = clear_names(nd, spec, &end, &peer);
        if (result == 0)
            result = create_veth(nd, spec);
        if (result == 0)
            result = find_ends(nd, spec, &end, &peer);
        if (result < 0)
            return result;
    }
    result = configure_end(nd, &end, &spec->mac, spec->mtu, spec->alias);
    if (result == 0)
        result = configure_end(nd, &peer, &spec->peer_mac, spec->mtu, spec->alias);
    return result < 0 ? result : adopt;
}
