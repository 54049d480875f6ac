/* SPDX-License-Identifier: Apache-2.0 */
/* Names: as text, and in a message at every place of it. Input: the text, and the message. */
#include <string.h>

#include "dns/message/message.h"
#include "dns/message/name.h"
#include "tests/fuzz/fuzz.h"

static void check_name(const struct dns_name *name)
{
    char text[DNS_NAME_TEXT_BYTES];
    struct dns_name again, lowered;

    CHECK(name->length >= 1 && name->wire[name->length - 1] == 0);
    CHECK(strlen(dns_name_to_text(name, text)) < DNS_NAME_TEXT_BYTES);
    CHECK(dns_name_from_text(text, &again) && dns_name_same_bytes(name, &again));
    dns_name_lower(name, &lowered);
    CHECK(dns_name_equal(name, &lowered) && dns_name_within(name, &lowered));
}

static void check_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct dns_name name;

    memcpy(text, data, size);
    text[size] = '\0';
    if (dns_name_from_text(text, &name))
        check_name(&name);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_name name;

    check_text(data, size);
    for (size_t at = 0; at <= size && at < 64; at++) {
        size_t end = dns_name_read(data, size, at, &name);
        CHECK(end == dns_name_read(data, size, at, NULL));
        if (end == 0)
            continue;
        CHECK(end > at && end <= size);
        check_name(&name);
    }
    return 0;
}
