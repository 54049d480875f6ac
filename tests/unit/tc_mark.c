/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tc program: its logic on given packets (BPF_PROG_TEST_RUN), and the kernel behaviours that
 * the capture relies on, on a veth pair in a network namespace of our own:
 *
 *   UDP socket -> cw0 ==veth== cw1 -> packet socket (tap) -> tc ingress: mark or drop -> NFQUEUE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/pkt_cls.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>

#include "rule_templates.h"
#include "runtime/base/log.h"
#include "runtime/host/netdev.h"
#include "runtime/host/rules.h"
#include "runtime/host/tc_mark.h"

#define LANES       4
#define QUEUE_BASE  40
#define SEGMENT     700
#define WAIT_MS     10000
#define PACKET_TEXT 128

/* Runs the program on a packet: its verdict, and the mark it leaves. */
static int run(int program, const void *packet, uint32_t bytes, uint32_t gso_size, uint32_t *mark)
{
    struct __sk_buff context = {.gso_size = gso_size};
    union bpf_attr attributes;
    char output[2048];

    memset(&attributes, 0, sizeof(attributes));
    attributes.test.prog_fd = (uint32_t)program;
    attributes.test.data_in = (uint64_t)(uintptr_t)packet;
    attributes.test.data_size_in = bytes;
    attributes.test.data_out = (uint64_t)(uintptr_t)output;
    attributes.test.data_size_out = sizeof(output);
    attributes.test.ctx_in = (uint64_t)(uintptr_t)&context;
    attributes.test.ctx_size_in = sizeof(context);
    attributes.test.ctx_out = (uint64_t)(uintptr_t)&context;
    attributes.test.ctx_size_out = sizeof(context);
    assert_return_code(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attributes, sizeof(attributes)), errno);
    *mark = context.mark;
    return (int)attributes.test.retval;
}

static int load_or_skip(unsigned lanes)
{
    int fd = tc_mark_load(lanes);

    if (fd == -EPERM || fd == -ENOSYS) {
        print_message("no bpf here: %s\n", strerror(-fd));
        skip();
    }
    assert_true(fd >= 0);
    return fd;
}

static size_t ipv4_packet(uint8_t *packet, uint16_t fragment)
{
    memset(packet, 0, PACKET_TEXT);
    packet[12] = 0x08;
    packet[14] = 0x45;
    packet[20] = (uint8_t)(fragment >> 8);
    packet[21] = (uint8_t)fragment;
    packet[23] = IPPROTO_UDP;
    return 14 + 20 + 64;
}

/* An IPv6 packet with these extension headers, given by type; each 8 bytes long, routing 24. */
static size_t ipv6_packet(uint8_t *packet, const uint8_t *headers, size_t count)
{
    uint8_t *next = packet + 20, *at = packet + 54;

    memset(packet, 0, PACKET_TEXT);
    packet[12] = 0x86;
    packet[13] = 0xdd;
    packet[14] = 0x60;
    for (size_t i = 0; i < count; i++) {
        *next = headers[i];
        next = at;
        at[1] = headers[i] == IPPROTO_ROUTING ? 2 : 0;
        at += headers[i] == IPPROTO_ROUTING ? 24 : 8;
    }
    *next = IPPROTO_UDP;
    return PACKET_TEXT;
}

static void test_mark_of_plain_packets(void **state)
{
    int program = load_or_skip(LANES);
    uint8_t packet[PACKET_TEXT];
    size_t bytes = ipv4_packet(packet, 0x4000); /* don't fragment: not a fragment */
    uint32_t mark;

    (void)state;
    assert_int_equal(run(program, packet, (uint32_t)bytes, 0, &mark), TC_ACT_OK);
    assert_true(mark & TC_MARK_SEEN);
    assert_int_equal(mark & TC_MARK_GSO_MASK, 0);
    assert_true((mark & TC_MARK_LANE_MASK) >> TC_MARK_LANE_SHIFT < LANES);
    assert_int_equal(mark & ~(TC_MARK_SEEN | TC_MARK_GSO_MASK | TC_MARK_LANE_MASK), 0);
    bytes = ipv6_packet(packet, NULL, 0);
    assert_int_equal(run(program, packet, (uint32_t)bytes, 1440, &mark), TC_ACT_OK);
    assert_int_equal(mark & TC_MARK_GSO_MASK, 1440);
    assert_true(mark & TC_MARK_SEEN);
    close(program);
}

static void test_lanes_are_all_used(void **state)
{
    int program = load_or_skip(LANES);
    unsigned seen = 0;

    (void)state;
    for (unsigned port = 1; port < 200; port++) {
        uint8_t packet[PACKET_TEXT];
        size_t bytes = ipv4_packet(packet, 0);
        uint32_t mark, again;

        packet[17] = 84; /* total length */
        packet[26] = packet[30] = 10;
        packet[35] = (uint8_t)port;
        packet[37] = 53;
        run(program, packet, (uint32_t)bytes, 0, &mark);
        run(program, packet, (uint32_t)bytes, 0, &again);
        assert_int_equal(mark, again);
        seen |= 1u << ((mark & TC_MARK_LANE_MASK) >> TC_MARK_LANE_SHIFT);
    }
    assert_int_equal(seen, (1u << LANES) - 1);
    close(program);
}

static void test_fragments_are_dropped(void **state)
{
    static const struct {
        uint8_t headers[4];
        size_t count;
        int verdict;
    } cases[] = {
        {{44}, 1, TC_ACT_SHOT},
        {{0, 44}, 2, TC_ACT_SHOT},
        {{60, 44}, 2, TC_ACT_SHOT},
        {{0, 43, 44}, 3, TC_ACT_SHOT},
        {{0, 60, 43, 44}, 4, TC_ACT_SHOT},
        {{0}, 1, TC_ACT_OK},
        {{43, 60}, 2, TC_ACT_OK},
    };
    int program = load_or_skip(1);
    uint8_t packet[PACKET_TEXT];
    uint32_t mark;

    (void)state;
    assert_int_equal(run(program, packet, (uint32_t)ipv4_packet(packet, 0x2000), 0, &mark),
                     TC_ACT_SHOT);
    assert_int_equal(run(program, packet, (uint32_t)ipv4_packet(packet, 0x0001), 0, &mark),
                     TC_ACT_SHOT);
    assert_int_equal(run(program, packet, (uint32_t)ipv4_packet(packet, 0x1fff), 0, &mark),
                     TC_ACT_SHOT);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = ipv6_packet(packet, cases[i].headers, cases[i].count);
        assert_int_equal(run(program, packet, (uint32_t)bytes, 0, &mark), cases[i].verdict);
    }
    close(program);
}

static void test_truncated_chain_is_no_fragment(void **state)
{
    static const uint8_t headers[] = {IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_FRAGMENT};
    int program = load_or_skip(1);
    uint8_t packet[PACKET_TEXT];
    uint32_t mark;

    (void)state;
    (void)ipv6_packet(packet, headers, 3);
    assert_int_equal(run(program, packet, 54, 0, &mark), TC_ACT_OK);
    assert_false(mark & TC_MARK_SEEN); /* so that the rules drop it */
    close(program);
}

static void test_bad_lane_counts(void **state)
{
    (void)state;
    assert_int_equal(tc_mark_load(0), -EINVAL);
    assert_int_equal(tc_mark_load(9), -EINVAL);
}

/* The bench of the tests that send: the pair is up, the program attached, the rules applied. */
struct bench {
    struct netdev nd;
    struct mnl_socket *queue;
    int tap, sender;
};

static void bind_queue(struct mnl_socket *socket, uint16_t number)
{
    char buffer[256];
    struct nlmsghdr *header = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, number);

    nfq_nlmsg_cfg_put_cmd(header, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    assert_true(mnl_socket_sendto(socket, header, header->nlmsg_len) > 0);
    header = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, number);
    nfq_nlmsg_cfg_put_params(header, NFQNL_COPY_PACKET, 0xffff);
    mnl_attr_put_u32(header, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
    mnl_attr_put_u32(header, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
    assert_true(mnl_socket_sendto(socket, header, header->nlmsg_len) > 0);
}

static void open_queues(struct bench *bench)
{
    bench->queue = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    assert_non_null(bench->queue);
    assert_return_code(mnl_socket_bind(bench->queue, 0, MNL_SOCKET_AUTOPID), errno);
    for (uint16_t lane = 0; lane < LANES; lane++)
        bind_queue(bench->queue, (uint16_t)(QUEUE_BASE + lane));
}

static void apply_rules(void)
{
    static const struct rules_set set = {"enclave",
                                         rule_enclave_nft,
                                         "inet causeway_enclave",
                                         rule_enclave_ipv4_rules,
                                         rule_enclave_ipv6_rules,
                                         rule_enclave_hooks};
    struct rules_values *values = rules_values_new();
    enum rules_backend used;
    struct failure failure = {""};

    rules_set(values, "device", "cw1");
    rules_set(values, "tagged", "1");
    for (unsigned lane = 0; lane < LANES; lane++) {
        rules_group(values, "lanes");
        rules_group_set(values, "mark", "0x%x", TC_MARK_SEEN | lane << TC_MARK_LANE_SHIFT);
        rules_group_set(values, "mask", "0x%x", TC_MARK_SEEN | TC_MARK_LANE_MASK);
        rules_group_set(values, "queue", "%u", QUEUE_BASE + lane);
    }
    bool applied = rules_apply(&set, RULES_AUTO, values, &used, &failure);
    rules_values_free(values);
    if (!applied)
        fail_msg("%s", failure.text);
}

static void make_link(struct netdev *nd)
{
    struct veth_spec spec = {.name = "cw0",
                             .peer = "cw1",
                             .mac = {{2, 0, 0, 0, 0, 1}},
                             .peer_mac = {{2, 0, 0, 0, 0, 2}},
                             .mtu = 1500,
                             .alias = "test"};
    struct ip_prefix address;
    struct ip_addr peer;
    int program = load_or_skip(LANES);

    assert_int_equal(netdev_open(nd), 0);
    assert_int_equal(netdev_veth_ensure(nd, &spec), 0);
    assert_int_equal(netdev_set_up(nd, netdev_index("cw0"), true), 0);
    assert_int_equal(netdev_set_up(nd, netdev_index("cw1"), true), 0);
    assert_true(prefix_parse("192.0.2.1/32", &address));
    address.length = 24;
    assert_int_equal(netdev_address_only(nd, netdev_index("cw0"), &address), 0);
    assert_true(addr_parse("192.0.2.2", &peer));
    assert_int_equal(netdev_neighbour(nd, netdev_index("cw0"), &peer, &spec.peer_mac), 0);
    for (int i = 0; i < 2; i++) /* a second time replaces the first */
        assert_int_equal(netdev_attach_ingress(nd, netdev_index("cw1"), program, "causeway"), 0);
    close(program);
}

static int setup(void **state)
{
    static struct bench bench;
    struct sockaddr_ll tap = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};

    *state = &bench;
    if (unshare(CLONE_NEWNET) < 0)
        return 0; /* the test says so and skips */
    make_link(&bench.nd);
    open_queues(&bench);
    apply_rules();
    bench.tap = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    assert_return_code(bench.tap, errno);
    assert_int_equal(tc_mark_filter_fragments(bench.tap), 0);
    tap.sll_ifindex = netdev_index("cw1");
    assert_return_code(bind(bench.tap, (struct sockaddr *)&tap, sizeof(tap)), errno);
    bench.sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_return_code(bench.sender, errno);
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    if (bench->nd.socket == NULL)
        return 0;
    mnl_socket_close(bench->queue);
    close(bench->tap);
    close(bench->sender);
    (void)netdev_delete(&bench->nd, "cw0", "test");
    netdev_close(&bench->nd);
    return 0;
}

static struct bench *bench_or_skip(void **state)
{
    struct bench *bench = *state;

    if (bench->nd.socket == NULL) {
        print_message("no network namespace of our own: not root\n");
        skip();
    }
    return bench;
}

static void send_udp(const struct bench *bench, size_t bytes, int segment)
{
    static const char data[8192];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};

    inet_pton(AF_INET, "192.0.2.2", &to.sin_addr);
    assert_return_code(
        setsockopt(bench->sender, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), errno);
    assert_int_equal(sendto(bench->sender, data, bytes, 0, (struct sockaddr *)&to, sizeof(to)),
                     bytes);
}

struct queued {
    uint32_t mark, payload;
};

static int on_queued(const struct nlmsghdr *message, void *context)
{
    struct nlattr *attributes[NFQA_MAX + 1] = {0};
    struct queued *out = context;

    if (nfq_nlmsg_parse(message, attributes) < 0 || attributes[NFQA_PAYLOAD] == NULL)
        return MNL_CB_OK;
    out->mark = attributes[NFQA_MARK] ? ntohl(mnl_attr_get_u32(attributes[NFQA_MARK])) : 0;
    out->payload = mnl_attr_get_payload_len(attributes[NFQA_PAYLOAD]);
    return MNL_CB_OK;
}

static struct queued next_queued(const struct bench *bench)
{
    static char buffer[0x20000];
    struct queued out = {0};
    struct pollfd wait = {.fd = mnl_socket_get_fd(bench->queue), .events = POLLIN};
    ssize_t bytes;

    assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
    bytes = mnl_socket_recvfrom(bench->queue, buffer, sizeof(buffer));
    assert_true(bytes > 0);
    (void)mnl_cb_run(buffer, (size_t)bytes, 0, 0, on_queued, &out);
    return out;
}

/* NFQUEUE reports the mark, and with it the gso_size that it does not report. */
static void test_queue_reports_gso_size(void **state)
{
    struct bench *bench = bench_or_skip(state);
    struct queued queued;
    uint32_t lane;

    send_udp(bench, 4 * SEGMENT, SEGMENT);
    queued = next_queued(bench);
    assert_int_equal(queued.payload, 28 + 4 * SEGMENT);
    assert_int_equal(queued.mark & TC_MARK_GSO_MASK, SEGMENT);
    assert_true(queued.mark & TC_MARK_SEEN);
    lane = queued.mark & TC_MARK_LANE_MASK;
    send_udp(bench, 100, 0);
    queued = next_queued(bench);
    assert_int_equal(queued.payload, 128);
    assert_int_equal(queued.mark & TC_MARK_GSO_MASK, 0);
    assert_int_equal(queued.mark & TC_MARK_LANE_MASK, lane); /* the same flow */
}

/* The packet socket sees every fragment, and only those; the queue sees none of them. */
static void test_fragments_reach_only_the_tap(void **state)
{
    struct bench *bench = bench_or_skip(state);
    unsigned offsets = 0;

    send_udp(bench, 4000, 0);
    send_udp(bench, 50, 0);
    assert_int_equal(next_queued(bench).payload, 78); /* not the 4000: it was sent first */
    for (int i = 0; i < 3; i++) {
        uint8_t packet[2048];
        struct pollfd wait = {.fd = bench->tap, .events = POLLIN};

        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        assert_true(recv(bench->tap, packet, sizeof(packet), 0) > 34);
        offsets |= 1u << ((packet[20] & 0x1f) << 8 | packet[21]) / 185; /* 1480 / 8 */
    }
    assert_int_equal(offsets, 7);
    assert_true(recv(bench->tap, &offsets, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

int main(void)
{
    const struct CMUnitTest logic[] = {
        cmocka_unit_test(test_mark_of_plain_packets),
        cmocka_unit_test(test_lanes_are_all_used),
        cmocka_unit_test(test_fragments_are_dropped),
        cmocka_unit_test(test_truncated_chain_is_no_fragment),
        cmocka_unit_test(test_bad_lane_counts),
    };
    const struct CMUnitTest kernel[] = {
        cmocka_unit_test(test_queue_reports_gso_size),
        cmocka_unit_test(test_fragments_reach_only_the_tap),
    };
    int failed;

    if (geteuid() != 0) {
        printf("needs root\n");
        return 77;
    }
    log_init("tc_mark", LOG_LEVEL_DEBUG);
    failed = cmocka_run_group_tests(logic, NULL, NULL);
    return failed + cmocka_run_group_tests(kernel, setup, teardown);
}
