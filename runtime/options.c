/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 30

bool option_number(const char *text, unsigned long minimum, unsigned long maximum,
                   unsigned long *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < minimum || value > maximum)
        return false;
    *out = value;
    return true;
}

static void print_help_row(const char *name, const char *argument, const char *help)
{
    int width = printf("  --%s%s%s", name, argument ? " " : "", argument ? argument : "");

    for (const char *line = help; line != NULL; width = 0) {
        const char *end = strchr(line, '\n');
        int length = end ? (int)(end - line) : (int)strlen(line);
        if (width >= HELP_COLUMN)
            width = printf("\n") - 1;
        printf("%*s%.*s\n", HELP_COLUMN - width, "", length, line);
        line = end ? end + 1 : NULL;
    }
}

static void print_help(const struct option_spec *table, const char *program, const char *summary)
{
    printf("%s %s: %s\n\nUsage: %s [OPTION]...\n\n", program, CAUSEWAY_VERSION, summary, program);
    for (const struct option_spec *row = table; row->name != NULL; row++)
        print_help_row(row->name, row->argument, row->help);
    print_help_row("help", NULL, "print this text");
    print_help_row("version", NULL, "print the version");
}

static const struct option_spec *find_row(const struct option_spec *table, const char *name,
                                          size_t length)
{
    for (const struct option_spec *row = table; row->name != NULL; row++)
        if (strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

static bool set_value(const struct option_spec *row, void *context, const char *value, char *error,
                      size_t error_size)
{
    void *target = (char *)context + row->offset;
    unsigned long number;
    char reason[200] = "is not acceptable";

    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)target = true;
        return true;
    case OPTION_TEXT:
        *(const char **)target = value;
        return true;
    case OPTION_UNSIGNED:
        if (option_number(value, row->minimum, row->maximum, &number)) {
            *(unsigned *)target = (unsigned)number;
            return true;
        }
        snprintf(reason, sizeof reason, "is not a number from %u to %u", row->minimum,
                 row->maximum);
        break;
    case OPTION_CALL:
        if (row->set(context, value, reason, sizeof reason))
            return true;
        break;
    }
    snprintf(error, error_size, "--%s: '%.200s' %s", row->name, value, reason);
    return false;
}

enum options_result options_parse(const struct option_spec *table, const char *program,
                                  const char *summary, int argc, char **argv, void *context,
                                  char *error, size_t error_size)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0) {
            print_help(table, program, summary);
            return OPTIONS_HELP;
        }
        if (strcmp(word, "--version") == 0) {
            printf("%s %s\n", program, CAUSEWAY_VERSION);
            return OPTIONS_HELP;
        }
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        const struct option_spec *row =
            length > 2 && memcmp(word, "--", 2) == 0 ? find_row(table, word + 2, length - 2) : NULL;
        if (row == NULL) {
            snprintf(error, error_size, "unknown option '%.200s' (see --help)", word);
            return OPTIONS_INVALID;
        }
        const char *value = equals ? equals + 1 : NULL;
        if (row->argument == NULL && value != NULL) {
            snprintf(error, error_size, "--%s takes no value", row->name);
            return OPTIONS_INVALID;
        }
        if (row->argument != NULL && value == NULL && (value = argv[++i]) == NULL) {
            snprintf(error, error_size, "--%s needs a value: %s", row->name, row->argument);
            return OPTIONS_INVALID;
        }
        if (!set_value(row, context, value ? value : "", error, error_size))
            return OPTIONS_INVALID;
    }
    return OPTIONS_OK;
}
