/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/dns_upstream_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/message/message.h"
#include "runtime/base/clock.h"

struct world world;

#define LONG_MS 60000 /* never reached unless something is broken */

/* ---- scripted servers ---- */

static void connection_close(struct fake_connection *connection, bool reset)
{
    struct linger linger = {.l_onoff = 1};

    if (connection->source.fd < 0)
        return;
    event_remove(&world.loop, &connection->source);
    if (reset)
        setsockopt(connection->source.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    SSL_free(connection->ssl);
    connection->ssl = NULL;
    close(connection->source.fd);
    connection->source.fd = -1;
    connection->fake->open--;
}

static void transmit(struct fake_connection *connection, const uint8_t *bytes, size_t length)
{
    if (connection->source.fd < 0)
        return;
    if (connection->ssl != NULL)
        SSL_write(connection->ssl, bytes, (int)length);
    else
        assert_int_equal(send(connection->source.fd, bytes, length, MSG_NOSIGNAL), length);
}

static size_t question_end(const uint8_t *query)
{
    size_t at = 12;

    while (query[at] != 0)
        at += 1u + query[at];
    return at + 5;
}

/* Header and question of the query as a response, `answers` and `extra` records to follow. */
static size_t begin_answer(const uint8_t *query, uint8_t *out, uint8_t rcode, uint8_t answers,
                           uint8_t extra)
{
    size_t length = question_end(query);

    memcpy(out, query, length);
    out[2] = 0x80 | (query[2] & 1);
    out[3] = 0x80 | rcode;
    memset(out + 4, 0, 8);
    out[5] = 1;
    out[7] = answers;
    out[11] = extra;
    return length;
}

static void put_message(struct fake_connection *connection, const uint8_t *message, size_t length)
{
    uint8_t framed[1024];

    framed[0] = (uint8_t)(length >> 8);
    framed[1] = (uint8_t)length;
    memcpy(framed + 2, message, length);
    transmit(connection, framed, 2 + length);
}

static void right_answer(struct fake_connection *connection, const uint8_t *query)
{
    struct fake *fake = connection->fake;
    uint8_t out[1000];
    uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, (uint8_t)fake->port};
    uint8_t opt[] = {0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 6, 0, 11, 0, 2, 0, 0};
    size_t length = begin_answer(query, out, 0, 1, fake->answers_keepalive);

    memcpy(out + length, record, sizeof(record));
    length += sizeof(record);
    if (fake->answers_keepalive) {
        opt[15] = (uint8_t)(fake->keepalive_100ms >> 8);
        opt[16] = (uint8_t)fake->keepalive_100ms;
        memcpy(out + length, opt, sizeof(opt));
        length += sizeof(opt);
    }
    fake->answered++;
    put_message(connection, out, length);
}

static void wrong_answer(struct fake_connection *connection, const uint8_t *query)
{
    uint8_t out[1000];
    size_t length = begin_answer(query, out, 0, 0, 0);

    switch (connection->fake->manner) {
    case WRONG_ID:
        out[0] ^= 0x55;
        break;
    case WRONG_NAME:
        out[13] = out[13] == 'x' ? 'y' : 'x';
        break;
    case WRONG_CASE:
        out[13] ^= 0x20;
        break;
    case SHORT:
        length = 2;
        break;
    case EMPTY:
        length = 0;
        break;
    case JUNK:
        out[7] = 1;
        memset(out + length, 0xff, 20);
        length += 20;
        break;
    case ANSWERS:
    case HOLDS:
    case ANSWERS_AND_CLOSES:
    case CLOSES:
    case RESETS:
    case REFUSES:
        fail();
    }
    put_message(connection, out, length);
    if (connection->fake->then_right)
        right_answer(connection, query);
}

static void refuse(struct fake_connection *connection, const uint8_t *query)
{
    uint8_t out[1000];
    size_t length = begin_answer(query, out, connection->fake->rcode, 0, 0);

    put_message(connection, out, length);
}

static void hold(struct fake_connection *connection, const uint8_t *query, size_t length)
{
    struct fake *fake = connection->fake;
    struct fake_held *held = &fake->held[fake->held_count++];

    assert_true(fake->held_count <= FAKE_HELD);
    held->connection = connection;
    held->length = length;
    memcpy(held->query, query, length);
}

void fake_release(struct fake *fake, unsigned index)
{
    assert_true(index < fake->held_count);
    right_answer(fake->held[index].connection, fake->held[index].query);
}

static bool has_option(const uint8_t *query, size_t length, uint8_t code)
{
    for (size_t at = question_end(query); at + 3 < length; at++)
        if (query[at] == 0 && query[at + 1] == code && query[at + 2] == 0)
            return true;
    return false;
}

static void take_query(struct fake_connection *connection, const uint8_t *query, size_t length)
{
    struct fake *fake = connection->fake;

    fake->ids[fake->queries % FAKE_HELD] = (uint16_t)(query[0] << 8 | query[1]);
    fake->queries++;
    fake->last_query_length = length;
    fake->saw_keepalive |= has_option(query, length, 11);
    switch (fake->manner) {
    case ANSWERS:
        right_answer(connection, query);
        break;
    case HOLDS:
        hold(connection, query, length);
        break;
    case ANSWERS_AND_CLOSES:
        right_answer(connection, query);
        connection_close(connection, false);
        break;
    case CLOSES:
        connection_close(connection, false);
        break;
    case RESETS:
        connection_close(connection, true);
        break;
    case REFUSES:
        refuse(connection, query);
        break;
    case WRONG_ID:
    case WRONG_NAME:
    case WRONG_CASE:
    case SHORT:
    case JUNK:
    case EMPTY:
        wrong_answer(connection, query);
        break;
    }
}

static ssize_t take_bytes(struct fake_connection *connection)
{
    uint8_t *to = connection->in + connection->length;
    size_t room = sizeof(connection->in) - connection->length;

    if (connection->ssl == NULL)
        return recv(connection->source.fd, to, room, MSG_DONTWAIT);
    int got = SSL_read(connection->ssl, to, (int)room);
    if (got > 0)
        return got;
    int error = SSL_get_error(connection->ssl, got);
    errno = EAGAIN;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static void connection_ready(void *context, uint32_t events)
{
    struct fake_connection *connection = context;
    ssize_t got;

    (void)events;
    while ((got = take_bytes(connection)) > 0) {
        size_t at = 0;
        connection->length += (size_t)got;
        while (connection->source.fd >= 0 && connection->length - at >= 2) {
            size_t length = (size_t)connection->in[at] << 8 | connection->in[at + 1];
            if (connection->length - at < 2 + length)
                break;
            take_query(connection, connection->in + at + 2, length);
            at += 2 + length;
        }
        if (connection->source.fd < 0)
            return;
        connection->length -= at;
        memmove(connection->in, connection->in + at, connection->length);
    }
    if (got == 0 || errno != EAGAIN)
        connection_close(connection, false);
}

static void note_handshake(const SSL *ssl, int where, int result)
{
    struct fake *fake = SSL_get_app_data(ssl);

    (void)result;
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0 && SSL_session_reused(ssl))
        fake->resumed++;
}

static void listener_ready(void *context, uint32_t events)
{
    struct fake *fake = context;
    struct fake_connection *connection = fake->connections;
    int fd = accept4(fake->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    assert_true(fd >= 0);
    while (connection->source.fd >= 0)
        connection++;
    assert_true(connection < fake->connections + FAKE_CONNECTIONS);
    connection->source =
        (struct event_source){.fd = fd, .ready = connection_ready, .context = connection};
    connection->length = 0;
    fake->accepted++;
    fake->open++;
    if (fake->tls != NULL) {
        connection->ssl = SSL_new(fake->tls);
        SSL_set_fd(connection->ssl, fd);
        SSL_set_app_data(connection->ssl, fake);
        SSL_set_info_callback(connection->ssl, note_handshake);
        SSL_set_accept_state(connection->ssl);
    }
    assert_int_equal(event_add(&world.loop, &connection->source, EPOLLIN), 0);
}

static void fake_listen(struct fake *fake, int family, const struct sockaddr *address,
                        socklen_t length)
{
    int one = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(bind(fd, address, length), 0);
    assert_int_equal(listen(fd, 128), 0);
    fake->listener = (struct event_source){.fd = fd, .ready = listener_ready, .context = fake};
    assert_int_equal(event_add(&world.loop, &fake->listener, EPOLLIN), 0);
}

static void fake_prepare(struct fake *fake, enum manner manner)
{
    memset(fake, 0, sizeof(*fake));
    fake->manner = manner;
    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++) {
        fake->connections[i].source.fd = -1;
        fake->connections[i].fake = fake;
    }
}

void fake_reopen(struct fake *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(fake->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    fake_listen(fake, AF_INET, (struct sockaddr *)&address, sizeof(address));
}

void fake_open(struct fake *fake, enum manner manner)
{
    struct sockaddr_in address;
    socklen_t length = sizeof(address);

    fake_prepare(fake, manner);
    fake_reopen(fake);
    getsockname(fake->listener.fd, (struct sockaddr *)&address, &length);
    fake->port = ntohs(address.sin_port);
    snprintf(fake->address, sizeof(fake->address), "tcp://127.0.0.1:%u", fake->port);
}

void fake_open_unix(struct fake *fake, enum manner manner, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    fake_prepare(fake, manner);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    fake_listen(fake, AF_UNIX, (struct sockaddr *)&address, sizeof(address));
    snprintf(fake->address, sizeof(fake->address), "unix:%s", path);
}

void fake_stop_listening(struct fake *fake)
{
    if (fake->listener.fd < 0)
        return;
    event_remove(&world.loop, &fake->listener);
    close(fake->listener.fd);
    fake->listener.fd = -1;
}

void fake_hang_up(struct fake *fake)
{
    for (unsigned i = 0; i < FAKE_CONNECTIONS; i++)
        connection_close(&fake->connections[i], false);
}

void fake_close(struct fake *fake)
{
    fake_stop_listening(fake);
    fake_hang_up(fake);
}

/* ---- the side under test ---- */

static void on_done(void *context, uint64_t token, enum upstream_failure failure,
                    const struct dns_answer *answer, const char *from)
{
    struct result *result = &world.results[token];

    (void)context, (void)from;
    assert_false(world.is_asking);
    assert_true(token < RESULTS_MAX);
    assert_true((failure == UPSTREAM_ANSWERED) == (answer != NULL));
    result->calls++;
    result->failure = failure;
    if (answer != NULL) {
        result->rcode = answer->rcode;
        result->address_last = answer->bytes[answer->length - 1];
    }
    world.done++;
    if (world.on_done != NULL)
        world.on_done(&world, token);
}

static uint64_t world_us(void)
{
    return world.stopped_us != 0 ? world.stopped_us : clock_us();
}

static uint64_t world_ms(void)
{
    return world_us() / 1000;
}

void world_stop_clock(void)
{
    world.stopped_us = clock_us();
}

void world_pass(unsigned ms)
{
    world.stopped_us += ms * 1000ull;
}

int world_setup(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    world.config = (struct upstreams_config){
        .in_flight_max = 512,
        .idle_ms = LONG_MS,
        .attempt_ms = LONG_MS,
        .hedge_ms = LONG_MS,
        .clock_us = world_us,
        .done = on_done,
    };
    return event_loop_init(&world.loop);
}

int world_teardown(void **state)
{
    (void)state;
    upstreams_free(world.upstreams);
    event_loop_close(&world.loop);
    return 0;
}

static void collect(struct upstream_spec *specs, unsigned *count, const char *first, va_list more)
{
    struct failure failure;

    *count = 0;
    for (const char *text = first; text != NULL; text = va_arg(more, const char *))
        if (!upstream_parse(text, &specs[(*count)++], &failure))
            fail_msg("%s %s", text, failure.text);
}

void world_specs(struct upstream_spec *specs, unsigned *count, const char *first, ...)
{
    va_list more;

    va_start(more, first);
    collect(specs, count, first, more);
    va_end(more);
}

void world_create(const char *first, ...)
{
    struct failure failure;
    va_list more;

    va_start(more, first);
    collect(world.config.specs, &world.config.count, first, more);
    va_end(more);
    world.upstreams = upstreams_create(&world.loop, &world.config, &failure);
    if (world.upstreams == NULL)
        fail_msg("%s", failure.text);
}

void world_ask(uint64_t token, const char *name, unsigned deadline_ms)
{
    struct dns_query query = {.recursion_desired = true,
                              .question = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN}};
    uint64_t now = world_ms();

    assert_true(dns_name_from_text(name, &query.question.name));
    world.is_asking = true;
    assert_true(upstreams_ask(world.upstreams, token, &query, now,
                              now + (deadline_ms > 0 ? deadline_ms : LONG_MS)));
    world.is_asking = false;
}

void world_turn(void)
{
    uint64_t now = world_ms();
    int timeout = upstreams_timeout(world.upstreams, now);

    assert_true(event_wait(&world.loop, timeout < 0 || timeout > 20 ? 20 : timeout) >= 0);
    upstreams_tick(world.upstreams, world_ms());
}

const struct upstream_stats *world_stats(unsigned index)
{
    return upstreams_stats(world.upstreams, index);
}

void assert_answered(uint64_t token)
{
    assert_int_equal(world.results[token].calls, 1);
    assert_string_equal(upstream_failure_name(world.results[token].failure), "answered");
    assert_int_equal(world.results[token].rcode, 0);
}

void assert_failed(uint64_t token, enum upstream_failure failure)
{
    assert_int_equal(world.results[token].calls, 1);
    assert_string_equal(upstream_failure_name(world.results[token].failure),
                        upstream_failure_name(failure));
}
