/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/render.h"

#include "dns/message/record.h"
#include "packet/parse.h"

#include <string.h>

/* ---- storing ---- */

/* An upstream's explanations are kept up to this size; longer ones are left out. */
#define EDE_BYTES_MAX 255

/*
 * An answer on its way into its stored form: what stands behind the OPT moves down. `ttls` are the
 * places of the TTLs in the answer, in ascending order.
 */
struct storing {
    const struct dns_answer *answer;
    uint8_t *out;
    uint16_t *ttls;
    size_t ttl_count;
};

/* Does one of the places start .. end - 1 hold a byte of a TTL? */
static bool touches_ttl(const struct storing *s, size_t start, size_t end)
{
    size_t low = 0, high = s->ttl_count;

    while (low < high) { /* the first TTL that ends behind start */
        size_t middle = (low + high) / 2;
        if (s->ttls[middle] + (size_t)DNS_TTL_BYTES > start)
            high = middle;
        else
            low = middle + 1;
    }
    return low < s->ttl_count && s->ttls[low] < end;
}

/* Does a name lead where it led before, once OPT has gone and TTLs have changed? at: a name that
 * has been read before. Pointers lead backwards; one that ends up behind the OPT is not rewritten.
 */
static bool name_is_steady(const struct storing *s, size_t at)
{
    const struct dns_answer *answer = s->answer;
    const uint8_t *bytes = answer->bytes;
    bool followed = false;

    for (size_t start = at;; start = at) {
        while (bytes[at] != 0 && bytes[at] <= DNS_LABEL_BYTES)
            at += 1 + (size_t)bytes[at];
        bool last = bytes[at] == 0;
        size_t end = at + (last ? 1 : 2);
        if (touches_ttl(s, start, end) ||
            (followed && answer->opt_length != 0 && end > answer->opt))
            return false;
        if (last)
            return true;
        at = load_be16(bytes + at) & 0x3fffu;
        followed = true;
    }
}

static bool record_is_steady(const struct storing *s, const struct dns_record *record)
{
    struct dns_rdata_names names;

    dns_record_names(s->answer->bytes, s->answer->length, record, &names);
    for (unsigned i = 0; i < names.count; i++)
        if (!name_is_steady(s, names.at[i]))
            return false;
    return name_is_steady(s, record->owner);
}

/* Every record but the OPT, in order; *at starts at answer->records. */
static bool next_record(const struct dns_answer *answer, size_t *at, struct dns_record *out)
{
    if (*at == answer->opt)
        *at += answer->opt_length;
    if (*at >= answer->length || !dns_record_read(answer->bytes, answer->length, *at, out))
        return false;
    *at = out->end;
    return true;
}

static bool list_ttls(struct storing *s, size_t offsets_max)
{
    struct dns_record record;

    for (size_t at = s->answer->records; next_record(s->answer, &at, &record);) {
        if (s->ttl_count == offsets_max)
            return false;
        s->ttls[s->ttl_count++] = (uint16_t)record.ttl_at;
    }
    return true;
}

static bool names_are_steady(const struct storing *s)
{
    struct dns_record record;

    for (size_t at = s->answer->records; next_record(s->answer, &at, &record);)
        if (!record_is_steady(s, &record))
            return false;
    return true;
}

static void settle_ttls(const struct storing *s)
{
    const struct dns_answer *answer = s->answer;

    for (size_t i = 0; i < s->ttl_count; i++) {
        uint32_t ttl = dns_ttl_meaning(load_be32(answer->bytes + s->ttls[i]));
        if (s->ttls[i] > answer->opt)
            s->ttls[i] -= (uint16_t)answer->opt_length;
        if (answer->negative && ttl > answer->ttl_s)
            ttl = answer->ttl_s;
        store_be32(s->out + s->ttls[i], ttl);
    }
}

/* The EDE options of the answer's OPT, copied to out; returns their bytes. */
static size_t copy_ede(const struct dns_answer *answer, uint8_t *out)
{
    size_t end = answer->opt + answer->opt_length, at = answer->opt + DNS_OPT_BYTES, used = 0;
    struct dns_option option;

    while (answer->opt_length != 0 && dns_option_next(answer->bytes, end, &at, &option)) {
        size_t whole = DNS_OPTION_HEADER + (size_t)option.length;
        if (option.code == DNS_OPTION_EDE && whole <= EDE_BYTES_MAX - used) {
            memcpy(out + used, option.value - DNS_OPTION_HEADER, whole);
            used += whole;
        }
    }
    return used;
}

bool dns_stored_make(const struct dns_answer *answer, uint8_t *bytes_out, uint16_t *offsets_out,
                     size_t offsets_max, struct dns_stored *out)
{
    struct storing s = {.answer = answer, .out = bytes_out, .ttls = offsets_out};
    size_t opt_end = answer->opt + answer->opt_length;
    size_t length = answer->length - answer->opt_length;

    memcpy(bytes_out, answer->bytes, answer->length);
    if (answer->opt_length != 0) {
        memcpy(bytes_out + answer->opt, answer->bytes + opt_end, answer->length - opt_end);
        store_be16(bytes_out + DNS_ARCOUNT_AT,
                   (uint16_t)(load_be16(answer->bytes + DNS_ARCOUNT_AT) - 1));
    }
    if (!list_ttls(&s, offsets_max) || !names_are_steady(&s))
        return false;
    settle_ttls(&s);
    if (!answer->authentic_data)
        bytes_out[3] &= (uint8_t)~DNS_FLAG_AD;
    *out = (struct dns_stored){
        .bytes = bytes_out,
        .length = (uint16_t)length,
        .ede_length = (uint16_t)copy_ede(answer, bytes_out + length),
        .rcode = answer->rcode,
        .ttl_count = (uint16_t)s.ttl_count,
        .ttl_offsets = offsets_out,
    };
    return true;
}

/* ---- rendering ---- */

/* What goes into an OPT of ours besides the query's DO. */
struct opt_content {
    uint32_t keepalive_100ms;
    const uint8_t *ede; /* options of the upstream */
    size_t ede_length;
    unsigned ede_own; /* a code of ours; 0: none */
};

static const struct opt_content opt_plain = {.keepalive_100ms = DNS_NO_KEEPALIVE};

static uint8_t *put_be16(uint8_t *p, unsigned value)
{
    store_be16(p, (uint16_t)value);
    return p + 2;
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
           content->ede_length + (content->ede_own ? DNS_OPTION_HEADER + 2 : 0);
}

static uint8_t *put_option16(uint8_t *p, unsigned code, unsigned value)
{
    p = put_be16(p, code);
    p = put_be16(p, 2);
    return put_be16(p, value);
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
    if (content->ede_own)
        p = put_option16(p, DNS_OPTION_EDE, content->ede_own);
    if (content->ede_length)
        memcpy(p, content->ede, content->ede_length);
}

/* The code in the header's four bits. Who has no OPT cannot be told the rest of it. */
static unsigned header_rcode(const struct dns_query *query, uint16_t rcode)
{
    return rcode > DNS_RCODE_MASK && !query->has_edns ? DNS_SERVFAIL : rcode & DNS_RCODE_MASK;
}

/* Id and flags; the counts follow. */
static uint8_t *put_start(const struct dns_query *query, unsigned more_flags, uint16_t rcode,
                          uint8_t *p)
{
    p = put_be16(p, query->id);
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

static size_t put_truncated(const struct dns_query *query, uint16_t rcode, uint32_t keepalive_100ms,
                            uint8_t *out, size_t limit)
{
    struct opt_content content = {.keepalive_100ms = keepalive_100ms};
    return put_empty(query, DNS_FLAG_TC, rcode, &content, out, limit);
}

static void age_ttls(const struct dns_stored *stored, const struct dns_render *how, uint8_t *out)
{
    for (size_t i = 0; i < stored->ttl_count; i++) {
        uint8_t *field = out + stored->ttl_offsets[i];
        uint32_t ttl = load_be32(field);
        ttl = ttl > how->age_s && !how->fixed_ttl ? ttl - how->age_s : 0;
        store_be32(field, ttl > how->floor_s ? ttl : how->floor_s);
    }
}

static struct opt_content content_of(const struct dns_stored *stored, const struct dns_render *how)
{
    struct opt_content content = {
        .keepalive_100ms = how->keepalive_100ms,
        .ede = stored->bytes + stored->length,
        .ede_length = stored->ede_length,
    };
    if (how->fixed_ttl)
        content.ede_own =
            stored->rcode == DNS_NXDOMAIN ? DNS_EDE_STALE_NXDOMAIN : DNS_EDE_STALE_ANSWER;
    return content;
}

size_t dns_render_stored(const struct dns_query *query, const struct dns_stored *stored,
                         const struct dns_render *how, uint8_t *out)
{
    struct opt_content content = content_of(stored, how);
    size_t opt = opt_size(query, &content), length = stored->length;

    if (length + opt > how->limit) { /* explanations go first */
        content.ede_length = 0;
        content.ede_own = 0;
        opt = opt_size(query, &content);
    }
    if (length + opt > how->limit)
        return put_truncated(query, stored->rcode, how->keepalive_100ms, out, how->limit);
    if (DNS_HEADER_BYTES + question_size(query) > length)
        return 0; /* not this question's answer */

    unsigned kept = load_be16(stored->bytes + 2) & DNS_FLAG_TC;
    if (query->dnssec_ok || query->authentic_data)
        kept |= load_be16(stored->bytes + 2) & DNS_FLAG_AD;
    memcpy(out, stored->bytes, length);
    age_ttls(stored, how, out);
    put_start(query, kept, stored->rcode, out);
    put_question(&query->question, out + DNS_HEADER_BYTES);
    if (opt != 0)
        store_be16(out + DNS_ARCOUNT_AT, (uint16_t)(load_be16(out + DNS_ARCOUNT_AT) + 1));
    put_opt(query, stored->rcode, &content, out + length);
    return length + opt;
}

size_t dns_render_error(const struct dns_query *query, uint16_t rcode, uint8_t *out,
                        size_t out_size)
{
    return put_empty(query, 0, rcode, &opt_plain, out, out_size);
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

size_t dns_render_local(const struct dns_query *query, uint16_t rcode,
                        const struct dns_local_record *records, size_t count, uint32_t ttl_s,
                        size_t limit, uint8_t *out)
{
    size_t opt = opt_size(query, &opt_plain);
    size_t length = DNS_HEADER_BYTES + question_size(query) + local_size(records, count) + opt;
    uint8_t *p = out;

    if (length > limit || length > DNS_MESSAGE_BYTES)
        return put_truncated(query, rcode, DNS_NO_KEEPALIVE, out, limit);
    p = put_start(query, DNS_FLAG_AA, rcode, p);
    p = put_be16(p, 1);
    p = put_be16(p, (unsigned)count);
    p = put_be16(p, count == 0);
    p = put_be16(p, opt != 0);
    p = put_question(&query->question, p);
    for (size_t i = 0; i < count; i++) {
        p = put_record(p, DNS_HEADER_BYTES, records[i].type, ttl_s, records[i].rdata_length);
        memcpy(p, records[i].rdata, records[i].rdata_length);
        p += records[i].rdata_length;
    }
    if (count == 0)
        p = put_soa(query, rcode, ttl_s, p);
    put_opt(query, rcode, &opt_plain, p);
    return length;
}
