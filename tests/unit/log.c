/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/log.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support.h"

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void test_level_names(void **state)
{
    static const char *const bad[] = {"", "Error", "warn", "errors", "debug ", "4"};
    enum log_level level = LOG_LEVEL_DEBUG;

    (void)state;
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_LEVEL_ERROR);
    assert_true(log_level_parse("warning", &level));
    assert_int_equal(level, LOG_LEVEL_WARNING);
    assert_true(log_level_parse("info", &level));
    assert_int_equal(level, LOG_LEVEL_INFO);
    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_LEVEL_DEBUG);
    level = LOG_LEVEL_WARNING;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(log_level_parse(bad[i], &level));
    assert_int_equal(level, LOG_LEVEL_WARNING);
}

static const char *print_all_at(enum log_level level)
{
    log_init("unit", level);
    support_capture_begin(2);
    log_error("a %d", 1);
    log_warning("b %s", "two");
    log_info("c");
    log_debug("d");
    return support_capture_end();
}

static void test_levels(void **state)
{
    (void)state;
    assert_string_equal(print_all_at(LOG_LEVEL_ERROR), "unit: error: a 1\n");
    assert_string_equal(print_all_at(LOG_LEVEL_WARNING),
                        "unit: error: a 1\nunit: warning: b two\n");
    assert_string_equal(print_all_at(LOG_LEVEL_INFO),
                        "unit: error: a 1\nunit: warning: b two\nunit: info: c\n");
    assert_string_equal(print_all_at(LOG_LEVEL_DEBUG),
                        "unit: error: a 1\nunit: warning: b two\nunit: info: c\nunit: debug: d\n");
}

static void test_long_text_is_cut_not_overrun(void **state)
{
    static char text[5000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    log_init("unit", LOG_LEVEL_INFO);
    support_capture_begin(2);
    log_info("%s", text);
    const char *printed = support_capture_end();
    assert_int_equal(count_lines(printed), 1);
    assert_true(strlen(printed) > 1000 && strlen(printed) < 1100);
}

static void test_limit(void **state)
{
    struct log_limit limit = {0};
    char expected[4096] = "";

    (void)state;
    log_init("unit", LOG_LEVEL_INFO);
    support_capture_begin(2);
    for (unsigned i = 0; i < LOG_LIMIT_BURST + 17; i++)
        log_limited(&limit, LOG_LEVEL_WARNING, "again %u", i);
    for (unsigned i = 0; i < LOG_LIMIT_BURST; i++)
        sprintf(expected + strlen(expected), "unit: warning: again %u\n", i);
    assert_string_equal(support_capture_end(), expected);

    limit.window_start_ms -= LOG_LIMIT_WINDOW_MS; /* the window is over */
    support_capture_begin(2);
    log_limited(&limit, LOG_LEVEL_WARNING, "later");
    assert_string_equal(support_capture_end(),
                        "unit: warning: 17 similar messages held back\nunit: warning: later\n");

    limit.window_start_ms -= LOG_LIMIT_WINDOW_MS;
    support_capture_begin(2);
    log_limited(&limit, LOG_LEVEL_WARNING, "nothing was held back");
    assert_string_equal(support_capture_end(), "unit: warning: nothing was held back\n");
}

/* A message below the wanted level leaves no trace, also none of how often it came. */
static void test_limit_below_level(void **state)
{
    struct log_limit limit = {0};

    (void)state;
    log_init("unit", LOG_LEVEL_ERROR);
    support_capture_begin(2);
    for (int i = 0; i < 20; i++)
        log_limited(&limit, LOG_LEVEL_WARNING, "again");
    limit.window_start_ms -= LOG_LIMIT_WINDOW_MS;
    log_limited(&limit, LOG_LEVEL_WARNING, "again");
    assert_string_equal(support_capture_end(), "");
}

/* Under systemd: JOURNAL_STREAM names standard error, by device and inode plus `off`. */
static const char *print_to_journal(unsigned off)
{
    struct stat status;
    char stream[64];

    support_capture_begin(2);
    if (fstat(STDERR_FILENO, &status) < 0)
        abort();
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev,
             (uintmax_t)status.st_ino + off);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init("unit", LOG_LEVEL_DEBUG);
    log_error("a");
    log_warning("b");
    log_info("c");
    log_debug("d");
    unsetenv("JOURNAL_STREAM");
    return support_capture_end();
}

static void test_journal_is_told_the_level(void **state)
{
    (void)state;
    assert_string_equal(
        print_to_journal(0),
        "<3>unit: error: a\n<4>unit: warning: b\n<6>unit: info: c\n<7>unit: debug: d\n");
    /* Inherited by a program whose standard error leads elsewhere. */
    assert_string_equal(print_to_journal(1),
                        "unit: error: a\nunit: warning: b\nunit: info: c\nunit: debug: d\n");
}

static int call_die(void *context)
{
    (void)context;
    die("no %s", "way");
}

static void test_die(void **state)
{
    (void)state;
    log_init("unit", LOG_LEVEL_ERROR);
    support_capture_begin(2);
    int status = support_in_child(call_die, NULL);
    assert_string_equal(support_capture_end(), "unit: error: no way\n");
    assert_int_equal(status, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_long_text_is_cut_not_overrun),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_limit_below_level),
        cmocka_unit_test(test_journal_is_told_the_level),
        cmocka_unit_test(test_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
