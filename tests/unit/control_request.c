/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/control_request.h"

#include "tests/unit/support.h"

static struct control_words words;
static char line[256];

static bool split(const char *text)
{
    strcpy(line, text);
    return control_split(line, strlen(text), &words);
}

static void test_words(void **state)
{
    (void)state;
    assert_true(split("status"));
    assert_int_equal(words.count, 1);
    assert_string_equal(words.word[0], "status");
    assert_true(split("  publish   a=80:80/tcp "));
    assert_int_equal(words.count, 2);
    assert_string_equal(words.word[0], "publish");
    assert_string_equal(words.word[1], "a=80:80/tcp");
    assert_true(split("1 2 3 4 5 6 7 8"));
    assert_int_equal(words.count, CONTROL_WORDS_MAX);
    assert_string_equal(words.word[7], "8");
}

static void test_refused(void **state)
{
    (void)state;
    assert_false(split(""));
    assert_false(split("   "));
    assert_false(split("1 2 3 4 5 6 7 8 9"));
    assert_false(split("a\tb"));
    assert_false(split("a\r"));
    assert_false(split("caf\xc3\xa9"));
    assert_false(split("a\x7f"));
    strcpy(line, "a b");
    line[1] = '\0';
    assert_false(control_split(line, 3, &words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
