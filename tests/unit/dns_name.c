/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/message/name.h"

#include "tests/unit/dns_build.h"

#define LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LABEL61 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    assert_true(dns_name_from_text(text, &name));
    return name;
}

static void text_and_wire(void **state)
{
    (void)state;
    static const struct {
        const char *text, *again;
        uint8_t length;
    } good[] = {
        {".", ".", 1},
        {"example.com", "example.com", 13},
        {"example.com.", "example.com", 13},
        {"_sip._tcp.Example", "_sip._tcp.Example", 19},
        {"a\\.b.c", "a\\046b.c", 7},
        {"\\000\\255.x", "\\000\\255.x", 6},
        {"\\\\", "\\092", 3},
        {"a b", "a\\032b", 5},
        {LABEL63 "." LABEL63 "." LABEL63 "." LABEL61, LABEL63 "." LABEL63 "." LABEL63 "." LABEL61,
         255},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct dns_name name = name_of(good[i].text);
        char text[DNS_NAME_TEXT_BYTES];
        assert_int_equal(name.length, good[i].length);
        assert_string_equal(dns_name_to_text(&name, text), good[i].again);
    }
}

static void longest_text_fits(void **state)
{
    (void)state;
    struct dns_name name = name_of(LABEL63 "." LABEL63 "." LABEL63 "." LABEL61);
    char text[DNS_NAME_TEXT_BYTES];

    for (unsigned i = 0; i < name.length; i++)
        if (name.wire[i] >= 'a')
            name.wire[i] = 0xff;
    assert_int_equal(strlen(dns_name_to_text(&name, text)), 250 * 4 + 3);
}

static void refuses_bad_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "..",
        ".a",
        "a..b",
        "a..",
        "\\",
        "a\\25",
        "\\256",
        "\\25x",
        LABEL63 "a",
        LABEL63 "." LABEL63 "." LABEL63 "." LABEL61 "b",
        LABEL63 "." LABEL63 "." LABEL63 "." LABEL61 ".b",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dns_name name;
        if (dns_name_from_text(bad[i], &name))
            fail_msg("accepted \"%s\"", bad[i]);
    }
}

static void follows_pointers(void **state)
{
    (void)state;
    struct dns_build b;
    struct dns_name name;
    char text[DNS_NAME_TEXT_BYTES];

    start_message(&b, 0, "www.example.com", DNS_TYPE_A); /* 12; .example at 16, .com at 24 */
    size_t first = b.length;
    put_name(&b, "ftp.<16>");
    size_t second = b.length;
    put_name(&b, "a.<33>"); /* a pointer to a name that ends in a pointer */
    assert_int_equal(first, 33);
    assert_int_equal(dns_name_read(b.bytes, b.length, 12, &name), 29);
    assert_string_equal(dns_name_to_text(&name, text), "www.example.com");
    assert_int_equal(dns_name_read(b.bytes, b.length, first, &name), second);
    assert_string_equal(dns_name_to_text(&name, text), "ftp.example.com");
    assert_int_equal(dns_name_read(b.bytes, b.length, second, &name), b.length);
    assert_string_equal(dns_name_to_text(&name, text), "a.ftp.example.com");
    for (size_t cut = second; cut < b.length; cut++)
        assert_int_equal(dns_name_read(b.bytes, cut, second, &name), 0);
}

static void refuses_bad_pointers(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "<33>",                       /* itself */
        "<35>",                       /* forward */
        "a.<33>",                     /* a loop with a label in it */
        "<11>",                       /* the header */
        "<0>",    "<9999>", "a.<35>", /* the pointer itself */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dns_build b;
        start_message(&b, 0, "www.example.com", DNS_TYPE_A);
        put_name(&b, bad[i]);
        put_name(&b, "com");
        if (dns_name_read(b.bytes, b.length, 33, NULL) != 0)
            fail_msg("followed %s", bad[i]);
    }
}

/* Two names, each of which points at the other. */
static void refuses_mutual_pointers(void **state)
{
    (void)state;
    struct dns_build b = {.length = 12};

    put_name(&b, "a.<16>"); /* at 12 */
    put_name(&b, "b.<12>"); /* at 16 */
    assert_int_equal(dns_name_read(b.bytes, b.length, 12, NULL), 0);
    assert_int_equal(dns_name_read(b.bytes, b.length, 16, NULL), 0);
}

static void bounds_the_work(void **state)
{
    (void)state;
    struct dns_build b = {.length = 12};

    put_name(&b, "");
    for (unsigned i = 0; i < 200; i++) { /* each points to the one before */
        char text[16];
        snprintf(text, sizeof(text), "<%u>", i == 0 ? 12 : 13 + 2 * (i - 1));
        put_name(&b, text);
    }
    assert_int_equal(dns_name_read(b.bytes, b.length, 13 + 2 * 126, NULL), 13 + 2 * 127);
    assert_int_equal(dns_name_read(b.bytes, b.length, 13 + 2 * 127, NULL), 0);
}

static void refuses_what_is_too_long(void **state)
{
    (void)state;
    struct dns_build b = {.length = 12};

    put_name(&b, LABEL63 "." LABEL63 "." LABEL63 "." LABEL61);
    size_t at = b.length;
    put_name(&b, "a.<12>");
    assert_int_equal(dns_name_read(b.bytes, b.length, 12, NULL), at);
    assert_int_equal(dns_name_read(b.bytes, b.length, at, NULL), 0);
    static const uint8_t reserved[] = {0x40, 0x80, 0xbf};
    for (size_t i = 0; i < sizeof(reserved);
         i++) { /* RFC 6891 5: label types that are not in use */
        b.bytes[12] = reserved[i];
        assert_int_equal(dns_name_read(b.bytes, b.length, 12, NULL), 0);
    }
}

static void compares(void **state)
{
    (void)state;
    struct dns_name a = name_of("wWw.Example.com"), b = name_of("www.example.COM"), lowered;
    struct dns_name zone = name_of("EXAMPLE.com"), root = name_of(".");
    struct dns_name other = name_of("www-example.com"), at = name_of("@.x"), tick = name_of("`.x");

    assert_true(dns_name_equal(&a, &b));
    assert_false(dns_name_same_bytes(&a, &b));
    assert_false(dns_name_equal(&a, &zone));
    assert_false(dns_name_equal(&at, &tick)); /* 0x40 and 0x60: no letters */
    dns_name_lower(&a, &lowered);
    dns_name_lower(&b, &b);
    assert_true(dns_name_same_bytes(&lowered, &b));
    assert_true(dns_name_within(&a, &zone));
    assert_true(dns_name_within(&a, &a));
    assert_true(dns_name_within(&a, &root));
    assert_false(dns_name_within(&zone, &a));
    assert_false(dns_name_within(&other, &zone)); /* not at a label's border */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_wire),
        cmocka_unit_test(longest_text_fits),
        cmocka_unit_test(refuses_bad_text),
        cmocka_unit_test(follows_pointers),
        cmocka_unit_test(refuses_bad_pointers),
        cmocka_unit_test(refuses_mutual_pointers),
        cmocka_unit_test(bounds_the_work),
        cmocka_unit_test(refuses_what_is_too_long),
        cmocka_unit_test(compares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
