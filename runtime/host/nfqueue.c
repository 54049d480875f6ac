/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/nfqueue.h"

#include <assert.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "packet/parse.h"

/* See CAPTURE_BUFFER_BYTES in packet_socket.c: the same thoughts, the same few milliseconds. */
#define QUEUE_BUFFER_BYTES (4 * 1024 * 1024)

static int request(int fd, struct nlmsghdr *message)
{
    uint8_t answer[1024];

    message->nlmsg_flags |= NLM_F_ACK;
    if (send(fd, message, message->nlmsg_len, 0) < 0)
        return -errno;
    ssize_t length = recv(fd, answer, sizeof(answer), 0);
    if (length < 0)
        return -errno;
    return mnl_cb_run(answer, (size_t)length, 0, 0, NULL, NULL) < 0 ? -errno : 0;
}

/* Unbinding a protocol family has been a command without effect since Linux 3.8, but the message
 * makes the kernel load the module (net/netfilter/nfnetlink.c, nfnetlink_rcv_msg()). */
bool nfqueue_available(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    uint8_t buffer[512];
    struct nlmsghdr *message = nfq_nlmsg_put((char *)buffer, NFQNL_MSG_CONFIG, 0);
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    int error;

    if (fd < 0)
        return false;
    nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_PF_UNBIND);
    error =
        bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : request(fd, message);
    close(fd);
    return error == 0;
}

static int configure(int fd, uint16_t queue, bool gso, uint32_t max_packets)
{
    uint8_t buffer[512];
    struct nlmsghdr *message = nfq_nlmsg_put((char *)buffer, NFQNL_MSG_CONFIG, queue);
    nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    int error = request(fd, message);
    if (error < 0)
        return error;

    message = nfq_nlmsg_put((char *)buffer, NFQNL_MSG_CONFIG, queue);
    nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, 0xffff);
    mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(gso ? NFQA_CFG_F_GSO : 0));
    mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
    mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(max_packets));
    return request(fd, message);
}

int nfqueue_open(uint16_t queue, bool gso, uint32_t max_packets)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    int bytes = QUEUE_BUFFER_BYTES, on = 1;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    if (fd < 0)
        return -errno;
    int error = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    if (error == 0)
        error = configure(fd, queue, gso, max_packets);
    /* Overruns are counted by the queue itself; as an error they would look like a lack of
     * receive buffers to io_uring. */
    if (error == 0 && setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) < 0)
        error = -errno;
    if (error == 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        error = -errno;
    if (error == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        error = -errno;
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

#define ATTRIBUTES_AT (NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg)))

/* A 32-bit value in network order; 0 when the attribute is too short for one. */
static uint32_t attribute_u32(const uint8_t *value, size_t length)
{
    return length >= sizeof(uint32_t) ? load_be32(value) : 0;
}

/* Sets what the attribute says. value has `length` bytes. */
static void take_attribute(struct nfqueue_packet *out, unsigned type, uint8_t *value, size_t length)
{
    switch (type) {
    case NFQA_MARK:
        out->mark = attribute_u32(value, length);
        break;
    case NFQA_SKB_INFO: {
        uint32_t info = attribute_u32(value, length);
        out->checksum_partial = (info & NFQA_SKB_CSUMNOTREADY) != 0;
        out->super = (info & NFQA_SKB_GSO) != 0;
        break;
    }
    case NFQA_CAP_LEN:
        out->truncated = true;
        break;
    case NFQA_PAYLOAD:
        out->payload = value;
        out->length = (uint32_t)length;
        break;
    default: /* devices, addresses, conntrack: of no interest */
        break;
    }
}

/* By hand: libmnl's calls, several for each attribute, were half of all instructions from a
 * captured packet to its frame (tests/counts). */
bool nfqueue_parse(uint8_t *message, size_t length, struct nfqueue_packet *out)
{
    const struct nlmsghdr *header = (const struct nlmsghdr *)message;
    bool has_id = false;

    if (length < ATTRIBUTES_AT || header->nlmsg_len < ATTRIBUTES_AT || header->nlmsg_len > length ||
        header->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
        return false;
    *out = (struct nfqueue_packet){0};
    for (size_t at = ATTRIBUTES_AT, end = header->nlmsg_len; at + NLA_HDRLEN <= end;) {
        const struct nlattr *attribute = (const struct nlattr *)(message + at);
        unsigned type = attribute->nla_type & NLA_TYPE_MASK;
        if (attribute->nla_len < NLA_HDRLEN || attribute->nla_len > end - at)
            return false;
        uint8_t *value = message + at + NLA_HDRLEN;
        size_t value_length = attribute->nla_len - (size_t)NLA_HDRLEN;
        if (type == NFQA_PACKET_HDR && value_length >= sizeof(struct nfqnl_msg_packet_hdr)) {
            out->id = load_be32(value); /* packet_id comes first */
            has_id = true;
        } else {
            take_attribute(out, type, value, value_length);
        }
        at += NLA_ALIGN(attribute->nla_len);
    }
    return has_id;
}
static_assert(offsetof(struct nfqnl_msg_packet_hdr, packet_id) == 0, "packet_id comes first");

void nfqueue_verdict(uint8_t *out, uint16_t queue, uint32_t id)
{
    struct nlmsghdr *message = nfq_nlmsg_put((char *)out, NFQNL_MSG_VERDICT_BATCH, queue);

    nfq_nlmsg_verdict_put(message, (int)id, NF_DROP);
}
static_assert(NLMSG_HDRLEN + sizeof(struct nfgenmsg) + NLA_HDRLEN +
                      sizeof(struct nfqnl_msg_verdict_hdr) ==
                  NFQUEUE_VERDICT_BYTES,
              "a batch verdict has one attribute");

/* Fields of a line: linux net/netfilter/nfnetlink_queue.c, seq_show(). */
struct counts {
    unsigned waiting;
    uint64_t queue_dropped, user_dropped;
};

static struct counts read_counts(uint16_t queue)
{
    struct counts counts, found = {0};
    FILE *file = fopen("/proc/net/netfilter/nfnetlink_queue", "re");
    unsigned number;
    char line[256];

    if (file == NULL)
        return found;
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "%u %*u %u %*u %*u %" SCNu64 " %" SCNu64, &number, &counts.waiting,
                   &counts.queue_dropped, &counts.user_dropped) == 4 &&
            number == queue)
            found = counts;
    fclose(file);
    return found;
}

uint64_t nfqueue_lost(uint16_t queue)
{
    struct counts counts = read_counts(queue);

    return counts.queue_dropped + counts.user_dropped;
}

uint32_t nfqueue_waiting(uint16_t queue)
{
    return read_counts(queue).waiting;
}
