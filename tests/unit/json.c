/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json.h"

#include "tests/unit/support.h"

static void assert_json(struct json *json, const char *expected)
{
    assert_false(json->failed);
    json_raw(json, "", 1);
    assert_string_equal(json->bytes, expected);
    json_free(json);
}

static void test_every_kind(void **state)
{
    struct json json = {0};

    (void)state;
    json_begin(&json, NULL);
    json_text(&json, "text", "a b");
    json_number(&json, "number", UINT64_MAX);
    json_flag(&json, "yes", true);
    json_list(&json, "list");
    json_text(&json, NULL, "");
    json_flag(&json, NULL, false);
    json_begin(&json, NULL);
    json_end(&json);
    json_begin(&json, NULL);
    json_number(&json, "zero", 0);
    json_end(&json);
    json_list_end(&json);
    json_begin(&json, "inner");
    json_list(&json, "empty");
    json_list_end(&json);
    json_end(&json);
    json_end(&json);
    assert_json(&json, "{\"text\":\"a b\",\"number\":18446744073709551615,\"yes\":true,"
                       "\"list\":[\"\",false,{},{\"zero\":0}],\"inner\":{\"empty\":[]}}");
}

/* RFC 8259 7; bytes beyond ASCII come out one by one. */
static void test_escapes(void **state)
{
    struct json json = {0};

    (void)state;
    json_text(&json, NULL, "\"\\/\n\x01\x7f\xc3\xa4~ ");
    assert_json(&json, "\"\\\"\\\\/\\u000a\\u0001\\u007f\\u00c3\\u00a4~ \"");
}

static void test_end(void **state)
{
    struct json json = {0};
    char block[65536];

    (void)state;
    memset(block, 'x', sizeof(block));
    while (!json.failed)
        json_raw(&json, block, sizeof(block));
    assert_int_equal(json.length, JSON_MAX_BYTES);
    json_text(&json, "more", "text");
    assert_int_equal(json.length, JSON_MAX_BYTES);
    json_free(&json);
    json_free(&json);
    assert_null(json.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
