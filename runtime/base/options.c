/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options_table.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/version.h"

#define HELP_COLUMN 30

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

/* One option of the line and its value; *at is the index of its word, then of its last one. */
static const struct option_spec *next_option(const struct option_spec *table, char **argv, int *at,
                                             const char **value, struct failure *failure)
{
    const char *word = argv[*at], *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const struct option_spec *row =
        length > 2 && memcmp(word, "--", 2) == 0 ? options_find(table, word + 2, length - 2) : NULL;

    *value = equals ? equals + 1 : NULL;
    if (row == NULL) {
        failure_set(failure, "unknown option '%.200s' (see --help)", word);
    } else if (row->argument == NULL) {
        if (*value == NULL)
            return row;
        failure_set(failure, "--%s takes no value", row->name);
    } else {
        if (*value != NULL || (*value = argv[++*at]) != NULL)
            return row;
        failure_set(failure, "--%s needs a value: %s", row->name, row->argument);
    }
    return NULL;
}

/* Walks over the line: once for the row of the configuration file alone, once for the others. */
static bool walk(const struct option_spec *table, int argc, char **argv, bool file_row,
                 void *context, struct failure *failure)
{
    struct failure reason;
    const char *value;

    for (int i = 1; i < argc; i++) {
        const struct option_spec *row = next_option(table, argv, &i, &value, failure);
        if (row == NULL)
            return false;
        if ((row->kind == OPTION_FILE) == file_row &&
            !options_set(row, context, value ? value : "", &reason))
            return failure_set(failure, "--%s: %s", row->name, reason.text);
    }
    return true;
}

/* The short forms, and the word that many programs take in an option's place. */
static bool asks(const char *word, int place, const char *name, const char *letter)
{
    return (strncmp(word, "--", 2) == 0 && strcmp(word + 2, name) == 0) ||
           strcmp(word, letter) == 0 || (place == 1 && strcmp(word, name) == 0);
}

/* Is --help or --version an option of this line, ahead of any mistake? */
static bool asks_for_help(const struct option_spec *table, const char *program, const char *summary,
                          int argc, char **argv)
{
    struct failure ignored;
    const char *value;

    for (int i = 1; i < argc; i++) {
        if (asks(argv[i], i, "help", "-h")) {
            print_help(table, program, summary);
            return true;
        }
        if (asks(argv[i], i, "version", "-V")) {
            version_print(program);
            return true;
        }
        if (next_option(table, argv, &i, &value, &ignored) == NULL)
            return false;
    }
    return false;
}

static struct option_file *file_of(const struct option_spec *table, void *context)
{
    for (const struct option_spec *row = table; row->name != NULL; row++)
        if (row->kind == OPTION_FILE)
            return (struct option_file *)((char *)context + row->offset);
    return NULL;
}

static bool read_file(const struct option_spec *table, struct option_file *file, void *context,
                      struct failure *failure)
{
    struct failure reason;

    if (file == NULL || file->path == NULL)
        return true;
    if (file->text == NULL)
        file->text = options_load(file->path, &reason);
    if (file->text == NULL)
        return failure_set(failure, "--config: %s", reason.text);
    return options_parse_text(table, file->path, file->text, context, failure);
}

enum options_result options_parse_again(const struct option_spec *table, const char *program,
                                        const char *summary, int argc, char **argv, char *text,
                                        void *context, struct failure *failure)
{
    struct option_file *file = file_of(table, context);

    if (file != NULL)
        *file = (struct option_file){.text = text};
    if (asks_for_help(table, program, summary, argc, argv))
        return OPTIONS_HELP;
    return walk(table, argc, argv, true, context, failure) &&
                   read_file(table, file, context, failure) &&
                   walk(table, argc, argv, false, context, failure)
               ? OPTIONS_OK
               : OPTIONS_INVALID;
}

enum options_result options_parse(const struct option_spec *table, const char *program,
                                  const char *summary, int argc, char **argv, void *context,
                                  struct failure *failure)
{
    return options_parse_again(table, program, summary, argc, argv, NULL, context, failure);
}

bool options_set_key(const struct option_spec *table, const char *key, const char *value,
                     void *context, struct failure *failure)
{
    const struct option_spec *row = options_find(table, key, strlen(key));
    struct failure reason;

    if (row == NULL)
        failure_set(failure, "unknown key '%.200s'", key);
    else if (!options_set(row, context, value, &reason))
        failure_set(failure, "%s: %s", key, reason.text);
    else
        return true;
    return false;
}
