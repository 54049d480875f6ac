/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/record.h"

#include "packet/parse.h"

bool dns_record_read(const uint8_t *bytes, size_t length, size_t offset, struct dns_record *out)
{
    size_t at = dns_name_read(bytes, length, offset, NULL);

    if (at == 0 || length - at < DNS_RECORD_FIXED)
        return false;
    out->owner = offset;
    out->type = load_be16(bytes + at + DNS_TYPE_AT);
    out->class = load_be16(bytes + at + DNS_CLASS_AT);
    out->ttl_at = at + DNS_TTL_AT;
    out->ttl = load_be32(bytes + out->ttl_at);
    out->rdata_length = load_be16(bytes + at + DNS_RDLENGTH_AT);
    out->rdata = at + DNS_RECORD_FIXED;
    out->end = out->rdata + out->rdata_length;
    return out->end <= length;
}

/* RDATA of a type: bytes, character strings, names, and how many bytes behind them. */
#define ANY_TAIL (-1)
struct rdata_form {
    uint16_t type;
    uint8_t fixed, strings, names;
    int tail;
};

/* clang-format off */
static const struct rdata_form forms[] = {
    {DNS_TYPE_A,      4, 0, 0, 0},
    {DNS_TYPE_AAAA,  16, 0, 0, 0},
    {DNS_TYPE_NS,     0, 0, 1, 0},
    {DNS_TYPE_CNAME,  0, 0, 1, 0},
    {DNS_TYPE_PTR,    0, 0, 1, 0},
    {DNS_TYPE_SOA,    0, 0, 2, 20}, /* serial, refresh, retry, expire, minimum */
    {3,               0, 0, 1, 0},  /* MD */
    {4,               0, 0, 1, 0},  /* MF */
    {7,               0, 0, 1, 0},  /* MB */
    {8,               0, 0, 1, 0},  /* MG */
    {9,               0, 0, 1, 0},  /* MR */
    {14,              0, 0, 2, 0},  /* MINFO */
    {15,              2, 0, 1, 0},  /* MX: preference */
    {17,              0, 0, 2, 0},  /* RP */
    {18,              2, 0, 1, 0},  /* AFSDB: subtype */
    {21,              2, 0, 1, 0},  /* RT: preference */
    {24,             18, 0, 1, ANY_TAIL}, /* SIG */
    {26,              2, 0, 2, 0},  /* PX: preference */
    {30,              0, 0, 1, ANY_TAIL}, /* NXT: types */
    {33,              6, 0, 1, 0},  /* SRV: priority, weight, port */
    {35,              4, 3, 1, 0},  /* NAPTR: order, preference, flags, services, regexp */
    {36,              2, 0, 1, 0},  /* KX: preference */
    {39,              0, 0, 1, 0},  /* DNAME */
};
/* clang-format on */

static const struct rdata_form *find_form(const struct dns_record *record)
{
    bool is_address = record->type == DNS_TYPE_A || record->type == DNS_TYPE_AAAA;

    if (is_address && record->class != DNS_CLASS_IN)
        return NULL; /* addresses of another kind of network */
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (forms[i].type == record->type)
            return &forms[i];
    return NULL;
}

bool dns_record_names(const uint8_t *bytes, size_t length, const struct dns_record *record,
                      struct dns_rdata_names *out)
{
    const struct rdata_form *form = find_form(record);

    out->count = 0;
    if (!form)
        return true;
    size_t at = record->rdata + form->fixed;
    for (unsigned i = 0; i < form->strings && at < record->end; i++)
        at += 1 + (size_t)bytes[at];
    if (at > record->end)
        return false;
    while (out->count < form->names) {
        out->at[out->count++] = at;
        at = dns_name_read(bytes, length, at, NULL);
        if (at == 0 || at > record->end)
            return false;
    }
    return form->tail == ANY_TAIL || record->end - at == (size_t)form->tail;
}

bool dns_option_next(const uint8_t *bytes, size_t end, size_t *at, struct dns_option *out)
{
    if (end - *at < DNS_OPTION_HEADER)
        return false;
    out->code = load_be16(bytes + *at);
    out->length = load_be16(bytes + *at + 2);
    out->value = bytes + *at + DNS_OPTION_HEADER;
    if (end - *at - DNS_OPTION_HEADER < out->length)
        return false;
    *at += DNS_OPTION_HEADER + (size_t)out->length;
    return true;
}
