/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/stats.h"

#include "tests/unit/support.h"

static void assert_good(const char *text, const char *canonical)
{
    struct upstream_spec spec, again;
    char out[UPSTREAM_TEXT_BYTES];
    struct failure failure = {""};

    if (!upstream_parse(text, &spec, &failure))
        fail_msg("%s %s", text, failure.text);
    assert_string_equal(upstream_format(&spec, out), canonical);
    assert_true(upstream_parse(out, &again, &failure));
    assert_true(upstream_equal(&spec, &again));
}

static void test_good(void **state)
{
    (void)state;
    assert_good("tcp://192.0.2.1", "tcp://192.0.2.1:53");
    assert_good("tcp://192.0.2.1:5300", "tcp://192.0.2.1:5300");
    assert_good("tcp://127.0.0.1", "tcp://127.0.0.1:53");
    assert_good("tcp://2001:db8::1", "tcp://[2001:db8::1]:53");
    assert_good("tcp://[2001:db8::1]", "tcp://[2001:db8::1]:53");
    assert_good("tcp://[::1]:65535", "tcp://[::1]:65535");
    assert_good("tls://192.0.2.1#dns.example", "tls://192.0.2.1:853#dns.example");
    assert_good("tls://[2001:db8::1]:8853#2001:db8::1", "tls://[2001:db8::1]:8853#2001:db8::1");
    assert_good("vsock:3:5353", "vsock:3:5353");
    assert_good("vsock://3:5353", "vsock:3:5353");
    assert_good("unix:/run/dns.sock", "unix:/run/dns.sock");
    assert_good("unix:///run/dns.sock", "unix:/run/dns.sock");
}

static void assert_bad(const char *text, const char *sentence)
{
    struct upstream_spec spec;
    struct failure failure = {""};

    if (upstream_parse(text, &spec, &failure))
        fail_msg("%s was taken", text);
    assert_contains(failure.text, sentence);
}

static void test_bad(void **state)
{
    static const char *const endpoints[] = {"tcp://",
                                            "tcp://name",
                                            "tcp://192.0.2.1:",
                                            "tcp://192.0.2.1:0",
                                            "tcp://192.0.2.1:65536",
                                            "tcp://192.0.2.1:53x",
                                            "tcp://[2001:db8::1",
                                            "tcp://[2001:db8::1]53",
                                            "tcp://[]:53",
                                            "tcp://:53"};

    (void)state;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++)
        assert_bad(endpoints[i], "is not tcp://ADDR[:53]");
    assert_bad("tcp://0.0.0.0", "is not the address of one host");
    assert_bad("tcp://224.0.0.1", "is not the address of one host");
    assert_bad("tcp://255.255.255.255", "is not the address of one host");
    assert_bad("tcp://ff02::1", "is not the address of one host");
    assert_bad("tls://192.0.2.1", "needs the name");
    assert_bad("tls://192.0.2.1#", "needs the name");
    assert_bad("tls://192.0.2.1#a b", "needs the name");
    assert_bad("tls://x#name", "is not tls://ADDR");
    assert_bad("vsock:any:53", "needs a CID");
    assert_bad("vsock:3", "is not vsock:CID:PORT");
    assert_bad("unix:", "needs a path");
    assert_bad("192.0.2.1", "is not tcp://ADDR, tls://");
    assert_bad("", "is not tcp://ADDR, tls://");
}

static void test_every_failure_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < UPSTREAM_FAILURE_COUNT; i++)
        assert_true(strlen(upstream_failure_name((enum upstream_failure)i)) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_every_failure_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
