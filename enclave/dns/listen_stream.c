/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/dns/listen_stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "enclave/dns/listen_socket.h"
#include "enclave/dns/stream_output.h"
#include "runtime/clock.h"

#define NONE          UINT32_MAX
#define QUERY_BYTES   2048 /* no query is longer */
#define PREFIX_BYTES  2    /* RFC 1035 4.2.2 */
#define BACKLOG       128
#define ACCEPT_ROUNDS 16 /* connections taken per wakeup */
#define TICK_MS       1000
#define BLOCKS        512 /* 2 MB of answers that are not read, in all */

struct listener {
    struct event_source source;
    struct streams *streams;
    struct dns_listen where;
    bool resting; /* accept() failed for want of something; tried again at the next tick */
};

struct connection {
    struct event_source source; /* fd -1: free */
    struct streams *streams;
    const struct listener *listener;
    uint32_t slot, generation;
    struct ip_addr who;
    uint32_t events;            /* what the loop watches */
    uint32_t quieter, livelier; /* by the time of the latest query; free: next */
    uint32_t next_marked;
    bool marked;
    bool ended;                     /* the client sends no more */
    unsigned waiting;               /* unanswered questions */
    uint64_t active_ms;             /* latest query or late answer */
    uint64_t partial_ms, unread_ms; /* since when a query is not complete, answers not read; or 0 */
    struct stream_output output;
    size_t fill;
    uint8_t input[PREFIX_BYTES + QUERY_BYTES];
};

struct streams {
    struct streams_config config;
    struct stream_blocks *blocks;
    struct listener listeners[DNS_LISTENERS_MAX];
    unsigned listener_count;
    uint32_t free, quietest, liveliest, marked;
    unsigned open;
    uint64_t tick_ms; /* the next */
    uint8_t answer[PREFIX_BYTES + DNS_MESSAGE_BYTES];
    struct connection connections[];
};

/* ---- the order of activity ---- */

static void leave_order(struct streams *streams, struct connection *connection)
{
    struct connection *all = streams->connections;

    if (connection->quieter != NONE)
        all[connection->quieter].livelier = connection->livelier;
    else
        streams->quietest = connection->livelier;
    if (connection->livelier != NONE)
        all[connection->livelier].quieter = connection->quieter;
    else
        streams->liveliest = connection->quieter;
}

static void join_order(struct streams *streams, struct connection *connection, uint64_t now_ms)
{
    connection->active_ms = now_ms;
    connection->quieter = streams->liveliest;
    connection->livelier = NONE;
    if (streams->liveliest != NONE)
        streams->connections[streams->liveliest].livelier = connection->slot;
    else
        streams->quietest = connection->slot;
    streams->liveliest = connection->slot;
}

static void note_activity(struct connection *connection, uint64_t now_ms)
{
    leave_order(connection->streams, connection);
    join_order(connection->streams, connection, now_ms);
}

/* ---- one connection's end ---- */

static bool is_open(const struct connection *connection)
{
    return connection->source.fd >= 0;
}

static void close_connection(struct connection *connection, uint64_t *reason)
{
    struct streams *streams = connection->streams;

    if (reason != NULL)
        ++*reason;
    event_remove(streams->config.loop, &connection->source);
    close(connection->source.fd);
    connection->source.fd = -1;
    connection->generation++;
    stream_output_clear(streams->blocks, &connection->output);
    leave_order(streams, connection);
    connection->livelier = streams->free;
    streams->free = connection->slot;
    streams->open--;
}

static bool is_idle(const struct connection *connection)
{
    return connection->waiting == 0 && connection->output.bytes == 0;
}

static bool evict_idle(struct streams *streams)
{
    for (uint32_t i = streams->quietest; i != NONE; i = streams->connections[i].livelier) {
        if (is_idle(&streams->connections[i])) {
            close_connection(&streams->connections[i], &streams->config.counters->streams_evicted);
            return true;
        }
    }
    return false;
}

/* ---- answers ---- */

static void mark(struct connection *connection)
{
    if (connection->marked)
        return;
    connection->marked = true;
    connection->next_marked = connection->streams->marked;
    connection->streams->marked = connection->slot;
}

static struct connection *connection_of(const struct dns_client *client)
{
    struct streams *streams = client->listener;
    struct connection *connection = &streams->connections[client->slot];

    return is_open(connection) && connection->generation == client->generation ? connection : NULL;
}

static uint8_t *reserve(const struct dns_client *client, size_t size)
{
    struct streams *streams = client->listener;

    if (connection_of(client) == NULL || size > DNS_MESSAGE_BYTES)
        return NULL;
    return streams->answer + PREFIX_BYTES;
}

/* Writes what the socket takes and queues the rest. */
static void write_or_queue(struct connection *connection, const uint8_t *bytes, size_t length)
{
    struct streams *streams = connection->streams;
    ssize_t sent = 0;

    if (connection->output.bytes == 0) {
        sent = send(connection->source.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
            close_connection(connection, &streams->config.counters->drop_stream_broken);
            return;
        }
        sent = sent < 0 ? 0 : sent;
    }
    streams->config.counters->answers++;
    if (!stream_output_add(streams->blocks, &connection->output, bytes + sent,
                           length - (size_t)sent))
        close_connection(connection, &streams->config.counters->drop_stream_no_buffer);
}

static void send_answer(const struct dns_client *client, size_t length)
{
    struct connection *connection = connection_of(client);

    if (connection == NULL)
        return;
    if (client->late) {
        connection->waiting--;
        mark(connection);
    }
    if (length == 0)
        return;
    struct streams *streams = connection->streams;
    streams->answer[0] = (uint8_t)(length >> 8);
    streams->answer[1] = (uint8_t)length;
    write_or_queue(connection, streams->answer, PREFIX_BYTES + length);
}

static const struct dns_transport transport = {
    .is_stream = true,
    .answer_max = DNS_MESSAGE_BYTES,
    .reserve = reserve,
    .send = send_answer,
};

/* ---- queries ---- */

static bool may_ask(const struct connection *connection)
{
    const struct streams *streams = connection->streams;
    unsigned limit =
        connection->listener->where.is_link ? streams->config.link_pipeline : STREAM_PIPELINE;

    return connection->waiting < limit && connection->output.bytes == 0;
}

/* Hands one query over. False: the connection is closed. */
static bool ask(struct connection *connection, const uint8_t *query, size_t length, uint64_t now_ms)
{
    struct streams *streams = connection->streams;
    struct dns_client client = {
        .transport = &transport,
        .listener = streams,
        .who = connection->who,
        .slot = connection->slot,
        .generation = connection->generation,
    };

    ++*(connection->listener->where.is_link ? &streams->config.counters->queries_link
                                            : &streams->config.counters->queries_tcp);
    enum resolver_result result =
        resolver_ask(streams->config.resolver, &client, query, length, now_ms);
    if (connection_of(&client) == NULL)
        return false;
    if (result == RESOLVER_WAITING)
        connection->waiting++;
    if (result != RESOLVER_DROPPED)
        return true;
    close_connection(connection, NULL); /* the resolver has counted why */
    return false;
}

/* Hands over the complete queries of the input. False: the connection is closed. */
static bool take_queries(struct connection *connection, uint64_t now_ms)
{
    size_t used = 0;

    while (connection->fill - used >= PREFIX_BYTES) {
        const uint8_t *at = connection->input + used;
        size_t length = (size_t)at[0] << 8 | at[1];
        if (length > QUERY_BYTES) {
            close_connection(connection,
                             &connection->streams->config.counters->drop_stream_oversized);
            return false;
        }
        if (connection->fill - used < PREFIX_BYTES + length || !may_ask(connection))
            break;
        if (!ask(connection, at + PREFIX_BYTES, length, now_ms))
            return false;
        used += PREFIX_BYTES + length;
    }
    if (used > 0) {
        connection->fill -= used;
        memmove(connection->input, connection->input + used, connection->fill);
        connection->partial_ms = 0;
        note_activity(connection, now_ms);
    }
    return true;
}

/* False: the connection is closed. */
static bool read_input(struct connection *connection)
{
    ssize_t got = recv(connection->source.fd, connection->input + connection->fill,
                       sizeof connection->input - connection->fill, MSG_DONTWAIT);

    if (got > 0) {
        connection->fill += (size_t)got;
        return true;
    }
    if (got == 0) {
        connection->ended = true;
        return true;
    }
    if (errno == EAGAIN || errno == EINTR)
        return true;
    close_connection(connection, &connection->streams->config.counters->drop_stream_broken);
    return false;
}

/* False: the connection is closed. */
static bool write_output(struct connection *connection)
{
    struct streams *streams = connection->streams;
    const uint8_t *bytes = NULL;
    size_t length;

    while ((length = stream_output_peek(streams->blocks, &connection->output, &bytes)) > 0) {
        ssize_t sent = send(connection->source.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
            return true;
        if (sent < 0) {
            close_connection(connection, &streams->config.counters->drop_stream_broken);
            return false;
        }
        stream_output_drop(streams->blocks, &connection->output, (size_t)sent);
    }
    return true;
}

/* Is a whole query waiting for its turn? */
static bool has_query(const struct connection *connection)
{
    return connection->fill >= PREFIX_BYTES &&
           connection->fill - PREFIX_BYTES >=
               ((size_t)connection->input[0] << 8 | connection->input[1]);
}

/* Watches for what can go on now, sets the clocks, or closes what has come to its end. */
static void settle(struct connection *connection, uint64_t now_ms)
{
    struct dns_counters *counters = connection->streams->config.counters;
    uint32_t events = 0;
    bool held = has_query(connection);

    if (connection->ended && !held && is_idle(connection)) {
        close_connection(connection, connection->fill > 0 ? &counters->drop_stream_broken : NULL);
        return;
    }
    if (!connection->ended && !held && may_ask(connection))
        events |= EPOLLIN;
    if (connection->output.bytes > 0)
        events |= EPOLLOUT;
    if (connection->output.bytes == 0)
        connection->unread_ms = 0;
    else if (connection->unread_ms == 0)
        connection->unread_ms = now_ms;
    if (connection->fill == 0 || held || connection->ended)
        connection->partial_ms = 0;
    else if (connection->partial_ms == 0)
        connection->partial_ms = now_ms;
    if (events != connection->events &&
        event_change(connection->streams->config.loop, &connection->source, events) == 0)
        connection->events = events;
}

static void connection_ready(void *context, uint32_t events)
{
    struct connection *connection = context;
    uint64_t now_ms = clock_ms();

    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        close_connection(connection, &connection->streams->config.counters->drop_stream_broken);
        return;
    }
    if ((events & EPOLLOUT) != 0 && !write_output(connection))
        return;
    if ((events & EPOLLIN) != 0 && !read_input(connection))
        return;
    if (take_queries(connection, now_ms))
        settle(connection, now_ms);
}

void streams_flush(struct streams *streams)
{
    if (streams->marked == NONE)
        return;
    uint64_t now_ms = clock_ms();
    while (streams->marked != NONE) {
        struct connection *connection = &streams->connections[streams->marked];
        streams->marked = connection->next_marked;
        connection->marked = false;
        if (!is_open(connection))
            continue;
        note_activity(connection, now_ms);
        if (take_queries(connection, now_ms))
            settle(connection, now_ms);
    }
}

/* ---- accepting ---- */

static void start_connection(struct listener *listener, int fd, const struct ip_addr *who,
                             uint64_t now_ms)
{
    struct streams *streams = listener->streams;

    if (streams->free == NONE && !evict_idle(streams)) {
        streams->config.counters->drop_streams_full++;
        close(fd);
        return;
    }
    struct connection *connection = &streams->connections[streams->free];
    connection->source = (struct event_source){fd, connection_ready, connection};
    if (event_add(streams->config.loop, &connection->source, EPOLLIN) < 0) {
        connection->source.fd = -1;
        streams->config.counters->drop_streams_full++;
        close(fd);
        return;
    }
    streams->free = connection->livelier;
    streams->config.counters->streams++;
    if (streams->open++ == 0)
        streams->tick_ms = now_ms + TICK_MS;
    connection->listener = listener;
    connection->who = *who;
    connection->events = EPOLLIN;
    connection->ended = false;
    connection->waiting = 0;
    connection->partial_ms = connection->unread_ms = 0;
    connection->fill = 0;
    stream_output_init(&connection->output);
    join_order(streams, connection, now_ms);
}

static int accept_tcp(const struct listener *listener, struct ip_addr *who)
{
    union listen_sockaddr peer;
    socklen_t length = sizeof peer;
    const int on = 1;
    int fd = accept4(listener->source.fd, &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    listen_peer(&peer, who);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
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
    memcpy(who->bytes, &cid, sizeof cid);
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
            start_connection(listener, fd, &who, now_ms);
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

/* ---- time ---- */

static void check_connection(struct connection *connection, uint64_t now_ms)
{
    struct dns_counters *counters = connection->streams->config.counters;

    if (connection->unread_ms != 0 && now_ms - connection->unread_ms >= STREAM_PATIENCE_MS)
        close_connection(connection, &counters->drop_stream_slow_reader);
    else if (connection->partial_ms != 0 && now_ms - connection->partial_ms >= STREAM_PATIENCE_MS)
        close_connection(connection, &counters->drop_stream_slow_query);
    else if (is_idle(connection) && connection->fill == 0 &&
             now_ms - connection->active_ms >= STREAM_IDLE_MS)
        close_connection(connection, &counters->streams_idle);
}

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
    for (uint32_t i = streams->quietest, next; i != NONE; i = next) {
        next = streams->connections[i].livelier;
        check_connection(&streams->connections[i], now_ms);
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
        calloc(1, sizeof *streams + config->connections * sizeof(struct connection));

    if (streams == NULL || (streams->blocks = stream_blocks_create(BLOCKS)) == NULL) {
        free(streams);
        return NULL;
    }
    streams->config = *config;
    streams->free = streams->quietest = streams->liveliest = streams->marked = NONE;
    for (uint32_t i = config->connections; i-- > 0; streams->free = i) {
        struct connection *connection = &streams->connections[i];
        connection->source.fd = -1;
        connection->streams = streams;
        connection->slot = i;
        connection->livelier = streams->free;
        stream_output_init(&connection->output);
    }
    return streams;
}

void streams_free(struct streams *streams)
{
    while (streams->quietest != NONE)
        close_connection(&streams->connections[streams->quietest], NULL);
    for (unsigned i = 0; i < streams->listener_count; i++) {
        event_remove(streams->config.loop, &streams->listeners[i].source);
        close(streams->listeners[i].source.fd);
    }
    stream_blocks_free(streams->blocks);
    free(streams);
}
