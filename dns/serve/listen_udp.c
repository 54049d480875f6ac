/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/serve/listen_udp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/serve/listen_socket.h"
#include "runtime/base/clock.h"

/* No query is longer: a name of 255 bytes, and EDNS options that fill a block of padding or two. */
#define QUERY_BYTES    2048
#define RECEIVE_BUFFER (4 << 20) /* bytes the kernel keeps for us while we are busy */

union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};
static_assert(sizeof(struct in_pktinfo) <= sizeof(struct in6_pktinfo), "room for either");

struct side { /* of a batch */
    struct mmsghdr messages[LISTEN_UDP_BATCH];
    struct iovec iov[LISTEN_UDP_BATCH];
    union inet_sockaddr peers[LISTEN_UDP_BATCH];
    union control control[LISTEN_UDP_BATCH];
};

struct listen_udp {
    struct event_source source;
    struct event_loop *loop;
    struct resolver *resolver;
    struct dns_counters *counters;
    bool wildcard;
    unsigned answer_count;
    struct side queries, answers;
    uint8_t query_bytes[LISTEN_UDP_BATCH][QUERY_BYTES];
    uint8_t answer_bytes[LISTEN_UDP_BATCH][LISTEN_UDP_ANSWER_BYTES];
};

/* ---- answers ---- */

void listen_udp_flush(struct listen_udp *listener)
{
    struct mmsghdr *messages = listener->answers.messages;
    unsigned done = 0;

    while (done < listener->answer_count) {
        int sent = sendmmsg(listener->source.fd, messages + done, listener->answer_count - done,
                            MSG_DONTWAIT);
        if (sent > 0) {
            listener->counters->answers += (unsigned)sent;
            done += (unsigned)sent;
        } else if (errno != EINTR) { /* the first one is at fault */
            listener->counters->drop_send++;
            done++;
        }
    }
    listener->answer_count = 0;
}

static uint8_t *reserve(const struct dns_client *client, size_t size)
{
    struct listen_udp *listener = client->listener;

    if (listener->answer_count == LISTEN_UDP_BATCH)
        listen_udp_flush(listener);
    return size <= LISTEN_UDP_ANSWER_BYTES ? listener->answer_bytes[listener->answer_count] : NULL;
}

static size_t put_source4(const struct dns_client *client, union control *control)
{
    struct in_pktinfo info = {0};

    memcpy(&info.ipi_spec_dst, client->asked.bytes, sizeof(info.ipi_spec_dst));
    control->align = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(&control->align), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
}

static size_t put_source6(const struct dns_client *client, union control *control)
{
    struct in6_pktinfo info = {.ipi6_ifindex = client->interface};

    memcpy(&info.ipi6_addr, client->asked.bytes, sizeof(info.ipi6_addr));
    control->align = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
    memcpy(CMSG_DATA(&control->align), &info, sizeof(info));
    return CMSG_SPACE(sizeof(info));
}

static void send_answer(const struct dns_client *client, size_t length)
{
    struct listen_udp *listener = client->listener;
    struct side *side = &listener->answers;
    unsigned i = listener->answer_count;

    if (length == 0)
        return;
    side->iov[i] = (struct iovec){listener->answer_bytes[i], length};
    memcpy(&side->peers[i], &client->peer, sizeof(client->peer));
    side->messages[i].msg_hdr = (struct msghdr){
        .msg_name = &side->peers[i],
        .msg_namelen = client->peer.any.sa_family == AF_INET ? sizeof(client->peer.v4)
                                                             : sizeof(client->peer.v6),
        .msg_iov = &side->iov[i],
        .msg_iovlen = 1,
    };
    if (client->asked.version != 0) {
        side->messages[i].msg_hdr.msg_control = &side->control[i];
        side->messages[i].msg_hdr.msg_controllen = client->asked.version == 4
                                                       ? put_source4(client, &side->control[i])
                                                       : put_source6(client, &side->control[i]);
    }
    listener->answer_count++;
}

static const struct dns_transport transport = {
    .answer_max = LISTEN_UDP_ANSWER_BYTES,
    .reserve = reserve,
    .send = send_answer,
};

/* ---- queries ---- */

static void note_asked_address(struct msghdr *message, struct dns_client *client)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof(info));
            client->asked.version = 4;
            memcpy(client->asked.bytes, &info.ipi_spec_dst, sizeof(info.ipi_spec_dst));
        } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof(info));
            client->asked.version = 6;
            memcpy(client->asked.bytes, &info.ipi6_addr, sizeof(info.ipi6_addr));
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                client->interface = info.ipi6_ifindex;
        }
    }
}

static void take_query(struct listen_udp *listener, unsigned i, uint64_t now_ms)
{
    struct msghdr *message = &listener->queries.messages[i].msg_hdr;
    const union inet_sockaddr *peer = &listener->queries.peers[i];
    size_t length = listener->queries.messages[i].msg_len;
    struct dns_client client = {.transport = &transport, .listener = listener};

    listener->counters->queries_udp++;
    memcpy(&client.peer, peer, sizeof(client.peer));
    listen_peer(peer, &client.who);
    if (listener->wildcard)
        note_asked_address(message, &client);
    /* One that was cut is not a query to its end: it will be FORMERR. */
    resolver_ask(listener->resolver, &client, listener->query_bytes[i], length, now_ms);
}

static void prepare_queries(struct listen_udp *listener)
{
    struct side *side = &listener->queries;

    for (unsigned i = 0; i < LISTEN_UDP_BATCH; i++) {
        side->iov[i] = (struct iovec){listener->query_bytes[i], QUERY_BYTES};
        side->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &side->peers[i],
            .msg_namelen = sizeof(side->peers[i]),
            .msg_iov = &side->iov[i],
            .msg_iovlen = 1,
            .msg_control = listener->wildcard ? &side->control[i] : NULL,
            .msg_controllen = listener->wildcard ? sizeof(side->control[i]) : 0,
        };
    }
}

static void ready(void *context, uint32_t events)
{
    struct listen_udp *listener = context;
    uint64_t now_ms = clock_ms();
    int count = LISTEN_UDP_BATCH;

    (void)events;
    for (int round = 0; round < LISTEN_UDP_ROUNDS && count == LISTEN_UDP_BATCH; round++) {
        prepare_queries(listener);
        count = recvmmsg(listener->source.fd, listener->queries.messages, LISTEN_UDP_BATCH,
                         MSG_DONTWAIT, NULL);
        for (int i = 0; i < count; i++)
            take_query(listener, (unsigned)i, now_ms);
        listen_udp_flush(listener);
    }
}

/* ---- opening ---- */

static void set_options(int fd, const struct ip_addr *address, bool wildcard)
{
    const int on = 1, bytes = RECEIVE_BUFFER;
    /* A spoofed "packet too big" is not believed: it could ask for fragments at will. */
    const int omit = IP_PMTUDISC_OMIT;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (address->version == 4) {
        setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &omit, sizeof(omit));
        if (wildcard)
            setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    } else {
        setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &omit, sizeof(omit));
        if (wildcard)
            setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    }
}
static_assert(IP_PMTUDISC_OMIT == IPV6_PMTUDISC_OMIT, "one value for both families");

struct listen_udp *listen_udp_open(struct event_loop *loop, struct resolver *resolver,
                                   struct dns_counters *counters, const struct ip_addr *address,
                                   uint16_t port, bool *foreign, int *error)
{
    struct listen_udp *listener = calloc(1, sizeof(*listener));
    int fd = listen_socket(SOCK_DGRAM, address, port, foreign);

    *error = listener == NULL ? -ENOMEM : fd < 0 ? fd : 0;
    if (*error == 0) {
        listener->source = (struct event_source){.fd = fd, .ready = ready, .context = listener};
        listener->loop = loop;
        listener->resolver = resolver;
        listener->counters = counters;
        listener->wildcard = listen_is_wildcard(address);
        set_options(fd, address, listener->wildcard);
        *error = event_add(loop, &listener->source, EPOLLIN);
    }
    if (*error == 0)
        return listener;
    if (fd >= 0)
        close(fd);
    free(listener);
    return NULL;
}

void listen_udp_close(struct listen_udp *listener)
{
    event_remove(listener->loop, &listener->source);
    close(listener->source.fd);
    free(listener);
}
