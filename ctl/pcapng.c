/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/pcapng.h"

#include <string.h>

#include "packet/bytes.h"

enum { BLOCK_INTERFACE = 1, BLOCK_STATISTICS = 5, BLOCK_PACKET = 6, BLOCK_SECTION = 0x0a0d0d0a };
enum { OPTION_END = 0, OPTION_COMMENT = 1, EPB_FLAGS = 2, IF_NAME = 2, IF_TSRESOL = 9 };
enum { SHB_APPLICATION = 4, ISB_IFDROP = 5 };
#define BYTE_ORDER_MAGIC   0x1a2b3c4du
#define LINKTYPE_LINUX_SLL 113
#define COOKED_BYTES       16
#define NANOSECONDS        9

static void put32(FILE *out, uint32_t value)
{
    fwrite(&value, sizeof(value), 1, out);
}

static void put_bytes(FILE *out, const void *bytes, uint32_t length)
{
    static const uint8_t padding[4];

    fwrite(bytes, 1, length, out);
    fwrite(padding, 1, -length & 3, out);
}

static uint32_t padded(uint32_t length)
{
    return (length + 3) & ~3u;
}

static void put_option(FILE *out, uint16_t code, const void *bytes, uint32_t length)
{
    uint16_t head[] = {code, (uint16_t)length};

    fwrite(head, sizeof(head), 1, out);
    put_bytes(out, bytes, length);
}

static void begin_block(FILE *out, uint32_t type, uint32_t size)
{
    put32(out, type);
    put32(out, size);
}

static void end_block(FILE *out, uint32_t size)
{
    put32(out, OPTION_END);
    put32(out, size);
}

void pcapng_begin(FILE *out, const char *application)
{
    uint32_t length = (uint32_t)strlen(application), size = 12 + 16 + 4 + padded(length) + 4;
    uint16_t version[] = {1, 0};
    uint64_t unknown = UINT64_MAX;

    begin_block(out, BLOCK_SECTION, size);
    put32(out, BYTE_ORDER_MAGIC);
    fwrite(version, sizeof(version), 1, out);
    fwrite(&unknown, sizeof(unknown), 1, out);
    put_option(out, SHB_APPLICATION, application, length);
    end_block(out, size);
}

void pcapng_interface(FILE *out, const char *name, uint32_t snap)
{
    uint32_t length = (uint32_t)strlen(name), size = 12 + 8 + 4 + padded(length) + 8 + 4;
    uint16_t link[] = {LINKTYPE_LINUX_SLL, 0};
    uint8_t resolution = NANOSECONDS;

    begin_block(out, BLOCK_INTERFACE, size);
    fwrite(link, sizeof(link), 1, out);
    put32(out, snap + COOKED_BYTES);
    put_option(out, IF_NAME, name, length);
    put_option(out, IF_TSRESOL, &resolution, 1);
    end_block(out, size);
}

static void put_time(FILE *out, uint64_t time_ns)
{
    put32(out, (uint32_t)(time_ns >> 32));
    put32(out, (uint32_t)time_ns);
}

/* https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html; no address, no hardware type. */
static void put_cooked_header(FILE *out, const struct pcapng_packet *packet)
{
    uint8_t header[COOKED_BYTES] = {[2] = 0xff, 0xfe};

    header[1] = packet->outbound ? 4 : 0;
    store_be16(header + 14, packet->captured > 0 && packet->bytes[0] >> 4 == 6 ? 0x86dd : 0x0800);
    fwrite(header, sizeof(header), 1, out);
}

void pcapng_packet(FILE *out, const struct pcapng_packet *packet)
{
    uint32_t comment = packet->comment ? (uint32_t)strlen(packet->comment) : 0;
    uint32_t size = 12 + 20 + COOKED_BYTES + padded(packet->captured) + 8 +
                    (packet->comment ? 4 + padded(comment) : 0) + 4;
    uint32_t flags = packet->outbound ? 2 : 1;

    begin_block(out, BLOCK_PACKET, size);
    put32(out, packet->interface);
    put_time(out, packet->time_ns);
    put32(out, COOKED_BYTES + packet->captured);
    put32(out, COOKED_BYTES + packet->length);
    put_cooked_header(out, packet);
    put_bytes(out, packet->bytes, packet->captured);
    if (packet->comment != NULL)
        put_option(out, OPTION_COMMENT, packet->comment, comment);
    put_option(out, EPB_FLAGS, &flags, sizeof(flags));
    end_block(out, size);
}

void pcapng_statistics(FILE *out, uint32_t interface, uint64_t time_ns, uint64_t lost)
{
    uint32_t size = 12 + 12 + 12 + 4;

    begin_block(out, BLOCK_STATISTICS, size);
    put32(out, interface);
    put_time(out, time_ns);
    put_option(out, ISB_IFDROP, &lost, sizeof(lost));
    end_block(out, size);
}
