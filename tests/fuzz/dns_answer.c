/* SPDX-License-Identifier: Apache-2.0 */
/* An upstream's answer, its stored form, and what clients are sent of it. Input: the message. */
#include <string.h>

#include "dns/message/message.h"
#include "dns/message/record.h"
#include "dns/message/render.h"
#include "packet/parse.h"
#include "tests/fuzz/fuzz.h"

/* The query that the message answers. */
static struct dns_query query_of(const struct dns_answer *answer)
{
    struct dns_query query = {.id = 0x4321, .udp_size = DNS_UDP_BYTES};
    size_t at =
        dns_name_read(answer->bytes, answer->length, DNS_HEADER_BYTES, &query.question.name);

    CHECK(at + 4 == answer->records);
    query.question.type = load_be16(answer->bytes + at);
    query.question.class = load_be16(answer->bytes + at + 2);
    return query;
}

static struct dns_record record_at(const struct dns_answer *answer, size_t at)
{
    struct dns_record record;

    CHECK(dns_record_read(answer->bytes, answer->length, at, &record));
    if (record.type == DNS_TYPE_OPT)
        CHECK(dns_record_read(answer->bytes, answer->length, record.end, &record));
    return record;
}

static void check_name(const struct dns_answer *a, size_t a_at, const struct dns_answer *b,
                       size_t b_at)
{
    struct dns_name a_name, b_name;

    CHECK(dns_name_read(a->bytes, a->length, a_at, &a_name) != 0);
    CHECK(dns_name_read(b->bytes, b->length, b_at, &b_name) != 0);
    CHECK(dns_name_equal(&a_name, &b_name));
}

static void check_ttl(const struct dns_record *before, const struct dns_record *after,
                      const struct dns_render *how)
{
    uint32_t meant = dns_ttl_meaning(before->ttl);

    if (how->fixed_ttl)
        CHECK(after->ttl == how->floor_s);
    else
        CHECK(after->ttl <= (meant > how->floor_s ? meant : how->floor_s));
}

/* Every record but the OPT is there, means the same, and its TTL is not greater. */
static void check_records(const struct dns_answer *before, const struct dns_answer *after,
                          unsigned count, const struct dns_render *how)
{
    size_t a_at = before->records, b_at = after->records;

    for (; count > 0; count--) {
        struct dns_record a = record_at(before, a_at), b = record_at(after, b_at);
        struct dns_rdata_names a_names, b_names;
        CHECK(a.type == b.type && a.class == b.class && a.rdata_length == b.rdata_length);
        check_name(before, a.owner, after, b.owner);
        check_ttl(&a, &b, how);
        CHECK(dns_record_names(before->bytes, before->length, &a, &a_names));
        CHECK(dns_record_names(after->bytes, after->length, &b, &b_names));
        CHECK(a_names.count == b_names.count);
        for (unsigned i = 0; i < a_names.count; i++)
            check_name(before, a_names.at[i], after, b_names.at[i]);
        if (a_names.count == 0)
            CHECK(memcmp(before->bytes + a.rdata, after->bytes + b.rdata, a.rdata_length) == 0);
        a_at = a.end;
        b_at = b.end;
    }
}

/* Records of the answer and authority sections. */
static unsigned essential_in(const struct dns_answer *answer)
{
    return load_be16(answer->bytes + DNS_ANCOUNT_AT) + load_be16(answer->bytes + DNS_NSCOUNT_AT);
}

/* All of them but the OPT. */
static unsigned records_in(const struct dns_answer *answer)
{
    return essential_in(answer) + load_be16(answer->bytes + DNS_ARCOUNT_AT) -
           (answer->opt_length != 0);
}

/* As many as fit, from the first on; TC if one is missing that must not be. */
static void check_rendered(const struct dns_query *query, const struct dns_answer *answer,
                           const struct dns_stored *stored, const struct dns_render *how)
{
    uint8_t *bytes = malloc(how->limit);
    size_t length = dns_render_stored(query, stored, how, bytes);
    CHECK(length >= DNS_HEADER_BYTES && length <= how->limit);

    uint8_t *exact = malloc(length); /* alone in its block: a read beyond it is seen */
    memcpy(exact, bytes, length);
    struct dns_answer again;
    CHECK(dns_answer_parse(exact, length, query->id, &query->question, &again) == DNS_ANSWER_OK);
    CHECK((again.opt_length != 0) == query->has_edns);
    CHECK(again.recursion_available && !again.authoritative);
    CHECK(!again.authentic_data || (answer->authentic_data && query->dnssec_ok));
    if (query->has_edns)
        CHECK(again.rcode == answer->rcode);
    unsigned count = records_in(&again);
    CHECK(count == stored->ttl_count ||
          stored->length + (query->has_edns ? DNS_OPT_BYTES : 0u) > how->limit);
    CHECK(again.truncated || essential_in(&again) == essential_in(answer));
    check_records(answer, &again, count, how);
    free(exact);
    free(bytes);
}

static void change_case(struct dns_name *name)
{
    for (unsigned i = 0; i < name->length; i++)
        if ((name->wire[i] | 0x20) >= 'a' && (name->wire[i] | 0x20) <= 'z')
            name->wire[i] ^= 0x20;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint16_t ttls[DNS_RECORDS_MAX];
    struct dns_answer answer;
    struct dns_stored stored;
    enum dns_answer_error error = dns_answer_parse(data, size, 0, NULL, &answer);

    CHECK(strcmp(dns_answer_error_name(error), "unknown") != 0);
    if (error != DNS_ANSWER_OK)
        return 0;
    CHECK(answer.ttl_s <= DNS_MAX_TTL_S && (!answer.cacheable || !answer.truncated));
    CHECK(answer.opt_length == 0 || answer.opt + answer.opt_length <= answer.length);

    struct dns_query query = query_of(&answer);
    uint8_t *bytes = malloc(size);
    if (dns_stored_make(&answer, bytes, ttls, DNS_RECORDS_MAX, &stored)) {
        CHECK((size_t)stored.length + answer.opt_length == size);
        CHECK((size_t)stored.length + stored.ede_length <= size);
        check_rendered(&query, &answer, &stored,
                       &(struct dns_render){DNS_UDP_BYTES, 0, 0, DNS_NO_KEEPALIVE, false});
        query.has_edns = query.dnssec_ok = query.wants_keepalive = true;
        change_case(&query.question.name);
        check_rendered(&query, &answer, &stored,
                       &(struct dns_render){DNS_MESSAGE_BYTES, 1000000, 1, 300, false});
        check_rendered(&query, &answer, &stored,
                       &(struct dns_render){DNS_EDNS_UDP_BYTES, 77, 30, DNS_NO_KEEPALIVE, true});
    }
    free(bytes);
    return 0;
}
