/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/resolve/local.h"

#include "tests/unit/dns_build.h"
#include "tests/unit/support.h"

#include <sys/stat.h>
#include <unistd.h>

#include "dns/resolve/local_table.h"

struct fixture {
    struct dns_local *local;
    char path[256];
    uint8_t out[DNS_MESSAGE_BYTES];
    size_t length;
    struct dns_query query;
    struct dns_answer answer;
};

static struct fixture f;

static void write_hosts(const char *text)
{
    char name[sizeof(f.path) + 8];

    snprintf(name, sizeof(name), "%s.new", f.path);
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(name, f.path), 0); /* another inode: the change is seen for certain */
}

static int start(void **state)
{
    (void)state;
    snprintf(f.path, sizeof(f.path), "%s", support_path("hosts"));
    unlink(f.path);
    f.local = NULL;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dns_local_free(f.local);
    return 0;
}

static void create(const char *hosts)
{
    if (hosts)
        write_hosts(hosts);
    f.local = dns_local_create(f.path);
    assert_non_null(f.local);
}

static void add(const char *text)
{
    struct failure failure = {""};

    if (!dns_local_add(f.local, text, &failure))
        fail_msg("%s", failure.text);
}

/* Is the name ours? The answer is in f.answer then. */
static bool ask(const char *name, unsigned type)
{
    f.query = (struct dns_query){.id = 9, .udp_size = 512};
    assert_true(dns_name_from_text(name, &f.query.question.name));
    f.query.question.type = (uint16_t)type;
    f.query.question.class = DNS_CLASS_IN;
    f.length = dns_local_answer(f.local, &f.query, sizeof(f.out), f.out);
    if (f.length != 0)
        assert_int_equal(dns_answer_parse(f.out, f.length, 9, &f.query.question, &f.answer),
                         DNS_ANSWER_OK);
    return f.length != 0;
}

/* The answer's records as text, in one line. */
static const char *told(void)
{
    static char text[8192];
    size_t at = f.answer.records, used = 0;

    text[0] = '\0';
    for (unsigned left = load_be16(f.out + DNS_ANCOUNT_AT); left > 0; left--) {
        struct dns_record record;
        char part[DNS_NAME_TEXT_BYTES];
        assert_true(dns_record_read(f.out, f.length, at, &record));
        at = record.end;
        if (record.type == DNS_TYPE_PTR) {
            struct dns_name name;
            assert_true(dns_name_read(f.out, f.length, record.rdata, &name));
            dns_name_to_text(&name, part);
        } else {
            struct ip_addr address = {.version = record.type == DNS_TYPE_A ? 4 : 6};
            memcpy(address.bytes, f.out + record.rdata, record.rdata_length);
            addr_format(&address, part);
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", part);
    }
    return text;
}

static void assert_told(const char *name, unsigned type, const char *expected)
{
    if (!ask(name, type))
        fail_msg("%s is not known", name);
    assert_int_equal(f.answer.rcode, DNS_NOERROR);
    assert_true(f.answer.authoritative);
    assert_string_equal(told(), expected);
}

static void no_data(const char *name, unsigned type)
{
    assert_told(name, type, "");
    assert_true(f.answer.negative && f.answer.cacheable); /* with its SOA */
}

static void reads_hosts(void **state)
{
    (void)state;
    create("# comment\n"
           "192.0.2.1 db.internal db  database # the database\n"
           "\t2001:db8::1\tdb.internal\r\n"
           "\n"
           "192.0.2.2 DB.internal\n"
           "192.0.2.1 db.internal\n"
           "192.0.2.3 last"); /* no newline */
    assert_told("db.internal", DNS_TYPE_A, "192.0.2.1 192.0.2.2");
    assert_told("dB.Internal", DNS_TYPE_AAAA, "2001:db8::1");
    assert_told("DB", DNS_TYPE_A, "192.0.2.1");
    assert_told("database", DNS_TYPE_A, "192.0.2.1");
    assert_told("last", DNS_TYPE_A, "192.0.2.3");
    assert_told("db.internal", DNS_TYPE_ANY, "192.0.2.1 2001:db8::1 192.0.2.2");
    no_data("db", DNS_TYPE_AAAA);
    no_data("db", 15);
    assert_false(ask("internal", DNS_TYPE_A));
    assert_false(ask("x.db.internal", DNS_TYPE_A));
    assert_false(ask("comment", DNS_TYPE_A));
    f.query.question.class = 3;
    assert_true(dns_name_from_text("db", &f.query.question.name));
    assert_int_equal(dns_local_answer(f.local, &f.query, sizeof(f.out), f.out), 0);
}

static void reverse_names(void **state)
{
    (void)state;
    create("192.0.2.1 db.internal db\n"
           "192.0.2.1 other\n"
           "2001:db8::1 six\n");
    assert_told("1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "db.internal");
    assert_told("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.IP6.ARPA",
                DNS_TYPE_PTR, "six");
    no_data("1.2.0.192.in-addr.arpa", DNS_TYPE_A);
    assert_false(ask("2.2.0.192.in-addr.arpa", DNS_TYPE_PTR));
    assert_told("other", DNS_TYPE_A, "192.0.2.1");
}

static void localhost(void **state)
{
    (void)state;
    create("192.0.2.1 localhost alias\n"
           "192.0.2.2 app.localhost\n"
           "127.0.0.1 localhost here\n"
           "127.0.1.1 myhost\n");
    assert_told("localhost", DNS_TYPE_A, "127.0.0.1");
    assert_told("LocalHost", DNS_TYPE_AAAA, "::1");
    assert_told("app.localhost", DNS_TYPE_A, "127.0.0.1");
    no_data("localhost", 15);
    assert_told("alias", DNS_TYPE_A, "192.0.2.1");
    assert_told("1.0.0.127.in-addr.arpa", DNS_TYPE_PTR, "localhost");
    assert_told("9.8.7.127.in-addr.arpa", DNS_TYPE_PTR, "localhost");
    assert_told("1.1.0.127.in-addr.arpa", DNS_TYPE_PTR, "myhost");
    assert_told("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
                DNS_TYPE_PTR, "localhost");
    no_data("1.0.0.127.in-addr.arpa", DNS_TYPE_A);
    assert_false(ask("1.0.0.126.in-addr.arpa", DNS_TYPE_PTR));
    assert_false(ask("localhost.example", DNS_TYPE_A));
    assert_false(ask("xlocalhost", DNS_TYPE_A));
    assert_false(ask(".", DNS_TYPE_A));
    assert_false(ask("arpa", DNS_TYPE_PTR));
}

static void invalid_does_not_exist(void **state)
{
    (void)state;
    create("192.0.2.1 x.invalid\n");
    static const char *const names[] = {"invalid", "x.invalid", "a.b.InVaLiD"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(ask(names[i], DNS_TYPE_A));
        assert_int_equal(f.answer.rcode, DNS_NXDOMAIN);
        assert_true(f.answer.cacheable);
    }
    assert_false(ask("invalid.example", DNS_TYPE_A));
}

static void assert_denied(const char *name, unsigned type)
{
    if (!ask(name, type))
        fail_msg("%s is given to an upstream", name);
    assert_int_equal(f.answer.rcode, DNS_NXDOMAIN);
    assert_true(f.answer.negative && f.answer.cacheable);
}

#define ZEROS16 "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."

static void names_of_the_link_stay_here(void **state)
{
    (void)state;
    static const char *const denied[] = {
        "onion",
        "x.OniOn",
        "0.in-addr.arpa",
        "0.0.0.0.in-addr.arpa",
        "254.169.254.169.in-addr.arpa",
        "b._dns-sd._udp.0.0.254.169.in-addr.arpa",
        "255.255.255.255.in-addr.arpa",
        ZEROS16 ZEROS16 "ip6.arpa",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.E.F.ip6.arpa",
        "b.e.f.ip6.arpa",
    };
    static const char *const passed[] = {
        "onion.example",
        "xonion",
        "1.in-addr.arpa",
        "0.0.0.10.in-addr.arpa",
        "1.1.253.169.in-addr.arpa",
        "254.255.255.255.in-addr.arpa",
        "169.in-addr.arpa",
        "2." ZEROS16 "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
        "c.e.f.ip6.arpa",
        "7.e.f.ip6.arpa",
        "e.f.ip6.arpa",
        "d.f.ip6.arpa",
    };
    create(NULL);
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        assert_denied(denied[i], DNS_TYPE_PTR);
        assert_denied(denied[i], DNS_TYPE_A);
    }
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        if (ask(passed[i], DNS_TYPE_PTR))
            fail_msg("%s is answered here", passed[i]);
}

/* Who gives such an address a name has it. */
static void names_of_the_link_can_be_given(void **state)
{
    (void)state;
    create("169.254.169.253 vpc-resolver\n"
           "127.0.9.1 hidden.onion\n");
    add("router=fe80::1");
    assert_told("253.169.254.169.in-addr.arpa", DNS_TYPE_PTR, "vpc-resolver");
    assert_told("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa",
                DNS_TYPE_PTR, "router");
    assert_told("hidden.onion", DNS_TYPE_A, "127.0.9.1");
    assert_denied("252.169.254.169.in-addr.arpa", DNS_TYPE_PTR);
    assert_denied("other.onion", DNS_TYPE_A);
}

static void options_override_the_file(void **state)
{
    (void)state;
    create("192.0.2.1 db\n192.0.2.9 nine\n");
    add("DB=192.0.2.7");
    add("db.=2001:db8::7");
    add("db=192.0.2.8");
    add("mine=192.0.2.9");
    assert_told("db", DNS_TYPE_A, "192.0.2.7 192.0.2.8");
    assert_told("db", DNS_TYPE_AAAA, "2001:db8::7");
    assert_told("9.2.0.192.in-addr.arpa", DNS_TYPE_PTR, "mine");
    assert_told("nine", DNS_TYPE_A, "192.0.2.9");
    write_hosts("192.0.2.1 db\n");
    dns_local_refresh(f.local);
    assert_told("db", DNS_TYPE_A, "192.0.2.7 192.0.2.8");
    assert_told("mine", DNS_TYPE_A, "192.0.2.9");
}

static void refuses_bad_options(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } bad[] = {
        {"db", "NAME=ADDRESS"},
        {"=192.0.2.1", "NAME=ADDRESS"},
        {"a..b=192.0.2.1", "host name"},
        {".=192.0.2.1", "host name"},
        {"db=", "IP address"},
        {"db=192.0.2", "IP address"},
        {"db=a=b", "IP address"},
        {"x.localhost=192.0.2.1", "loopback"},
        {"Invalid=192.0.2.1", "invalid"},
    };
    create(NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct failure failure = {""};
        assert_false(dns_local_add(f.local, bad[i].text, &failure));
        assert_contains(failure.text, bad[i].error);
    }
}

static void follows_the_file(void **state)
{
    (void)state;
    create(NULL); /* not there yet */
    assert_false(ask("a", DNS_TYPE_A));
    write_hosts("192.0.2.1 a\n");
    dns_local_refresh(f.local);
    assert_told("a", DNS_TYPE_A, "192.0.2.1");
    write_hosts("192.0.2.2 b\n");
    assert_told("a", DNS_TYPE_A, "192.0.2.1");
    dns_local_refresh(f.local);
    assert_false(ask("a", DNS_TYPE_A));
    assert_told("b", DNS_TYPE_A, "192.0.2.2");
    FILE *file = fopen(f.path, "a"); /* in place: the size changes */
    fputs("192.0.2.3 c\n", file);
    fclose(file);
    dns_local_refresh(f.local);
    assert_told("c", DNS_TYPE_A, "192.0.2.3");
    unlink(f.path);
    dns_local_refresh(f.local);
    assert_false(ask("b", DNS_TYPE_A));
}

/* What cannot be read leaves what was known; here, because it is a directory. */
static void unreadable_file(void **state)
{
    (void)state;
    unsigned descriptors = support_open_fds();

    create("192.0.2.1 a\n");
    unlink(f.path);
    assert_int_equal(mkdir(f.path, 0700), 0);
    support_capture_begin(2);
    dns_local_refresh(f.local);
    const char *said = support_capture_end();
    rmdir(f.path);
    assert_contains(said, "hosts");
    assert_told("a", DNS_TYPE_A, "192.0.2.1");
    assert_int_equal(support_open_fds(), descriptors);
}

static void no_file_at_all(void **state)
{
    (void)state;
    f.local = dns_local_create(NULL);
    assert_non_null(f.local);
    dns_local_refresh(f.local);
    assert_false(ask("a", DNS_TYPE_A));
    assert_told("localhost", DNS_TYPE_A, "127.0.0.1");
}

static void bad_lines_are_told_and_skipped(void **state)
{
    (void)state;
    char text[10000] = "192.0.2.1 good\nnonsense line\nfe80::1%lo0 scoped\n192.0.2.2\n192.0.2.3 ";
    size_t length = strlen(text);

    memset(text + length, 'x', 9000); /* too long a line */
    strcpy(text + length + 9000, "\n192.0.2.4 a..b\n192.0.2.5 also-good\n");
    support_capture_begin(2);
    create(text);
    const char *said = support_capture_end();
    assert_contains(said, "4 lines");
    assert_contains(said, "line 2)");
    assert_told("good", DNS_TYPE_A, "192.0.2.1");
    assert_told("also-good", DNS_TYPE_A, "192.0.2.5");
    assert_false(ask("scoped", DNS_TYPE_AAAA));
}

static void names_are_bounded(void **state)
{
    (void)state;
    FILE *file = fopen(f.path, "w");

    for (unsigned i = 0; i < DNS_LOCAL_ENTRIES + 10; i++)
        fprintf(file, "10.0.%u.%u n%u\n", i >> 8, i & 255, i);
    fclose(file);
    support_capture_begin(2);
    create(NULL);
    assert_contains(support_capture_end(), "10 names are beyond");
    assert_told("n0", DNS_TYPE_A, "10.0.0.0");
    assert_told("n4095", DNS_TYPE_A, "10.0.15.255");
    assert_told("255.15.0.10.in-addr.arpa", DNS_TYPE_PTR, "n4095");
    assert_false(ask("n4096", DNS_TYPE_A));
    assert_false(ask("0.16.0.10.in-addr.arpa", DNS_TYPE_PTR)); /* nor an empty answer */
}

static void addresses_are_bounded(void **state)
{
    (void)state;
    FILE *file = fopen(f.path, "w");

    for (unsigned name = 0; name < 300; name++)
        for (unsigned i = 0; i <= LOCAL_RECORDS_MAX; i++)
            fprintf(file, "10.%u.%u.%u n%u\n", name >> 8, name & 255, i, name);
    fclose(file);
    support_capture_begin(2);
    create(NULL);
    assert_contains(support_capture_end(), "beyond the limits");
    assert_true(ask("n0", DNS_TYPE_A));
    assert_int_equal(load_be16(f.out + DNS_ANCOUNT_AT), LOCAL_RECORDS_MAX);
    assert_true(ask("n255", DNS_TYPE_A)); /* 256 * 64 addresses are the most of all */
    assert_int_equal(load_be16(f.out + DNS_ANCOUNT_AT), LOCAL_RECORDS_MAX);
    assert_false(ask("n256", DNS_TYPE_A));
    assert_false(ask("0.0.1.10.in-addr.arpa", DNS_TYPE_PTR));
}

static void too_much_for_the_limit_is_truncated(void **state)
{
    (void)state;
    create(NULL);
    for (unsigned i = 0; i < 40; i++) {
        char text[64];
        snprintf(text, sizeof(text), "many=192.0.2.%u", i);
        add(text);
    }
    assert_true(ask("many", DNS_TYPE_A));
    f.length = dns_local_answer(f.local, &f.query, 512, f.out);
    assert_int_equal(dns_answer_parse(f.out, f.length, 9, &f.query.question, &f.answer),
                     DNS_ANSWER_OK);
    assert_true(f.answer.truncated && f.length <= 512 && f.length > 512 - 16);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(reads_hosts),
        CASE(reverse_names),
        CASE(localhost),
        CASE(invalid_does_not_exist),
        CASE(names_of_the_link_stay_here),
        CASE(names_of_the_link_can_be_given),
        CASE(options_override_the_file),
        CASE(refuses_bad_options),
        CASE(follows_the_file),
        CASE(unreadable_file),
        CASE(no_file_at_all),
        CASE(bad_lines_are_told_and_skipped),
        CASE(names_are_bounded),
        CASE(addresses_are_bounded),
        CASE(too_much_for_the_limit_is_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
