/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/message.h"

#include "tests/unit/dns_build.h"

/* Bytes alone in a block of their size, so that a sanitizer sees a read beyond them. */
static enum dns_query_error parse_query(const struct dns_build *b, size_t length,
                                        struct dns_query *out)
{
    uint8_t *exact = malloc(length ? length : 1);
    memcpy(exact, b->bytes, length);
    enum dns_query_error error = dns_query_parse(exact, length, out);
    free(exact);
    return error;
}

static enum dns_answer_error parse_answer(const struct dns_build *b, struct dns_answer *out)
{
    return dns_answer_parse(b->bytes, b->length, 0, NULL, out);
}

static void reads_a_plain_query(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;
    char text[DNS_NAME_TEXT_BYTES];

    start_message(&b, DNS_FLAG_RD | DNS_FLAG_CD | DNS_FLAG_AD, "wWw.eXample.com", 65280);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OK);
    assert_int_equal(query.id, 0x1234);
    assert_true(query.recursion_desired && query.checking_disabled && query.authentic_data);
    assert_false(query.has_edns || query.dnssec_ok || query.wants_keepalive);
    assert_int_equal(query.udp_size, 512);
    assert_int_equal(query.question.type, 65280);
    assert_int_equal(query.question.class, DNS_CLASS_IN);
    assert_string_equal(dns_name_to_text(&query.question.name, text), "wWw.eXample.com");
    for (size_t length = 0; length < b.length; length++)
        assert_int_equal(parse_query(&b, length, &query),
                         length < 12 ? DNS_QUERY_SHORT : DNS_QUERY_FORMAT);
    put16(&b, 0); /* trailing bytes */
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
}

static void reads_edns(void **state)
{
    (void)state;
    static const uint8_t options[] = {0, 10, 0, 2, 1, 2, 0, 11, 0, 0};
    struct dns_build b;
    struct dns_query query;

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    size_t plain = b.length;
    put_opt_record(&b, 4096, DNS_OPT_DO, options, sizeof(options));
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OK);
    assert_true(query.has_edns && query.dnssec_ok && query.wants_keepalive);
    assert_int_equal(query.udp_size, 4096);
    for (size_t length = plain; length < b.length; length++)
        assert_int_equal(parse_query(&b, length, &query), DNS_QUERY_FORMAT);

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 100, 0, NULL, 0);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OK);
    assert_int_equal(query.udp_size, 512); /* RFC 6891 6.2.3 */
}

static void refuses_bad_edns(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 1232, 0, NULL, 0);
    put_opt_record(&b, 1232, 0, NULL, 0);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_record(&b, DNS_ARCOUNT_AT, "<12>", DNS_TYPE_OPT, 0, NULL, 0);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 1232, 0, "\0\x0a\0\x03\1\2", 6); /* option longer than the rest */
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
    assert_true(query.has_edns); /* the error answer carries an OPT */

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 1232, 0x00010000, "\0\x0a\0\x03\1\2", 6);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_VERSION);
    assert_true(query.has_edns);
    assert_int_equal(query.question.type, DNS_TYPE_A);
}

static void opt_need_not_be_last(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 1400, 0, NULL, 0);
    put_record(&b, DNS_ARCOUNT_AT, "key", 250, 0, "whatever", 8);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OK);
    assert_int_equal(query.udp_size, 1400);
}

/* RFC 8945 5.1: TSIG is the last record. What comes behind it is not covered by the signature. */
static void tsig_must_be_last(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;

    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_record(&b, DNS_ARCOUNT_AT, "key", DNS_TYPE_TSIG, 0, "whatever", 8);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OK);
    put_opt_record(&b, 1400, 0, NULL, 0);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_record(&b, DNS_ARCOUNT_AT, "key", DNS_TYPE_TSIG, 0, "whatever", 8);
    put_record(&b, DNS_ARCOUNT_AT, "key", DNS_TYPE_TSIG, 0, "whatever", 8);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
}

/* An operation that is not known here may have any form: NOTIMP, whatever stands behind the header,
 * and its bits of the header stay as they were. */
static void other_operations_have_any_form(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;

    for (unsigned opcode = 1; opcode <= DNS_OPCODE_MASK; opcode++) {
        start_message(&b, opcode << DNS_OPCODE_SHIFT | DNS_FLAG_RD, "a", DNS_TYPE_SOA);
        put_a(&b, "<12>", 1); /* UPDATE has records in each section */
        for (size_t length = DNS_HEADER_BYTES; length <= b.length; length++) {
            assert_int_equal(parse_query(&b, length, &query), DNS_QUERY_OPCODE);
            assert_int_equal(query.opcode, opcode);
            assert_true(query.recursion_desired);
        }
    }
}

static void refuses_other_messages(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;

    start_message(&b, DNS_FLAG_QR, "a", DNS_TYPE_A);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_RESPONSE);
    start_message(&b, 4 << DNS_OPCODE_SHIFT, "a", DNS_TYPE_SOA); /* NOTIFY */
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OPCODE);
    assert_int_equal(query.opcode, 4);
    assert_int_equal(query.question.name.length, 3);
    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_a(&b, "<12>", 1);
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
    start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
    put_soa_record(&b, "<12>", 1, 1); /* IXFR's */
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
}

static void asks_exactly_one_question(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query;
    static const uint16_t counts[] = {0, 2, 65535};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        start_message(&b, QUERY_FLAGS, "a", DNS_TYPE_A);
        if (counts[i] == 2)
            put_bytes(&b, b.bytes + 12, b.length - 12);
        store_be16(b.bytes + DNS_QDCOUNT_AT, counts[i]);
        assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_FORMAT);
        assert_int_equal(query.question.name.length, 0);
    }
}

static void builds_what_upstreams_are_asked(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_query query, again;
    uint8_t out[1024];
    struct dns_upstream_form form = {.id = 0xabcd, .udp_size = 1232, .keepalive = true};

    start_message(&b, DNS_FLAG_CD, "eXaMple.com", DNS_TYPE_AAAA); /* neither RD nor AD */
    put_opt_record(&b, 4096, DNS_OPT_DO, "\0\x0a\0\2\1\2", 6);    /* a cookie of the client's */
    assert_int_equal(parse_query(&b, b.length, &query), DNS_QUERY_OK);
    size_t length = dns_query_build(&query, &form, out, sizeof(out));
    assert_int_equal(length, 12 + 13 + 4 + 11 + 4);
    assert_int_equal(dns_query_parse(out, length, &again), DNS_QUERY_OK);
    assert_int_equal(again.id, 0xabcd);
    assert_true(again.recursion_desired && again.authentic_data && again.checking_disabled);
    assert_true(again.dnssec_ok && again.wants_keepalive);
    assert_int_equal(again.udp_size, 1232);
    assert_true(dns_name_same_bytes(&again.question.name, &query.question.name));

    form.pad_to = 128;
    assert_int_equal(dns_query_build(&query, &form, out, sizeof(out)), 128);
    assert_int_equal(dns_query_parse(out, 128, &again), DNS_QUERY_OK);
    assert_int_equal(dns_query_build(&query, &form, out, 127), 0);
    form.udp_size = 0;
    length = dns_query_build(&query, &form, out, sizeof(out));
    assert_int_equal(length, 12 + 13 + 4);
    assert_int_equal(dns_query_parse(out, length, &again), DNS_QUERY_OK);
    assert_false(again.has_edns);
}

static void checks_whose_answer_it_is(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_answer answer;
    struct dns_question asked = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN}, other;

    assert_true(dns_name_from_text("eXample.com", &asked.name));
    start_message(&b, ANSWER_FLAGS, "eXample.com", DNS_TYPE_A);
    put_a(&b, "<12>", 300);
    assert_int_equal(dns_answer_parse(b.bytes, b.length, 0x1234, &asked, &answer), DNS_ANSWER_OK);
    assert_int_equal(dns_answer_parse(b.bytes, b.length, 0x1235, &asked, &answer), DNS_ANSWER_ID);
    assert_int_equal(dns_answer_parse(b.bytes, 11, 0x1234, &asked, &answer), DNS_ANSWER_SHORT);
    other = asked;
    other.type = DNS_TYPE_AAAA;
    assert_int_equal(dns_answer_parse(b.bytes, b.length, 0x1234, &other, &answer),
                     DNS_ANSWER_QUESTION);
    other = asked;
    other.name.wire[1] ^= 0x20; /* some servers answer in a case of their own */
    assert_int_equal(dns_answer_parse(b.bytes, b.length, 0x1234, &other, &answer), DNS_ANSWER_OK);
    other.name.wire[1] ^= 0x01;
    assert_int_equal(dns_answer_parse(b.bytes, b.length, 0x1234, &other, &answer),
                     DNS_ANSWER_QUESTION);
    b.bytes[2] = 0;
    assert_int_equal(dns_answer_parse(b.bytes, b.length, 0x1234, &asked, &answer),
                     DNS_ANSWER_QUERY);
}

static void reads_an_answer(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_answer answer;

    start_message(&b, ANSWER_FLAGS | DNS_FLAG_AD, "www.example.com", DNS_TYPE_A);
    put_name_record(&b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_CNAME, 60, "host.<16>");
    put_a(&b, "host.example.com", 300);
    put_opt_record(&b, 1232, 0, "\0\x0b\0\2\1\x2c", 6);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.cacheable && answer.authentic_data && !answer.negative);
    assert_true(answer.recursion_available && !answer.authoritative && !answer.truncated);
    assert_int_equal(answer.ttl_s, 60);
    assert_int_equal(answer.records, 33);
    assert_int_equal(answer.keepalive_100ms, 300);
    assert_int_equal(answer.opt_length, 17);
    assert_int_equal(answer.opt, b.length - 17);
    put16(&b, 0); /* bytes behind it are left out */
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_int_equal(answer.length, b.length - 2);
}

/* unbound's "refuse" sends a header alone. */
static void errors_may_lack_their_question(void **state)
{
    struct dns_question asked = {.type = DNS_TYPE_A, .class = DNS_CLASS_IN};
    uint8_t bytes[DNS_HEADER_BYTES] = {0x12, 0x34, 0x80, 0x85};
    struct dns_answer answer;

    (void)state;
    assert_true(dns_name_from_text("example.com", &asked.name));
    assert_int_equal(dns_answer_parse(bytes, sizeof(bytes), 0x1234, &asked, &answer),
                     DNS_ANSWER_OK);
    assert_true(answer.is_bare && answer.rcode == DNS_REFUSED && !answer.cacheable);
    assert_int_equal(dns_answer_parse(bytes, sizeof(bytes), 0x1235, &asked, &answer),
                     DNS_ANSWER_ID);
    bytes[3] = 0x83; /* NXDOMAIN of what? */
    assert_int_equal(dns_answer_parse(bytes, sizeof(bytes), 0x1234, &asked, &answer),
                     DNS_ANSWER_FORMAT);
    bytes[3] = 0x80;
    assert_int_equal(dns_answer_parse(bytes, sizeof(bytes), 0x1234, &asked, &answer),
                     DNS_ANSWER_FORMAT);
}

static void cut_answers_are_refused(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_answer answer;

    start_message(&b, ANSWER_FLAGS, "www.example.com", DNS_TYPE_A);
    put_name_record(&b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_CNAME, 60, "host.<16>");
    put_soa_record(&b, "<16>", 60, 60);
    put_opt_record(&b, 1232, 0, "\0\x0b\0\2\1\x2c", 6);
    for (size_t length = 12; length < b.length; length++) {
        uint8_t *exact = malloc(length);
        memcpy(exact, b.bytes, length);
        assert_int_equal(dns_answer_parse(exact, length, 0, NULL, &answer), DNS_ANSWER_FORMAT);
        free(exact);
    }
    store_be16(b.bytes + DNS_ANCOUNT_AT, 65535);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_FORMAT);
}

static void ttls_mean_what_they_mean(void **state)
{
    (void)state;
    static const uint32_t ttls[][2] = {
        {0, 0},          {300, 300},           {0x80000000, 0}, /* RFC 2181 8 */
        {0xffffffff, 0}, {0x7fffffff, 604800},                  /* RFC 8767 4 */
    };
    for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
        struct dns_build b;
        struct dns_answer answer;
        start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
        put_a(&b, "<12>", ttls[i][0]);
        assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
        assert_int_equal(answer.ttl_s, ttls[i][1]);
    }
}

/* RFC 2308 5. */
static void negative_answers(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_answer answer;

    start_message(&b, ANSWER_FLAGS | DNS_NXDOMAIN, "a", DNS_TYPE_A);
    put_soa_record(&b, "<12>", 900, 30);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.negative && answer.cacheable);
    assert_int_equal(answer.ttl_s, 30);

    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_soa_record(&b, "<12>", 20, 30);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.negative && answer.cacheable);
    assert_int_equal(answer.ttl_s, 20);

    /* no data at the end of a chain */
    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_name_record(&b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_CNAME, 5, "x.<12>");
    put_soa_record(&b, "<12>", 20, 30);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.negative && answer.cacheable);
    assert_int_equal(answer.ttl_s, 5);

    /* asked for the CNAME itself */
    store_be16(b.bytes + 12 + 3, DNS_TYPE_CNAME);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_false(answer.negative);
}

/* RFC 2308 2.2: a referral, or half a chain, says nothing about the name. */
static void referrals_are_not_kept(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_answer answer;

    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_name_record(&b, DNS_NSCOUNT_AT, "<12>", DNS_TYPE_NS, 900, "ns.<12>");
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.negative && !answer.cacheable);
    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_name_record(&b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_CNAME, 900, "x.<12>");
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.negative && !answer.cacheable);
    /* a SOA that was asked for is data */
    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_SOA);
    put_record(&b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_SOA, 900,
               "\0\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 22);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(!answer.negative && answer.cacheable);
    assert_int_equal(answer.ttl_s, 900);
}

static void failures_are_not_kept(void **state)
{
    (void)state;
    static const unsigned codes[] = {DNS_FORMERR, DNS_SERVFAIL, DNS_NOTIMP, DNS_REFUSED, 6};
    struct dns_build b;
    struct dns_answer answer;

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        start_message(&b, ANSWER_FLAGS | codes[i], "a", DNS_TYPE_A);
        put_a(&b, "<12>", 300);
        assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
        assert_int_equal(answer.rcode, codes[i]);
        assert_false(answer.cacheable);
    }
    start_message(&b, ANSWER_FLAGS | DNS_FLAG_TC, "a", DNS_TYPE_A);
    put_a(&b, "<12>", 300);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_true(answer.truncated && !answer.cacheable);
    /* NXDOMAIN in the header, but the OPT makes it 19 */
    start_message(&b, ANSWER_FLAGS | DNS_NXDOMAIN, "a", DNS_TYPE_A);
    put_soa_record(&b, "<12>", 20, 30);
    put_opt_record(&b, 1232, 0x01000000, NULL, 0);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_OK);
    assert_int_equal(answer.rcode, 19);
    assert_false(answer.cacheable);
}

static void opt_must_be_sound(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_answer answer;

    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 1232, 0, NULL, 0);
    put_opt_record(&b, 1232, 0, NULL, 0);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_FORMAT);
    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_record(&b, DNS_NSCOUNT_AT, "", DNS_TYPE_OPT, 0, NULL, 0);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_FORMAT);
    start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&b, 1232, 0, "\0\x0f\0\x09\0", 5);
    assert_int_equal(parse_answer(&b, &answer), DNS_ANSWER_FORMAT);
}

/* RDATA that holds names is measured by its type; any other is taken as it is (RFC 3597). */
static void rdata_of_known_types(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        size_t length;
        const char *bytes;
        bool good;
    } cases[] = {
        {DNS_TYPE_A, 4, "abcd", true},
        {DNS_TYPE_A, 5, "abcde", false},
        {DNS_TYPE_AAAA, 16, "0123456789abcdef", true},
        {DNS_TYPE_AAAA, 4, "abcd", false},
        {DNS_TYPE_NS, 2, "\xc0\x0c", true},
        {DNS_TYPE_NS, 0, "", false},
        {DNS_TYPE_NS, 1, "\xc0", false},
        {DNS_TYPE_NS, 3, "\xc0\x0cx", false},
        {DNS_TYPE_NS, 2, "\xc0\xff", false},
        {15, 4, "\0\1\xc0\x0c", true},
        {15, 3, "\0\1\0", true},
        {15, 2, "\0\1", false},
        {33, 8, "\0\1\0\1\0\1\xc0\x0c", true},
        {35, 9, "\0\1\0\1\1U\0\0\0", true},
        {35, 9, "\0\1\0\1\1U\0\x09\0", false},
        {35, 4, "\0\1\0\1", false},
        {DNS_TYPE_SOA, 22, "\0\0xxxxxxxxxxxxxxxxxxxx", true},
        {DNS_TYPE_SOA, 21, "\0\0xxxxxxxxxxxxxxxxxxx", false},
        {24, 21, "xxxxxxxxxxxxxxxxxx\0xx", true}, /* SIG: a signature of any length */
        {16, 3, "\2ab", true},
        {65280, 2, "\xc0\xff", true},
        {64, 3, "\0\1\0", true}, /* SVCB */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_build b;
        struct dns_answer answer;
        start_message(&b, ANSWER_FLAGS, "a", DNS_TYPE_A);
        put_record(&b, DNS_ANCOUNT_AT, "<12>", cases[i].type, 300, cases[i].bytes, cases[i].length);
        if ((parse_answer(&b, &answer) == DNS_ANSWER_OK) != cases[i].good)
            fail_msg("case %zu, type %u", i, cases[i].type);
    }
}

static void errors_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DNS_ANSWER_ERROR_COUNT; i++)
        assert_string_not_equal(dns_answer_error_name((enum dns_answer_error)i), "unknown");
    assert_string_equal(dns_answer_error_name(DNS_ANSWER_ERROR_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_plain_query),
        cmocka_unit_test(reads_edns),
        cmocka_unit_test(refuses_bad_edns),
        cmocka_unit_test(opt_need_not_be_last),
        cmocka_unit_test(tsig_must_be_last),
        cmocka_unit_test(other_operations_have_any_form),
        cmocka_unit_test(refuses_other_messages),
        cmocka_unit_test(asks_exactly_one_question),
        cmocka_unit_test(builds_what_upstreams_are_asked),
        cmocka_unit_test(checks_whose_answer_it_is),
        cmocka_unit_test(reads_an_answer),
        cmocka_unit_test(errors_may_lack_their_question),
        cmocka_unit_test(cut_answers_are_refused),
        cmocka_unit_test(ttls_mean_what_they_mean),
        cmocka_unit_test(negative_answers),
        cmocka_unit_test(referrals_are_not_kept),
        cmocka_unit_test(failures_are_not_kept),
        cmocka_unit_test(opt_must_be_sound),
        cmocka_unit_test(rdata_of_known_types),
        cmocka_unit_test(errors_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
