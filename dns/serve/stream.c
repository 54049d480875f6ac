/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: queries in, answers out, its end. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/serve/stream_private.h"
#include "runtime/base/clock.h"
#include "runtime/base/link.h"

/* ---- the order of activity ---- */

static void leave_order(struct streams *streams, struct stream *stream)
{
    struct stream *all = streams->all;

    if (stream->quieter != STREAM_NONE)
        all[stream->quieter].livelier = stream->livelier;
    else
        streams->quietest = stream->livelier;
    if (stream->livelier != STREAM_NONE)
        all[stream->livelier].quieter = stream->quieter;
    else
        streams->liveliest = stream->quieter;
}

static void join_order(struct streams *streams, struct stream *stream, uint64_t now_ms)
{
    stream->active_ms = now_ms;
    stream->quieter = streams->liveliest;
    stream->livelier = STREAM_NONE;
    if (streams->liveliest != STREAM_NONE)
        streams->all[streams->liveliest].livelier = stream->index;
    else
        streams->quietest = stream->index;
    streams->liveliest = stream->index;
}

static void note_activity(struct stream *stream, uint64_t now_ms)
{
    leave_order(stream->streams, stream);
    join_order(stream->streams, stream, now_ms);
}

/* ---- one connection's end ---- */

bool stream_is_open(const struct stream *stream)
{
    return stream->source.fd >= 0;
}

void stream_close(struct stream *stream, uint64_t *reason)
{
    struct streams *streams = stream->streams;

    if (reason != NULL)
        ++*reason;
    event_remove(streams->config.loop, &stream->source);
    close(stream->source.fd);
    stream->source.fd = -1;
    stream->generation++;
    stream_output_clear(streams->blocks, &stream->output);
    leave_order(streams, stream);
    stream->livelier = streams->free;
    streams->free = stream->index;
    streams->open--;
}

bool stream_is_idle(const struct stream *stream)
{
    return stream->waiting == 0 && stream->output.bytes == 0;
}

/* ---- answers ---- */

static void mark(struct stream *stream)
{
    if (stream->marked)
        return;
    stream->marked = true;
    stream->next_marked = stream->streams->marked;
    stream->streams->marked = stream->index;
}

static struct stream *stream_of(const struct dns_client *client)
{
    struct streams *streams = client->listener;
    struct stream *stream = &streams->all[client->index];

    return stream_is_open(stream) && stream->generation == client->generation ? stream : NULL;
}

static uint8_t *reserve(const struct dns_client *client, size_t size)
{
    struct streams *streams = client->listener;

    if (stream_of(client) == NULL || size > DNS_MESSAGE_BYTES)
        return NULL;
    return streams->answer + STREAM_PREFIX_BYTES;
}

/* Writes until the socket takes no more, and says how many bytes it took. The stream may be vsock:
 * link.h has the limit of one write. False: the connection is broken. */
static bool write_some(int fd, const uint8_t *bytes, size_t length, size_t *written)
{
    *written = 0;
    while (*written < length) {
        size_t left = length - *written;
        size_t part = left < LINK_WRITE_MAX_VSOCK ? left : LINK_WRITE_MAX_VSOCK;
        ssize_t sent = send(fd, bytes + *written, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
        *written += (size_t)sent;
    }
    return true;
}

/* Queues what the socket does not take, which is written block by block. */
static void write_or_queue(struct stream *stream, const uint8_t *bytes, size_t length)
{
    struct streams *streams = stream->streams;
    size_t sent = 0;

    if (stream->output.bytes == 0 && !write_some(stream->source.fd, bytes, length, &sent)) {
        stream_close(stream, &streams->config.counters->drop_stream_broken);
        return;
    }
    streams->config.counters->answers++;
    if (!stream_output_add(streams->blocks, &stream->output, bytes + sent, length - sent))
        stream_close(stream, &streams->config.counters->drop_stream_no_buffer);
}

static void send_answer(const struct dns_client *client, size_t length)
{
    struct stream *stream = stream_of(client);

    if (stream == NULL)
        return;
    if (client->late) {
        stream->waiting--;
        mark(stream);
    }
    if (length == 0)
        return;
    struct streams *streams = stream->streams;
    streams->answer[0] = (uint8_t)(length >> 8);
    streams->answer[1] = (uint8_t)length;
    write_or_queue(stream, streams->answer, STREAM_PREFIX_BYTES + length);
}

static const struct dns_transport transport = {
    .is_stream = true,
    .answer_max = DNS_MESSAGE_BYTES,
    .reserve = reserve,
    .send = send_answer,
};

/* ---- queries ---- */

static bool may_ask(const struct stream *stream)
{
    const struct streams *streams = stream->streams;
    unsigned limit =
        stream->listener->where.is_link ? streams->config.link_pipeline : STREAM_PIPELINE;

    return stream->waiting < limit && stream->output.bytes == 0;
}

/* Hands one query over. False: the connection is closed. */
static bool ask(struct stream *stream, const uint8_t *query, size_t length, uint64_t now_ms)
{
    struct streams *streams = stream->streams;
    struct dns_client client = {
        .transport = &transport,
        .listener = streams,
        .who = stream->who,
        .is_link = stream->listener->where.is_link,
        .index = stream->index,
        .generation = stream->generation,
    };

    ++*(stream->listener->where.is_link ? &streams->config.counters->queries_link
                                        : &streams->config.counters->queries_tcp);
    enum resolver_result result =
        resolver_ask(streams->config.resolver, &client, query, length, now_ms);
    if (stream_of(&client) == NULL)
        return false;
    if (result == RESOLVER_WAITING)
        stream->waiting++;
    if (result != RESOLVER_DROPPED)
        return true;
    stream_close(stream, NULL); /* the resolver has counted why */
    return false;
}

/* Hands over the complete queries of the input. False: the connection is closed. */
static bool take_queries(struct stream *stream, uint64_t now_ms)
{
    size_t used = 0;

    while (stream->fill - used >= STREAM_PREFIX_BYTES) {
        const uint8_t *at = stream->input + used;
        size_t length = (size_t)at[0] << 8 | at[1];
        if (length > STREAM_QUERY_BYTES) {
            stream_close(stream, &stream->streams->config.counters->drop_stream_oversized);
            return false;
        }
        if (stream->fill - used < STREAM_PREFIX_BYTES + length || !may_ask(stream))
            break;
        if (!ask(stream, at + STREAM_PREFIX_BYTES, length, now_ms))
            return false;
        used += STREAM_PREFIX_BYTES + length;
    }
    if (used > 0) {
        stream->fill -= used;
        memmove(stream->input, stream->input + used, stream->fill);
        stream->partial_ms = 0;
        note_activity(stream, now_ms);
    }
    return true;
}

/* False: the connection is closed. */
static bool read_input(struct stream *stream)
{
    ssize_t got = recv(stream->source.fd, stream->input + stream->fill,
                       sizeof(stream->input) - stream->fill, MSG_DONTWAIT);

    if (got > 0) {
        stream->fill += (size_t)got;
        return true;
    }
    if (got == 0) {
        stream->ended = true;
        return true;
    }
    if (errno == EAGAIN || errno == EINTR)
        return true;
    stream_close(stream, &stream->streams->config.counters->drop_stream_broken);
    return false;
}

/* False: the connection is closed. */
static bool write_output(struct stream *stream)
{
    struct streams *streams = stream->streams;
    const uint8_t *bytes = NULL;
    size_t length;

    while ((length = stream_output_peek(streams->blocks, &stream->output, &bytes)) > 0) {
        ssize_t sent = send(stream->source.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
            return true;
        if (sent < 0) {
            stream_close(stream, &streams->config.counters->drop_stream_broken);
            return false;
        }
        stream_output_drop(streams->blocks, &stream->output, (size_t)sent);
    }
    return true;
}

/* Is a whole query waiting for its turn? */
static bool has_query(const struct stream *stream)
{
    return stream->fill >= STREAM_PREFIX_BYTES &&
           stream->fill - STREAM_PREFIX_BYTES >= ((size_t)stream->input[0] << 8 | stream->input[1]);
}

/* Watches for what can go on now, sets the clocks, or closes what has come to its end. */
static void settle(struct stream *stream, uint64_t now_ms)
{
    struct dns_counters *counters = stream->streams->config.counters;
    uint32_t events = 0;
    bool held = has_query(stream);

    if (stream->ended && !held && stream_is_idle(stream)) {
        stream_close(stream, stream->fill > 0 ? &counters->drop_stream_broken : NULL);
        return;
    }
    if (!stream->ended && !held && may_ask(stream))
        events |= EPOLLIN;
    if (stream->output.bytes > 0)
        events |= EPOLLOUT;
    if (stream->output.bytes == 0)
        stream->unread_ms = 0;
    else if (stream->unread_ms == 0)
        stream->unread_ms = now_ms;
    if (stream->fill == 0 || held || stream->ended)
        stream->partial_ms = 0;
    else if (stream->partial_ms == 0)
        stream->partial_ms = now_ms;
    if (events != stream->events &&
        event_change(stream->streams->config.loop, &stream->source, events) == 0)
        stream->events = events;
}

static void stream_ready(void *context, uint32_t events)
{
    struct stream *stream = context;
    uint64_t now_ms = clock_ms();

    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0) {
        stream_close(stream, &stream->streams->config.counters->drop_stream_broken);
        return;
    }
    if ((events & EPOLLOUT) != 0 && !write_output(stream))
        return;
    if ((events & EPOLLIN) != 0 && !read_input(stream))
        return;
    if (take_queries(stream, now_ms))
        settle(stream, now_ms);
}

void stream_resume(struct stream *stream, uint64_t now_ms)
{
    note_activity(stream, now_ms);
    if (take_queries(stream, now_ms))
        settle(stream, now_ms);
}

/* ---- beginning and time ---- */

bool stream_start(struct listener *listener, int fd, const struct ip_addr *who, uint64_t now_ms)
{
    struct streams *streams = listener->streams;

    if (streams->free == STREAM_NONE)
        return false;
    struct stream *stream = &streams->all[streams->free];
    stream->source = (struct event_source){fd, stream_ready, stream};
    if (event_add(streams->config.loop, &stream->source, EPOLLIN) < 0) {
        stream->source.fd = -1;
        return false;
    }
    streams->free = stream->livelier;
    streams->open++;
    stream->listener = listener;
    stream->who = *who;
    stream->events = EPOLLIN;
    stream->ended = false;
    stream->waiting = 0;
    stream->partial_ms = stream->unread_ms = 0;
    stream->fill = 0;
    stream_output_init(&stream->output);
    join_order(streams, stream, now_ms);
    return true;
}

void stream_check(struct stream *stream, uint64_t now_ms)
{
    struct dns_counters *counters = stream->streams->config.counters;

    if (stream->unread_ms != 0 && now_ms - stream->unread_ms >= STREAM_PATIENCE_MS)
        stream_close(stream, &counters->drop_stream_slow_reader);
    else if (stream->partial_ms != 0 && now_ms - stream->partial_ms >= STREAM_PATIENCE_MS)
        stream_close(stream, &counters->drop_stream_slow_query);
    else if (stream_is_idle(stream) && stream->fill == 0 &&
             now_ms - stream->active_ms >= STREAM_IDLE_MS)
        stream_close(stream, &counters->streams_idle);
}
