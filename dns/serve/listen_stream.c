/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/serve/listen_stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/serve/listen_socket.h"
#include "dns/serve/stream_private.h"
#include "runtime/base/clock.h"

#define BACKLOG       128
#define ACCEPT_ROUNDS 16 /* connections taken per wakeup */
#define TICK_MS       1000
#define BLOCKS        512 /* 2 MB of answers that are not read, in all */

/* ---- accepting ---- */

static bool evict_idle(struct streams *streams)
{
    for (uint32_t i = streams->quietest; i != STREAM_NONE; i = streams->all[i].livelier) {
        if (stream_is_idle(&streams->all[i])) {
            stream_close(&streams->all[i], &streams->config.counters->streams_evicted);
            return true;
        }
    }
    return false;
}

static void admit(struct listener *listener, int fd, const struct ip_addr *who, uint64_t now_ms)
{
    struct streams *streams = listener->streams;
    bool is_first = streams->open == 0;

    if ((streams->free == STREAM_NONE && !evict_idle(streams)) ||
        !stream_start(listener, fd, who, now_ms)) {
        streams->config.counters->drop_streams_full++;
        close(fd);
        return;
    }
    streams->config.counters->streams++;
    if (is_first)
        streams->tick_ms = now_ms + TICK_MS;
}

static int accept_tcp(const struct listener *listener, struct ip_addr *who)
{
    union inet_sockaddr peer;
    socklen_t length = sizeof(peer);
    const int on = 1;
    int fd = accept4(listener->source.fd, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    listen_peer(&peer, who);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* A CID that the listener is not for is sent away; who it is stays in *who: its limit is its own.
 */
static int accept_link(const struct listener *listener, struct ip_addr *who)
{
    const struct link_addr *link = &listener->where.link;
    uint32_t cid;
    int fd = link_accept(listener->source.fd, link, &cid);

    *who = (struct ip_addr){0};
    if (fd < 0)
        return fd;
    memcpy(who->bytes, &cid, sizeof(cid));
    if (link->kind == LINK_VSOCK && link->cid != UINT32_MAX && link->cid != cid) {
        listener->streams->config.counters->drop_stream_stranger++;
        close(fd);
        return -ECONNABORTED;
    }
    return fd;
}

static void listener_ready(void *context, uint32_t events)
{
    struct listener *listener = context;
    uint64_t now_ms = clock_ms();
    struct ip_addr who;

    (void)events;
    for (int i = 0; i < ACCEPT_ROUNDS; i++) {
        int fd = listener->where.is_link ? accept_link(listener, &who) : accept_tcp(listener, &who);
        if (fd >= 0) {
            admit(listener, fd, &who, now_ms);
        } else if (fd == -EAGAIN) {
            return;
        } else if (fd != -ECONNABORTED && fd != -EINTR && fd != -EPROTO) {
            listener->streams->config.counters->drop_streams_full++;
            listener->resting =
                event_change(listener->streams->config.loop, &listener->source, 0) == 0;
            return;
        }
    }
}

static int open_listener(const struct dns_listen *where, bool *foreign)
{
    if (where->is_link)
        return link_listen(&where->link);
    int fd = listen_socket(SOCK_STREAM, &where->address, where->port, foreign);
    if (fd >= 0 && listen(fd, BACKLOG) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int streams_listen(struct streams *streams, const struct dns_listen *where, bool *foreign)
{
    struct listener *listener = &streams->listeners[streams->listener_count];

    if (streams->listener_count == DNS_LISTENERS_MAX)
        return -ENOSPC;
    int fd = open_listener(where, foreign);
    if (fd < 0)
        return fd;
    *listener = (struct listener){
        .source = {fd, listener_ready, listener}, .streams = streams, .where = *where};
    int result = event_add(streams->config.loop, &listener->source, EPOLLIN);
    if (result < 0)
        close(fd);
    else
        streams->listener_count++;
    return result;
}

void streams_flush(struct streams *streams)
{
    if (streams->marked == STREAM_NONE)
        return;
    uint64_t now_ms = clock_ms();
    while (streams->marked != STREAM_NONE) {
        struct stream *stream = &streams->all[streams->marked];
        streams->marked = stream->next_marked;
        stream->marked = false;
        if (stream_is_open(stream))
            stream_resume(stream, now_ms);
    }
}

/* ---- time ---- */

static bool listener_rests(const struct streams *streams)
{
    for (unsigned i = 0; i < streams->listener_count; i++)
        if (streams->listeners[i].resting)
            return true;
    return false;
}

int streams_timeout(const struct streams *streams, uint64_t now_ms)
{
    if (streams->open == 0 && !listener_rests(streams))
        return -1;
    return streams->tick_ms > now_ms ? (int)(streams->tick_ms - now_ms) : 0;
}

void streams_tick(struct streams *streams, uint64_t now_ms)
{
    if (now_ms < streams->tick_ms)
        return;
    streams->tick_ms = now_ms + TICK_MS;
    for (unsigned i = 0; i < streams->listener_count; i++) {
        struct listener *listener = &streams->listeners[i];
        if (listener->resting &&
            event_change(streams->config.loop, &listener->source, EPOLLIN) == 0)
            listener->resting = false;
    }
    for (uint32_t i = streams->quietest, next; i != STREAM_NONE; i = next) {
        next = streams->all[i].livelier;
        stream_check(&streams->all[i], now_ms);
    }
}

unsigned streams_open(const struct streams *streams)
{
    return streams->open;
}

/* ---- making ---- */

struct streams *streams_create(const struct streams_config *config)
{
    struct streams *streams =
        calloc(1, sizeof(*streams) + config->connections * sizeof(struct stream));

    if (streams == NULL || (streams->blocks = stream_blocks_create(BLOCKS)) == NULL) {
        free(streams);
        return NULL;
    }
    streams->config = *config;
    streams->free = streams->quietest = streams->liveliest = streams->marked = STREAM_NONE;
    for (uint32_t i = config->connections; i-- > 0; streams->free = i) {
        struct stream *stream = &streams->all[i];
        stream->source.fd = -1;
        stream->streams = streams;
        stream->index = i;
        stream->livelier = streams->free;
        stream_output_init(&stream->output);
    }
    return streams;
}

void streams_free(struct streams *streams)
{
    while (streams->quietest != STREAM_NONE)
        stream_close(&streams->all[streams->quietest], NULL);
    for (unsigned i = 0; i < streams->listener_count; i++) {
        event_remove(streams->config.loop, &streams->listeners[i].source);
        close(streams->listeners[i].source.fd);
    }
    stream_blocks_free(streams->blocks);
    free(streams);
}
