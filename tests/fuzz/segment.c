/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parse, then segment and fragment, then put together again. Input: gso_size (2 bytes, little
 * endian), flags (1), mtu (2, little-endian), then the packet. Both outputs must parse, stay within
 * their limits, carry right checksums and hold the payload exactly once and in order.
 */
#include <netinet/in.h>
#include <string.h>

#include "packet/csum.h"
#include "packet/segment.h"
#include "packet/parse.h"
#include "tests/fuzz/fuzz.h"

#define SETTINGS_BYTES 5

static uint8_t out[PACKET_MAX_BYTES];

/* The sum over a whole header or segment with its checksum in place is all ones. */
static void check_sums(const struct parsed_packet *parsed)
{
    uint32_t length = parsed->total_length - parsed->transport_offset;

    if (parsed->src.version == 4)
        CHECK(csum_fold(csum_add(0, out, (size_t)(out[0] & 15) * 4)) == 0xffff);
    if (!parsed->is_fragment &&
        (parsed->protocol == IPPROTO_TCP || parsed->protocol == IPPROTO_UDP))
        CHECK(csum_fold(csum_add(csum_pseudo(parsed, length), out + parsed->transport_offset,
                                 length)) == 0xffff);
}

static void run_segments(const uint8_t *packet, const struct parsed_packet *parsed,
                         struct offload meta)
{
    uint32_t headers = (uint32_t)parsed->transport_offset + parsed->transport_header;
    uint32_t done = 0;
    size_t bytes;
    struct segmenter s;

    if (segment_init(&s, packet, parsed, meta) != OFFLOAD_OK)
        return;
    while ((bytes = segment_next(&s, out, sizeof(out))) > 0) {
        struct parsed_packet part;
        CHECK(packet_parse(out, bytes, &part) == PACKET_OK);
        CHECK(part.total_length == bytes);
        CHECK(part.transport_offset + part.transport_header == headers);
        uint32_t payload = (uint32_t)bytes - headers;
        CHECK(payload <= parsed->total_length - headers - done);
        CHECK(memcmp(out + headers, packet + headers + done, payload) == 0);
        if (!s.finished) {
            CHECK(payload <= s.gso_size);
            check_sums(&part);
        }
        done += payload;
    }
    CHECK(done == parsed->total_length - headers);
}

static void run_fragments(const uint8_t *packet, const struct parsed_packet *parsed, uint32_t mtu)
{
    struct fragmenter f;
    uint32_t done = 0;
    bool last = false;
    size_t bytes;

    if (!fragment_init(&f, packet, parsed, mtu, 0x01020304))
        return;
    while ((bytes = fragment_next(&f, out, sizeof(out))) > 0) {
        struct parsed_packet part;
        CHECK(!last && bytes <= mtu);
        CHECK(packet_parse(out, bytes, &part) == PACKET_OK);
        CHECK(part.is_fragment && part.total_length == bytes);
        CHECK(part.fragment_offset == done);
        check_sums(&part);
        uint32_t front = f.header_bytes + (parsed->src.version == 6 ? 8 : 0);
        uint32_t payload = (uint32_t)bytes - front;
        CHECK(payload <= parsed->total_length - f.header_bytes - done);
        CHECK(memcmp(out + front, packet + f.header_bytes + done, payload) == 0);
        done += payload;
        last = !part.more_fragments;
    }
    CHECK(last && done == parsed->total_length - f.header_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parsed_packet parsed;

    if (size < SETTINGS_BYTES)
        return 0;
    struct offload meta = {.gso_size = load_le16(data), .flags = data[2]};
    uint32_t mtu = load_le16(data + 3);
    data += SETTINGS_BYTES;
    size -= SETTINGS_BYTES;
    if (packet_parse(data, size, &parsed) != PACKET_OK)
        return 0;
    uint8_t *packet = malloc(parsed.total_length);
    memcpy(packet, data, parsed.total_length);
    run_segments(packet, &parsed, meta);
    run_fragments(packet, &parsed, mtu);
    CHECK(memcmp(packet, data, parsed.total_length) == 0);
    free(packet);
    return 0;
}
