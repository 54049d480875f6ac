/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/handshake.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parent/addresses.h"
#include "parent/enclave_device.h"

/* ---- answers ---- */

static bool send_frame(int fd, const uint8_t *frame, size_t length)
{
    /* A fresh stream takes these few bytes at once, or its peer is up to something. */
    return send(fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

void handshake_reject(struct sessions *sessions, int fd, enum wire_reject_reason reason)
{
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];

    sessions->rejected++;
    send_frame(fd, frame, wire_put_reject(frame, reason));
}

/* Takes the stream out of the pending table; it is the caller's then. */
static int pending_release(struct pending *pending)
{
    event_remove(pending->sessions->loop, &pending->source);
    pending->entry = NULL;
    return pending->source.fd;
}

static void pending_reject(struct pending *pending, enum wire_reject_reason reason)
{
    struct sessions *sessions = pending->sessions;
    int fd = pending_release(pending);

    log_limited(&sessions->handshake_log, LOG_LEVEL_WARNING, "%s: rejected: %s", pending->label,
                wire_reject_name(reason));
    handshake_reject(sessions, fd, reason);
    close(fd);
}

void handshake_fail(struct pending *pending, const char *why)
{
    struct sessions *sessions = pending->sessions;

    sessions->bad_handshakes++;
    log_limited(&sessions->handshake_log, LOG_LEVEL_WARNING, "%s: handshake failed: %s",
                pending->label, why);
    close(pending_release(pending));
}

/* ---- which enclave ---- */

static struct enclave *find_enclave(struct sessions *sessions, const char *peer)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used && strcmp(sessions->enclaves[i].peer, peer) == 0)
            return &sessions->enclaves[i];
    return NULL;
}

static bool index_free(const struct sessions *sessions, uint32_t index)
{
    if (parent_config_index_taken(sessions->context.config, index))
        return false;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used && sessions->enclaves[i].index == index)
            return false;
    return true;
}

/* For vsock:any: the CID as index if that is free, else the first free one. */
static uint32_t dynamic_index(const struct sessions *sessions, uint32_t cid)
{
    uint32_t end = parent_config_index_end(sessions->context.config);

    if (cid >= INDEX_FIRST && cid < end && index_free(sessions, cid))
        return cid;
    for (uint32_t index = INDEX_FIRST; index < end; index++)
        if (index_free(sessions, index))
            return index;
    return 0;
}

/*
 * A record that was never used, else one of an enclave that came under vsock:any and is gone: a
 * parent that sees many short-lived CIDs must not run out. Configured enclaves keep theirs.
 */
static struct enclave *free_enclave(struct sessions *sessions)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (!sessions->enclaves[i].used)
            return &sessions->enclaves[i];
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++) {
        struct enclave *enclave = &sessions->enclaves[i];
        if (parent_config_index_taken(sessions->context.config, enclave->index) ||
            enclave_has_lanes(enclave))
            continue;
        log_info("%s: gone, its addresses are free again", enclave->label);
        enclave_discard(enclave, &sessions->context);
        return enclave;
    }
    return NULL;
}

/* The peer's record, made if it is the first time that it comes. NULL: no address or record left.
 */
static struct enclave *get_enclave(struct sessions *sessions, const struct pending *pending)
{
    struct enclave *enclave = find_enclave(sessions, pending->peer);

    if (enclave != NULL)
        return enclave;
    enclave = free_enclave(sessions);
    uint32_t index =
        pending->entry->index ? pending->entry->index : dynamic_index(sessions, pending->cid);
    if (enclave == NULL || index == 0)
        return NULL;
    enclave_init(enclave, &sessions->context, pending->entry, pending->peer, index);
    return enclave;
}

/* ---- HELLO ---- */

/* Grants a fresh session, ending the peer's former one. False: rejected. */
static bool begin_session(struct pending *pending, struct enclave *enclave,
                          const struct wire_hello *hello)
{
    struct sessions *sessions = pending->sessions;
    unsigned lanes = hello->lanes < sessions->context.config->lanes_max
                         ? hello->lanes
                         : sessions->context.config->lanes_max;

    if (enclave->session != hello->session || enclave->config.lanes != lanes)
        enclave_stop_lanes(enclave);
    enclave->mtu_max = hello->mtu != 0 ? hello->mtu : PACKET_MAX_BYTES;
    int error = enclave_device_ready(enclave, &sessions->context);
    if (error < 0) {
        log_error("%s: cannot set up %s: %s", enclave->label, enclave->device, strerror(-error));
        pending_reject(pending, WIRE_REJECT_INTERNAL);
        return false;
    }
    enclave->session = hello->session;
    enclave_configure(enclave, &sessions->context, lanes);
    return true;
}

static bool lane_acceptable(struct pending *pending, struct enclave *enclave,
                            const struct wire_hello *hello)
{
    const struct parent_lane *lane = &enclave->lanes[hello->lane];

    if (hello->lane != 0 && (enclave->session != hello->session || enclave->device_index == 0)) {
        pending_reject(pending, WIRE_REJECT_SESSION);
        return false;
    }
    if ((hello->lane != 0 && hello->lane >= enclave->config.lanes) ||
        (lane->running && enclave->session == hello->session && hello->attempt <= lane->attempt)) {
        pending_reject(pending, WIRE_REJECT_LANE);
        return false;
    }
    return true;
}

static void accept_lane(struct pending *pending, struct enclave *enclave,
                        const struct wire_hello *hello)
{
    struct sessions *sessions = pending->sessions;
    uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
    char address4[ADDR_TEXT_BYTES], address6[ADDR_TEXT_BYTES];

    enclave_lane_stop(enclave, hello->lane); /* an earlier attempt at the same lane */
    if (!send_frame(pending->source.fd, frame, wire_put_config(frame, &enclave->config))) {
        handshake_fail(pending, "the stream takes no answer");
        return;
    }
    int fd = pending_release(pending);
    int error = enclave_lane_start(enclave, &sessions->context, hello->lane, fd, hello->attempt);
    if (error < 0) {
        log_error("%s lane %u: cannot start: %s", enclave->label, hello->lane, strerror(-error));
        return;
    }
    log_limited(&enclave->log, LOG_LEVEL_INFO, "%s lane %u of %u: up, addresses %s and %s on %s",
                enclave->label, hello->lane, enclave->config.lanes,
                addr_format(&enclave->policy.own4, address4),
                addr_format(&enclave->policy.own6, address6), enclave->device);
}

static void handle_hello(struct pending *pending)
{
    const struct frame_reader *reader = &pending->reader;
    struct wire_hello hello;

    if (reader->header.type != FRAME_HELLO) {
        handshake_fail(pending, "no HELLO");
        return;
    }
    enum wire_error error =
        wire_get_hello(frame_reader_payload(reader), reader->header.length, &hello);
    if (error == WIRE_VERSION_BAD) {
        pending_reject(pending, WIRE_REJECT_VERSION);
        return;
    }
    if (error != WIRE_OK) {
        handshake_fail(pending, wire_error_name(error));
        return;
    }
    struct enclave *enclave = get_enclave(pending->sessions, pending);
    if (enclave == NULL) {
        pending_reject(pending, WIRE_REJECT_FULL);
        return;
    }
    if (!lane_acceptable(pending, enclave, &hello))
        return;
    if (hello.lane == 0 && !begin_session(pending, enclave, &hello))
        return;
    accept_lane(pending, enclave, &hello);
}

void handshake_ready(void *context, uint32_t events)
{
    struct pending *pending = context;
    int result = frame_reader_read(&pending->reader, pending->source.fd);

    (void)events;
    if (result == 1)
        handle_hello(pending);
    else if (result < 0)
        handshake_fail(pending, result == -EPROTO ? "not this protocol" : strerror(-result));
}
