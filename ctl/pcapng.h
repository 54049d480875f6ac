/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng files (draft-ietf-opsawg-pcapng), the few blocks that a capture needs. */
#ifndef CAUSEWAY_CTL_PCAPNG_H
#define CAUSEWAY_CTL_PCAPNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Section header: once, first. */
void pcapng_begin(FILE *out, const char *application);

/*
 * Describes the next interface; they count from 0. Times are in nanoseconds. Packets stand behind a
 * Linux "cooked" header (LINKTYPE_LINUX_SLL), which tells their direction. (Raw IP would be
 * plainer, but libpcap 1.10 refuses a second interface of that type: it compares its number in the
 * file, 101, with its own, 12.)
 */
void pcapng_interface(FILE *out, const char *name, uint32_t snap);

struct pcapng_packet {
    uint32_t interface;
    uint64_t time_ns;
    uint32_t captured, length; /* of the IP packet */
    bool outbound;
    const char *comment; /* NULL: none */
    const uint8_t *bytes;
};
void pcapng_packet(FILE *out, const struct pcapng_packet *packet);

/* How many packets an interface has lost, at the end. */
void pcapng_statistics(FILE *out, uint32_t interface, uint64_t time_ns, uint64_t lost);

#endif
