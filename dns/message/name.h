/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain names in their wire form (RFC 1035 3.1): labels with their lengths, ended by the root's
 * zero. Case is kept as it came (RFC 4343 2.2; the 0x20 of a question must come back as it was);
 * comparing and hashing do not see it.
 */
#ifndef CAUSEWAY_DNS_MESSAGE_NAME_H
#define CAUSEWAY_DNS_MESSAGE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_BYTES      255 /* RFC 1035 2.3.4, with the root */
#define DNS_LABEL_BYTES     63
/* Text form with \DDD for whatever is not a plain character (RFC 1035 5.1), and its zero. */
#define DNS_NAME_TEXT_BYTES (4 * DNS_NAME_BYTES + 1)

struct dns_name {
    uint8_t length; /* bytes in wire, 1 (the root) to 255 */
    uint8_t wire[DNS_NAME_BYTES];
};

/*
 * Reads the name at `offset` of a message, following compression pointers (RFC 1035 4.1.4), each of
 * which must point to before the place it stands at, so that no chain can loop. Returns the offset
 * behind the name in the message, or 0 when it is not a name. out may be NULL: check and skip.
 */
size_t dns_name_read(const uint8_t *message, size_t length, size_t offset, struct dns_name *out);

/* "example.com", "example.com." or "." to wire form, with \DDD and \X escapes. False: not a name.
 */
bool dns_name_from_text(const char *text, struct dns_name *out);
/* Wire form to text without a final dot ("." for the root); returns out[DNS_NAME_TEXT_BYTES]. */
const char *dns_name_to_text(const struct dns_name *name, char *out);

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);      /* case-insensitive */
bool dns_name_same_bytes(const struct dns_name *a, const struct dns_name *b); /* case and all */
/* Is name equal to, or below, `zone`? */
bool dns_name_within(const struct dns_name *name, const struct dns_name *zone);
/* Copies with A-Z made a-z (RFC 4343). */
void dns_name_lower(const struct dns_name *name, struct dns_name *out);

#endif
