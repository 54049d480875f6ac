/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options.h"

#include "tests/unit/support.h"

struct settings {
    bool loud;
    unsigned count;
    const char *title;
    unsigned calls;
    char last[64];
};

static bool set_color(void *context, const char *value, struct failure *failure)
{
    struct settings *settings = context;

    settings->calls++;
    snprintf(settings->last, sizeof(settings->last), "%s", value);
    if (strcmp(value, "silent") == 0)
        return false; /* and gives no reason */
    if (strcmp(value, "red") != 0 && strcmp(value, "blue") != 0)
        return failure_set(failure, "is no color");
    return true;
}

static void print_color(const void *context, struct option_writer *writer)
{
    const struct settings *own = context;

    if (own->calls > 0)
        option_value(writer, "%s", own->last);
}

static const struct option_spec table[] = {
    {"loud", NULL, "make noise", OPTION_IS_FLAG(struct settings, loud)},
    {"count", "NUMBER", "how many", OPTION_IS_UNSIGNED(struct settings, count, 2, 40)},
    {"title", "TEXT", "what it is called,\nin two lines", OPTION_IS_TEXT(struct settings, title)},
    {"a-name-that-reaches-the-help", "TEXT", "below", OPTION_IS_TEXT(struct settings, title)},
    {"color", "COLOR", "red or blue", OPTION_IS_CALL(set_color, print_color)},
    {.name = NULL},
};

static struct settings settings;
static struct failure failure;

/* Parses words up to a NULL. */
static enum options_result parse(const char *first, ...)
{
    char *argv[16] = {(char *)"program", (char *)first};
    int argc = first != NULL ? 2 : 1;
    va_list words;

    va_start(words, first);
    while (first != NULL && (argv[argc] = va_arg(words, char *)) != NULL)
        argc++;
    va_end(words);
    settings = (struct settings){.count = 7};
    failure.text[0] = '\0';
    return options_parse(table, "unit", "a test", argc, argv, &settings, &failure);
}

static void assert_refused(enum options_result result, const char *sentence)
{
    assert_int_equal(result, OPTIONS_INVALID);
    assert_string_equal(failure.text, sentence);
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL), OPTIONS_OK);
    assert_false(settings.loud);
    assert_int_equal(settings.count, 7);
    assert_null(settings.title);
}

static void test_every_kind(void **state)
{
    (void)state;
    assert_int_equal(parse("--loud", "--count", "40", "--title", "--loud", "--color", "red",
                           "--color", "blue", NULL),
                     OPTIONS_OK);
    assert_true(settings.loud);
    assert_int_equal(settings.count, 40);
    assert_string_equal(settings.title, "--loud");
    assert_int_equal(settings.calls, 2);
    assert_string_equal(settings.last, "blue");
}

static void test_equals(void **state)
{
    (void)state;
    assert_int_equal(parse("--count=2", "--title=a=b", "--color=red", NULL), OPTIONS_OK);
    assert_int_equal(settings.count, 2);
    assert_string_equal(settings.title, "a=b");
    assert_string_equal(settings.last, "red");
    assert_int_equal(parse("--title=", NULL), OPTIONS_OK);
    assert_string_equal(settings.title, "");
}

static void test_error_sentences(void **state)
{
    (void)state;
    assert_refused(parse("--loudly", NULL), "unknown option '--loudly' (see --help)");
    assert_refused(parse("--lou", NULL), "unknown option '--lou' (see --help)");
    assert_refused(parse("loud", NULL), "unknown option 'loud' (see --help)");
    assert_refused(parse("-l", NULL), "unknown option '-l' (see --help)");
    assert_refused(parse("--", NULL), "unknown option '--' (see --help)");
    assert_refused(parse("", NULL), "unknown option '' (see --help)");
    assert_refused(parse("--=x", NULL), "unknown option '--=x' (see --help)");
    assert_refused(parse("--help=x", NULL), "unknown option '--help=x' (see --help)");
    assert_refused(parse("--loud=yes", NULL), "--loud takes no value");
    assert_refused(parse("--loud=", NULL), "--loud takes no value");
    assert_refused(parse("--count", NULL), "--count needs a value: NUMBER");
    assert_refused(parse("--loud", "--title", NULL), "--title needs a value: TEXT");
    assert_refused(parse("--count", "41", NULL), "--count: '41' is not a number from 2 to 40");
    assert_refused(parse("--count", "1", NULL), "--count: '1' is not a number from 2 to 40");
    assert_refused(parse("--count=", NULL), "--count: '' is not a number from 2 to 40");
    assert_refused(parse("--count", "3x", NULL), "--count: '3x' is not a number from 2 to 40");
    assert_refused(parse("--color", "green", NULL), "--color: 'green' is no color");
    assert_refused(parse("--color", "silent", NULL), "--color: 'silent' is not acceptable");
}

static void test_what_no_file_can_say(void **state)
{
    (void)state;
    assert_refused(parse("--title", "a\nb", NULL),
                   "--title: 'a?b' has a control character in it, or a blank at an end");
    assert_refused(parse("--title", " a", NULL),
                   "--title: ' a' has a control character in it, or a blank at an end");
    assert_refused(parse("--title", "a ", NULL),
                   "--title: 'a ' has a control character in it, or a blank at an end");
    assert_int_equal(parse("--title", "a b", NULL), OPTIONS_OK);
}

/* A word from the command line does not overrun the sentence. */
static void test_long_words(void **state)
{
    static char word[4000];

    (void)state;
    memset(word, 'w', sizeof(word) - 1);
    assert_int_equal(parse("--color", word, NULL), OPTIONS_INVALID);
    assert_contains(failure.text, "is no color");
    assert_int_equal(parse(word, NULL), OPTIONS_INVALID);
    assert_contains(failure.text, "unknown option 'www");
    assert_contains(failure.text, "(see --help)");
}

static void test_help(void **state)
{
    (void)state;
    support_capture_begin(1);
    enum options_result result = parse("--loud", "--help", "--nonsense", NULL);
    const char *text = support_capture_end();
    assert_int_equal(result, OPTIONS_HELP);
    assert_contains(text, "unit " CAUSEWAY_VERSION ": a test\n");
    assert_contains(text, "Usage: unit [OPTION]...\n");
    assert_contains(text, "  --loud                      make noise\n");
    assert_contains(text, "  --title TEXT                what it is called,\n"
                          "                              in two lines\n");
    assert_contains(text, "  --a-name-that-reaches-the-help TEXT\n"
                          "                              below\n");
    assert_contains(text, "  --help                      print this text\n");
    assert_contains(text, "  --version                   print the version\n");
}

static void test_version(void **state)
{
    (void)state;
    support_capture_begin(1);
    enum options_result result = parse("--version", NULL);
    const char *text = support_capture_end();
    assert_true(text == strstr(text, "unit " CAUSEWAY_VERSION "\ncommit "));
    assert_contains(text, " build by ");
    assert_true(text[strlen(text) - 1] == '\n');
    assert_int_equal(result, OPTIONS_HELP);
}

static void test_numbers(void **state)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x10",
                                      "1.0",
                                      "9",
                                      "101",
                                      "18446744073709551617",
                                      "99999999999999999999999"};
    unsigned long number = 3;

    (void)state;
    assert_true(option_number("10", 10, 100, &number));
    assert_int_equal(number, 10);
    assert_true(option_number("100", 10, 100, &number));
    assert_int_equal(number, 100);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(option_number(bad[i], 10, 100, &number));
    assert_int_equal(number, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_equals),
        cmocka_unit_test(test_error_sentences),
        cmocka_unit_test(test_what_no_file_can_say),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
