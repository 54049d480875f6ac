/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list comes first and the deletions after it: a socket that is still reading a dump takes no
 * other request. An entry is deleted by its original tuple, the bytes of which are kept as they
 * came.
 */
#include "runtime/host/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/host/netdev_private.h"

#define TUPLE_BYTES 128 /* IPv6 addresses, ports and zone with their headers: about 90 */

struct tuple {
    uint16_t length;
    uint8_t bytes[TUPLE_BYTES]; /* contents of CTA_TUPLE_ORIG */
    bool zoned;
    uint16_t zone; /* network byte order */
};

struct list {
    uint8_t family;
    bool (*unwanted)(const struct conntrack_entry *entry, void *context);
    void *context;
    struct tuple *tuples;
    size_t count, capacity;
};

static void read_address(const struct nlattr *attribute, int version, struct ip_addr *out)
{
    size_t bytes = version == 4 ? 4 : 16;

    if (mnl_attr_get_payload_len(attribute) != bytes)
        return;
    out->version = (uint8_t)version;
    memcpy(out->bytes, mnl_attr_get_payload(attribute), bytes);
}

struct side {
    struct ip_addr source, destination;
    uint8_t protocol;
    uint16_t source_port, destination_port;
};

static void read_addresses(const struct nlattr *addresses, struct side *out)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, addresses)
    {
        switch (mnl_attr_get_type(attribute)) {
        case CTA_IP_V4_SRC:
            read_address(attribute, 4, &out->source);
            break;
        case CTA_IP_V4_DST:
            read_address(attribute, 4, &out->destination);
            break;
        case CTA_IP_V6_SRC:
            read_address(attribute, 6, &out->source);
            break;
        case CTA_IP_V6_DST:
            read_address(attribute, 6, &out->destination);
            break;
        default:
            break;
        }
    }
}

static void read_protocol(const struct nlattr *protocol, struct side *out)
{
    const struct nlattr *attribute;

    mnl_attr_for_each_nested(attribute, protocol)
    {
        uint16_t type = mnl_attr_get_type(attribute);
        size_t bytes = mnl_attr_get_payload_len(attribute);
        if (type == CTA_PROTO_NUM && bytes == 1)
            out->protocol = mnl_attr_get_u8(attribute);
        else if (type == CTA_PROTO_SRC_PORT && bytes == 2)
            out->source_port = ntohs(mnl_attr_get_u16(attribute));
        else if (type == CTA_PROTO_DST_PORT && bytes == 2)
            out->destination_port = ntohs(mnl_attr_get_u16(attribute));
    }
}

static struct side read_side(const struct nlattr *tuple)
{
    const struct nlattr *attribute;
    struct side side = {0};

    mnl_attr_for_each_nested(attribute, tuple)
    {
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_IP)
            read_addresses(attribute, &side);
        else if (mnl_attr_get_type(attribute) == CTA_TUPLE_PROTO)
            read_protocol(attribute, &side);
    }
    return side;
}

static void keep_tuple(const struct nlattr *attribute, struct tuple *tuple)
{
    tuple->length = mnl_attr_get_payload_len(attribute);
    if (tuple->length <= sizeof(tuple->bytes))
        memcpy(tuple->bytes, mnl_attr_get_payload(attribute), tuple->length);
    else
        tuple->length = 0;
}

static int add_tuple(struct list *list, const struct tuple *tuple)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct tuple *grown = realloc(list->tuples, capacity * sizeof(*grown));
        if (grown == NULL)
            return MNL_CB_ERROR;
        list->tuples = grown;
        list->capacity = capacity;
    }
    list->tuples[list->count++] = *tuple;
    return MNL_CB_OK;
}

static int on_entry(const struct nlmsghdr *message, void *context)
{
    struct list *list = context;
    const struct nfgenmsg *head = mnl_nlmsg_get_payload(message);
    const struct nlattr *attribute;
    struct side original = {0}, answer = {0};
    struct tuple tuple = {0};
    uint32_t status = 0;

    if (mnl_nlmsg_get_payload_len(message) < sizeof(*head) || head->nfgen_family != list->family)
        return MNL_CB_OK;
    mnl_attr_for_each(attribute, message, sizeof(*head))
    {
        uint16_t type = mnl_attr_get_type(attribute);
        if (type == CTA_TUPLE_ORIG) {
            original = read_side(attribute);
            keep_tuple(attribute, &tuple);
        } else if (type == CTA_TUPLE_REPLY) {
            answer = read_side(attribute);
        } else if (type == CTA_STATUS && mnl_attr_get_payload_len(attribute) == sizeof(status)) {
            status = ntohl(mnl_attr_get_u32(attribute));
        } else if (type == CTA_ZONE && mnl_attr_get_payload_len(attribute) == sizeof(tuple.zone)) {
            tuple.zoned = true;
            tuple.zone = mnl_attr_get_u16(attribute);
        }
    }
    struct conntrack_entry entry = {
        .protocol = original.protocol,
        .answered = (status & IPS_SEEN_REPLY) != 0,
        .source = original.source,
        .destination = original.destination,
        .source_port = original.source_port,
        .destination_port = original.destination_port,
        .answer_source = answer.source,
        .answer_destination = answer.destination,
        .answer_source_port = answer.source_port,
        .answer_destination_port = answer.destination_port,
    };
    if (tuple.length == 0 || !list->unwanted(&entry, list->context))
        return MNL_CB_OK;
    return add_tuple(list, &tuple);
}

static struct nfgenmsg *begin(struct request *request, uint16_t message, uint16_t flags,
                              uint8_t family)
{
    struct nfgenmsg *head = request_begin(request, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | message),
                                          flags, sizeof(*head));

    head->nfgen_family = family;
    head->version = NFNETLINK_V0;
    return head;
}

static int forget(struct netdev *nd, uint8_t family, const struct tuple *tuple)
{
    struct request request;

    (void)begin(&request, IPCTNL_MSG_CT_DELETE, 0, family);
    struct nlattr *nest = mnl_attr_nest_start(request.header, CTA_TUPLE_ORIG);
    memcpy(mnl_nlmsg_get_payload_tail(request.header), tuple->bytes, tuple->length);
    request.header->nlmsg_len += MNL_ALIGN(tuple->length);
    mnl_attr_nest_end(request.header, nest);
    if (tuple->zoned)
        mnl_attr_put_u16(request.header, CTA_ZONE, tuple->zone);
    return netdev_talk(nd, &request, NULL, NULL);
}

static int list_and_forget(struct netdev *nd, struct list *list)
{
    int result, count = 0;

    do {
        struct request request;

        (void)begin(&request, IPCTNL_MSG_CT_GET, NLM_F_DUMP, list->family);
        list->count = 0;
        result = netdev_talk(nd, &request, on_entry, list);
    } while (result == -EINTR);
    for (size_t i = 0; result == 0 && i < list->count; i++)
        count += forget(nd, list->family, &list->tuples[i]) == 0; /* else it is gone already */
    return result < 0 ? result : count;
}

int conntrack_forget(int version,
                     bool (*unwanted)(const struct conntrack_entry *entry, void *context),
                     void *context)
{
    struct list list = {
        .family = version == 4 ? AF_INET : AF_INET6, .unwanted = unwanted, .context = context};
    struct netdev nd = {.socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC)};
    int result = nd.socket == NULL ? -errno : 0;

    if (result == 0 && mnl_socket_bind(nd.socket, 0, MNL_SOCKET_AUTOPID) < 0)
        result = -errno;
    if (result == 0) {
        nd.port = mnl_socket_get_portid(nd.socket);
        result = list_and_forget(&nd, &list);
    }
    netdev_close(&nd);
    free(list.tuples);
    return result == -EPROTONOSUPPORT || result == -EOPNOTSUPP || result == -EINVAL ? 0 : result;
}
