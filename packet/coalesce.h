/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joins UDP datagrams of one flow that follow each other into one super-packet, which the kernel
 * routes, filters and translates once and then cuts into the same datagrams again (what its own GRO
 * does on a network card; linux net/ipv4/udp_offload.c udp_gro_receive()).
 *
 * Nothing that a receiver could see is lost: only datagrams that segmentation gives back byte for
 * byte are joined. IP headers (no options, no extensions) differ in length and identification
 * alone, the identification counts up unless DF makes it meaningless (RFC 6864 4.1), only the last
 * datagram may be shorter, and checksums are right, or left to the kernel already. A damaged
 * datagram stays alone, and damaged.
 */
#ifndef CAUSEWAY_PACKET_COALESCE_H
#define CAUSEWAY_PACKET_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

#include "packet/offload.h"
#include "packet/parse.h"

#define COALESCE_MAX 64 /* datagrams: UDP_MAX_SEGMENTS of Linux before 6.9 */

struct coalescer {
    uint8_t *packet;             /* the first datagram, with the later ones' payload behind it */
    struct parsed_packet parsed; /* of the first; total_length counts what was added, too */
    struct offload offload;      /* of the first */
    uint32_t segment;            /* payload bytes of the first */
    unsigned count;              /* datagrams; 0: there is none */
    bool closed;                 /* the last one was shorter: nothing can follow */
};

/*
 * Starts with this datagram, if it is one that others may be joined to; c is empty otherwise.
 * packet has parsed->total_length bytes and stays borrowed, with the memory behind it, until
 * coalesce_end(). parsed and offload (as it came over the link, unchecked) are copied.
 */
bool coalesce_begin(struct coalescer *c, uint8_t *packet, const struct parsed_packet *parsed,
                    struct offload offload);

/*
 * Adds a datagram: its payload is moved down, to the end of what c has. packet lies behind that
 * end in the same linear memory, so nothing in between may be needed any more. False: it does not
 * belong there, and nothing has changed.
 */
bool coalesce_add(struct coalescer *c, const uint8_t *packet, const struct parsed_packet *parsed,
                  struct offload offload);

/*
 * Completes the IP and UDP headers for what was joined and empties c. *parsed describes the whole;
 * the result is for offload_to_vnet(). A single datagram comes back as it was.
 */
struct offload coalesce_end(struct coalescer *c, struct parsed_packet *parsed);

#endif
