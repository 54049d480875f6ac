/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/nfqueue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "tests/unit/support.h"

/* ---- messages made by hand ---- */

static _Alignas(struct nlmsghdr) uint8_t made[2048];

static const uint8_t sixty_four[64] = "sixty-four bytes";

static struct nlmsghdr *begin(uint16_t type)
{
    memset(made, 0, sizeof(made));
    struct nlmsghdr *message = mnl_nlmsg_put_header(made);
    message->nlmsg_type = type;
    mnl_nlmsg_put_extra_header(message, sizeof(struct nfgenmsg));
    return message;
}

static struct nlmsghdr *begin_packet(uint32_t id)
{
    struct nlmsghdr *message = begin(NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
    struct nfqnl_msg_packet_hdr header = {.packet_id = htonl(id)};

    mnl_attr_put(message, NFQA_PACKET_HDR, sizeof(header), &header);
    return message;
}

/* Parses a copy that ends where its allocation ends; offsets come back relative to its start. */
static bool parse(const void *bytes, size_t length, struct nfqueue_packet *out)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, bytes, length);
    bool good = nfqueue_parse(exact, length, out);
    if (good && out->payload != NULL) {
        /* libmnl counts the padding behind the last attribute as there. */
        assert_true(out->payload >= exact &&
                    out->payload + out->length <= exact + NLMSG_ALIGN(length));
        out->payload = made + (out->payload - exact);
    }
    free(exact);
    return good;
}

static void test_whole_message(void **state)
{
    struct nlmsghdr *message = begin_packet(0xfffffffe);
    struct nfqueue_packet packet;

    (void)state;
    mnl_attr_put_u32(message, NFQA_MARK, htonl(0x80010578));
    mnl_attr_put_u32(message, NFQA_SKB_INFO, htonl(NFQA_SKB_CSUMNOTREADY | NFQA_SKB_GSO));
    mnl_attr_put(message, NFQA_PAYLOAD, 5, "hello");
    assert_true(parse(message, message->nlmsg_len, &packet));
    assert_int_equal(packet.id, 0xfffffffe);
    assert_int_equal(packet.mark, 0x80010578);
    assert_true(packet.checksum_partial);
    assert_true(packet.super);
    assert_false(packet.truncated);
    assert_int_equal(packet.length, 5);
    assert_memory_equal(packet.payload, "hello", 5);
}

static void test_least_message(void **state)
{
    struct nlmsghdr *message = begin_packet(7);
    struct nfqueue_packet packet;

    (void)state;
    assert_true(parse(message, message->nlmsg_len, &packet));
    assert_int_equal(packet.id, 7);
    assert_null(packet.payload);
    assert_int_equal(packet.mark, 0);
    assert_false(packet.checksum_partial || packet.super || packet.truncated);
}

static void test_truncated_by_the_kernel(void **state)
{
    struct nlmsghdr *message = begin_packet(7);
    struct nfqueue_packet packet;

    (void)state;
    mnl_attr_put(message, NFQA_PAYLOAD, 5, "hello");
    mnl_attr_put_u32(message, NFQA_CAP_LEN, htonl(70000));
    assert_true(parse(message, message->nlmsg_len, &packet));
    assert_true(packet.truncated);
}

static void test_not_a_packet(void **state)
{
    static const uint16_t types[] = {NLMSG_NOOP,
                                     NLMSG_ERROR,
                                     NLMSG_DONE,
                                     NLMSG_OVERRUN,
                                     NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
                                     NFNL_SUBSYS_ULOG << 8 | NFQNL_MSG_PACKET};
    struct nfqnl_msg_packet_hdr header = {0};
    struct nfqueue_packet packet;

    (void)state;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct nlmsghdr *message = begin(types[i]);
        mnl_attr_put(message, NFQA_PACKET_HDR, sizeof(header), &header);
        assert_false(parse(message, message->nlmsg_len, &packet));
    }
    struct nlmsghdr *message = begin(NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET);
    mnl_attr_put(message, NFQA_PAYLOAD, 5, "hello");
    assert_false(parse(message, message->nlmsg_len, &packet)); /* no id */
}

/* Fewer bytes than the header says, and headers that say less than there is. */
static void test_every_cut(void **state)
{
    struct nlmsghdr *message = begin_packet(9);
    struct nfqueue_packet packet;

    (void)state;
    mnl_attr_put_u32(message, NFQA_MARK, htonl(1));
    mnl_attr_put_u32(message, NFQA_SKB_INFO, htonl(1));
    mnl_attr_put(message, NFQA_PAYLOAD, sizeof(sixty_four), sixty_four);
    uint32_t length = message->nlmsg_len;
    for (uint32_t cut = 0; cut < length; cut++)
        assert_false(parse(message, cut, &packet));
    for (uint32_t claimed = 0; claimed < length; claimed++) {
        message->nlmsg_len = claimed;
        parse(message, length, &packet);
        parse(message, claimed, &packet);
    }
    message->nlmsg_len = UINT32_MAX;
    assert_false(parse(message, length, &packet));
}

/* Attributes whose length lies, or is too short for what they hold. */
static void test_bad_attributes(void **state)
{
    static const uint16_t short_ones[] = {NFQA_PACKET_HDR, NFQA_MARK, NFQA_SKB_INFO};
    struct nfqueue_packet packet;

    (void)state;
    for (size_t i = 0; i < sizeof(short_ones) / sizeof(short_ones[0]); i++) {
        for (size_t bytes = 0; bytes < 4; bytes++) {
            struct nlmsghdr *message = short_ones[i] == NFQA_PACKET_HDR
                                           ? begin(NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)
                                           : begin_packet(3);
            mnl_attr_put(message, short_ones[i], bytes, "\xff\xff\xff");
            message->nlmsg_len -= (uint32_t)((4 - bytes % 4) % 4); /* no padding to read */
            parse(message, message->nlmsg_len, &packet);
        }
    }
    for (unsigned length = 0; length < 80; length++) {
        struct nlmsghdr *message = begin_packet(3);
        struct nlattr *payload = mnl_nlmsg_get_payload_tail(message);
        mnl_attr_put(message, NFQA_PAYLOAD, 32, sixty_four);
        payload->nla_len = (uint16_t)length;
        parse(message, message->nlmsg_len, &packet);
    }
}

static void test_verdict_bytes(void **state)
{
    _Alignas(4) uint8_t out[NFQUEUE_VERDICT_BYTES + 4] = {0};
    struct nlmsghdr *message = (struct nlmsghdr *)out;
    const struct nfgenmsg *family = (struct nfgenmsg *)(out + NLMSG_HDRLEN);
    const struct nlattr *attribute = (struct nlattr *)(family + 1);
    const struct nfqnl_msg_verdict_hdr *verdict = mnl_attr_get_payload(attribute);

    (void)state;
    memset(out, 0xa5, sizeof(out));
    nfqueue_verdict(out, 7701, 0x80000001);
    assert_int_equal(message->nlmsg_len, NFQUEUE_VERDICT_BYTES);
    assert_int_equal(message->nlmsg_type, NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT_BATCH);
    assert_true(message->nlmsg_flags & NLM_F_REQUEST);
    assert_false(message->nlmsg_flags &
                 NLM_F_ACK); /* an answer would look like a packet's message */
    assert_int_equal(family->version, NFNETLINK_V0);
    assert_int_equal(ntohs(family->res_id), 7701);
    assert_int_equal(mnl_attr_get_type(attribute), NFQA_VERDICT_HDR);
    assert_int_equal(ntohl(verdict->verdict), NF_DROP);
    assert_int_equal(ntohl(verdict->id), 0x80000001);
    for (size_t i = NFQUEUE_VERDICT_BYTES; i < sizeof(out); i++)
        assert_int_equal(out[i], 0xa5);
}

/* ---- the kernel ---- */

#define QUEUE 4711

static int udp_to_ourselves(uint16_t port, struct sockaddr_in *address)
{
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    return fd;
}

/* Packets of the queue that the kernel still holds, from its line in /proc. */
static int waiting(unsigned queue)
{
    FILE *file = fopen("/proc/net/netfilter/nfnetlink_queue", "re");
    char line[256];
    unsigned number;
    int total, found = -1;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "%u %*u %d", &number, &total) == 2 && number == queue)
            found = total;
    if (file != NULL)
        fclose(file);
    return found;
}

static void need_queue(void)
{
    int fd = nfqueue_open(QUEUE, true, 16);

    if (fd < 0) {
        print_message("NFQUEUE is not to be had here: %s\n", strerror(-fd));
        skip();
    }
    close(fd);
}

static void test_open(void **state)
{
    (void)state;
    need_queue();
    unsigned fds = support_open_fds();
    int fd = nfqueue_open(QUEUE, true, 16);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(waiting(QUEUE), 0);
    assert_int_equal(nfqueue_lost(QUEUE), 0);
    assert_int_equal(nfqueue_open(QUEUE, true, 16), -EPERM); /* another socket has it */
    int other = nfqueue_open(QUEUE + 1, false, 16);
    assert_true(other >= 0);
    close(other);
    close(fd);
    assert_int_equal(support_open_fds(), fds);
    fd = nfqueue_open(QUEUE, false, 16);
    assert_true(fd >= 0);
    close(fd);
}

static bool queue_udp_port(unsigned port)
{
    char command[300];

    snprintf(command, sizeof(command),
             "iptables -t raw -I PREROUTING -i lo -p udp --dport %u -j NFQUEUE --queue-num %d "
             "2>/dev/null || iptables-legacy -t raw -I PREROUTING -i lo -p udp --dport %u "
             "-j NFQUEUE --queue-num %d 2>/dev/null",
             port, QUEUE, port, QUEUE);
    return system(command) == 0;
}

/* A burst is read and parsed; one verdict drops it all, and what came later waits on. */
static void test_packets_and_verdict(void **state)
{
    static _Alignas(struct nlmsghdr) uint8_t message[NFQUEUE_MESSAGE_MAX];
    uint8_t verdict[NFQUEUE_VERDICT_BYTES];
    struct sockaddr_in address;
    struct nfqueue_packet packet;
    uint32_t last = 0;

    (void)state;
    need_queue();
    if (!queue_udp_port(7001)) {
        print_message("no iptables that knows NFQUEUE\n");
        skip();
    }
    int queue = nfqueue_open(QUEUE, true, 16);
    assert_true(queue >= 0);
    int sender = udp_to_ourselves(7001, &address);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            sendto(sender, "payload", 7, 0, (struct sockaddr *)&address, sizeof(address)), 7);
    WAIT_UNTIL(waiting(QUEUE) == 3);
    for (unsigned i = 0; i < 3; i++) {
        ssize_t length = recv(queue, message, sizeof(message), 0);
        assert_true(length > 0);
        assert_true(nfqueue_parse(message, (size_t)length, &packet));
        assert_int_equal(packet.length, 20 + 8 + 7);
        assert_memory_equal(packet.payload + 28, "payload", 7);
        assert_false(packet.truncated);
        assert_true(i == 0 || packet.id == last + 1);
        last = packet.id;
    }
    assert_int_equal(recv(queue, message, sizeof(message), 0), -1);
    nfqueue_verdict(verdict, QUEUE, last - 1);
    assert_int_equal(send(queue, verdict, sizeof(verdict), 0), sizeof(verdict));
    assert_int_equal(waiting(QUEUE), 1);
    nfqueue_verdict(verdict, QUEUE, last);
    assert_int_equal(send(queue, verdict, sizeof(verdict), 0), sizeof(verdict));
    assert_int_equal(waiting(QUEUE), 0);
    assert_int_equal(nfqueue_lost(QUEUE), 0);

    for (unsigned i = 0; i < 20; i++)
        sendto(sender, "payload", 7, 0, (struct sockaddr *)&address, sizeof(address));
    WAIT_UNTIL(waiting(QUEUE) == 16);
    WAIT_UNTIL(nfqueue_lost(QUEUE) == 4);
    assert_int_equal(nfqueue_lost(QUEUE + 1), 0);
    close(sender);
    close(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_message),
        cmocka_unit_test(test_least_message),
        cmocka_unit_test(test_truncated_by_the_kernel),
        cmocka_unit_test(test_not_a_packet),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_bad_attributes),
        cmocka_unit_test(test_verdict_bytes),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_packets_and_verdict),
    };
    if (!support_own_netns())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
