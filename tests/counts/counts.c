/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the stages of the packet path on a fixed replay, for callgrind to count their instructions.
 *
 *   counts REPLAY.PCAP        to be run by counts.py, under valgrind
 *
 * Counting is on inside a stage only; each ends with a dump of the counters under its name. The
 * program prints one line a stage, "NAME PACKETS", and fails if a stage did not do its work: a
 * count of something that went wrong would be worth nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <valgrind/callgrind.h>

#include "packet/csum.h"
#include "packet/frame.h"
#include "packet/policy.h"
#include "packet/segment.h"
#include "runtime/lane/lane.h"
#include "runtime/host/nfqueue.h"
#include "tests/counts/ring.h"

#define PACKETS_MAX 512
#define REPEAT      4 /* of the replay: what a lane does once weighs little */
#define MTU         1500
#define TCP_SEGMENT 1428 /* fits the MTU with IPv6 and timestamps */
#define UDP_SEGMENT 1200
#define BURST       8

struct packet {
    uint8_t *bytes;
    uint32_t length;
    struct parsed_packet parsed;
    struct offload offload;
    uint8_t vnet[VNET_HEADER_BYTES];
};

static struct packet packets[PACKETS_MAX];
static unsigned packet_count;

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "counts: %s\n", what);
    exit(1);
}

static void *need(size_t bytes)
{
    void *memory = calloc(1, bytes);

    check(memory != NULL, "no memory");
    return memory;
}

/* ---- the replay ---- */

static void describe(struct packet *packet)
{
    struct offload *offload = &packet->offload;

    check(packet_parse(packet->bytes, packet->length, &packet->parsed) == PACKET_OK,
          "a packet of the replay is none");
    if (packet->parsed.protocol == IPPROTO_TCP || packet->parsed.protocol == IPPROTO_UDP)
        offload->flags = OFFLOAD_CHECKSUM_PARTIAL;
    if (packet->length > MTU)
        offload->gso_size = packet->parsed.protocol == IPPROTO_TCP ? TCP_SEGMENT : UDP_SEGMENT;
    check(offload_to_vnet(packet->bytes, &packet->parsed, *offload, packet->vnet) == OFFLOAD_OK,
          "a packet of the replay cannot be sent");
}

static void load(const char *path)
{
    char error[PCAP_ERRBUF_SIZE];
    struct pcap_pkthdr *header;
    const uint8_t *bytes;
    pcap_t *file = pcap_open_offline(path, error);

    check(file != NULL && pcap_datalink(file) == DLT_RAW, "the replay cannot be read");
    while (pcap_next_ex(file, &header, &bytes) == 1) {
        struct packet *packet = &packets[packet_count++];
        check(packet_count < PACKETS_MAX, "the replay is too long");
        packet->length = header->len;
        packet->bytes = need(header->len + 1);
        for (uint32_t i = 0; i < header->len; i++)
            packet->bytes[i] = i < header->caplen ? bytes[i] : (uint8_t)(i * 7);
        describe(packet);
    }
    pcap_close(file);
    check(packet_count > 0, "the replay is empty");
}

/* ---- stages ---- */

static void stage_end(const char *name, unsigned count)
{
    CALLGRIND_DUMP_STATS_AT(name);
    printf("%s %u\n", name, count);
}

/* Runs `work` on every packet, counted. */
#define PURE_STAGE(name, ...)                                                                      \
    do {                                                                                           \
        CALLGRIND_TOGGLE_COLLECT;                                                                  \
        for (unsigned i = 0; i < packet_count; i++) {                                              \
            struct packet *p = &packets[i];                                                        \
            __VA_ARGS__;                                                                           \
        }                                                                                          \
        CALLGRIND_TOGGLE_COLLECT;                                                                  \
        stage_end(name, packet_count);                                                             \
    } while (0)

static unsigned segment_all(const struct packet *p, uint8_t *out)
{
    struct segmenter segmenter;
    unsigned segments = 0;

    if (segment_init(&segmenter, p->bytes, &p->parsed, p->offload) != OFFLOAD_OK)
        return 0;
    while (segment_next(&segmenter, out, PACKET_MAX_BYTES) > 0)
        segments++;
    return segments;
}

static void pure_stages(void)
{
    static uint8_t out[PACKET_MAX_BYTES];
    struct policy_parent parent = {0};
    struct policy_enclave enclave = {0};
    struct frame_header header;
    struct parsed_packet parsed;
    struct offload offload;
    unsigned good = 0, segments = 0;
    uint64_t sum = 0;

    parent.own4 = packets[0].parsed.src;
    enclave.own4 = packets[0].parsed.src;
    check(addr_parse("fd00:c0a8::10", &parent.own6), "address");
    enclave.own6 = parent.own6;
    PURE_STAGE("parse", good += packet_parse(p->bytes, p->length, &parsed) == PACKET_OK);
    PURE_STAGE("offload_from_vnet",
               good += offload_from_vnet(p->vnet, &p->parsed, &offload) == OFFLOAD_OK);
    PURE_STAGE("offload_to_vnet",
               good += offload_to_vnet(p->bytes, &p->parsed, p->offload, out) == OFFLOAD_OK);
    PURE_STAGE("frame", {
        header = (struct frame_header){p->length, FRAME_PACKET, p->offload};
        frame_put(out, &header);
        good += frame_get(out, FRAME_HEADER_BYTES, &header) == FRAME_OK;
    });
    PURE_STAGE("policy_parent",
               good += policy_check_parent(&parent, &p->parsed.src, &p->parsed.dst) == POLICY_PASS);
    PURE_STAGE("policy_enclave", good += policy_check_enclave(&enclave, &p->parsed.dst,
                                                              &p->parsed.src) == POLICY_PASS);
    PURE_STAGE("csum", sum += csum_add(0, p->bytes, p->length));
    PURE_STAGE("segment", segments += segment_all(p, out));
    check(good == 6 * packet_count, "a stage refused a packet of the replay");
    check(segments > packet_count && sum > 0, "nothing was segmented");
}

/* ---- lanes ---- */

static enum policy_verdict judge(const void *policy, const uint8_t *packet,
                                 const struct parsed_packet *parsed)
{
    return policy_judge_parent(policy, packet, parsed);
}

static void run_lane(enum lane_source_kind kind, const struct ring_script *script)
{
    static const uint32_t mtu = PACKET_MAX_BYTES;
    struct policy_parent policy = {.own4 = packets[0].parsed.src};
    int pair[2], exit_fd = eventfd(0, 0);

    check(addr_parse("fd00:c0a8::10", &policy.own6), "address");
    check(exit_fd >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "no sockets");
    struct lane_options options = {
        .name = "counts",
        .stream_fd = pair[0],
        .inject_fd = pair[1],
        .inject_udp_gso = true,
        .source_count = 1,
        .sources = {{kind, pair[1], 0}},
        .capture_mtu = &mtu,
        .dead_ms = 1000000,
        .check = judge,
        .policy = &policy,
    };
    struct lane *lane = lane_new();
    check(lane != NULL, "no lane");
    ring_script(script);
    check(lane_start(lane, &options, exit_fd) == 0, "the lane does not start");
    check(lane_join(lane) == LANE_CLOSED, "the lane ended for a wrong reason");
    lane_free(lane);
    close(pair[0]);
    close(pair[1]);
    close(exit_fd);
}

/* As AF_PACKET delivers it: virtio_net_hdr, Ethernet header, packet. */
static uint32_t packet_message(const struct packet *p, uint8_t *out)
{
    memcpy(out, p->vnet, VNET_HEADER_BYTES);
    memset(out + VNET_HEADER_BYTES, 0, ETHERNET_HEADER_BYTES);
    memcpy(out + LINK_HEADER_BYTES, p->bytes, p->length);
    return LINK_HEADER_BYTES + p->length;
}

/* As the kernel delivers it (linux nfnetlink_queue.c), attributes of a packet on one interface. */
static uint32_t nfqueue_message(const struct packet *p, uint8_t *out)
{
    uint32_t info = (p->offload.flags & OFFLOAD_CHECKSUM_PARTIAL ? NFQA_SKB_CSUMNOTREADY : 0) |
                    (p->offload.gso_size ? NFQA_SKB_GSO : 0);
    struct nfqnl_msg_packet_hdr header = {.packet_id = htonl(1)};
    struct nlmsghdr *message = nfq_nlmsg_put((char *)out, NFQNL_MSG_PACKET, 0);

    mnl_attr_put(message, NFQA_PACKET_HDR, sizeof(header), &header);
    mnl_attr_put_u32(message, NFQA_IFINDEX_INDEV, htonl(2));
    mnl_attr_put_u32(message, NFQA_MARK, htonl(0x80010000u | p->offload.gso_size));
    mnl_attr_put_u32(message, NFQA_SKB_INFO, htonl(info));
    mnl_attr_put(message, NFQA_PAYLOAD, p->length, p->bytes);
    return message->nlmsg_len;
}

static struct message *make_messages(uint32_t (*make)(const struct packet *, uint8_t *))
{
    struct message *messages = need(REPEAT * packet_count * sizeof(*messages));

    for (unsigned i = 0; i < packet_count; i++) {
        uint8_t *bytes = need(NFQUEUE_MESSAGE_MAX);
        uint32_t length = make(&packets[i], bytes);
        for (unsigned turn = 0; turn < REPEAT; turn++)
            messages[turn * packet_count + i] = (struct message){bytes, length};
    }
    return messages;
}

static void lane_stages(void)
{
    unsigned all = REPEAT * packet_count;
    struct ring_script out = {.message_count = all, .burst = BURST, .chunk = 65536};

    for (unsigned i = 0; i < packet_count; i++)
        out.sent_room += REPEAT * (FRAME_HEADER_BYTES + (size_t)packets[i].length);
    out.sent = need(out.sent_room);

    out.messages = make_messages(nfqueue_message);
    run_lane(LANE_SOURCE_NFQUEUE, &out);
    check(ring_result().sent_bytes == out.sent_room && ring_result().verdicts > 0,
          "the lane lost packets from the queue");
    stage_end("lane_out_nfqueue", all);

    out.messages = make_messages(packet_message);
    run_lane(LANE_SOURCE_PACKET, &out);
    check(ring_result().sent_bytes == out.sent_room, "the lane lost packets from the socket");
    stage_end("lane_out_packet", all);

    struct ring_script in = {.stream = out.sent, .stream_bytes = out.sent_room, .chunk = 131072};
    run_lane(LANE_SOURCE_PACKET, &in);
    check(ring_result().injected == all, "the lane did not inject every packet");
    stage_end("lane_in", all);
}

int main(int argc, char **argv)
{
    check(argc == 2, "usage: counts REPLAY.PCAP");
    load(argv[1]);
    pure_stages();
    lane_stages();
    return 0;
}
