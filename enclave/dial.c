/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/dial.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"

#define CONNECT_TIMEOUT_MS   5000
#define HANDSHAKE_TIMEOUT_MS 5000

static const char *const state_names[] = {
    [DIAL_WAITING] = "waiting",
    [DIAL_CONNECTING] = "connecting",
    [DIAL_HANDSHAKE] = "handshake",
    [DIAL_RUNNING] = "running",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == DIAL_RUNNING + 1,
              "every state has a name");

const char *dial_state_name(enum dial_state state)
{
    return state_names[state];
}

static void get_random(void *out, size_t size)
{
    if (getrandom(out, size, 0) != (ssize_t)size)
        log_warning("no random numbers: %s", strerror(errno));
}

void dial_later(struct dial *dial)
{
    uint32_t random = 0;

    if (dial->fd >= 0) {
        event_remove(dial->dialling->loop, &dial->source);
        close(dial->fd);
        dial->fd = -1;
    }
    get_random(&random, sizeof(random));
    dial->state = DIAL_WAITING;
    dial->deadline_ms = clock_ms() + link_backoff_ms(dial->failures, random);
    dial->failures++;
}

void dial_failed(struct dial *dial, const char *why)
{
    char name[LINK_TEXT_BYTES];

    log_limited(&dial->dialling->log, LOG_LEVEL_WARNING, "%s lane %u: %s; trying again",
                link_format(&dial->dialling->config->link, name), dial->number, why);
    dial_later(dial);
}

/* What the error of a connect() most often means to somebody who set this up. */
static const char *connect_hint(const struct link_addr *link, int error)
{
    if (link->kind == LINK_VSOCK) {
        if (error == ENODEV || error == EHOSTUNREACH)
            return "no such CID (Nitro: the parent is 3, QEMU: 2)";
        if (error == ECONNREFUSED || error == ECONNRESET)
            return "nobody listens on that port (is causeway-parent running, is the CID right?)";
        if (error == ETIMEDOUT)
            return "no answer (is the CID right?)";
    } else if (error == ENOENT || error == ECONNREFUSED) {
        return "nobody listens there (is causeway-parent running?)";
    }
    return strerror(error);
}

static void connect_failed(struct dial *dial, int error)
{
    char why[200];

    snprintf(why, sizeof(why), "cannot connect: %s",
             connect_hint(&dial->dialling->config->link, error));
    dial_failed(dial, why);
}

static void send_hello(struct dial *dial)
{
    struct dialling *dialling = dial->dialling;
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    struct wire_hello hello = {
        .version = WIRE_VERSION,
        .session = dialling->session,
        .lane = (uint8_t)dial->number,
        .lanes = (uint8_t)dialling->config->lanes,
        .attempt = ++dialling->attempt,
        .mtu = (uint16_t)dialling->config->mtu_max,
    };
    size_t length = wire_put_hello(frame, &hello);

    /* A fresh stream takes these few bytes at once. EPIPE is no failure yet: a parent that refuses
     * us says so without waiting for the HELLO and hangs up, and its word is still to be read. */
    ssize_t sent = send(dial->fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != (ssize_t)length && !(sent < 0 && errno == EPIPE)) {
        connect_failed(dial, errno);
        return;
    }
    dial->state = DIAL_HANDSHAKE;
    dial->reader.have = 0;
    dial->deadline_ms = clock_ms() + HANDSHAKE_TIMEOUT_MS;
    if (event_change(dialling->loop, &dial->source, EPOLLIN) < 0)
        dial_failed(dial, "cannot wait for the answer");
}

/* What the other side said to our HELLO. False with a reason. */
static bool read_answer(const struct frame_reader *reader, struct wire_config *config,
                        struct failure *why)
{
    const uint8_t *payload = frame_reader_payload(reader);
    uint8_t reason;

    if (reader->header.type == FRAME_REJECT &&
        wire_get_reject(payload, reader->header.length, &reason) == WIRE_OK)
        return failure_set(why, "rejected by the parent: %s", wire_reject_name(reason));
    enum wire_error error = reader->header.type == FRAME_CONFIG
                                ? wire_get_config(payload, reader->header.length, config)
                                : WIRE_RANGE;
    if (error != WIRE_OK)
        return failure_set(why, "bad answer of the parent: %s", wire_error_name(error));
    return true;
}

static void dial_handshake(struct dial *dial)
{
    struct wire_config config;
    struct failure why;
    int result = frame_reader_read(&dial->reader, dial->fd);

    if (result == 0)
        return;
    if (result < 0) {
        failure_set(&why, "no handshake: %s",
                    result == -EPROTO ? "the other side does not speak this protocol"
                                      : strerror(-result));
        dial_failed(dial, why.text);
    } else if (!read_answer(&dial->reader, &config, &why)) {
        dial_failed(dial, why.text);
    } else {
        dial->dialling->answered(dial, &config);
    }
}

static void dial_ready(void *context, uint32_t events)
{
    struct dial *dial = context;

    (void)events;
    if (dial->state == DIAL_CONNECTING) {
        int error = link_dial_result(dial->fd);
        if (error < 0)
            connect_failed(dial, -error);
        else
            send_hello(dial);
    } else {
        dial_handshake(dial);
    }
}

static void dial_start(struct dial *dial)
{
    int fd = link_dial(&dial->dialling->config->link);

    if (fd < 0) {
        connect_failed(dial, -fd);
        return;
    }
    dial->source = (struct event_source){.fd = fd, .ready = dial_ready, .context = dial};
    int error = event_add(dial->dialling->loop, &dial->source, EPOLLOUT);
    if (error < 0) {
        close(fd);
        connect_failed(dial, -error);
        return;
    }
    dial->fd = fd;
    dial->state = DIAL_CONNECTING;
    dial->deadline_ms = clock_ms() + CONNECT_TIMEOUT_MS;
}

void dial_poll(struct dial *dial, uint64_t now_ms)
{
    if (now_ms < dial->deadline_ms)
        return;
    if (dial->state == DIAL_WAITING)
        dial_start(dial);
    else if (dial->state == DIAL_CONNECTING)
        connect_failed(dial, ETIMEDOUT);
    else
        dial_failed(dial, "no answer to the handshake");
}

void dialling_begin(struct dialling *dialling)
{
    get_random(&dialling->session, sizeof(dialling->session));
}
