/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ICMP at the borders. Input: a packet. What both borders let through is held against what they
 * promise: an error quotes a packet of the address that it goes to.
 */
#include <string.h>

#include "packet/icmp.h"
#include "packet/policy.h"
#include "tests/fuzz/fuzz.h"

static struct policy_parent parent;
static struct policy_enclave enclave;

static void check_quote(const uint8_t *packet, const struct parsed_packet *parsed)
{
    struct icmp_quote quote;
    enum icmp_kind kind = icmp_kind(packet, parsed);
    bool quoted = kind == ICMP_ERROR && icmp_quoted(packet, parsed, &quote);

    if (parsed->transport_header == 0)
        CHECK(kind == ICMP_NONE);
    if (quoted) {
        CHECK(!parsed->is_fragment);
        CHECK(quote.src.version == parsed->src.version);
        CHECK(quote.dst.version == parsed->src.version);
    }
    if (policy_judge_parent(&parent, packet, parsed) == POLICY_PASS) {
        CHECK(policy_check_parent(&parent, &parsed->src, &parsed->dst) == POLICY_PASS);
        CHECK(kind == ICMP_NONE || kind == ICMP_QUERY || quoted);
        CHECK(!quoted || addr_equal(&quote.dst, &parsed->src));
    }
    if (policy_judge_enclave(&enclave, packet, parsed) == POLICY_PASS) {
        CHECK(policy_check_enclave(&enclave, &parsed->src, &parsed->dst) == POLICY_PASS);
        CHECK(kind == ICMP_NONE || kind == ICMP_QUERY || quoted);
        CHECK(!quoted || addr_equal(&quote.src, &parsed->dst));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parsed_packet parsed;

    if (parent.own4.version == 0) {
        CHECK(addr_parse("192.0.2.1", &parent.own4) && addr_parse("2001:db8::1", &parent.own6));
        CHECK(addr_parse("198.51.100.2", &enclave.own4));
        CHECK(addr_parse("2001:db8:1::2", &enclave.own6));
    }
    if (packet_parse(data, size, &parsed) == PACKET_OK) {
        /* The packet alone in its block: a read beyond it is seen. */
        uint8_t *packet = malloc(parsed.total_length);
        memcpy(packet, data, parsed.total_length);
        check_quote(packet, &parsed);
        free(packet);
    }
    return 0;
}
