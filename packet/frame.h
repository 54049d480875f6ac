/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format between the daemons, byte by byte in docs/wire.md.
 *
 * Everything on a lane is a frame: a header of 24 bytes and a payload. All numbers are
 * little-endian; addresses are in network byte order. 24 bytes is what an AF_PACKET socket with
 * PACKET_VNET_HDR wants in front of an IP packet (LINK_HEADER_BYTES): the receiver rewrites
 * the frame header in place into a virtio_net_hdr and an Ethernet header, and hands the kernel one
 * contiguous buffer; the parent's capture does the same in the other direction.
 */
#ifndef CAUSEWAY_PACKET_FRAME_H
#define CAUSEWAY_PACKET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/addr.h"
#include "packet/offload.h"

#define FRAME_HEADER_BYTES 24
#define FRAME_PAYLOAD_MAX  PACKET_MAX_BYTES
#define FRAME_BYTES_MAX    (FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX)
#define FRAME_CONTROL_MAX  512 /* payload bytes of any frame but a packet */

#define WIRE_MAGIC     0x59575743u /* "CWWY" as the bytes lie on the wire */
#define WIRE_VERSION   1
#define WIRE_MAX_LANES 8
#define WIRE_MAX_DNS   4

enum frame_type {
    FRAME_PACKET = 1, /* one IP packet */
    FRAME_HELLO,      /* enclave to parent, first on every lane */
    FRAME_CONFIG,     /* parent to enclave: the answer, and later on lane 0 whenever it changes */
    FRAME_REJECT,     /* parent to enclave, last on a lane */
    FRAME_PING,       /* either; echoed as PONG with the same payload */
    FRAME_PONG,
    FRAME_TYPE_END
};

struct frame_header {
    uint32_t length;        /* payload bytes behind the header */
    uint8_t type;           /* enum frame_type */
    struct offload offload; /* of a packet; zero in other frames */
};

enum frame_status {
    FRAME_OK = 0,
    FRAME_MORE, /* not all bytes of the header are here yet */
    FRAME_LOST, /* not a header: framing is lost, the lane must be closed */
};

/* Writes the header to out[FRAME_HEADER_BYTES]. */
void frame_put(uint8_t *out, const struct frame_header *header);

/*
 * Reads a header. FRAME_LOST for an unknown type, a nonzero reserved byte, an unknown flag, a
 * payload of 0 or above the type's limit, or offload metadata on a frame that is not a packet.
 * Whether the payload has arrived is the caller's to check.
 */
enum frame_status frame_get(const uint8_t *bytes, size_t length, struct frame_header *out);

/* ---- handshake payloads ---- */

struct wire_hello {
    uint16_t version;
    uint64_t session;  /* random, the same on all lanes of one start of the enclave daemon */
    uint8_t lane;      /* 0..lanes-1 */
    uint8_t lanes;     /* wanted, 1..WIRE_MAX_LANES */
    uint32_t attempt;  /* counts up with every dial of a session: a higher one replaces a lane */
    uint32_t features; /* none defined yet: bits that are not known are ignored */
    uint16_t mtu;      /* the largest that the enclave takes, from 1280; 0: any */
};

struct wire_config {
    uint8_t lanes; /* granted, 1..WIRE_MAX_LANES */
    uint16_t mtu;  /* 1280..65535 */
    uint32_t features;
    struct ip_addr address4, gateway4; /* "none" together */
    struct ip_addr address6, gateway6; /* "none" together */
    uint8_t dns_count;
    struct ip_addr dns[WIRE_MAX_DNS];
};

enum wire_reject_reason {
    WIRE_REJECT_VERSION = 1, /* version not spoken here */
    WIRE_REJECT_UNKNOWN,     /* this CID or socket is not configured */
    WIRE_REJECT_LANE,        /* lane number out of range or already in use */
    WIRE_REJECT_SESSION,     /* a lane above 0 whose session the parent does not know */
    WIRE_REJECT_FULL,        /* no address or slot left */
    WIRE_REJECT_INTERNAL,    /* the parent could not set the enclave up */
    WIRE_REJECT_END
};
const char *wire_reject_name(uint8_t reason);

enum wire_error {
    WIRE_OK = 0,
    WIRE_LENGTH, /* payload of the wrong size */
    WIRE_MAGIC_BAD,
    WIRE_VERSION_BAD, /* out->version is set all the same, for the message */
    WIRE_RANGE,       /* a field out of its range or inconsistent with another */
    WIRE_ERROR_COUNT
};
const char *wire_error_name(enum wire_error error);

/*
 * Encoders write a whole frame (header and payload) to out, which holds FRAME_HEADER_BYTES +
 * FRAME_CONTROL_MAX bytes, and return its bytes. Decoders take a payload and check every field;
 * they know nothing of policy (whether an address is acceptable is the enclave's to judge).
 */
size_t wire_put_hello(uint8_t *out, const struct wire_hello *hello);
size_t wire_put_config(uint8_t *out, const struct wire_config *config);
size_t wire_put_reject(uint8_t *out, enum wire_reject_reason reason);
size_t wire_put_ping(uint8_t *out, enum frame_type ping_or_pong, uint64_t token);

enum wire_error wire_get_hello(const uint8_t *payload, size_t length, struct wire_hello *out);
enum wire_error wire_get_config(const uint8_t *payload, size_t length, struct wire_config *out);
enum wire_error wire_get_reject(const uint8_t *payload, size_t length, uint8_t *reason);
enum wire_error wire_get_ping(const uint8_t *payload, size_t length, uint64_t *token);

#endif
