/* SPDX-License-Identifier: Apache-2.0 */
/* The texts that the host's files get; what happens to the files is in
 * tests/netns/test_dns_files.py. */
#include "dns/files/takeover.h"

#include "packet/addr.h"
#include "tests/unit/support.h"

static struct failure failure;

static const char *edited(takeover_edit *edit, const char *original)
{
    static char text[4096];
    struct ip_addr address;
    FILE *out = fmemopen(text, sizeof(text), "w");

    addr_parse("192.0.2.53", &address);
    failure.text[0] = '\0';
    bool done = edit(original, &address, out, &failure);
    fclose(out);
    return done ? text : NULL;
}

static void test_resolv_conf(void **state)
{
    static const char head[] =
        "# Written by causeway-dns, which puts the original back when it stops.\n"
        "nameserver 192.0.2.53\n";

    (void)state;
    assert_string_equal(edited(resolv_conf_edit, NULL), head);
    assert_string_equal(edited(resolv_conf_edit, ""), head);
    assert_string_equal(edited(resolv_conf_edit, "nameserver 1.1.1.1\n#search x\n searching\n"),
                        head);
    const char *kept =
        edited(resolv_conf_edit, "domain a\nnameserver x\nsearch\tb c\noptions edns0\n"
                                 "searchd\nsortlist 10.0.0.0/8");
    assert_string_equal(kept + strlen(head),
                        "domain a\nsearch\tb c\noptions edns0\nsortlist 10.0.0.0/8\n");
}

static void json_is(const char *original, const char *expected)
{
    const char *text = edited(daemon_json_edit, original);

    assert_non_null(text);
    assert_string_equal(text, expected);
}

static void test_daemon_json(void **state)
{
    (void)state;
    json_is(NULL, "{\n  \"dns\": [\"192.0.2.53\"]\n}\n");
    json_is(" \n", "{\n  \"dns\": [\"192.0.2.53\"]\n}\n");
    json_is("{}", "{\n  \"dns\": [\"192.0.2.53\"]\n}");
    json_is("{\"a\": 1}\n", "{\n  \"dns\": [\"192.0.2.53\"],\"a\": 1}\n");
    json_is("{\"dns\":[\"8.8.8.8\"],\"a\":{\"dns\":2}}",
            "{\"dns\":[\"192.0.2.53\"],\"a\":{\"dns\":2}}");
    json_is("{\"a\":{\"dns\":2},\n \"dns\" : null}",
            "{\"a\":{\"dns\":2},\n \"dns\" : [\"192.0.2.53\"]}");
    json_is("{\"dns\":[1],\"dns\":[2]}",
            "{\"dns\":[1],\"dns\":[\"192.0.2.53\"]}"); /* the last counts */
    json_is("{\"d\\u006eS\":1,\"d\\u006Es\":2}",
            "{\"d\\u006eS\":1,\"d\\u006Es\":[\"192.0.2.53\"]}");
    json_is("{\"b\":\"\\\"dns\\\":\"}", "{\n  \"dns\": [\"192.0.2.53\"],\"b\":\"\\\"dns\\\":\"}");
}

static void test_not_json(void **state)
{
    static const char *const texts[] = {
        "x",          "[]",           "{",        "{\"",         "{\"a",           "{\"a\"",
        "{\"a\":",    "{\"a\":}",     "{\"a\":1", "{\"a\":1,",   "{\"a\":1,}",     "{\"a\":1}}",
        "{\"a\":[1}", "{\"a\":[1,]}", "{a:1}",    "{\"a\":\"\\", "{\"a\":\"\n\"}", "{\"a\" 1}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (edited(daemon_json_edit, texts[i]) != NULL)
            fail_msg("taken for JSON: %s", texts[i]);
        assert_string_equal(failure.text, "is not a JSON object");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_daemon_json),
        cmocka_unit_test(test_not_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
