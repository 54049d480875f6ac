/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/publish.h"

#include "tests/unit/support.h"

static struct publish_entry good(const char *text)
{
    struct publish_entry entry;
    struct failure failure = {""};

    if (!publish_parse(text, &entry, &failure))
        fail_msg("%s %s", text, failure.text);
    return entry;
}

static void bad(const char *text, const char *sentence)
{
    struct publish_entry entry = {.first = 4711};
    struct failure failure = {""};

    if (publish_parse(text, &entry, &failure))
        fail_msg("'%s' was taken", text);
    assert_string_equal(failure.text, sentence);
    assert_int_equal(entry.first, 4711);
}

static void assert_entry(const char *text, const char *enclave, const char *listen,
                         const char *protocol, unsigned first, unsigned last, unsigned to_first)
{
    struct publish_entry entry = good(text);
    char address[ADDR_TEXT_BYTES];

    assert_string_equal(entry.enclave, enclave);
    assert_string_equal(addr_format(&entry.listen, address), listen);
    assert_string_equal(entry.protocol, protocol);
    assert_int_equal(entry.first, first);
    assert_int_equal(entry.last, last);
    assert_int_equal(entry.to_first, to_first);
}

static void test_syntax(void **state)
{
    (void)state;
    assert_entry("443:8443", "", "none", "tcp", 443, 443, 8443);
    assert_entry("443:443/tcp", "", "none", "tcp", 443, 443, 443);
    assert_entry("53:5353/udp", "", "none", "udp", 53, 53, 5353);
    assert_entry("8000-8010:9000-9010", "", "none", "tcp", 8000, 8010, 9000);
    assert_entry("1-65535:1-65535/udp", "", "none", "udp", 1, 65535, 1);
    assert_entry("web=80:80", "web", "none", "tcp", 80, 80, 80);
    assert_entry("192.0.2.1:80:81", "", "192.0.2.1", "tcp", 80, 80, 81);
    assert_entry("[2001:db8::1]:80:81/udp", "", "2001:db8::1", "udp", 80, 80, 81);
    assert_entry("web=192.0.2.1:80-81:90-91/udp", "web", "192.0.2.1", "udp", 80, 81, 90);
    assert_entry("my-web.1=[::1]:80:80", "my-web.1", "::1", "tcp", 80, 80, 80);
    assert_entry("5-5:6", "", "none", "tcp", 5, 5, 6);
    assert_entry("0.0.0.0:443:443", "", "0.0.0.0", "tcp", 443, 443, 443);
    assert_entry("[::]:443:443/udp,force", "", "::", "udp", 443, 443, 443);
}

static void test_force(void **state)
{
    char text[PUBLISH_TEXT_BYTES];
    struct publish_entry entry = good("web=22:22,force");

    (void)state;
    assert_true(entry.force);
    assert_string_equal(publish_format(&entry, text), "web=22:22/tcp,force");
    assert_false(good("22:22").force);
    bad("22:22,forced", "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
    bad("22:22,", "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
}

static bool covers(const char *text, const char *address, uint16_t port)
{
    struct publish_entry entry = good(text);
    struct ip_addr addr;

    assert_true(addr_parse(address, &addr));
    return publish_covers(&entry, &addr, port);
}

static void test_covers(void **state)
{
    (void)state;
    assert_true(covers("20-25:20-25", "192.0.2.1", 22));
    assert_true(covers("22:22", "::", 22));
    assert_false(covers("22:22", "0.0.0.0", 23));
    assert_true(covers("0.0.0.0:22:22", "127.0.0.1", 22));
    assert_false(covers("0.0.0.0:22:22", "::1", 22));
    assert_true(covers("[::]:22:22", "2001:db8::1", 22));
    assert_true(covers("192.0.2.1:22:22", "0.0.0.0", 22));
    assert_false(covers("192.0.2.1:22:22", "192.0.2.2", 22));
}

static void test_rejects(void **state)
{
    static const char *const no_ports[] = {
        "",        "80",     "80:",    ":80",       "0:80",         "80:0", "65536:1",
        "1:65536", "80-:80", "-80:80", "81-80:1-2", "80-81-82:1-3", "a:b",  " 80:80",
        "80:80 ",  "web=",   "web=80", "80,81:80",  "0x50:80"};
    static const char *const no_address[] = {
        ":80:80",   "localhost:80:80", "1.2.3:80:80",       "[::1:80:80",
        "[]:80:80", "[x]:80:80",       "2001:db8::1:80:80", "80:80:80"};

    (void)state;
    for (size_t i = 0; i < sizeof(no_ports) / sizeof(no_ports[0]); i++)
        bad(no_ports[i], "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
    bad(":80:", "has no IP address before the ports");
    for (size_t i = 0; i < sizeof(no_address) / sizeof(no_address[0]); i++)
        bad(no_address[i], "has no IP address before the ports");
    bad("1.2.3.4/24:80:80", "ends in something other than /tcp or /udp");
    bad("80:80/sctp", "ends in something other than /tcp or /udp");
    bad("80:80/", "ends in something other than /tcp or /udp");
    bad("80:80/TCP", "ends in something other than /tcp or /udp");
    bad("80:80/tcp/udp", "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
    bad("80-81:80", "maps ranges of different size");
    bad("80:80-81", "maps ranges of different size");
    bad("80-90:80-91", "maps ranges of different size");
    bad("65000-65535:65001-65535", "maps ranges of different size");
}

static void test_long_text(void **state)
{
    char text[400];

    (void)state;
    memset(text, '1', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    bad(text, "is too long");
    text[200] = '\0';
    bad(text, "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
    text[100] = ':';
    bad(text, "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
}

/* A name that is too long for any enclave must not become another one's by being cut. */
static void test_long_name(void **state)
{
    char text[200] = "";
    struct publish_entry entry;
    struct failure failure = {""};

    (void)state;
    memset(text, 'n', PARENT_NAME_BYTES);
    strcat(text, "=80:80");
    if (publish_parse(text, &entry, &failure))
        fail_msg("a name of %d bytes was taken as one of %zu", PARENT_NAME_BYTES,
                 strlen(entry.enclave));
}

static bool overlap(const char *a, const char *b)
{
    struct publish_entry x = good(a), y = good(b);

    assert_int_equal(publish_overlap(&x, &y), publish_overlap(&y, &x));
    return publish_overlap(&x, &y);
}

static void test_overlap(void **state)
{
    (void)state;
    assert_true(overlap("80:80", "80:81"));
    assert_true(overlap("a=80:80", "b=80:80"));
    assert_false(overlap("80:80", "80:80/udp"));
    assert_false(overlap("80:80", "81:80"));
    assert_true(overlap("0.0.0.0:80:80", "192.0.2.1:80:80"));
    assert_true(overlap("[::]:80:80", "[2001:db8::1]:80:80"));
    assert_false(overlap("0.0.0.0:80:80", "[::]:80:80"));
    assert_true(overlap("0.0.0.0:80:80", "80:80"));
    assert_true(overlap("80-90:80-90", "90:1"));
    assert_true(overlap("80-90:80-90", "85:1"));
    assert_true(overlap("80-90:80-90", "80:1"));
    assert_false(overlap("80-90:80-90", "91:1"));
    assert_false(overlap("80-90:80-90", "79:1"));
    assert_true(overlap("80-90:80-90", "70-100:70-100"));
    assert_true(overlap("192.0.2.1:80:80", "192.0.2.1:80:80"));
    assert_false(overlap("192.0.2.1:80:80", "192.0.2.2:80:80"));
    assert_true(overlap("192.0.2.1:80:80", "80:80"));
    assert_true(overlap("[::1]:80:80", "80:80"));
    assert_false(overlap("[2001:db8::1]:80:80", "192.0.2.1:80:80"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax),    cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_long_text), cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_overlap),   cmocka_unit_test(test_force),
        cmocka_unit_test(test_covers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
