/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/reload.h"

#include <unistd.h>

#include "runtime/base/log.h"
#include "tests/unit/support.h"

struct settings {
    unsigned count;
    const char *title;
    bool loud;
};

static const struct option_spec table[] = {
    {"count", "NUMBER", "", OPTION_IS_UNSIGNED(struct settings, count, 0, 40), .reload = true},
    {"loud", NULL, "", OPTION_IS_FLAG(struct settings, loud), .reload = true},
    {"title", "TEXT", "", OPTION_IS_TEXT(struct settings, title)},
    {.name = NULL},
};

static const char *reported(struct settings in_force, struct settings given, struct settings fresh)
{
    support_capture_begin(2);
    reload_report(table, &in_force, &given, &fresh);
    return support_capture_end();
}

/* Live options are held against what is in force, others against what was given. */
static void test_report(void **state)
{
    struct settings old = {3, "a", false}, other = {4, "b", true}, running = {4, "other", false};

    (void)state;
    assert_string_equal(reported(old, old, old),
                        "unit: info: configuration read again: nothing has changed\n");
    assert_string_equal(reported(running, old, old),
                        "unit: info: configuration read again: changed count\n");
    assert_string_equal(reported(old, old, other),
                        "unit: warning: a change of title needs a restart: the old value stays\n"
                        "unit: info: configuration read again: changed count, loud\n");
}

static bool serve(void *context, char kind, char *text, char *answer, struct failure *failure)
{
    (void)text;
    return kind == RELOAD_KIND_FILE && reload_serve(context, answer, failure);
}

static void ignore(void *context)
{
    (void)context;
}

static void write_file(const char *text)
{
    FILE *out = fopen(support_path("conf"), "we");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void assert_text(struct helper *helper, const char *expected)
{
    char *text = reload_text(helper);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_text_through_the_helper(void **state)
{
    struct option_file file = {.path = support_path("conf")};
    struct helper_duties duties = {.cleanup = ignore, .serve = serve, .context = &file};
    struct helper helper;

    (void)state;
    assert_int_equal(helper_start(&helper, &duties), 0);
    write_file("count = 3\n");
    assert_text(&helper, "count = 3\n");
    write_file("");
    assert_text(&helper, "");
    assert_int_equal(unlink(support_path("conf")), 0);
    support_capture_begin(2);
    char *text = reload_text(&helper);
    assert_contains(support_capture_end(), "unit: error: configuration not changed: cannot read '");
    assert_null(text);
    helper_finish(&helper);
    file.path = NULL;
    assert_int_equal(helper_start(&helper, &duties), 0);
    assert_text(&helper, "");
    helper_finish(&helper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_text_through_the_helper),
    };
    log_init("unit", LOG_LEVEL_INFO);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
