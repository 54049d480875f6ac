/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/endpoint.h"

#include "tests/unit/support.h"

static void parses(const char *text, uint16_t default_port, const char *expected)
{
    struct ip_addr address;
    char formatted[ENDPOINT_TEXT_BYTES];
    uint16_t port;

    if (!endpoint_parse(text, default_port, &address, &port))
        fail_msg("refused: %s", text);
    assert_string_equal(endpoint_format(&address, port, formatted), expected);
}

static void test_parse(void **state)
{
    (void)state;
    parses("192.0.2.1", 53, "192.0.2.1:53");
    parses("192.0.2.1:5353", 53, "192.0.2.1:5353");
    parses("192.0.2.1:65535", 0, "192.0.2.1:65535");
    parses("2001:db8::1", 53, "[2001:db8::1]:53");
    parses("::", 53, "[::]:53");
    parses("[2001:db8::1]", 53, "[2001:db8::1]:53");
    parses("[2001:db8::1]:1", 0, "[2001:db8::1]:1");
    parses("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535", 0,
           "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        ":",
        ":53",
        "53",
        "192.0.2.1:",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        "192.0.2.1:5x",
        "192.0.2.1:+5",
        "192.0.2.1 :53",
        "[192.0.2.1]",
        "[192.0.2.1]:53",
        "[]",
        "[]:53",
        "[",
        "]:53",
        "[::1",
        "[::1:53",
        "::1]:53",
        "[::1]53",
        "[::1]:",
        "[::1]:0",
        "[::1]:53:53",
        "[[::1]]:53",
        "example.com:53",
        "[::1]x:53",
        "1.2.3.4.5",
        "1:2:3:4:5:6:7:8:9",
    };
    struct ip_addr address = {.version = 77};
    uint16_t port = 4711;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (endpoint_parse(wrong[i], 53, &address, &port))
            fail_msg("taken: %s", wrong[i]);
    assert_int_equal(address.version, 77);
    assert_int_equal(port, 4711);
}

static void test_a_port_is_needed(void **state)
{
    struct ip_addr address;
    uint16_t port;

    (void)state;
    assert_false(endpoint_parse("192.0.2.1", 0, &address, &port));
    assert_false(endpoint_parse("2001:db8::1", 0, &address, &port));
    assert_false(endpoint_parse("[2001:db8::1]", 0, &address, &port));
}

static void test_part_of_a_text(void **state)
{
    struct ip_addr address;
    char host[ENDPOINT_TEXT_BYTES];

    (void)state;
    assert_true(endpoint_address("192.0.2.1:80:80", 9, &address));
    assert_string_equal(endpoint_host(&address, host), "192.0.2.1");
    assert_true(endpoint_address("[::1]:80:80", 5, &address));
    assert_string_equal(endpoint_host(&address, host), "[::1]");
    assert_false(endpoint_address("192.0.2.1", 0, &address));
}

static void test_inet(void **state)
{
    union inet_sockaddr sockaddr;
    struct ip_addr address;

    (void)state;
    addr_parse("192.0.2.1", &address);
    assert_int_equal(endpoint_inet(&address, 53, &sockaddr), sizeof(struct sockaddr_in));
    assert_int_equal(sockaddr.v4.sin_family, AF_INET);
    assert_int_equal(sockaddr.v4.sin_port, htons(53));
    assert_int_equal(sockaddr.v4.sin_addr.s_addr, htonl(0xc0000201));
    addr_parse("2001:db8::1", &address);
    assert_int_equal(endpoint_inet(&address, 853, &sockaddr), sizeof(struct sockaddr_in6));
    assert_int_equal(sockaddr.v6.sin6_family, AF_INET6);
    assert_int_equal(sockaddr.v6.sin6_port, htons(853));
    assert_memory_equal(&sockaddr.v6.sin6_addr, address.bytes, 16);
}

/* Paths and names that just fit, and the first that do not. */
static void test_unix(void **state)
{
    enum { HEAD = offsetof(struct sockaddr_un, sun_path) };
    struct sockaddr_un out;
    char text[sizeof(out.sun_path) + 2];

    (void)state;
    assert_int_equal(endpoint_unix("/run/a", &out), HEAD + 7);
    assert_string_equal(out.sun_path, "/run/a");
    assert_int_equal(endpoint_unix("@name", &out), HEAD + 5);
    assert_memory_equal(out.sun_path, "\0name", 5);
    assert_int_equal(endpoint_unix_path("@name", &out), HEAD + 6);
    assert_string_equal(out.sun_path, "@name");
    assert_int_equal(endpoint_unix("", &out), 0);
    assert_int_equal(endpoint_unix("@", &out), 0);

    memset(text, 'x', sizeof(text));
    text[sizeof(out.sun_path) - 1] = '\0';
    assert_int_equal(endpoint_unix(text, &out), sizeof(out));
    text[sizeof(out.sun_path) - 1] = 'x';
    text[sizeof(out.sun_path)] = '\0';
    assert_int_equal(endpoint_unix(text, &out), 0);
    text[0] = '@';
    assert_int_equal(endpoint_unix(text, &out), sizeof(out));
    text[sizeof(out.sun_path)] = 'x';
    text[sizeof(out.sun_path) + 1] = '\0';
    assert_int_equal(endpoint_unix(text, &out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_port_is_needed),
        cmocka_unit_test(test_part_of_a_text),
        cmocka_unit_test(test_inet),
        cmocka_unit_test(test_unix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
