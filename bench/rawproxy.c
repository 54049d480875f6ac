/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classic raw proxy: the baseline that causeway is measured against, not a part of causeway.
 *
 *   enclave: NFQUEUE 0 (mangle POSTROUTING) -> stream 0 -> parent: AF_INET raw socket
 *   parent:  NFQUEUE 0 (mangle INPUT)       -> stream 1 -> enclave: AF_INET raw socket
 *
 * It is the published design of this kind (raw IP over vsock by NFQUEUE and IP_HDRINCL), with its
 * costs per packet and no others: a capture thread does one recv, one write and one verdict per
 * packet; an injection thread reads four bytes (they hold the packet's length, which is the only
 * framing), then the rest, and does one sendto. The kernel segments and checksums before the
 * queue, since the queue is made without NFQA_CFG_F_GSO. There is no batching and no super-packet,
 * and nothing slows it down either: fixed buffers, no logging, no locks, a receive buffer that
 * holds the kernel's whole queue.
 *
 * The enclave uses the parent's own address, as the published ones do, so there is no NAT: the
 * addresses and rules are set up by bench/systems/rawproxy.py.
 *
 *   rawproxy enclave PATH | rawproxy parent PATH      (AF_UNIX; the enclave dials twice)
 *
 * SIGUSR1 prints counters on stderr in the form of causeway's own, SIGTERM ends it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#define QUEUE_NUMBER  0
#define PACKET_MAX    65535
#define NETLINK_MAX   (PACKET_MAX + 4096) /* attributes around one packet */
#define LENGTH_PREFIX 4                   /* bytes up to and with IPv4's total length */
#define IPV4_MIN      20
#define REQUEST_MAX   1024 /* netlink requests and their acknowledgements */
#define QUEUE_BUFFER                                                                               \
    (8 << 20) /* socket buffer, bytes: the default queue (1024) of full packets                    \
               */

enum stream { STREAM_TO_PARENT, STREAM_TO_ENCLAVE, STREAM_COUNT };

static struct {
    _Atomic uint64_t captured, sent_bytes, sent_writes, injected, inject_errors;
} counters;

struct side {
    int capture_stream, inject_stream;
};

static void die(const char *what)
{
    fprintf(stderr, "rawproxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Sends one netlink request and waits for its acknowledgement. */
static void queue_request(struct mnl_socket *nl, struct nlmsghdr *nlh)
{
    char reply[REQUEST_MAX];

    nlh->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
        die("NFQUEUE request");
    ssize_t n = mnl_socket_recvfrom(nl, reply, sizeof(reply));
    if (n < 0 || mnl_cb_run(reply, (size_t)n, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0)
        die("NFQUEUE request refused");
}

static struct mnl_socket *queue_open(void)
{
    char buffer[REQUEST_MAX];
    struct mnl_socket *nl = mnl_socket_open(NETLINK_NETFILTER);

    if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
        die("netlink socket");
    int size = QUEUE_BUFFER, on = 1;
    if (setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        die("SO_RCVBUFFORCE");
    /* an overrun is a lost packet, which TCP repairs; it is no reason to fail a recv */
    mnl_socket_setsockopt(nl, NETLINK_NO_ENOBUFS, &on, sizeof(on));

    struct nlmsghdr *nlh = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, QUEUE_NUMBER);
    nfq_nlmsg_cfg_put_cmd(nlh, AF_INET, NFQNL_CFG_CMD_BIND);
    queue_request(nl, nlh);
    nlh = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, QUEUE_NUMBER);
    nfq_nlmsg_cfg_put_params(nlh, NFQNL_COPY_PACKET, PACKET_MAX);
    queue_request(nl, nlh);
    return nl;
}

static void verdict_drop(struct mnl_socket *nl, uint32_t id)
{
    char buffer[256];
    struct nlmsghdr *nlh = nfq_nlmsg_put(buffer, NFQNL_MSG_VERDICT, QUEUE_NUMBER);

    nfq_nlmsg_verdict_put(nlh, (int)id, NF_DROP);
    if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
        die("verdict");
}

static void write_packet(int stream, const uint8_t *data, size_t len)
{
    count(&counters.sent_bytes, len);
    while (len > 0) {
        ssize_t n = send(stream, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("stream");
        count(&counters.sent_writes, 1);
        data += n;
        len -= (size_t)n;
    }
}

static int on_packet(const struct nlmsghdr *nlh, void *data)
{
    const struct nlmsghdr **message = data; /* the kernel sends one packet a datagram */

    *message = nlh;
    return MNL_CB_OK;
}

static void *capture_loop(void *arg)
{
    int stream = ((struct side *)arg)->capture_stream;
    struct mnl_socket *nl = queue_open();
    static uint8_t buffer[NETLINK_MAX];
    unsigned port = mnl_socket_get_portid(nl);

    for (;;) {
        const struct nlmsghdr *message = NULL;
        struct nlattr *attr[NFQA_MAX + 1] = {NULL};
        ssize_t n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || mnl_cb_run(buffer, (size_t)n, 0, port, on_packet, &message) < 0)
            die("NFQUEUE");
        if (!message || nfq_nlmsg_parse(message, attr) < 0 || !attr[NFQA_PACKET_HDR])
            continue;
        const struct nfqnl_msg_packet_hdr *header = mnl_attr_get_payload(attr[NFQA_PACKET_HDR]);
        if (attr[NFQA_PAYLOAD]) {
            count(&counters.captured, 1);
            write_packet(stream, mnl_attr_get_payload(attr[NFQA_PAYLOAD]),
                         mnl_attr_get_payload_len(attr[NFQA_PAYLOAD]));
        }
        verdict_drop(nl, ntohl(header->packet_id));
    }
    return NULL;
}

static bool read_exactly(int stream, uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = recv(stream, data, len, MSG_WAITALL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static void *inject_loop(void *arg)
{
    int stream = ((struct side *)arg)->inject_stream;
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    static uint8_t packet[PACKET_MAX];

    if (raw < 0)
        die("raw socket");
    while (read_exactly(stream, packet, LENGTH_PREFIX)) {
        size_t len = (size_t)packet[2] << 8 | packet[3]; /* RFC 791: total length */
        if (len < IPV4_MIN) {
            fprintf(stderr, "rawproxy: a packet of %zu bytes, framing is lost\n", len);
            exit(1);
        }
        if (!read_exactly(stream, packet + LENGTH_PREFIX, len - LENGTH_PREFIX))
            break;
        struct sockaddr_in to = {.sin_family = AF_INET};
        memcpy(&to.sin_addr, packet + 16, 4);
        if (sendto(raw, packet, len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
            count(&counters.inject_errors, 1);
        else
            count(&counters.injected, 1);
    }
    fprintf(stderr, "rawproxy: the other side has gone\n");
    exit(1);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(address.sun_path, path);
    return address;
}

static int dial(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        if (errno != ENOENT && errno != ECONNREFUSED)
            die(path);
        usleep(10000); /* the parent is not listening yet */
    }
    return fd;
}

static void accept_all(const char *path, int streams[STREAM_COUNT])
{
    struct sockaddr_un address = address_of(path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    unlink(path);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 2) < 0)
        die(path);
    for (int i = 0; i < STREAM_COUNT; i++) {
        streams[i] = accept(listener, NULL, NULL);
        if (streams[i] < 0)
            die("accept");
    }
    close(listener);
}

static void print_counters(const char *side)
{
    fprintf(stderr,
            "stats peer=%s lane=0 captured_packets %lu sent_bytes %lu sent_writes %lu "
            "injected_packets %lu inject_errors %lu\n",
            side, counters.captured, counters.sent_bytes, counters.sent_writes, counters.injected,
            counters.inject_errors);
}

int main(int argc, char **argv)
{
    bool enclave = argc == 3 && !strcmp(argv[1], "enclave");
    int streams[STREAM_COUNT];
    sigset_t signals;
    pthread_t thread;

    if (argc != 3 || (!enclave && strcmp(argv[1], "parent"))) {
        fprintf(stderr, "usage: rawproxy enclave|parent PATH\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    if (enclave)
        for (int i = 0; i < STREAM_COUNT; i++)
            streams[i] = dial(argv[2]);
    else
        accept_all(argv[2], streams);
    struct side side = {.capture_stream = streams[enclave ? STREAM_TO_PARENT : STREAM_TO_ENCLAVE],
                        .inject_stream = streams[enclave ? STREAM_TO_ENCLAVE : STREAM_TO_PARENT]};
    if (pthread_create(&thread, NULL, capture_loop, &side) ||
        pthread_create(&thread, NULL, inject_loop, &side))
        die("thread");
    fprintf(stderr, "rawproxy: %s ready\n", argv[1]);
    for (int signal; sigwait(&signals, &signal) == 0;)
        print_counters(argv[1]);
}
