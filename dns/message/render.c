/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/render.h"

#include "dns/message/record.h"
#include "packet/parse.h"

#include <string.h>

/* What goes into an OPT of ours besides the query's DO. */
struct opt_content {
    uint32_t keepalive_100ms;
    const uint8_t *ede; /* options of the upstream */
    size_t ede_length;
    const struct dns_explanation *why; /* ours; NULL: none */
};

static const struct opt_content opt_plain = {.keepalive_100ms = DNS_NO_KEEPALIVE};

static uint8_t *put_be16(uint8_t *p, unsigned value)
{
    store_be16(p, (uint16_t)value);
    return p + 2;
}

static size_t why_size(const struct dns_explanation *why)
{
    return why == NULL ? 0 : DNS_OPTION_HEADER + 2 + strlen(why->text);
}

static bool sends_keepalive(const struct dns_query *query, const struct opt_content *content)
{
    return query->wants_keepalive && content->keepalive_100ms != DNS_NO_KEEPALIVE;
}

/* Bytes of the OPT; a client without EDNS gets none (RFC 6891 7). */
static size_t opt_size(const struct dns_query *query, const struct opt_content *content)
{
    if (!query->has_edns)
        return 0;
    return DNS_OPT_BYTES + (sends_keepalive(query, content) ? DNS_OPTION_HEADER + 2 : 0) +
           content->ede_length + why_size(content->why);
}

static uint8_t *put_option16(uint8_t *p, unsigned code, unsigned value)
{
    p = put_be16(p, code);
    p = put_be16(p, 2);
    return put_be16(p, value);
}

static uint8_t *put_why(uint8_t *p, const struct dns_explanation *why)
{
    size_t length = strlen(why->text);

    p = put_be16(p, DNS_OPTION_EDE);
    p = put_be16(p, 2 + (unsigned)length);
    p = put_be16(p, why->code);
    memcpy(p, why->text, length);
    return p + length;
}

static void put_opt(const struct dns_query *query, uint16_t rcode,
                    const struct opt_content *content, uint8_t *p)
{
    if (!query->has_edns)
        return;
    *p++ = 0; /* the root */
    p = put_be16(p, DNS_TYPE_OPT);
    p = put_be16(p, DNS_EDNS_UDP_BYTES);
    p = put_be16(p, (unsigned)rcode >> 4 << 8);
    p = put_be16(p, query->dnssec_ok ? DNS_OPT_DO : 0); /* RFC 3225 3 */
    p = put_be16(p, (unsigned)opt_size(query, content) - DNS_OPT_BYTES);
    if (sends_keepalive(query, content))
        p = put_option16(p, DNS_OPTION_KEEPALIVE,
                         content->keepalive_100ms < UINT16_MAX ? content->keepalive_100ms
                                                               : UINT16_MAX);
    if (content->why != NULL)
        p = put_why(p, content->why);
    if (content->ede_length)
        memcpy(p, content->ede, content->ede_length);
}

/* The code in the header's four bits. Who has no OPT cannot be told the rest of it. */
static unsigned header_rcode(const struct dns_query *query, uint16_t rcode)
{
    return rcode > DNS_RCODE_MASK && !query->has_edns ? DNS_SERVFAIL : rcode & DNS_RCODE_MASK;
}

/* Id and flags; the counts follow. In another operation than QUERY the flags mean nothing, or
 * something else, and are 0 (RFC 8906 8.1). */
static uint8_t *put_start(const struct dns_query *query, unsigned more_flags, uint16_t rcode,
                          uint8_t *p)
{
    p = put_be16(p, query->id);
    if (query->opcode != 0)
        return put_be16(p, DNS_FLAG_QR | (unsigned)query->opcode << DNS_OPCODE_SHIFT |
                               header_rcode(query, rcode));
    return put_be16(p, DNS_FLAG_QR | (unsigned)query->opcode << DNS_OPCODE_SHIFT |
                           (query->recursion_desired ? DNS_FLAG_RD : 0u) | DNS_FLAG_RA |
                           (query->checking_disabled ? DNS_FLAG_CD : 0u) | more_flags |
                           header_rcode(query, rcode));
}

static uint8_t *put_question(const struct dns_question *question, uint8_t *p)
{
    memcpy(p, question->name.wire, question->name.length);
    p = put_be16(p + question->name.length, question->type);
    return put_be16(p, question->class);
}

static size_t question_size(const struct dns_query *query)
{
    return query->question.name.length ? (size_t)query->question.name.length + 4 : 0;
}

/* Header, question, OPT. */
static size_t put_empty(const struct dns_query *query, unsigned more_flags, uint16_t rcode,
                        const struct opt_content *content, uint8_t *out, size_t limit)
{
    size_t question = question_size(query), opt = opt_size(query, content);
    uint8_t *p = out;

    if (DNS_HEADER_BYTES + question + opt > limit)
        return 0;
    p = put_start(query, more_flags, rcode, p);
    p = put_be16(p, question != 0);
    p = put_be16(p, 0);
    p = put_be16(p, 0);
    p = put_be16(p, opt != 0);
    if (question)
        p = put_question(&query->question, p);
    put_opt(query, rcode, content, p);
    return DNS_HEADER_BYTES + question + opt;
}

#define SECTIONS 3

/* As much of a stored answer as fits: whole records, from the first on. */
struct cut {
    size_t length;
    unsigned counts[SECTIONS];
    bool lacks; /* a record of the answer or authority section */
};

/* start: behind the question. room: for header, question and records. */
static struct cut cut_stored(const struct dns_stored *stored, size_t start, size_t room)
{
    struct cut cut = {.length = start};
    struct dns_record record;

    for (unsigned i = 0; i < SECTIONS; i++)
        for (unsigned left = load_be16(stored->bytes + DNS_ANCOUNT_AT + 2 * i); left > 0; left--) {
            if (!dns_record_read(stored->bytes, stored->length, cut.length, &record) ||
                record.end > room) {
                cut.lacks = i + 1 < SECTIONS;
                return cut;
            }
            cut.length = record.end;
            cut.counts[i]++;
        }
    return cut;
}

static struct cut keep_all(const struct dns_stored *stored)
{
    struct cut cut = {.length = stored->length};

    for (unsigned i = 0; i < SECTIONS; i++)
        cut.counts[i] = load_be16(stored->bytes + DNS_ANCOUNT_AT + 2 * i);
    return cut;
}

static void age_ttls(const struct dns_stored *stored, const struct dns_render *how, size_t length,
                     uint8_t *out)
{
    for (size_t i = 0; i < stored->ttl_count && stored->ttl_offsets[i] < length; i++) {
        uint8_t *field = out + stored->ttl_offsets[i];
        uint32_t ttl = load_be32(field);
        ttl = ttl > how->age_s && !how->fixed_ttl ? ttl - how->age_s : 0;
        store_be32(field, ttl > how->floor_s ? ttl : how->floor_s);
    }
}

static struct opt_content content_of(const struct dns_stored *stored, const struct dns_render *how)
{
    static const struct dns_explanation stale = {DNS_EDE_STALE_ANSWER, ""};
    static const struct dns_explanation stale_denial = {DNS_EDE_STALE_NXDOMAIN, ""};
    struct opt_content content = {
        .keepalive_100ms = how->keepalive_100ms,
        .ede = stored->bytes + stored->length,
        .ede_length = stored->ede_length,
    };
    if (how->fixed_ttl)
        content.why = stored->rcode == DNS_NXDOMAIN ? &stale_denial : &stale;
    return content;
}

size_t dns_render_stored(const struct dns_query *query, const struct dns_stored *stored,
                         const struct dns_render *how, uint8_t *out)
{
    struct opt_content content = content_of(stored, how);
    size_t opt = opt_size(query, &content), start = DNS_HEADER_BYTES + question_size(query);
    struct cut cut = keep_all(stored);

    if (cut.length + opt > how->limit) { /* explanations go first */
        content.ede_length = 0;
        content.why = NULL;
        opt = opt_size(query, &content);
    }
    if (start > stored->length || start + opt > how->limit)
        return 0; /* not this question's answer, or no room for any */
    if (cut.length + opt > how->limit)
        cut = cut_stored(stored, start, how->limit - opt);

    unsigned kept = (load_be16(stored->bytes + 2) & DNS_FLAG_TC) | (cut.lacks ? DNS_FLAG_TC : 0u);
    if (query->dnssec_ok || query->authentic_data)
        kept |= load_be16(stored->bytes + 2) & DNS_FLAG_AD;
    memcpy(out, stored->bytes, cut.length);
    age_ttls(stored, how, cut.length, out);
    put_start(query, kept, stored->rcode, out);
    put_question(&query->question, out + DNS_HEADER_BYTES);
    for (unsigned i = 0; i < SECTIONS; i++)
        store_be16(out + DNS_ANCOUNT_AT + 2 * i,
                   (uint16_t)(cut.counts[i] + (i + 1 == SECTIONS && opt != 0)));
    put_opt(query, stored->rcode, &content, out + cut.length);
    return cut.length + opt;
}

size_t dns_render_error(const struct dns_query *query, uint16_t rcode,
                        const struct dns_explanation *why, uint8_t *out, size_t out_size)
{
    struct opt_content content = {.keepalive_100ms = DNS_NO_KEEPALIVE, .why = why};

    return put_empty(query, 0, rcode, &content, out, out_size);
}

/* ---- answers of our own ---- */

#define POINTER_BYTES 2
#define SOA_RDATA     (1 + 1 + 20) /* both names are the root */

/* Owner (a pointer), type, class, TTL and RDATA's length. */
static uint8_t *put_record(uint8_t *p, size_t owner, unsigned type, uint32_t ttl_s, size_t rdata)
{
    p = put_be16(p, 0xc000 | (unsigned)owner);
    p = put_be16(p, type);
    p = put_be16(p, DNS_CLASS_IN);
    store_be32(p, ttl_s);
    return put_be16(p + 4, (unsigned)rdata);
}

/* Where the last label of the question's name stands in a message. */
static size_t last_label(const struct dns_name *name)
{
    size_t at = 0, last = 0;

    for (; name->wire[at] != 0; at += 1 + (size_t)name->wire[at])
        last = at;
    return DNS_HEADER_BYTES + last;
}

static uint8_t *put_soa(const struct dns_query *query, uint16_t rcode, uint32_t ttl_s, uint8_t *p)
{
    size_t owner =
        rcode == DNS_NXDOMAIN ? last_label(&query->question.name) : (size_t)DNS_HEADER_BYTES;

    p = put_record(p, owner, DNS_TYPE_SOA, ttl_s, SOA_RDATA);
    memset(p, 0, SOA_RDATA); /* no server, no mailbox, serial 0, no transfers */
    store_be32(p + SOA_RDATA - 4, ttl_s);
    return p + SOA_RDATA;
}

static size_t local_size(const struct dns_local_record *records, size_t count)
{
    size_t size = count == 0 ? POINTER_BYTES + DNS_RECORD_FIXED + SOA_RDATA : 0;

    for (size_t i = 0; i < count; i++)
        size += POINTER_BYTES + DNS_RECORD_FIXED + (size_t)records[i].rdata_length;
    return size;
}

/* How many of the records fit, behind the question and in front of the OPT. */
static size_t fitting(const struct dns_local_record *records, size_t count, size_t room)
{
    while (count > 0 && local_size(records, count) > room)
        count--;
    return count;
}

size_t dns_render_local(const struct dns_query *query, uint16_t rcode,
                        const struct dns_local_record *records, size_t count, uint32_t ttl_s,
                        size_t limit, uint8_t *out)
{
    size_t opt = opt_size(query, &opt_plain);
    size_t around = DNS_HEADER_BYTES + question_size(query) + opt;
    size_t most = limit < DNS_MESSAGE_BYTES ? limit : DNS_MESSAGE_BYTES;
    size_t fits = around < most ? fitting(records, count, most - around) : 0;
    uint8_t *p = out;

    if (around + local_size(records, fits) > most || (fits == 0 && count > 0))
        return put_empty(query, DNS_FLAG_TC, rcode, &opt_plain, out, limit);
    p = put_start(query, DNS_FLAG_AA | (fits < count ? DNS_FLAG_TC : 0u), rcode, p);
    p = put_be16(p, 1);
    p = put_be16(p, (unsigned)fits);
    p = put_be16(p, fits == 0);
    p = put_be16(p, opt != 0);
    p = put_question(&query->question, p);
    for (size_t i = 0; i < fits; i++) {
        p = put_record(p, DNS_HEADER_BYTES, records[i].type, ttl_s, records[i].rdata_length);
        memcpy(p, records[i].rdata, records[i].rdata_length);
        p += records[i].rdata_length;
    }
    if (fits == 0)
        p = put_soa(query, rcode, ttl_s, p);
    put_opt(query, rcode, &opt_plain, p);
    return (size_t)(p - out) + opt;
}
