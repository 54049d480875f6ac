/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files. Input: the text. What is accepted is printed, read again and printed again:
 * both prints must be the same.
 */
#include <string.h>

#include "runtime/base/options.h"
#include "tests/fuzz/fuzz.h"

struct settings {
    bool flag;
    unsigned number;
    const char *text;
    unsigned list_count;
    char list[8][24];
};

static bool add(void *context, const char *value, struct failure *failure)
{
    struct settings *settings = context;

    if (settings->list_count == 8 || strlen(value) >= sizeof(settings->list[0]))
        return failure_set(failure, "is too much");
    strcpy(settings->list[settings->list_count++], value);
    return true;
}

static void print_list(const void *context, struct option_writer *writer)
{
    const struct settings *settings = context;

    for (unsigned i = 0; i < settings->list_count; i++)
        option_value(writer, "%s", settings->list[i]);
}

static const struct option_spec table[] = {
    {"flag", NULL, "", OPTION_IS_FLAG(struct settings, flag)},
    {"number", "NUMBER", "", OPTION_IS_UNSIGNED(struct settings, number, 1, 99)},
    {"text", "TEXT", "", OPTION_IS_TEXT(struct settings, text)},
    {"list", "TEXT", "", OPTION_IS_CALL(add, print_list)},
    {.name = NULL},
};

static char *print(const struct settings *settings)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    CHECK(out != NULL);
    options_print(table, settings, out);
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings first = {.number = 1}, second = {.number = 1};
    char *text = malloc(size + 1);
    struct failure failure = {""};

    memcpy(text, data, size);
    text[size] = '\0';
    if (options_parse_text(table, "file", text, &first, &failure)) {
        CHECK(failure.text[0] == '\0');
        char *once = print(&first), *copy = strdup(once);
        CHECK(options_parse_text(table, "file", copy, &second, &failure));
        char *twice = print(&second);
        CHECK(strcmp(once, twice) == 0);
        free(once);
        free(copy);
        free(twice);
    } else {
        CHECK(strncmp(failure.text, "file:", 5) == 0);
    }
    free(text);
    return 0;
}
