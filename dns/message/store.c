/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/store.h"

#include "dns/message/record.h"
#include "packet/parse.h"

#include <string.h>

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
