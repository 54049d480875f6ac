/* SPDX-License-Identifier: Apache-2.0 */
/* A client's query, what is asked upstream because of it, and the error answers to it. Input: the
 * message. */

#include "dns/message/message.h"
#include "dns/message/record.h"
#include "dns/message/render.h"
#include "packet/parse.h"
#include "tests/fuzz/fuzz.h"

static void check_same_question(const struct dns_question *a, const struct dns_question *b)
{
    CHECK(dns_name_same_bytes(&a->name, &b->name));
    CHECK(a->type == b->type && a->class == b->class);
}

/* Whatever was asked, what goes upstream is a query for the same. */
static void check_upstream(const struct dns_query *query, const struct dns_upstream_form *form)
{
    uint8_t whole[1024];
    size_t length = dns_query_build(query, form, whole, sizeof(whole));
    CHECK(length >= DNS_HEADER_BYTES + 5);
    CHECK(form->udp_size == 0 || form->pad_to == 0 || length % form->pad_to == 0);

    uint8_t *exact = malloc(length);
    CHECK(dns_query_build(query, form, exact, length - 1) == 0);
    CHECK(dns_query_build(query, form, exact, length) == length);
    struct dns_query again;
    CHECK(dns_query_parse(exact, length, &again) == DNS_QUERY_OK);
    check_same_question(&again.question, &query->question);
    CHECK(again.id == form->id && again.recursion_desired && again.authentic_data);
    CHECK(again.checking_disabled == query->checking_disabled);
    CHECK(again.has_edns == (form->udp_size != 0));
    CHECK(again.dnssec_ok == (query->dnssec_ok && again.has_edns));
    CHECK(again.wants_keepalive == (form->keepalive && again.has_edns));
    free(exact);
}

static void check_error(const struct dns_query *query, uint16_t rcode)
{
    static const struct dns_explanation why = {23, "why"};
    uint8_t bytes[DNS_UDP_BYTES];
    size_t length = dns_render_error(query, rcode, &why, bytes, sizeof(bytes));
    struct dns_answer answer;

    CHECK(length >= DNS_HEADER_BYTES);
    CHECK(load_be16(bytes) == query->id);
    if (query->question.name.length == 0 || query->opcode != 0)
        return; /* not to be read as an answer to a query */
    CHECK(dns_answer_parse(bytes, length, query->id, &query->question, &answer) == DNS_ANSWER_OK);
    CHECK((answer.opt_length != 0) == query->has_edns);
    CHECK(answer.rcode == (rcode > 15 && !query->has_edns ? (uint16_t)DNS_SERVFAIL : rcode));
    CHECK(!answer.cacheable || rcode == DNS_NOERROR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_query query;
    enum dns_query_error error = dns_query_parse(data, size, &query);

    CHECK((unsigned)error < DNS_QUERY_ERROR_COUNT);
    if (error == DNS_QUERY_SHORT || error == DNS_QUERY_RESPONSE)
        return 0;
    CHECK(query.udp_size >= DNS_UDP_BYTES);
    CHECK(query.has_edns || (!query.dnssec_ok && !query.wants_keepalive));
    check_error(&query, DNS_FORMERR);
    check_error(&query, DNS_BADVERS);
    if (error != DNS_QUERY_OK)
        return 0;
    CHECK(query.opcode == 0 && query.question.name.length >= 1);
    check_upstream(&query, &(struct dns_upstream_form){.id = 1});
    check_upstream(&query, &(struct dns_upstream_form){2, DNS_EDNS_UDP_BYTES, false, 0});
    check_upstream(&query, &(struct dns_upstream_form){3, 65535, true, 128});
    return 0;
}
