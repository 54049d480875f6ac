/* SPDX-License-Identifier: Apache-2.0 */
/* The file form of options: what is read, what is refused with file and line, what is printed. */
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/options.h"
#include "tests/unit/support.h"

struct settings {
    bool loud, once;
    unsigned count;
    const char *title;
    unsigned color_count;
    char colors[4][16];
    struct option_file file;
};

static bool add_color(void *context, const char *value, struct failure *failure)
{
    struct settings *settings = context;

    if (settings->color_count == 4 || strlen(value) >= sizeof(settings->colors[0]))
        return failure_set(failure, "is too much");
    strcpy(settings->colors[settings->color_count++], value);
    return true;
}

static void print_colors(const void *context, struct option_writer *writer)
{
    const struct settings *settings = context;

    for (unsigned i = 0; i < settings->color_count; i++)
        option_value(writer, "%s", settings->colors[i]);
}

static const struct option_spec table[] = {
    {"config", "FILE", "", OPTION_IS_FILE(struct settings, file)},
    {"loud", NULL, "", OPTION_IS_FLAG(struct settings, loud), .reload = true},
    {"once", NULL, "", OPTION_IS_MODE(struct settings, once)},
    {"count", "NUMBER", "", OPTION_IS_UNSIGNED(struct settings, count, 2, 40)},
    {"title", "TEXT", "", OPTION_IS_TEXT(struct settings, title)},
    {"color", "COLOR", "", OPTION_IS_CALL(add_color, print_colors)},
    {.name = NULL},
};

static struct settings settings;
static struct failure failure;

static int start(void **state)
{
    (void)state;
    settings = (struct settings){.count = 7};
    failure.text[0] = '\0';
    return 0;
}

static int finish(void **state)
{
    (void)state;
    option_file_free(&settings.file);
    return 0;
}

/* Values point into the text, so it is the settings' to free. */
static bool read_text(const char *text)
{
    option_file_free(&settings.file);
    settings.file.text = strdup(text);
    return options_parse_text(table, "file", settings.file.text, &settings, &failure);
}

static void good(const char *text)
{
    if (!read_text(text))
        fail_msg("%s", failure.text);
}

static void bad(const char *text, const char *sentence)
{
    assert_false(read_text(text));
    assert_string_equal(failure.text, sentence);
}

static void test_lines(void **state)
{
    (void)state;
    good("# a comment\n\n  \t# another\ncount = 9\n title=a = b # c\t\r\nloud\ncolor = red\n"
         "color=blue");
    assert_int_equal(settings.count, 9);
    assert_string_equal(settings.title, "a = b # c");
    assert_true(settings.loud);
    assert_int_equal(settings.color_count, 2);
    assert_string_equal(settings.colors[1], "blue");
    good("");
    good("\n\n");
    good("title =\n");
    assert_string_equal(settings.title, "");
}

static void test_flags(void **state)
{
    (void)state;
    good("loud = yes");
    assert_true(settings.loud);
    good("loud = no");
    assert_false(settings.loud);
}

static void test_refused_with_file_and_line(void **state)
{
    (void)state;
    bad("count = 9\nvolume = 3\n", "file:2: unknown key 'volume'");
    bad("\n#\n\nCount = 9\n", "file:4: unknown key 'Count'");
    bad("= 9", "file:1: unknown key ''");
    bad("--count = 9", "file:1: unknown key '--count'");
    bad("count 9", "file:1: unknown key 'count 9'");
    bad("[parent]\ncount = 9",
        "file:1: unknown key '[parent]': there are no sections, every line is "
        "KEY = VALUE");
    bad("count: 9", "file:1: unknown key 'count: 9': a key and its value have a = between them");
    bad("\xef\xbb\xbf"
        "count = 9",
        "file:1: begins with a byte order mark: save the file as UTF-8 without one");
    bad("count", "file:1: count needs a value: count = NUMBER");
    bad("count = 41", "file:1: count: '41' is not a number from 2 to 40");
    bad("loud = on", "file:1: loud: 'on' is neither yes nor no");
    bad("once", "file:1: once belongs on the command line");
    bad("config = other", "file:1: config belongs on the command line");
    bad("color = 12345678901234567890", "file:1: color: '12345678901234567890' is too much");
    bad("title = a\vb", "file:1: title: 'a?b' has a control character in it, or a blank at an end");
}

static void write_file(const char *name, const char *bytes, size_t length)
{
    FILE *out = fopen(support_path(name), "we");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    fclose(out);
}

static enum options_result parse(char *text, const char *first, const char *second)
{
    char path[600];
    const char *argv[] = {"program", first, "--config", path, second, NULL};

    snprintf(path, sizeof(path), "%s", support_path("conf"));
    option_file_free(&settings.file);
    settings = (struct settings){.count = 7};
    enum options_result result =
        options_parse_again(table, "unit", "a test", 5, (char **)argv, text, &settings, &failure);
    if (settings.file.path != NULL) /* argv ends with this call */
        settings.file.path = "given";
    return result;
}

/* Single values are replaced by the command line, repeated ones added, wherever --config stands. */
static void test_command_line_wins(void **state)
{
    static const char text[] = "count = 9\ncolor = red\ntitle = file\n";

    (void)state;
    write_file("conf", text, strlen(text));
    assert_int_equal(parse(NULL, "--count=11", "--color=blue"), OPTIONS_OK);
    assert_int_equal(settings.count, 11);
    assert_int_equal(settings.color_count, 2);
    assert_string_equal(settings.colors[0], "red");
    assert_string_equal(settings.colors[1], "blue");
    assert_string_equal(settings.title, "file");
}

static void test_text_in_place_of_the_file(void **state)
{
    (void)state;
    write_file("conf", "nonsense", 8);
    assert_int_equal(parse(strdup("count = 20\n"), "--loud", "--color=blue"), OPTIONS_OK);
    assert_int_equal(settings.count, 20);
    assert_int_equal(parse(strdup("count = 1\n"), "--loud", "--color=blue"), OPTIONS_INVALID);
    assert_contains(failure.text, "/conf:1: count: '1' is not a number");
}

static void test_unreadable_files(void **state)
{
    static char large[OPTION_FILE_MAX_BYTES + 1];

    (void)state;
    unlink(support_path("conf"));
    assert_int_equal(parse(NULL, "--loud", "--loud"), OPTIONS_INVALID);
    assert_contains(failure.text, "--config: cannot read '");
    assert_contains(failure.text, "/conf': No such file or directory");
    write_file("conf", "count\0= 9", 9);
    assert_int_equal(parse(NULL, "--loud", "--loud"), OPTIONS_INVALID);
    assert_contains(failure.text, "is not a text file");
    memset(large, '\n', sizeof(large));
    write_file("conf", large, sizeof(large));
    assert_int_equal(parse(NULL, "--loud", "--loud"), OPTIONS_INVALID);
    assert_contains(failure.text, "is longer than 65536 bytes");
    write_file("conf", large, sizeof(large) - 1);
    assert_int_equal(parse(NULL, "--loud", "--loud"), OPTIONS_OK);
    assert_null(options_load("/tmp", &failure));
    assert_string_equal(failure.text, "cannot read '/tmp': Is a directory");
    assert_null(options_load("", &failure));
    unlink(support_path("conf"));
}

static const char *printed(void)
{
    support_capture_begin(1);
    options_print(table, &settings, stdout);
    return support_capture_end();
}

static void test_print_reads_back(void **state)
{
    static const char text[] = "loud = yes\ncount = 9\ntitle = a # b\ncolor = red\ncolor = blue\n";

    (void)state;
    good(text);
    assert_string_equal(printed(), text);
    settings = (struct settings){.count = 7, .file = settings.file};
    assert_string_equal(printed(), "loud = no\ncount = 7\n");
    good("loud = no\ncount = 7\n");
}

static void note_row(const struct option_spec *row, void *context)
{
    strcat(context, row->name);
    strcat(context, row->reload ? "! " : " ");
}

static void test_compare(void **state)
{
    char names[100] = "";
    struct settings other = {.count = 7, .title = ""};

    (void)state;
    options_compare(table, &settings, &settings, note_row, names);
    assert_string_equal(names, "");
    good("loud = yes\ncolor = red");
    settings.once = true; /* no part of the configuration */
    options_compare(table, &settings, &other, note_row, names);
    assert_string_equal(names, "loud! title color ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, start, finish),
        cmocka_unit_test_setup_teardown(test_flags, start, finish),
        cmocka_unit_test_setup_teardown(test_refused_with_file_and_line, start, finish),
        cmocka_unit_test_setup_teardown(test_command_line_wins, start, finish),
        cmocka_unit_test_setup_teardown(test_text_in_place_of_the_file, start, finish),
        cmocka_unit_test_setup_teardown(test_unreadable_files, start, finish),
        cmocka_unit_test_setup_teardown(test_print_reads_back, start, finish),
        cmocka_unit_test_setup_teardown(test_compare, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
