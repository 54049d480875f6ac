/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshake payloads. Input: one byte that chooses the kind (modulo 4), then the payload. What a
 * decoder accepts is encoded again into the same bytes; these are accepted and encoded again.
 */
#include <string.h>

#include "packet/frame.h"
#include "tests/fuzz/fuzz.h"

static uint8_t frame[FRAME_HEADER_BYTES + FRAME_CONTROL_MAX];
static const uint8_t *const encoded = frame + FRAME_HEADER_BYTES;

static void check_frame(size_t bytes, enum frame_type type, const uint8_t *payload, size_t length)
{
    struct frame_header header;

    CHECK(bytes == FRAME_HEADER_BYTES + length);
    CHECK(frame_get(frame, bytes, &header) == FRAME_OK);
    CHECK(header.type == type && header.length == length);
    CHECK(memcmp(encoded, payload, length) == 0);
}

static void run_hello(const uint8_t *payload, size_t length)
{
    struct wire_hello first, second;
    enum wire_error error = wire_get_hello(payload, length, &first);

    if (error == WIRE_VERSION_BAD)
        CHECK(first.version != WIRE_VERSION);
    if (error != WIRE_OK)
        return;
    CHECK(first.version == WIRE_VERSION);
    CHECK(first.lane < first.lanes && first.lanes <= WIRE_MAX_LANES);
    check_frame(wire_put_hello(frame, &first), FRAME_HELLO, payload, length);
    CHECK(wire_get_hello(encoded, length, &second) == WIRE_OK);
    check_frame(wire_put_hello(frame, &second), FRAME_HELLO, payload, length);
}

static void check_pair(const struct ip_addr *address, const struct ip_addr *gateway,
                       uint8_t version)
{
    CHECK(address->version == gateway->version);
    CHECK(address->version == 0 || (address->version == version && !addr_equal(address, gateway)));
}

static void run_config(const uint8_t *payload, size_t length)
{
    struct wire_config first, second;

    if (wire_get_config(payload, length, &first) != WIRE_OK)
        return;
    CHECK(first.lanes >= 1 && first.lanes <= WIRE_MAX_LANES);
    CHECK(first.mtu >= 1280);
    CHECK(first.address4.version != 0 || first.address6.version != 0);
    check_pair(&first.address4, &first.gateway4, 4);
    check_pair(&first.address6, &first.gateway6, 6);
    CHECK(first.dns_count <= WIRE_MAX_DNS);
    for (unsigned i = 0; i < WIRE_MAX_DNS; i++)
        CHECK((addr_bits(&first.dns[i]) != 0) == (i < first.dns_count));
    check_frame(wire_put_config(frame, &first), FRAME_CONFIG, payload, length);
    CHECK(wire_get_config(encoded, length, &second) == WIRE_OK);
    check_frame(wire_put_config(frame, &second), FRAME_CONFIG, payload, length);
}

static void run_reject(const uint8_t *payload, size_t length)
{
    uint8_t reason;

    if (wire_get_reject(payload, length, &reason) != WIRE_OK)
        return;
    CHECK(strcmp(wire_reject_name(reason), "unknown") != 0);
    check_frame(wire_put_reject(frame, (enum wire_reject_reason)reason), FRAME_REJECT, payload,
                length);
}

static void run_ping(const uint8_t *payload, size_t length)
{
    uint64_t token;

    if (wire_get_ping(payload, length, &token) != WIRE_OK)
        return;
    check_frame(wire_put_ping(frame, FRAME_PING, token), FRAME_PING, payload, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size - 1 > FRAME_CONTROL_MAX)
        return 0;
    size_t length = size - 1;
    uint8_t *payload = malloc(length > 0 ? length : 1);
    memcpy(payload, data + 1, length);
    switch (data[0] % 4) {
    case 0:
        run_hello(payload, length);
        break;
    case 1:
        run_config(payload, length);
        break;
    case 2:
        run_reject(payload, length);
        break;
    case 3:
        run_ping(payload, length);
        break;
    }
    free(payload);
    return 0;
}
