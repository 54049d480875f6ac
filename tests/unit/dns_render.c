/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/render.h"

#include "tests/unit/dns_build.h"

struct fixture {
    struct dns_build b;
    struct dns_answer answer;
    struct dns_stored stored;
    uint8_t bytes[DNS_MESSAGE_BYTES];
    uint16_t ttls[DNS_RECORDS_MAX];
    uint8_t out[DNS_MESSAGE_BYTES];
    size_t length;
    struct dns_answer again; /* what out[] reads as */
};

static const struct dns_render fresh = {.limit = 1232, .keepalive_100ms = DNS_NO_KEEPALIVE};

static bool store(struct fixture *f)
{
    assert_int_equal(dns_answer_parse(f->b.bytes, f->b.length, 0, NULL, &f->answer), DNS_ANSWER_OK);
    return dns_stored_make(&f->answer, f->bytes, f->ttls, DNS_RECORDS_MAX, &f->stored);
}

static struct dns_query query_for(const char *name, unsigned type)
{
    struct dns_query query = {.id = 0x4242, .recursion_desired = true, .udp_size = 512};
    assert_true(dns_name_from_text(name, &query.question.name));
    query.question.type = (uint16_t)type;
    query.question.class = DNS_CLASS_IN;
    return query;
}

static void read_again(struct fixture *f, const struct dns_query *query)
{
    assert_int_equal(dns_answer_parse(f->out, f->length, query->id, &query->question, &f->again),
                     DNS_ANSWER_OK);
}

static void render(struct fixture *f, const struct dns_query *query, const struct dns_render *how)
{
    f->length = dns_render_stored(query, &f->stored, how, f->out);
    read_again(f, query);
}

static uint32_t ttl_of(const struct fixture *f, unsigned index)
{
    struct dns_record record;
    size_t at = f->again.records;

    do {
        assert_true(dns_record_read(f->out, f->length, at, &record));
        at = record.end;
    } while (index-- > 0);
    return record.ttl;
}

static unsigned flags_of(const struct fixture *f)
{
    return load_be16(f->out + 2);
}

static struct fixture *typical(void)
{
    static struct fixture f;

    start_message(&f.b, ANSWER_FLAGS | DNS_FLAG_AD | DNS_FLAG_AA, "www.example.com", DNS_TYPE_A);
    put_name_record(&f.b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_CNAME, 60, "host.<16>");
    put_a(&f.b, "<45>", 300);
    put_opt_record(&f.b, 4096, 0, "\0\x0f\0\4\0\x16no\0\x0a\0\1x", 13);
    assert_true(store(&f));
    return &f;
}

static void the_asker_gets_his_own(void **state)
{
    (void)state;
    struct fixture *f = typical();
    struct dns_query query = query_for("wWw.eXample.cOm", DNS_TYPE_A);

    render(f, &query, &fresh); /* reading it again compares id and question */
    assert_int_equal(f->length, f->b.length - 11 - 13);
    assert_int_equal(flags_of(f), DNS_FLAG_QR | DNS_FLAG_RD | DNS_FLAG_RA);
    assert_int_equal(f->again.opt_length, 0); /* did not ask with EDNS */
    assert_int_equal(ttl_of(f, 0), 60);
    query.recursion_desired = false;
    query.checking_disabled = true;
    render(f, &query, &fresh);
    assert_int_equal(flags_of(f), DNS_FLAG_QR | DNS_FLAG_RA | DNS_FLAG_CD);
}

/* RFC 6840 5.7, 5.8. */
static void authentic_data_is_told_who_asks(void **state)
{
    (void)state;
    struct fixture *f = typical();
    struct dns_query query = query_for("www.example.com", DNS_TYPE_A);

    render(f, &query, &fresh);
    assert_false(f->again.authentic_data);
    query.authentic_data = true;
    render(f, &query, &fresh);
    assert_true(f->again.authentic_data);
    query.authentic_data = false;
    query.has_edns = query.dnssec_ok = true;
    render(f, &query, &fresh);
    assert_true(f->again.authentic_data);
    store_be16(f->bytes + 2, ANSWER_FLAGS);
    render(f, &query, &fresh);
    assert_false(f->again.authentic_data);
}

static void opt_is_ours(void **state)
{
    (void)state;
    struct fixture *f = typical();
    struct dns_query query = query_for("www.example.com", DNS_TYPE_A);
    struct dns_render how = fresh;

    query.has_edns = query.dnssec_ok = true;
    render(f, &query, &how);
    static const uint8_t expected[] = {0, 0, 41, 4, 0xd0, 0, 0,    0x80, 0,  0,
                                       8, 0, 15, 0, 4,    0, 0x16, 'n',  'o'};
    assert_int_equal(f->again.opt_length, sizeof(expected)); /* the EDE, not the cookie */
    assert_memory_equal(f->out + f->again.opt, expected, sizeof(expected));
    how.limit = f->length - 1; /* the explanation goes before a record does */
    render(f, &query, &how);
    assert_int_equal(f->again.opt_length, 11);
    assert_false(f->again.truncated);

    how = fresh;
    how.keepalive_100ms = 100000;
    render(f, &query, &how);
    assert_int_equal(f->again.keepalive_100ms, UINT32_MAX); /* not asked for */
    query.wants_keepalive = true;
    render(f, &query, &how);
    assert_int_equal(f->again.keepalive_100ms, 65535);
}

static void ttls_count_down(void **state)
{
    (void)state;
    struct fixture *f = typical();
    struct dns_query query = query_for("www.example.com", DNS_TYPE_A);
    struct dns_render how = fresh;

    how.age_s = 59;
    render(f, &query, &how);
    assert_int_equal(ttl_of(f, 0), 1);
    assert_int_equal(ttl_of(f, 1), 241);
    how.age_s = 100;
    how.floor_s = 5;
    render(f, &query, &how);
    assert_int_equal(ttl_of(f, 0), 5);
    assert_int_equal(ttl_of(f, 1), 200);
}

/* RFC 8767 4, RFC 8914 4.4. */
static void stale_answers_say_so(void **state)
{
    (void)state;
    struct fixture *f = typical();
    struct dns_query query = query_for("www.example.com", DNS_TYPE_A);
    struct dns_render how = fresh;

    how.age_s = 1000;
    how.floor_s = 30;
    how.fixed_ttl = true;
    query.has_edns = true;
    render(f, &query, &how);
    assert_int_equal(ttl_of(f, 0), 30);
    assert_int_equal(ttl_of(f, 1), 30);
    assert_memory_equal(f->out + f->again.opt + 11, "\0\x0f\0\2\0\3", 6);
}

static void ttls_are_stored_as_they_mean(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("a", DNS_TYPE_A);

    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_a(&f.b, "<12>", 0x80000001);
    put_a(&f.b, "<12>", 0x7fffffff);
    assert_true(store(&f));
    render(&f, &query, &fresh);
    assert_int_equal(ttl_of(&f, 0), 0);
    assert_int_equal(ttl_of(&f, 1), DNS_MAX_TTL_S);

    start_message(&f.b, ANSWER_FLAGS | DNS_NXDOMAIN, "a", DNS_TYPE_A);
    put_soa_record(&f.b, "<12>", 900, 30);
    assert_true(store(&f));
    render(&f, &query, &fresh);
    assert_int_equal(ttl_of(&f, 0), 30); /* RFC 2308 5 */
}

/* A record is never cut: as many as fit are sent, from the first on. */
static void truncation(void **state)
{
    (void)state;
    struct fixture *f = typical();
    struct dns_query query = query_for("www.example.com", DNS_TYPE_A);
    struct dns_render how = fresh;

    how.limit = f->stored.length;
    render(f, &query, &how);
    assert_false(f->again.truncated);
    how.limit = f->stored.length - 1u;
    render(f, &query, &how);
    assert_true(f->again.truncated);
    assert_int_equal(load_be16(f->out + DNS_ANCOUNT_AT), 1);
    size_t one = f->length;
    assert_true(one > 12 + 17 + 4);
    query.has_edns = true;
    how.limit = f->stored.length + 10u; /* the records would fit, the OPT not */
    render(f, &query, &how);
    assert_true(f->again.truncated);
    assert_int_equal(f->length, one + 11);
    how.limit = f->length - 1;
    render(f, &query, &how);
    assert_true(f->again.truncated);
    assert_int_equal(f->length, 12 + 17 + 4 + 11);
    how.limit = f->length - 1;
    assert_int_equal(dns_render_stored(&query, &f->stored, &how, f->out), 0);
}

static void extended_rcodes(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("a", DNS_TYPE_A);

    start_message(&f.b, ANSWER_FLAGS | 7, "a", DNS_TYPE_A);
    put_opt_record(&f.b, 1232, 0x01000000, NULL, 0); /* 23, BADCOOKIE */
    assert_true(store(&f));
    render(&f, &query, &fresh);
    assert_int_equal(f.again.rcode, DNS_SERVFAIL); /* not YXRRSET, which 7 is without an OPT */
    query.has_edns = true;
    render(&f, &query, &fresh);
    assert_int_equal(f.again.rcode, 23);
}

/* Records behind the OPT move; names that reach before it stay what they are. */
static void opt_in_the_middle(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("example.com", DNS_TYPE_NS);
    struct dns_record record;
    struct dns_name name;
    char text[DNS_NAME_TEXT_BYTES];

    start_message(&f.b, ANSWER_FLAGS, "example.com", DNS_TYPE_NS);
    put_name_record(&f.b, DNS_ANCOUNT_AT, "<12>", DNS_TYPE_NS, 60, "ns.<12>"); /* 29, 41 */
    put_opt_record(&f.b, 1232, 0, "\0\x0a\0\1x", 5);
    put_record(&f.b, DNS_ARCOUNT_AT, "<41>", DNS_TYPE_A, 70, "abcd", 4);
    assert_true(store(&f));
    render(&f, &query, &fresh);
    assert_int_equal(f.stored.ttl_count, 2);
    assert_int_equal(ttl_of(&f, 1), 70);
    assert_true(dns_record_read(f.out, f.length, f.length - 16, &record));
    assert_true(dns_name_read(f.out, f.length, record.owner, &name));
    assert_string_equal(dns_name_to_text(&name, text), "ns.example.com");
    assert_memory_equal(f.out + record.rdata, "abcd", 4);
}

/* What would turn into another name when the OPT goes or a TTL changes is not stored. */
static void unsteady_names_are_refused(void **state)
{
    (void)state;
    static struct fixture f;

    /* into the OPT's options */
    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A); /* ends at 19 */
    put_opt_record(&f.b, 1232, 0, "\xfd\xe9\0\3\1x\0", 7);
    put_record(&f.b, DNS_ARCOUNT_AT, "<34>", DNS_TYPE_A, 70, "abcd", 4);
    assert_false(store(&f));
    /* behind the OPT */
    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_opt_record(&f.b, 1232, 0, NULL, 0);
    put_record(&f.b, DNS_ARCOUNT_AT, "x", DNS_TYPE_A, 70, "abcd", 4);
    put_record(&f.b, DNS_ARCOUNT_AT, "<30>", DNS_TYPE_A, 70, "abcd", 4);
    assert_false(store(&f));
    /* into a TTL: 19 owner, 25 TTL = 01 'x' 00 00 */
    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_a(&f.b, "<12>", 0x01780000);
    put_a(&f.b, "<25>", 300);
    assert_false(store(&f));
    /* through the TTL of the very record: a label in TXT data that reaches over it */
    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_record(&f.b, DNS_ANCOUNT_AT, "<12>", 16, 300, "\x0e", 1); /* data at 31; 46 is in RDATA */
    put_record(&f.b, DNS_ANCOUNT_AT, "<31>", 16, 300, "\0\0\0\0", 4);
    assert_false(store(&f));
}

static void too_many_records(void **state)
{
    (void)state;
    static struct fixture f;

    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_a(&f.b, "<12>", 300);
    put_a(&f.b, "<12>", 300);
    assert_true(store(&f));
    assert_true(dns_stored_make(&f.answer, f.bytes, f.ttls, 2, &f.stored));
    assert_false(dns_stored_make(&f.answer, f.bytes, f.ttls, 1, &f.stored));
}

/* The most records that 65535 bytes can hold. */
static void largest_answer(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for(".", 65280);
    struct dns_render how = fresh;

    start_message(&f.b, ANSWER_FLAGS, ".", 65280);
    while (f.b.length + 11 <= DNS_MESSAGE_BYTES)
        put_record(&f.b, DNS_ANCOUNT_AT, "", 65280, 300, NULL, 0);
    assert_true(store(&f));
    how.limit = DNS_MESSAGE_BYTES;
    how.age_s = 1;
    render(&f, &query, &how);
    assert_int_equal(f.length, f.b.length);
    assert_int_equal(ttl_of(&f, f.stored.ttl_count - 1u), 299);
}

static void errors(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("eXample.com", DNS_TYPE_A);

    f.length = dns_render_error(&query, DNS_SERVFAIL, NULL, f.out, sizeof(f.out));
    read_again(&f, &query);
    assert_int_equal(f.length, 12 + 13 + 4);
    assert_int_equal(f.again.rcode, DNS_SERVFAIL);
    query.has_edns = true;
    f.length = dns_render_error(&query, DNS_BADVERS, NULL, f.out, sizeof(f.out));
    read_again(&f, &query);
    assert_int_equal(f.again.rcode, DNS_BADVERS);
    assert_int_equal(f.again.opt_length, 11);

    static const struct dns_explanation why = {DNS_EDE_NETWORK_ERROR, "gone"};
    f.length = dns_render_error(&query, DNS_SERVFAIL, &why, f.out, sizeof(f.out));
    read_again(&f, &query);
    assert_int_equal(f.again.opt_length, 11 + 4 + 2 + 4);
    assert_memory_equal(f.out + f.again.opt + 11, "\0\x0f\0\6\0\x17gone", 10);

    query.question.name.length = 0; /* the question was not readable */
    query.has_edns = false;
    query.opcode = 4;
    assert_int_equal(dns_render_error(&query, DNS_NOTIMP, NULL, f.out, sizeof(f.out)), 12);
    static const uint8_t expected[12] = {0x42, 0x42, 0xa0, 0x04};
    assert_memory_equal(f.out, expected, 12);
    assert_int_equal(dns_render_error(&query, DNS_NOTIMP, NULL, f.out, 11), 0);
}

static void local_answers(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("Db.Internal", DNS_TYPE_A);
    static const struct dns_local_record records[] = {
        {DNS_TYPE_A, 4, (const uint8_t *)"\xc0\0\2\1"},
        {DNS_TYPE_A, 4, (const uint8_t *)"\xc0\0\2\2"},
    };

    query.has_edns = true;
    f.length = dns_render_local(&query, DNS_NOERROR, records, 2, 10, 512, f.out);
    read_again(&f, &query);
    assert_true(f.again.authoritative && !f.again.negative && f.again.recursion_available);
    assert_int_equal(f.again.opt_length, 11);
    assert_int_equal(f.again.ttl_s, 10);
    assert_memory_equal(f.out + f.again.opt - 4, "\xc0\0\2\2", 4);
    size_t whole = f.length;
    f.length = dns_render_local(&query, DNS_NOERROR, records, 2, 10, whole - 1, f.out);
    read_again(&f, &query);
    assert_true(f.again.truncated);
    assert_int_equal(load_be16(f.out + DNS_ANCOUNT_AT), 1);
    assert_int_equal(f.length, whole - 16);
}

/* What stands in the additional section only is no reason to ask again over TCP. */
static void additional_records_are_left_out_in_silence(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("a", DNS_TYPE_A);
    struct dns_render how = fresh;

    start_message(&f.b, ANSWER_FLAGS, "a", DNS_TYPE_A);
    put_a(&f.b, "<12>", 300);
    put_record(&f.b, DNS_ARCOUNT_AT, "ns", DNS_TYPE_A, 300, "\xc0\0\2\2", 4);
    assert_true(store(&f));
    how.limit = f.stored.length - 1u;
    render(&f, &query, &how);
    assert_false(f.again.truncated);
    assert_int_equal(load_be16(f.out + DNS_ANCOUNT_AT), 1);
    assert_int_equal(load_be16(f.out + DNS_ARCOUNT_AT), 0);
}

static void local_answers_without_data(void **state)
{
    (void)state;
    static struct fixture f;
    struct dns_query query = query_for("db.internal", DNS_TYPE_AAAA);
    struct dns_record record;
    struct dns_name name;
    char text[DNS_NAME_TEXT_BYTES];

    f.length = dns_render_local(&query, DNS_NOERROR, NULL, 0, 10, 512, f.out);
    read_again(&f, &query);
    assert_true(f.again.negative && f.again.cacheable);
    assert_int_equal(f.again.ttl_s, 10);
    assert_true(dns_record_read(f.out, f.length, f.again.records, &record));
    assert_int_equal(record.type, DNS_TYPE_SOA);
    assert_true(dns_name_read(f.out, f.length, record.owner, &name));
    assert_string_equal(dns_name_to_text(&name, text), "db.internal");

    f.length = dns_render_local(&query, DNS_NXDOMAIN, NULL, 0, 10, 512, f.out);
    read_again(&f, &query);
    assert_int_equal(f.again.rcode, DNS_NXDOMAIN);
    assert_true(dns_name_read(f.out, f.length, f.again.records, &name));
    assert_string_equal(dns_name_to_text(&name, text), "internal"); /* the name cannot own one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_asker_gets_his_own),
        cmocka_unit_test(authentic_data_is_told_who_asks),
        cmocka_unit_test(opt_is_ours),
        cmocka_unit_test(ttls_count_down),
        cmocka_unit_test(stale_answers_say_so),
        cmocka_unit_test(ttls_are_stored_as_they_mean),
        cmocka_unit_test(truncation),
        cmocka_unit_test(extended_rcodes),
        cmocka_unit_test(opt_in_the_middle),
        cmocka_unit_test(unsteady_names_are_refused),
        cmocka_unit_test(too_many_records),
        cmocka_unit_test(largest_answer),
        cmocka_unit_test(errors),
        cmocka_unit_test(local_answers),
        cmocka_unit_test(additional_records_are_left_out_in_silence),
        cmocka_unit_test(local_answers_without_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
