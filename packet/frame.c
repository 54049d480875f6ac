/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/frame.h"

#include <assert.h>
#include <string.h>

#include "packet/parse.h"

/* Offsets in the frame header. */
#define HEADER_LENGTH   0
#define HEADER_TYPE     4
#define HEADER_FLAGS    5
#define HEADER_GSO_SIZE 6
#define HEADER_RESERVED 8

#define PACKET_MIN_BYTES 20 /* an IPv4 header */

/* HELLO */
#define HELLO_MAGIC    0
#define HELLO_VERSION  4
#define HELLO_LANE     6
#define HELLO_LANES    7
#define HELLO_SESSION  8
#define HELLO_ATTEMPT  16
#define HELLO_FEATURES 20
#define HELLO_MTU      24
#define HELLO_RESERVED 26
#define HELLO_BYTES    32

/* CONFIG */
#define CONFIG_LANES     0
#define CONFIG_FAMILIES  1
#define CONFIG_MTU       2
#define CONFIG_FEATURES  4
#define CONFIG_ADDRESS4  8
#define CONFIG_GATEWAY4  12
#define CONFIG_ADDRESS6  16
#define CONFIG_GATEWAY6  32
#define CONFIG_DNS_COUNT 48
#define CONFIG_RESERVED  49
#define CONFIG_DNS       56
#define CONFIG_BYTES     (CONFIG_DNS + WIRE_MAX_DNS * DNS_BYTES)
#define FAMILY_IPV4      1
#define FAMILY_IPV6      2

/* One resolver in CONFIG */
#define DNS_FAMILY   0 /* 4 or 6 */
#define DNS_RESERVED 1
#define DNS_ADDRESS  4
#define DNS_BYTES    20

/* REJECT */
#define REJECT_REASON   0
#define REJECT_RESERVED 1
#define REJECT_BYTES    8

#define PING_BYTES 8

#define MTU_MIN 1280 /* RFC 8200 5 */

static_assert(CONFIG_BYTES <= FRAME_CONTROL_MAX, "CONFIG is the longest control frame");

static bool all_zero(const uint8_t *bytes, size_t length)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < length; i++)
        seen |= bytes[i];
    return seen == 0;
}

/* ---- frame header ---- */

void frame_put(uint8_t *out, const struct frame_header *header)
{
    store_le32(out + HEADER_LENGTH, header->length);
    out[HEADER_TYPE] = header->type;
    out[HEADER_FLAGS] = header->offload.flags;
    store_le16(out + HEADER_GSO_SIZE, header->offload.gso_size);
    memset(out + HEADER_RESERVED, 0, FRAME_HEADER_BYTES - HEADER_RESERVED);
}

enum frame_status frame_get(const uint8_t *bytes, size_t length, struct frame_header *out)
{
    if (length < FRAME_HEADER_BYTES)
        return FRAME_MORE;
    out->length = load_le32(bytes + HEADER_LENGTH);
    out->type = bytes[HEADER_TYPE];
    out->offload.flags = bytes[HEADER_FLAGS];
    out->offload.gso_size = load_le16(bytes + HEADER_GSO_SIZE);
    if (load_le64(bytes + HEADER_RESERVED) | load_le64(bytes + HEADER_RESERVED + 8))
        return FRAME_LOST;
    if (out->type == FRAME_PACKET)
        return out->length >= PACKET_MIN_BYTES && out->length <= FRAME_PAYLOAD_MAX &&
                       !(out->offload.flags & ~OFFLOAD_KNOWN_FLAGS)
                   ? FRAME_OK
                   : FRAME_LOST;
    if (out->type < FRAME_HELLO || out->type >= FRAME_TYPE_END || out->length == 0 ||
        out->length > FRAME_CONTROL_MAX)
        return FRAME_LOST;
    return out->offload.flags || out->offload.gso_size ? FRAME_LOST : FRAME_OK;
}

const char *wire_reject_name(uint8_t reason)
{
    static const char *const names[] = {
        [WIRE_REJECT_VERSION] = "version not spoken here",
        [WIRE_REJECT_UNKNOWN] = "enclave not configured",
        [WIRE_REJECT_LANE] = "lane number out of range or in use",
        [WIRE_REJECT_SESSION] = "session not known",
        [WIRE_REJECT_FULL] = "no address or slot left",
        [WIRE_REJECT_INTERNAL] = "the parent could not set the enclave up",
    };
    static_assert(sizeof(names) / sizeof(names[0]) == WIRE_REJECT_END, "a name for each reason");
    return reason >= WIRE_REJECT_VERSION && reason < WIRE_REJECT_END ? names[reason] : "unknown";
}

const char *wire_error_name(enum wire_error error)
{
    static const char *const names[] = {
        [WIRE_OK] = "ok",
        [WIRE_LENGTH] = "wrong payload size",
        [WIRE_MAGIC_BAD] = "wrong magic",
        [WIRE_VERSION_BAD] = "wrong version",
        [WIRE_RANGE] = "field out of range",
    };
    static_assert(sizeof(names) / sizeof(names[0]) == WIRE_ERROR_COUNT, "a name for each error");
    return (unsigned)error < WIRE_ERROR_COUNT ? names[error] : "unknown";
}

/* ---- handshake payloads ---- */

/* Writes the header of a control frame and clears its payload; returns the whole frame's bytes. */
static size_t begin(uint8_t *out, enum frame_type type, uint32_t length)
{
    frame_put(out, &(struct frame_header){.length = length, .type = (uint8_t)type});
    memset(out + FRAME_HEADER_BYTES, 0, length);
    return FRAME_HEADER_BYTES + length;
}

size_t wire_put_hello(uint8_t *out, const struct wire_hello *hello)
{
    size_t bytes = begin(out, FRAME_HELLO, HELLO_BYTES);
    uint8_t *p = out + FRAME_HEADER_BYTES;

    store_le32(p + HELLO_MAGIC, WIRE_MAGIC);
    store_le16(p + HELLO_VERSION, hello->version);
    p[HELLO_LANE] = hello->lane;
    p[HELLO_LANES] = hello->lanes;
    store_le64(p + HELLO_SESSION, hello->session);
    store_le32(p + HELLO_ATTEMPT, hello->attempt);
    store_le32(p + HELLO_FEATURES, hello->features);
    store_le16(p + HELLO_MTU, hello->mtu);
    return bytes;
}

/* Magic and version come first, in every version, so that any version can be told and refused. */
enum wire_error wire_get_hello(const uint8_t *payload, size_t length, struct wire_hello *out)
{
    *out = (struct wire_hello){0};
    if (length < HELLO_VERSION + 2)
        return WIRE_LENGTH;
    if (load_le32(payload + HELLO_MAGIC) != WIRE_MAGIC)
        return WIRE_MAGIC_BAD;
    out->version = load_le16(payload + HELLO_VERSION);
    if (out->version != WIRE_VERSION)
        return WIRE_VERSION_BAD;
    if (length != HELLO_BYTES)
        return WIRE_LENGTH;

    out->lane = payload[HELLO_LANE];
    out->lanes = payload[HELLO_LANES];
    out->session = load_le64(payload + HELLO_SESSION);
    out->attempt = load_le32(payload + HELLO_ATTEMPT);
    out->features = load_le32(payload + HELLO_FEATURES);
    out->mtu = load_le16(payload + HELLO_MTU);
    if (out->mtu != 0 && out->mtu < MTU_MIN)
        return WIRE_RANGE;
    if (out->lanes < 1 || out->lanes > WIRE_MAX_LANES || out->lane >= out->lanes)
        return WIRE_RANGE;
    if (!all_zero(payload + HELLO_RESERVED, HELLO_BYTES - HELLO_RESERVED))
        return WIRE_RANGE;
    return WIRE_OK;
}

size_t wire_put_config(uint8_t *out, const struct wire_config *config)
{
    size_t bytes = begin(out, FRAME_CONFIG, CONFIG_BYTES);
    uint8_t *p = out + FRAME_HEADER_BYTES;

    p[CONFIG_LANES] = config->lanes;
    store_le16(p + CONFIG_MTU, config->mtu);
    store_le32(p + CONFIG_FEATURES, config->features);
    if (config->address4.version == 4) {
        p[CONFIG_FAMILIES] |= FAMILY_IPV4;
        memcpy(p + CONFIG_ADDRESS4, config->address4.bytes, 4);
        memcpy(p + CONFIG_GATEWAY4, config->gateway4.bytes, 4);
    }
    if (config->address6.version == 6) {
        p[CONFIG_FAMILIES] |= FAMILY_IPV6;
        memcpy(p + CONFIG_ADDRESS6, config->address6.bytes, 16);
        memcpy(p + CONFIG_GATEWAY6, config->gateway6.bytes, 16);
    }
    p[CONFIG_DNS_COUNT] = config->dns_count;
    for (unsigned i = 0; i < config->dns_count && i < WIRE_MAX_DNS; i++) {
        uint8_t *dns = p + CONFIG_DNS + i * DNS_BYTES;
        dns[DNS_FAMILY] = config->dns[i].version;
        memcpy(dns + DNS_ADDRESS, config->dns[i].bytes, addr_bits(&config->dns[i]) / 8);
    }
    return bytes;
}

/* Reads address and gateway of one family: both present and different, or both zero. */
static bool get_pair(const uint8_t *address, const uint8_t *gateway, uint8_t version, bool present,
                     struct ip_addr *address_out, struct ip_addr *gateway_out)
{
    size_t bytes = version == 4 ? 4 : 16;

    if (!present)
        return all_zero(address, bytes) && all_zero(gateway, bytes);
    address_out->version = gateway_out->version = version;
    memcpy(address_out->bytes, address, bytes);
    memcpy(gateway_out->bytes, gateway, bytes);
    return !all_zero(address, bytes) && !all_zero(gateway, bytes) &&
           !addr_equal(address_out, gateway_out);
}

/* Reads one resolver; an unused entry is all zero. */
static bool get_dns(const uint8_t *entry, bool used, struct ip_addr *out)
{
    if (!used)
        return all_zero(entry, DNS_BYTES);
    out->version = entry[DNS_FAMILY];
    size_t bytes = addr_bits(out) / 8;
    if (bytes == 0 || !all_zero(entry + DNS_RESERVED, DNS_ADDRESS - DNS_RESERVED))
        return false;
    memcpy(out->bytes, entry + DNS_ADDRESS, bytes);
    return !all_zero(out->bytes, bytes) &&
           all_zero(entry + DNS_ADDRESS + bytes, DNS_BYTES - DNS_ADDRESS - bytes);
}

enum wire_error wire_get_config(const uint8_t *payload, size_t length, struct wire_config *out)
{
    *out = (struct wire_config){0};
    if (length != CONFIG_BYTES)
        return WIRE_LENGTH;

    uint8_t families = payload[CONFIG_FAMILIES];
    out->lanes = payload[CONFIG_LANES];
    out->mtu = load_le16(payload + CONFIG_MTU);
    out->features = load_le32(payload + CONFIG_FEATURES);
    out->dns_count = payload[CONFIG_DNS_COUNT];
    if (out->lanes < 1 || out->lanes > WIRE_MAX_LANES || out->mtu < MTU_MIN)
        return WIRE_RANGE;
    if (families == 0 || families & ~(FAMILY_IPV4 | FAMILY_IPV6))
        return WIRE_RANGE;
    if (!get_pair(payload + CONFIG_ADDRESS4, payload + CONFIG_GATEWAY4, 4, families & FAMILY_IPV4,
                  &out->address4, &out->gateway4) ||
        !get_pair(payload + CONFIG_ADDRESS6, payload + CONFIG_GATEWAY6, 6, families & FAMILY_IPV6,
                  &out->address6, &out->gateway6))
        return WIRE_RANGE;
    if (out->dns_count > WIRE_MAX_DNS ||
        !all_zero(payload + CONFIG_RESERVED, CONFIG_DNS - CONFIG_RESERVED))
        return WIRE_RANGE;
    for (unsigned i = 0; i < WIRE_MAX_DNS; i++)
        if (!get_dns(payload + CONFIG_DNS + i * DNS_BYTES, i < out->dns_count, &out->dns[i]))
            return WIRE_RANGE;
    return WIRE_OK;
}

size_t wire_put_reject(uint8_t *out, enum wire_reject_reason reason)
{
    size_t bytes = begin(out, FRAME_REJECT, REJECT_BYTES);
    out[FRAME_HEADER_BYTES + REJECT_REASON] = (uint8_t)reason;
    return bytes;
}

enum wire_error wire_get_reject(const uint8_t *payload, size_t length, uint8_t *reason)
{
    if (length != REJECT_BYTES)
        return WIRE_LENGTH;
    *reason = payload[REJECT_REASON];
    if (*reason < WIRE_REJECT_VERSION || *reason >= WIRE_REJECT_END ||
        !all_zero(payload + REJECT_RESERVED, REJECT_BYTES - REJECT_RESERVED))
        return WIRE_RANGE;
    return WIRE_OK;
}

size_t wire_put_ping(uint8_t *out, enum frame_type ping_or_pong, uint64_t token)
{
    size_t bytes = begin(out, ping_or_pong, PING_BYTES);
    store_le64(out + FRAME_HEADER_BYTES, token);
    return bytes;
}

enum wire_error wire_get_ping(const uint8_t *payload, size_t length, uint64_t *token)
{
    if (length != PING_BYTES)
        return WIRE_LENGTH;
    *token = load_le64(payload);
    return WIRE_OK;
}
