/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_OVERHEAD_BYTES 256 /* more than one record adds to its content */

void stream_init(struct stream *stream)
{
    stream->state = STREAM_CLOSED;
    stream->fd = -1;
    stream->is_tls = false;
    stream->tls = (struct tls){0};
    stream->failure = UPSTREAM_ANSWERED;
    stream->reason[0] = '\0';
    stream->in_start = stream->in_end = stream->out_length = 0;
    stream->bytes_sent = stream->bytes_received = 0;
}

void stream_end(struct stream *stream, enum upstream_failure failure, const char *reason)
{
    if (stream->state == STREAM_CLOSED || stream->state == STREAM_ENDED)
        return;
    stream->state = STREAM_ENDED;
    stream->failure = failure;
    snprintf(stream->reason, sizeof(stream->reason), "%s", reason);
}

static int dial_tcp(const struct upstream_spec *spec)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to = {0};
    bool is_v6 = spec->address.version == 6;
    int one = 1;

    if (is_v6) {
        to.v6.sin6_family = AF_INET6;
        to.v6.sin6_port = htons(spec->port);
        memcpy(&to.v6.sin6_addr, spec->address.bytes, 16);
    } else {
        to.v4.sin_family = AF_INET;
        to.v4.sin_port = htons(spec->port);
        memcpy(&to.v4.sin_addr, spec->address.bytes, 4);
    }
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* writes are batches already */
    if (connect(fd, &to.any, is_v6 ? sizeof(to.v6) : sizeof(to.v4)) < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

void stream_open(struct stream *stream, const struct upstream_spec *spec, struct tls_peer *tls)
{
    uint64_t sent = stream->bytes_sent, received = stream->bytes_received;
    int fd = spec->kind == UPSTREAM_LINK ? link_dial(&spec->link) : dial_tcp(spec);

    stream_init(stream);
    stream->bytes_sent = sent;
    stream->bytes_received = received;
    stream->state = STREAM_CONNECTING;
    stream->fd = fd < 0 ? -1 : fd;
    stream->is_tls = spec->kind == UPSTREAM_TLS;
    if (fd < 0)
        stream_end(stream, UPSTREAM_CONNECT, strerror(-fd));
    else if (stream->is_tls && !tls_open(&stream->tls, tls))
        stream_end(stream, UPSTREAM_TLS_FAILED, "TLS is not set up");
}

static void send_out(struct stream *stream)
{
    while (stream->state != STREAM_ENDED) {
        if (stream->is_tls)
            stream->out_length += tls_take(&stream->tls, stream->out + stream->out_length,
                                           sizeof(stream->out) - stream->out_length);
        if (stream->out_length == 0)
            return;
        ssize_t sent = send(stream->fd, stream->out, stream->out_length, MSG_NOSIGNAL);
        if (sent < 0) {
            /* What the other side sent before it hung up may still have to be read. */
            if (errno != EAGAIN && errno != EINTR && errno != EPIPE && errno != ECONNRESET)
                stream_end(stream, UPSTREAM_CONNECT, strerror(errno));
            if (errno == EPIPE || errno == ECONNRESET)
                stream->out_length = 0;
            return;
        }
        stream->bytes_sent += (uint64_t)sent;
        stream->out_length -= (size_t)sent;
        memmove(stream->out, stream->out + sent, stream->out_length);
    }
}

void stream_close(struct stream *stream)
{
    if (stream->state == STREAM_CLOSED)
        return;
    if (stream->is_tls && stream->state == STREAM_READY) {
        tls_shutdown(&stream->tls);
        send_out(stream);
    }
    tls_close(&stream->tls);
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    stream->state = STREAM_CLOSED;
}

static void connected(struct stream *stream)
{
    int error = link_dial_result(stream->fd);
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    if (error < 0) {
        stream_end(stream, UPSTREAM_CONNECT, strerror(-error));
        return;
    }
    if (getpeername(stream->fd, (struct sockaddr *)&peer, &length) < 0)
        return; /* still connecting */
    stream->state = stream->is_tls ? STREAM_HANDSHAKE : STREAM_READY;
}

static void shake_hands(struct stream *stream)
{
    switch (tls_handshake(&stream->tls)) {
    case TLS_OK:
        stream->state = STREAM_READY;
        break;
    case TLS_WAITS:
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        send_out(stream); /* the alert that says why */
        stream_end(stream, UPSTREAM_TLS_FAILED, stream->tls.reason);
        break;
    }
}

void stream_advance(struct stream *stream)
{
    if (stream->state == STREAM_CONNECTING)
        connected(stream);
    if (stream->state == STREAM_HANDSHAKE)
        shake_hands(stream);
    if (stream->state == STREAM_HANDSHAKE || stream->state == STREAM_READY)
        send_out(stream);
}

static void hang_up(struct stream *stream, ssize_t received)
{
    if (received == 0 && stream->state == STREAM_HANDSHAKE)
        stream_end(stream, UPSTREAM_TLS_FAILED, "hung up during the TLS handshake");
    else if (received == 0)
        stream_end(stream, UPSTREAM_ANSWERED, "hung up");
    else
        stream_end(stream, UPSTREAM_CONNECT, strerror(errno));
}

/* Plain bytes that TLS has ready. */
static void fill_from_tls(struct stream *stream)
{
    while (stream->state == STREAM_READY && stream->in_end < sizeof(stream->in)) {
        size_t done = 0;
        enum tls_result result = tls_read(&stream->tls, stream->in + stream->in_end,
                                          sizeof(stream->in) - stream->in_end, &done);
        if (result == TLS_WAITS)
            return;
        if (result == TLS_CLOSED)
            stream_end(stream, UPSTREAM_ANSWERED, "hung up");
        else if (result == TLS_FAILED)
            stream_end(stream, UPSTREAM_TLS_FAILED, stream->tls.reason);
        stream->in_end += done;
    }
}

static void fill_tls(struct stream *stream)
{
    uint8_t bytes[16384];

    fill_from_tls(stream); /* left over from when in[] was full */
    while (stream->state == STREAM_HANDSHAKE ||
           (stream->state == STREAM_READY && stream->in_end < sizeof(stream->in))) {
        ssize_t received = recv(stream->fd, bytes, sizeof(bytes), 0);
        if (received < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (received <= 0) {
            hang_up(stream, received);
            return;
        }
        stream->bytes_received += (uint64_t)received;
        if (!tls_feed(&stream->tls, bytes, (size_t)received)) {
            stream_end(stream, UPSTREAM_TLS_FAILED, "no memory");
            return;
        }
        if (stream->state == STREAM_HANDSHAKE)
            shake_hands(stream);
        fill_from_tls(stream);
    }
    send_out(stream);
}

static void fill_plain(struct stream *stream)
{
    while (stream->in_end < sizeof(stream->in)) {
        size_t room = sizeof(stream->in) - stream->in_end;
        ssize_t received = recv(stream->fd, stream->in + stream->in_end, room, 0);
        if (received < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (received <= 0) {
            hang_up(stream, received);
            return;
        }
        stream->bytes_received += (uint64_t)received;
        stream->in_end += (size_t)received;
        if ((size_t)received < room)
            return;
    }
}

void stream_fill(struct stream *stream)
{
    if (stream->in_start > 0) {
        stream->in_end -= stream->in_start;
        memmove(stream->in, stream->in + stream->in_start, stream->in_end);
        stream->in_start = 0;
    }
    if (stream->state != STREAM_HANDSHAKE && stream->state != STREAM_READY)
        return;
    if (stream->is_tls)
        fill_tls(stream);
    else
        fill_plain(stream);
}

const uint8_t *stream_message(const struct stream *stream, size_t *length)
{
    const uint8_t *start = stream->in + stream->in_start;
    size_t have = stream->in_end - stream->in_start;

    if (have < 2)
        return NULL;
    *length = (size_t)start[0] << 8 | start[1];
    return have - 2 >= *length ? start + 2 : NULL;
}

void stream_drop_message(struct stream *stream)
{
    size_t length;

    if (stream_message(stream, &length) != NULL)
        stream->in_start += 2 + length;
}

static size_t put_tls(struct stream *stream, const uint8_t *bytes, size_t length)
{
    size_t room = sizeof(stream->out) - stream->out_length, done = 0;

    if (stream->state != STREAM_READY || room <= TLS_OVERHEAD_BYTES || tls_has_output(&stream->tls))
        return 0;
    if (length > room - TLS_OVERHEAD_BYTES)
        length = room - TLS_OVERHEAD_BYTES;
    enum tls_result result = tls_write(&stream->tls, bytes, length, &done);
    if (result == TLS_CLOSED || result == TLS_FAILED)
        stream_end(stream, UPSTREAM_TLS_FAILED, stream->tls.reason);
    stream->out_length += tls_take(&stream->tls, stream->out + stream->out_length,
                                   sizeof(stream->out) - stream->out_length);
    return done;
}

size_t stream_put(struct stream *stream, const uint8_t *bytes, size_t length)
{
    size_t room = sizeof(stream->out) - stream->out_length;

    if (stream->is_tls)
        return put_tls(stream, bytes, length);
    if (length > room)
        length = room;
    memcpy(stream->out + stream->out_length, bytes, length);
    stream->out_length += length;
    return length;
}

uint32_t stream_interest(const struct stream *stream)
{
    if (stream->state == STREAM_CONNECTING)
        return EPOLLOUT;
    return EPOLLIN | (stream->out_length > 0 || tls_has_output(&stream->tls) ? EPOLLOUT : 0u);
}
