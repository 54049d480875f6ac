/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/connection.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define TLS_OVERHEAD_BYTES 256                     /* more than one record adds to its content */
#define IN_BYTES           (2 + DNS_MESSAGE_BYTES) /* one message of any size with its length */
#define OUT_BYTES          16384
static_assert(OUT_BYTES <= LINK_WRITE_MAX_VSOCK, "one write takes all of it, also on vsock");

struct connection {
    struct event_loop *loop;
    struct event_source source; /* fd -1: closed */
    connection_ready *ready;
    void *context;
    bool is_watched;
    uint32_t interest;

    enum connection_state state;
    bool is_tls;
    struct tls tls;
    enum upstream_failure failure;
    char reason[160];
    size_t in_start, in_end, out_length;
    uint64_t bytes_sent, bytes_received; /* since connection_take_counts() */
    uint8_t in[IN_BYTES];
    uint8_t out[OUT_BYTES];
};

static void source_ready(void *context, uint32_t events)
{
    struct connection *connection = context;

    (void)events;
    connection->ready(connection->context);
}

struct connection *connection_create(struct event_loop *loop, connection_ready *ready,
                                     void *context)
{
    /* Not from the heap: most connections are never opened, and pages come with their use. */
    struct connection *connection =
        mmap(NULL, sizeof(*connection), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (connection == MAP_FAILED)
        return NULL;
    connection->loop = loop;
    connection->ready = ready;
    connection->context = context;
    connection->source = (struct event_source){-1, source_ready, connection};
    return connection;
}

void connection_free(struct connection *connection)
{
    if (connection == NULL)
        return;
    connection_close(connection);
    munmap(connection, sizeof(*connection));
}

enum connection_state connection_state(const struct connection *connection)
{
    return connection->state;
}

enum upstream_failure connection_failure(const struct connection *connection)
{
    return connection->failure;
}

const char *connection_reason(const struct connection *connection)
{
    return connection->reason;
}

bool connection_is_resumed(const struct connection *connection)
{
    return connection->is_tls && tls_resumed(&connection->tls);
}

void connection_take_counts(struct connection *connection, uint64_t *sent, uint64_t *received)
{
    *sent = connection->bytes_sent;
    *received = connection->bytes_received;
    connection->bytes_sent = connection->bytes_received = 0;
}

static void end(struct connection *connection, enum upstream_failure failure, const char *reason)
{
    if (connection->state == CONNECTION_CLOSED || connection->state == CONNECTION_ENDED)
        return;
    connection->state = CONNECTION_ENDED;
    connection->failure = failure;
    snprintf(connection->reason, sizeof(connection->reason), "%s", reason);
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

static void forget_bytes(struct connection *connection)
{
    connection->failure = UPSTREAM_ANSWERED;
    connection->reason[0] = '\0';
    connection->in_start = connection->in_end = connection->out_length = 0;
}

void connection_open(struct connection *connection, const struct upstream_spec *spec,
                     struct tls_peer *tls)
{
    int fd = spec->kind == UPSTREAM_LINK ? link_dial(&spec->link) : dial_tcp(spec);

    forget_bytes(connection);
    connection->state = CONNECTION_CONNECTING;
    connection->source.fd = fd < 0 ? -1 : fd;
    connection->is_tls = spec->kind == UPSTREAM_TLS;
    if (fd < 0)
        end(connection, UPSTREAM_CONNECT, strerror(-fd));
    else if (connection->is_tls && !tls_open(&connection->tls, tls))
        end(connection, UPSTREAM_TLS_FAILED, "TLS is not set up");
}

static void send_out(struct connection *connection)
{
    while (connection->state != CONNECTION_ENDED) {
        if (connection->is_tls)
            connection->out_length +=
                tls_take(&connection->tls, connection->out + connection->out_length,
                         sizeof(connection->out) - connection->out_length);
        if (connection->out_length == 0)
            return;
        ssize_t sent =
            send(connection->source.fd, connection->out, connection->out_length, MSG_NOSIGNAL);
        if (sent < 0) {
            /* What the other side sent before it hung up may still have to be read. */
            if (errno != EAGAIN && errno != EINTR && errno != EPIPE && errno != ECONNRESET)
                end(connection, UPSTREAM_CONNECT, strerror(errno));
            if (errno == EPIPE || errno == ECONNRESET)
                connection->out_length = 0;
            return;
        }
        connection->bytes_sent += (uint64_t)sent;
        connection->out_length -= (size_t)sent;
        memmove(connection->out, connection->out + sent, connection->out_length);
    }
}

void connection_close(struct connection *connection)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (connection->is_tls && connection->state == CONNECTION_READY) {
        tls_shutdown(&connection->tls);
        send_out(connection);
    }
    tls_close(&connection->tls);
    if (connection->is_watched)
        event_remove(connection->loop, &connection->source);
    connection->is_watched = false;
    if (connection->source.fd >= 0)
        close(connection->source.fd);
    connection->source.fd = -1;
    connection->state = CONNECTION_CLOSED;
}

static void connected(struct connection *connection)
{
    int error = link_dial_result(connection->source.fd);
    struct sockaddr_storage peer;
    socklen_t length = sizeof(peer);

    if (error < 0) {
        end(connection, UPSTREAM_CONNECT, strerror(-error));
        return;
    }
    if (getpeername(connection->source.fd, (struct sockaddr *)&peer, &length) < 0)
        return; /* still connecting */
    connection->state = connection->is_tls ? CONNECTION_HANDSHAKE : CONNECTION_READY;
}

static void shake_hands(struct connection *connection)
{
    switch (tls_handshake(&connection->tls)) {
    case TLS_OK:
        connection->state = CONNECTION_READY;
        break;
    case TLS_WAITS:
        break;
    case TLS_CLOSED:
    case TLS_FAILED:
        send_out(connection); /* the alert that says why */
        end(connection, UPSTREAM_TLS_FAILED, connection->tls.reason);
        break;
    }
}

void connection_advance(struct connection *connection)
{
    if (connection->state == CONNECTION_CONNECTING)
        connected(connection);
    if (connection->state == CONNECTION_HANDSHAKE)
        shake_hands(connection);
    if (connection->state == CONNECTION_HANDSHAKE || connection->state == CONNECTION_READY)
        send_out(connection);
}

static void hang_up(struct connection *connection, ssize_t received)
{
    if (received == 0 && connection->state == CONNECTION_HANDSHAKE)
        end(connection, UPSTREAM_TLS_FAILED, "hung up during the TLS handshake");
    else if (received == 0)
        end(connection, UPSTREAM_ANSWERED, "hung up");
    else
        end(connection, UPSTREAM_CONNECT, strerror(errno));
}

/* Plain bytes that TLS has ready. */
static void fill_from_tls(struct connection *connection)
{
    while (connection->state == CONNECTION_READY && connection->in_end < sizeof(connection->in)) {
        size_t done = 0;
        enum tls_result result = tls_read(&connection->tls, connection->in + connection->in_end,
                                          sizeof(connection->in) - connection->in_end, &done);
        if (result == TLS_WAITS)
            return;
        if (result == TLS_CLOSED)
            end(connection, UPSTREAM_ANSWERED, "hung up");
        else if (result == TLS_FAILED)
            end(connection, UPSTREAM_TLS_FAILED, connection->tls.reason);
        connection->in_end += done;
    }
}

static void fill_tls(struct connection *connection)
{
    uint8_t bytes[16384];

    fill_from_tls(connection); /* left over from when in[] was full */
    while (connection->state == CONNECTION_HANDSHAKE ||
           (connection->state == CONNECTION_READY && connection->in_end < sizeof(connection->in))) {
        ssize_t received = recv(connection->source.fd, bytes, sizeof(bytes), 0);
        if (received < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (received <= 0) {
            hang_up(connection, received);
            return;
        }
        connection->bytes_received += (uint64_t)received;
        if (!tls_feed(&connection->tls, bytes, (size_t)received)) {
            end(connection, UPSTREAM_TLS_FAILED, "no memory");
            return;
        }
        if (connection->state == CONNECTION_HANDSHAKE)
            shake_hands(connection);
        fill_from_tls(connection);
    }
    send_out(connection);
}

static void fill_plain(struct connection *connection)
{
    while (connection->in_end < sizeof(connection->in)) {
        size_t room = sizeof(connection->in) - connection->in_end;
        ssize_t received =
            recv(connection->source.fd, connection->in + connection->in_end, room, 0);
        if (received < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (received <= 0) {
            hang_up(connection, received);
            return;
        }
        connection->bytes_received += (uint64_t)received;
        connection->in_end += (size_t)received;
        if ((size_t)received < room)
            return;
    }
}

void connection_fill(struct connection *connection)
{
    if (connection->in_start > 0) {
        connection->in_end -= connection->in_start;
        memmove(connection->in, connection->in + connection->in_start, connection->in_end);
        connection->in_start = 0;
    }
    if (connection->state != CONNECTION_HANDSHAKE && connection->state != CONNECTION_READY)
        return;
    if (connection->is_tls)
        fill_tls(connection);
    else
        fill_plain(connection);
}

const uint8_t *connection_message(const struct connection *connection, size_t *length)
{
    const uint8_t *start = connection->in + connection->in_start;
    size_t have = connection->in_end - connection->in_start;

    if (have < 2)
        return NULL;
    *length = (size_t)start[0] << 8 | start[1];
    return have - 2 >= *length ? start + 2 : NULL;
}

void connection_drop_message(struct connection *connection)
{
    size_t length;

    if (connection_message(connection, &length) != NULL)
        connection->in_start += 2 + length;
}

static bool put_tls(struct connection *connection, const uint8_t *bytes, size_t length)
{
    size_t room = sizeof(connection->out) - connection->out_length, done = 0;

    if (connection->state != CONNECTION_READY || room < length + TLS_OVERHEAD_BYTES ||
        tls_has_output(&connection->tls))
        return false;
    enum tls_result result = tls_write(&connection->tls, bytes, length, &done);
    if (result == TLS_CLOSED || result == TLS_FAILED)
        end(connection, UPSTREAM_TLS_FAILED, connection->tls.reason);
    connection->out_length += tls_take(&connection->tls, connection->out + connection->out_length,
                                       sizeof(connection->out) - connection->out_length);
    return done == length;
}

bool connection_put(struct connection *connection, const uint8_t *bytes, size_t length)
{
    if (connection->is_tls)
        return put_tls(connection, bytes, length);
    if (length > sizeof(connection->out) - connection->out_length)
        return false;
    memcpy(connection->out + connection->out_length, bytes, length);
    connection->out_length += length;
    return true;
}

/* ---- the loop ---- */

static uint32_t interest_of(const struct connection *connection)
{
    if (connection->state == CONNECTION_CONNECTING)
        return EPOLLOUT;
    return EPOLLIN |
           (connection->out_length > 0 || tls_has_output(&connection->tls) ? EPOLLOUT : 0u);
}

void connection_watch(struct connection *connection)
{
    uint32_t interest = interest_of(connection);

    if (connection->source.fd < 0 || (connection->is_watched && interest == connection->interest))
        return;
    if (connection->is_watched)
        event_change(connection->loop, &connection->source, interest);
    else if (event_add(connection->loop, &connection->source, interest) < 0)
        return;
    connection->is_watched = true;
    connection->interest = interest;
}
