/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages for the tests, written record by record. Names are text; a name in angle brackets
 * is a compression pointer: "www.<12>" is a label and a pointer to byte 12, "<12>" the pointer.
 */
#ifndef CAUSEWAY_TESTS_UNIT_PACKET_DNS_BUILD_H
#define CAUSEWAY_TESTS_UNIT_PACKET_DNS_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/message/message.h"
#include "dns/message/record.h"
#include "packet/parse.h"

enum { QUERY_FLAGS = DNS_FLAG_RD, ANSWER_FLAGS = DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA };

struct dns_build {
    uint8_t bytes[DNS_MESSAGE_BYTES + 1024];
    size_t length;
};

static inline void put_bytes(struct dns_build *b, const void *bytes, size_t length)
{
    assert_true(b->length + length <= sizeof(b->bytes));
    if (length != 0)
        memcpy(b->bytes + b->length, bytes, length);
    b->length += length;
}

static inline void put16(struct dns_build *b, unsigned value)
{
    uint8_t bytes[2];
    store_be16(bytes, (uint16_t)value);
    put_bytes(b, bytes, 2);
}

static inline void put32(struct dns_build *b, uint32_t value)
{
    put16(b, value >> 16);
    put16(b, value & 0xffff);
}

static inline void put_name(struct dns_build *b, const char *text)
{
    const char *bracket = strchr(text, '<');
    struct dns_name name = {.length = 1};
    char plain[DNS_NAME_TEXT_BYTES] = "";

    memcpy(plain, text, bracket ? (size_t)(bracket - text) : strlen(text));
    if (plain[0] != '\0')
        assert_true(dns_name_from_text(plain, &name));
    put_bytes(b, name.wire, bracket ? name.length - 1u : name.length);
    if (bracket)
        put16(b, 0xc000 | (unsigned)atoi(bracket + 1));
}

/* A header with id 0x1234 and one question. */
static inline void start_message(struct dns_build *b, unsigned flags, const char *name,
                                 unsigned type)
{
    b->length = 0;
    put16(b, 0x1234);
    put16(b, flags);
    put16(b, 1);
    put16(b, 0);
    put32(b, 0);
    put_name(b, name);
    put16(b, type);
    put16(b, DNS_CLASS_IN);
}

static inline void count_one(struct dns_build *b, unsigned count_at)
{
    store_be16(b->bytes + count_at, (uint16_t)(load_be16(b->bytes + count_at) + 1));
}

/* Everything up to RDATA, which the caller puts and then ends with end_record(). */
static inline size_t start_record(struct dns_build *b, unsigned count_at, const char *owner,
                                  unsigned type, uint32_t ttl)
{
    count_one(b, count_at);
    put_name(b, owner);
    put16(b, type);
    put16(b, DNS_CLASS_IN);
    put32(b, ttl);
    put16(b, 0);
    return b->length;
}

static inline void end_record(struct dns_build *b, size_t rdata)
{
    store_be16(b->bytes + rdata - 2, (uint16_t)(b->length - rdata));
}

static inline void put_record(struct dns_build *b, unsigned count_at, const char *owner,
                              unsigned type, uint32_t ttl, const void *bytes, size_t length)
{
    size_t rdata = start_record(b, count_at, owner, type, ttl);
    put_bytes(b, bytes, length);
    end_record(b, rdata);
}

/* RDATA that is a name. */
static inline void put_name_record(struct dns_build *b, unsigned count_at, const char *owner,
                                   unsigned type, uint32_t ttl, const char *name)
{
    size_t rdata = start_record(b, count_at, owner, type, ttl);
    put_name(b, name);
    end_record(b, rdata);
}

static inline void put_a(struct dns_build *b, const char *owner, uint32_t ttl)
{
    static const uint8_t address[4] = {192, 0, 2, 1};
    put_record(b, DNS_ANCOUNT_AT, owner, DNS_TYPE_A, ttl, address, sizeof(address));
}

static inline void put_soa_record(struct dns_build *b, const char *owner, uint32_t ttl,
                                  uint32_t minimum)
{
    size_t rdata = start_record(b, DNS_NSCOUNT_AT, owner, DNS_TYPE_SOA, ttl);
    put_name(b, "ns.<12>");
    put_name(b, "admin.<12>");
    for (uint32_t i = 1; i <= 4; i++)
        put32(b, i);
    put32(b, minimum);
    end_record(b, rdata);
}

/* ttl: extended rcode, version, flags. */
static inline void put_opt_record(struct dns_build *b, unsigned udp_size, uint32_t ttl,
                                  const void *options, size_t length)
{
    size_t at = b->length;
    put_record(b, DNS_ARCOUNT_AT, "", DNS_TYPE_OPT, ttl, options, length);
    store_be16(b->bytes + at + 1 + DNS_CLASS_AT, (uint16_t)udp_size);
}

#endif
