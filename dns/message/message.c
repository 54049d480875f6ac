/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/message.h"

#include "dns/message/record.h"
#include "packet/parse.h"

#include <assert.h>
#include <string.h>

/* ---- what both directions share ---- */

/* An OPT record must be the only one, stand in the additional section and be owned by the root
 * (RFC 6891 6.1.1). */
static bool opt_is_sound(const uint8_t *bytes, const struct dns_record *record, bool additional,
                         bool seen)
{
    return additional && !seen && bytes[record->owner] == 0;
}

/* The question at byte 12. Returns the offset behind it, 0 with an empty name: not readable. */
static size_t read_question(const uint8_t *bytes, size_t length, struct dns_question *out)
{
    size_t at = dns_name_read(bytes, length, DNS_HEADER_BYTES, &out->name);

    if (at == 0 || length - at < 4) {
        out->name.length = 0;
        return 0;
    }
    out->type = load_be16(bytes + at);
    out->class = load_be16(bytes + at + 2);
    return at + 4;
}

/* ---- queries ---- */

static enum dns_query_error read_query_opt(const uint8_t *bytes, const struct dns_record *record,
                                           struct dns_query *out)
{
    size_t at = record->rdata;
    struct dns_option option;

    out->has_edns = true;
    out->dnssec_ok = (record->ttl & DNS_OPT_DO) != 0;
    if (record->class > DNS_UDP_BYTES)
        out->udp_size = record->class;
    if (DNS_OPT_VERSION(record->ttl) != 0)
        return DNS_QUERY_VERSION; /* its options may mean something else */
    while (dns_option_next(bytes, record->end, &at, &option))
        if (option.code == DNS_OPTION_KEEPALIVE)
            out->wants_keepalive = true;
    return at == record->end ? DNS_QUERY_OK : DNS_QUERY_FORMAT;
}

/* The additional section, from `at` to the last byte. */
static enum dns_query_error read_query_records(const uint8_t *bytes, size_t length, size_t at,
                                               struct dns_query *out)
{
    enum dns_query_error error = DNS_QUERY_OK;
    struct dns_record record;

    for (unsigned left = load_be16(bytes + DNS_ARCOUNT_AT); left > 0; left--) {
        if (!dns_record_read(bytes, length, at, &record))
            return DNS_QUERY_FORMAT;
        at = record.end;
        if (record.type == DNS_TYPE_TSIG && left > 1)
            return DNS_QUERY_FORMAT;
        if (record.type != DNS_TYPE_OPT)
            continue;
        if (!opt_is_sound(bytes, &record, true, out->has_edns))
            return DNS_QUERY_FORMAT;
        error = read_query_opt(bytes, &record, out);
        if (error == DNS_QUERY_FORMAT)
            return error;
    }
    return at == length ? error : DNS_QUERY_FORMAT;
}

static void read_query_header(const uint8_t *bytes, struct dns_query *out)
{
    unsigned flags = load_be16(bytes + 2);

    out->id = load_be16(bytes);
    out->opcode = flags >> DNS_OPCODE_SHIFT & DNS_OPCODE_MASK;
    out->recursion_desired = (flags & DNS_FLAG_RD) != 0;
    out->checking_disabled = (flags & DNS_FLAG_CD) != 0;
    out->authentic_data = (flags & DNS_FLAG_AD) != 0;
    out->has_edns = out->dnssec_ok = out->wants_keepalive = false;
    out->udp_size = DNS_UDP_BYTES;
    out->question.name.length = 0;
    out->question.type = out->question.class = 0;
}

enum dns_query_error dns_query_parse(const uint8_t *bytes, size_t length, struct dns_query *out)
{
    enum dns_query_error error;

    if (length < DNS_HEADER_BYTES)
        return DNS_QUERY_SHORT;
    if (load_be16(bytes + 2) & DNS_FLAG_QR)
        return DNS_QUERY_RESPONSE;
    read_query_header(bytes, out);

    size_t at = 0;
    if (load_be16(bytes + DNS_QDCOUNT_AT) == 1)
        at = read_question(bytes, length, &out->question);
    if (at == 0 || load_be32(bytes + DNS_ANCOUNT_AT) != 0) /* both counts */
        error = DNS_QUERY_FORMAT;
    else
        error = read_query_records(bytes, length, at, out);
    return out->opcode != 0 ? DNS_QUERY_OPCODE : error;
}

static uint8_t *put_be16(uint8_t *p, unsigned value)
{
    store_be16(p, (uint16_t)value);
    return p + 2;
}

/* Bytes of padding behind `length` bytes (the option's header included), RFC 8467 4.1. */
static size_t padding_for(size_t length, unsigned block)
{
    return (block - (length + DNS_OPTION_HEADER) % block) % block;
}

static uint8_t *put_query_opt(const struct dns_query *query, const struct dns_upstream_form *form,
                              size_t options, size_t padding, uint8_t *p)
{
    *p++ = 0; /* the root */
    p = put_be16(p, DNS_TYPE_OPT);
    p = put_be16(p, form->udp_size);
    p = put_be16(p, 0); /* rcode, version 0 */
    p = put_be16(p, query->dnssec_ok ? DNS_OPT_DO : 0);
    p = put_be16(p, (unsigned)options);
    if (form->keepalive) {
        p = put_be16(p, DNS_OPTION_KEEPALIVE);
        p = put_be16(p, 0);
    }
    if (form->pad_to != 0) {
        p = put_be16(p, DNS_OPTION_PADDING);
        p = put_be16(p, (unsigned)padding);
        memset(p, 0, padding);
        p += padding;
    }
    return p;
}

size_t dns_query_build(const struct dns_query *query, const struct dns_upstream_form *form,
                       uint8_t *out, size_t out_size)
{
    const struct dns_question *question = &query->question;
    size_t length = DNS_HEADER_BYTES + (size_t)question->name.length + 4;
    size_t options = form->keepalive ? DNS_OPTION_HEADER : 0, padding = 0;
    unsigned flags = DNS_FLAG_RD | DNS_FLAG_AD | (query->checking_disabled ? DNS_FLAG_CD : 0);
    uint8_t *p = out;

    if (form->udp_size != 0) {
        length += DNS_OPT_BYTES + options;
        if (form->pad_to != 0) {
            padding = padding_for(length, form->pad_to);
            options += DNS_OPTION_HEADER + padding;
            length += DNS_OPTION_HEADER + padding;
        }
    }
    if (length > out_size || length > DNS_MESSAGE_BYTES)
        return 0;
    p = put_be16(p, form->id);
    p = put_be16(p, flags);
    p = put_be16(p, 1);
    p = put_be16(p, 0);
    p = put_be16(p, 0);
    p = put_be16(p, form->udp_size != 0);
    memcpy(p, question->name.wire, question->name.length);
    p = put_be16(p + question->name.length, question->type);
    p = put_be16(p, question->class);
    if (form->udp_size != 0)
        put_query_opt(query, form, options, padding, p);
    return length;
}

/* ---- answers ---- */

static const char *const answer_error_names[] = {
    [DNS_ANSWER_OK] = "ok",       [DNS_ANSWER_SHORT] = "short",
    [DNS_ANSWER_QUERY] = "query", [DNS_ANSWER_FORMAT] = "format",
    [DNS_ANSWER_ID] = "id",       [DNS_ANSWER_QUESTION] = "question",
};
static_assert(sizeof(answer_error_names) / sizeof(answer_error_names[0]) == DNS_ANSWER_ERROR_COUNT,
              "a name for each error");

const char *dns_answer_error_name(enum dns_answer_error error)
{
    return (unsigned)error < DNS_ANSWER_ERROR_COUNT ? answer_error_names[error] : "unknown";
}

uint32_t dns_ttl_meaning(uint32_t ttl)
{
    if (ttl > INT32_MAX)
        return 0;
    return ttl < DNS_MAX_TTL_S ? ttl : DNS_MAX_TTL_S;
}

/* What the walk over the records has found so far. */
struct walk {
    const struct dns_question *question;
    bool answered; /* a record of the asked type stands in the answer section */
    bool has_soa;  /* in the authority section */
    uint32_t negative_ttl_s;
};

static bool read_answer_opt(const uint8_t *bytes, const struct dns_record *record,
                            struct dns_answer *out)
{
    size_t at = record->rdata;
    struct dns_option option;

    out->opt = record->owner;
    out->opt_length = record->end - record->owner;
    out->rcode |= (uint16_t)(record->ttl >> DNS_OPT_RCODE_SHIFT << 4);
    while (dns_option_next(bytes, record->end, &at, &option))
        if (option.code == DNS_OPTION_KEEPALIVE && option.length == 2)
            out->keepalive_100ms = load_be16(option.value);
    return at == record->end;
}

static void note_ttl(uint32_t *smallest, uint32_t ttl)
{
    ttl = dns_ttl_meaning(ttl);
    if (ttl < *smallest)
        *smallest = ttl;
}

/* RFC 2308 5: a negative answer lives for the lesser of the SOA's TTL (which is noted as every
 * record's is) and its MINIMUM, the last field. */
static void note_record(const uint8_t *bytes, const struct dns_record *record, unsigned count_at,
                        struct walk *walk, struct dns_answer *out)
{
    const struct dns_question *question = walk->question;

    note_ttl(&out->ttl_s, record->ttl);
    if (count_at == DNS_ANCOUNT_AT && record->class == question->class &&
        (record->type == question->type || question->type == DNS_TYPE_ANY))
        walk->answered = true;
    if (count_at == DNS_NSCOUNT_AT && record->type == DNS_TYPE_SOA) {
        walk->has_soa = true;
        note_ttl(&walk->negative_ttl_s, load_be32(bytes + record->end - 4));
    }
}

static bool read_section(const uint8_t *bytes, size_t length, unsigned count_at, size_t *at,
                         struct walk *walk, struct dns_answer *out)
{
    struct dns_rdata_names names;
    struct dns_record record;

    for (unsigned left = load_be16(bytes + count_at); left > 0; left--) {
        if (!dns_record_read(bytes, length, *at, &record) ||
            !dns_record_names(bytes, length, &record, &names))
            return false;
        *at = record.end;
        if (record.type != DNS_TYPE_OPT)
            note_record(bytes, &record, count_at, walk, out);
        else if (!opt_is_sound(bytes, &record, count_at == DNS_ARCOUNT_AT, out->opt_length != 0) ||
                 !read_answer_opt(bytes, &record, out))
            return false;
    }
    return true;
}

/* All sections; what they say about the whole. */
static bool read_records(const uint8_t *bytes, size_t length, const struct dns_question *question,
                         struct dns_answer *out)
{
    struct walk walk = {.question = question, .negative_ttl_s = DNS_MAX_TTL_S};
    size_t at = out->records;

    for (unsigned count_at = DNS_ANCOUNT_AT; count_at <= DNS_ARCOUNT_AT; count_at += 2)
        if (!read_section(bytes, length, count_at, &at, &walk, out))
            return false;
    out->negative = out->rcode == DNS_NXDOMAIN || (out->rcode == DNS_NOERROR && !walk.answered);
    out->cacheable = (out->rcode == DNS_NXDOMAIN || out->rcode == DNS_NOERROR) && !out->truncated &&
                     (!out->negative || walk.has_soa);
    if (out->negative && walk.negative_ttl_s < out->ttl_s)
        out->ttl_s = walk.negative_ttl_s;
    out->length = at; /* what stands behind the last record is nobody's */
    return true;
}

static void read_answer_header(const uint8_t *bytes, size_t length, struct dns_answer *out)
{
    unsigned flags = load_be16(bytes + 2);

    *out = (struct dns_answer){
        .bytes = bytes,
        .length = length,
        .rcode = flags & DNS_RCODE_MASK,
        .truncated = (flags & DNS_FLAG_TC) != 0,
        .authentic_data = (flags & DNS_FLAG_AD) != 0,
        .authoritative = (flags & DNS_FLAG_AA) != 0,
        .recursion_available = (flags & DNS_FLAG_RA) != 0,
        .ttl_s = DNS_MAX_TTL_S,
        .keepalive_100ms = UINT32_MAX,
    };
}

/* No question, no answer, no authority; NOERROR and NXDOMAIN would be answers, and those name it.
 */
static bool is_bare_error(const uint8_t *bytes, const struct dns_answer *answer)
{
    return load_be16(bytes + DNS_QDCOUNT_AT) == 0 && load_be32(bytes + DNS_ANCOUNT_AT) == 0 &&
           answer->rcode != DNS_NOERROR && answer->rcode != DNS_NXDOMAIN;
}

static bool read_bare(const uint8_t *bytes, size_t length, const struct dns_question *asked,
                      struct dns_answer *out)
{
    out->is_bare = true;
    out->records = DNS_HEADER_BYTES;
    return read_records(bytes, length, asked, out);
}

static bool same_question(const struct dns_question *a, const struct dns_question *b)
{
    return a->type == b->type && a->class == b->class && dns_name_equal(&a->name, &b->name);
}

enum dns_answer_error dns_answer_parse(const uint8_t *bytes, size_t length, uint16_t id,
                                       const struct dns_question *asked, struct dns_answer *out)
{
    struct dns_question question;

    if (length < DNS_HEADER_BYTES)
        return DNS_ANSWER_SHORT;
    unsigned flags = load_be16(bytes + 2);
    if (!(flags & DNS_FLAG_QR) || (flags >> DNS_OPCODE_SHIFT & DNS_OPCODE_MASK) != 0)
        return DNS_ANSWER_QUERY;
    if (asked && load_be16(bytes) != id)
        return DNS_ANSWER_ID;
    read_answer_header(bytes, length, out);
    if (length > DNS_MESSAGE_BYTES)
        return DNS_ANSWER_FORMAT;
    if (asked && is_bare_error(bytes, out))
        return read_bare(bytes, length, asked, out) ? DNS_ANSWER_OK : DNS_ANSWER_FORMAT;
    if (load_be16(bytes + DNS_QDCOUNT_AT) != 1)
        return DNS_ANSWER_FORMAT;
    out->records = read_question(bytes, length, &question);
    if (out->records == 0)
        return DNS_ANSWER_FORMAT;
    if (asked && !same_question(asked, &question))
        return DNS_ANSWER_QUESTION;
    return read_records(bytes, length, &question, out) ? DNS_ANSWER_OK : DNS_ANSWER_FORMAT;
}
