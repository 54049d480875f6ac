/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: queries in, answers out, its end. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/serve/stream_private.h"
#include "runtime/base/clock.h"

/* ---- the order of activity ---- */

static void leave_order(struct streams *streams, struct connection *connection)
{
    struct connection *all = streams->connections;

    if (connection->quieter != STREAM_NONE)
        all[connection->quieter].livelier = connection->livelier;
    else
        streams->quietest = connection->livelier;
    if (connection->livelier != STREAM_NONE)
        all[connection->livelier].quieter = connection->quieter;
    else
        streams->liveliest = connection->quieter;
}

static void join_order(struct streams *streams, struct connection *connection, uint64_t now_ms)
{
    connection->active_ms = now_ms;
    connection->quieter = streams->liveliest;
    connection->livelier = STREAM_NONE;
    if (streams->liveliest != STREAM_NONE)
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

bool connection_is_open(const struct connection *connection)
{
    return connection->source.fd >= 0;
}

void connection_close(struct connection *connection, uint64_t *reason)
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

bool connection_is_idle(const struct connection *connection)
{
    return connection->waiting == 0 && connection->output.bytes == 0;
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

    return connection_is_open(connection) && connection->generation == client->generation
               ? connection
               : NULL;
}

static uint8_t *reserve(const struct dns_client *client, size_t size)
{
    struct streams *streams = client->listener;

    if (connection_of(client) == NULL || size > DNS_MESSAGE_BYTES)
        return NULL;
    return streams->answer + STREAM_PREFIX_BYTES;
}

/* Writes what the socket takes and queues the rest. */
static void write_or_queue(struct connection *connection, const uint8_t *bytes, size_t length)
{
    struct streams *streams = connection->streams;
    ssize_t sent = 0;

    if (connection->output.bytes == 0) {
        sent = send(connection->source.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
            connection_close(connection, &streams->config.counters->drop_stream_broken);
            return;
        }
        sent = sent < 0 ? 0 : sent;
    }
    streams->config.counters->answers++;
    if (!stream_output_add(streams->blocks, &connection->output, bytes + sent,
                           length - (size_t)sent))
        connection_close(connection, &streams->config.counters->drop_stream_no_buffer);
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
    write_or_queue(connection, streams->answer, STREAM_PREFIX_BYTES + length);
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
    connection_close(connection, NULL); /* the resolver has counted why */
    return false;
}

/* Hands over the complete queries of the input. False: the connection is closed. */
static bool take_queries(struct connection *connection, uint64_t now_ms)
{
    size_t used = 0;

    while (connection->fill - used >= STREAM_PREFIX_BYTES) {
        const uint8_t *at = connection->input + used;
        size_t length = (size_t)at[0] << 8 | at[1];
        if (length > STREAM_QUERY_BYTES) {
            connection_close(connection,
                             &connection->streams->config.counters->drop_stream_oversized);
            return false;
        }
        if (connection->fill - used < STREAM_PREFIX_BYTES + length || !may_ask(connection))
            break;
        if (!ask(connection, at + STREAM_PREFIX_BYTES, length, now_ms))
            return false;
        used += STREAM_PREFIX_BYTES + length;
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
                       sizeof(connection->input) - connection->fill, MSG_DONTWAIT);

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
    connection_close(connection, &connection->streams->config.counters->drop_stream_broken);
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
            connection_close(connection, &streams->config.counters->drop_stream_broken);
            return false;
        }
        stream_output_drop(streams->blocks, &connection->output, (size_t)sent);
    }
    return true;
}

/* Is a whole query waiting for its turn? */
static bool has_query(const struct connection *connection)
{
    return connection->fill >= STREAM_PREFIX_BYTES &&
           connection->fill - STREAM_PREFIX_BYTES >=
               ((size_t)connection->input[0] << 8 | connection->input[1]);
}

/* Watches for what can go on now, sets the clocks, or closes what has come to its end. */
static void settle(struct connection *connection, uint64_t now_ms)
{
    struct dns_counters *counters = connection->streams->config.counters;
    uint32_t events = 0;
    bool held = has_query(connection);

    if (connection->ended && !held && connection_is_idle(connection)) {
        connection_close(connection, connection->fill > 0 ? &counters->drop_stream_broken : NULL);
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
        connection_close(connection, &connection->streams->config.counters->drop_stream_broken);
        return;
    }
    if ((events & EPOLLOUT) != 0 && !write_output(connection))
        return;
    if ((events & EPOLLIN) != 0 && !read_input(connection))
        return;
    if (take_queries(connection, now_ms))
        settle(connection, now_ms);
}

void connection_resume(struct connection *connection, uint64_t now_ms)
{
    note_activity(connection, now_ms);
    if (take_queries(connection, now_ms))
        settle(connection, now_ms);
}

/* ---- beginning and time ---- */

bool connection_start(struct listener *listener, int fd, const struct ip_addr *who, uint64_t now_ms)
{
    struct streams *streams = listener->streams;

    if (streams->free == STREAM_NONE)
        return false;
    struct connection *connection = &streams->connections[streams->free];
    connection->source = (struct event_source){fd, connection_ready, connection};
    if (event_add(streams->config.loop, &connection->source, EPOLLIN) < 0) {
        connection->source.fd = -1;
        return false;
    }
    streams->free = connection->livelier;
    streams->open++;
    connection->listener = listener;
    connection->who = *who;
    connection->events = EPOLLIN;
    connection->ended = false;
    connection->waiting = 0;
    connection->partial_ms = connection->unread_ms = 0;
    connection->fill = 0;
    stream_output_init(&connection->output);
    join_order(streams, connection, now_ms);
    return true;
}

void connection_check(struct connection *connection, uint64_t now_ms)
{
    struct dns_counters *counters = connection->streams->config.counters;

    if (connection->unread_ms != 0 && now_ms - connection->unread_ms >= STREAM_PATIENCE_MS)
        connection_close(connection, &counters->drop_stream_slow_reader);
    else if (connection->partial_ms != 0 && now_ms - connection->partial_ms >= STREAM_PATIENCE_MS)
        connection_close(connection, &counters->drop_stream_slow_query);
    else if (connection_is_idle(connection) && connection->fill == 0 &&
             now_ms - connection->active_ms >= STREAM_IDLE_MS)
        connection_close(connection, &counters->streams_idle);
}
