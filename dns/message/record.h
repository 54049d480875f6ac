/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resource records inside a message (RFC 1035 4.1.3), shared by the reader and the renderer.
 */
#ifndef CAUSEWAY_DNS_MESSAGE_RECORD_H
#define CAUSEWAY_DNS_MESSAGE_RECORD_H

#include "dns/message/message.h"

#define DNS_TYPE_AT      0 /* from the end of the owner's name */
#define DNS_CLASS_AT     2
#define DNS_TTL_AT       4
#define DNS_RDLENGTH_AT  8
#define DNS_RECORD_FIXED 10
#define DNS_TTL_BYTES    4

/* Header flags, in the word at byte 2 (RFC 1035 4.1.1, RFC 4035 3). */
#define DNS_FLAG_QR      0x8000
#define DNS_FLAG_AA      0x0400
#define DNS_FLAG_TC      0x0200
#define DNS_FLAG_RD      0x0100
#define DNS_FLAG_RA      0x0080
#define DNS_FLAG_AD      0x0020
#define DNS_FLAG_CD      0x0010
#define DNS_OPCODE_SHIFT 11
#define DNS_OPCODE_MASK  15
#define DNS_RCODE_MASK   15

/* Where the header's counts stand. */
#define DNS_QDCOUNT_AT 4
#define DNS_ANCOUNT_AT 6
#define DNS_NSCOUNT_AT 8
#define DNS_ARCOUNT_AT 10

/* EDNS (RFC 6891 6.1.2-6.1.4). The OPT's TTL: extended rcode, version, flags. */
#define DNS_OPT_BYTES          11
#define DNS_OPT_RCODE_SHIFT    24
#define DNS_OPT_VERSION(ttl)   ((ttl) >> 16 & 0xff)
#define DNS_OPT_DO             0x8000
#define DNS_OPTION_HEADER      4
#define DNS_OPTION_KEEPALIVE   11 /* RFC 7828 */
#define DNS_OPTION_PADDING     12 /* RFC 7830 */
#define DNS_OPTION_EDE         15 /* RFC 8914 */
#define DNS_EDE_OTHER          0
#define DNS_EDE_STALE_ANSWER   3
#define DNS_EDE_CACHED_ERROR   13
#define DNS_EDE_NOT_READY      14
#define DNS_EDE_BLOCKED        15
#define DNS_EDE_STALE_NXDOMAIN 19
#define DNS_EDE_NOT_SUPPORTED  21
#define DNS_EDE_NO_AUTHORITY   22
#define DNS_EDE_NETWORK_ERROR  23

/* Offsets count from the message's first byte. */
struct dns_record {
    size_t owner, ttl_at, rdata, end;
    uint16_t type, class, rdata_length;
    uint32_t ttl;
};

/*
 * Reads the record at `offset`. True: the owner's name, the fixed part and all of RDATA lie inside
 * of bytes[length].
 */
bool dns_record_read(const uint8_t *bytes, size_t length, size_t offset, struct dns_record *out);

/*
 * Where names may stand in the RDATA of a type whose names may be compressed (RFC 1035 3.3; RFC
 * 3597 4 adds those that were compressed in its time). All other types' RDATA is opaque.
 */
#define DNS_RDATA_NAMES 2
struct dns_rdata_names {
    unsigned count;
    size_t at[DNS_RDATA_NAMES];
};

/* Finds the names; false if the RDATA is not what its type says. A and AAAA are measured too. */
bool dns_record_names(const uint8_t *bytes, size_t length, const struct dns_record *record,
                      struct dns_rdata_names *out);

/* One option of an OPT's RDATA; false at the end or, with *at not at the end, if it is cut off. */
struct dns_option {
    uint16_t code, length;
    const uint8_t *value;
};
bool dns_option_next(const uint8_t *bytes, size_t end, size_t *at, struct dns_option *out);

#endif
