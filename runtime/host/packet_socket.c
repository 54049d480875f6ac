/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/host/packet_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "packet/headers.h"
#include "packet/offload.h"
#include "packet/parse.h"
#include "runtime/host/tc_mark.h"

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000 /* not in Linux 6.1's headers */
#endif

/*
 * What waits in the socket is delay for everything behind it, and memory: a few milliseconds'
 * worth at full speed. The kernel counts an skb's true size, about 1.3 times its bytes for
 * super-packets and several times for small ones.
 */
#define CAPTURE_BUFFER_BYTES (4 * 1024 * 1024)
#define INJECT_BUFFER_BYTES  (4 * 1024 * 1024)

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* The ...FORCE forms pass the sysctl limits, which a network namespace cannot set; they need
 * CAP_NET_ADMIN, without which the ordinary limit has to do. */
static void set_buffer(int fd, int force, int plain, int bytes)
{
    if (set_int(fd, SOL_SOCKET, force, bytes) < 0)
        set_int(fd, SOL_SOCKET, plain, bytes);
}

/* protocol 0: the socket receives nothing until it is bound with one. */
static int open_socket(void)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    int error = set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

static int bind_to(int fd, int ifindex, uint16_t protocol)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = ifindex};

    return bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

int packet_socket_inject(int ifindex)
{
    int fd = open_socket();

    if (fd < 0)
        return fd;
    set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, INJECT_BUFFER_BYTES);
    int error = bind_to(fd, ifindex, 0);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

/*
 * Ethernet frames of type IPv4 or IPv6; ARP and the like never cross the tunnel. Nor does what is
 * sent here: kernels older than the fanout flag of open_capture()'s caller need it said twice.
 */
static int filter_ip(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 4, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/*
 * ETH_P_ALL, not the two IP types: only such taps lie ahead of tc ingress (linux net/core/dev.c,
 * __netif_receive_skb_core). The filter is in place before the first packet can arrive.
 */
static int open_capture(int ifindex, int (*filter)(int fd))
{
    int fd = open_socket();

    if (fd < 0)
        return fd;
    set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, CAPTURE_BUFFER_BYTES);
    int error = set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    if (error == 0)
        error = filter(fd);
    if (error == 0)
        error = bind_to(fd, ifindex, ETH_P_ALL);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

int packet_socket_capture(int ifindex, unsigned members, uint16_t group)
{
    int fd = open_capture(ifindex, filter_ip);

    if (fd < 0 || members <= 1)
        return fd;
    /* A group has a tap of its own, which does not inherit its members' PACKET_IGNORE_OUTGOING:
     * without the flag every injected packet would be captured again. */
    int mode = PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    int error = set_int(fd, SOL_PACKET, PACKET_FANOUT, group | mode << 16);
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

int packet_socket_free_group(int ifindex)
{
    int fd = open_capture(ifindex, filter_ip);
    int group = 0;
    socklen_t length = sizeof(group);

    if (fd < 0)
        return fd;
    int error = set_int(fd, SOL_PACKET, PACKET_FANOUT,
                        (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
    if (error == 0 && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &group, &length) < 0)
        error = -errno;
    close(fd);
    return error < 0 ? error : group & UINT16_MAX;
}

int packet_socket_capture_fragments(int ifindex)
{
    return open_capture(ifindex, tc_mark_filter_fragments);
}

uint32_t packet_socket_lost(int fd)
{
    struct tpacket_stats statistics = {0};
    socklen_t length = sizeof(statistics);

    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) < 0)
        return 0;
    return statistics.tp_drops;
}

int packet_socket_try_udp_gso(int inject_fd)
{
    enum {
        PAYLOAD = 32,
        HEADERS = IPV4_HEADER_MIN + UDP_HEADER,
        IP = LINK_HEADER_BYTES,
        UDP = IP + IPV4_HEADER_MIN,
        BYTES = IP + HEADERS + PAYLOAD,
    };
    uint8_t frame[BYTES] = {0};
    struct virtio_net_hdr header = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
        .hdr_len = ETHERNET_HEADER_BYTES + HEADERS,
        .gso_size = PAYLOAD / 2,
        .csum_start = ETHERNET_HEADER_BYTES + IPV4_HEADER_MIN,
        .csum_offset = UDP_CSUM,
    };

    memcpy(frame, &header, VNET_HEADER_BYTES);
    store_be16(frame + VNET_HEADER_BYTES + 2 * ETH_ALEN, ETH_P_IP);
    frame[IP] = 0x45;
    store_be16(frame + IP + IPV4_TOTAL_LENGTH, HEADERS + PAYLOAD);
    frame[IP + IPV4_TTL] = 1;
    frame[IP + IPV4_PROTOCOL] = IPPROTO_UDP;
    store_be16(frame + UDP + UDP_LENGTH, UDP_HEADER + PAYLOAD);
    if (send(inject_fd, frame, sizeof(frame), MSG_DONTWAIT) == sizeof(frame))
        return 1;
    return errno == EINVAL ? 0 : -errno;
}
