/* SPDX-License-Identifier: Apache-2.0 */
/* Options in their file form, both ways: docs/configuration.md. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/options_table.h"

#define BLANKS          " \t\r"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

void option_file_free(struct option_file *file)
{
    free(file->text);
    *file = (struct option_file){0};
}

/* ---- reading ---- */

static ssize_t read_all(int fd, char *bytes, size_t size)
{
    size_t have = 0;
    ssize_t got;

    while (have < size && (got = read(fd, bytes + have, size - have)) != 0) {
        if (got < 0 && errno != EINTR)
            return -1;
        have += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)have;
}

char *options_load(const char *path, struct failure *failure)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = fd >= 0 ? malloc(OPTION_FILE_MAX_BYTES + 1) : NULL;
    ssize_t length = text != NULL ? read_all(fd, text, OPTION_FILE_MAX_BYTES + 1) : -1;
    int problem = errno;

    if (fd >= 0)
        close(fd);
    if (length < 0)
        failure_set(failure, "cannot read '%.200s': %s", path, strerror(problem));
    else if (length > OPTION_FILE_MAX_BYTES)
        failure_set(failure, "'%.200s' is longer than %d bytes", path, OPTION_FILE_MAX_BYTES);
    else if (memchr(text, '\0', (size_t)length) != NULL)
        failure_set(failure, "'%.200s' is not a text file", path);
    else {
        text[length] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

/* Cuts blanks off both ends. */
static char *trim(char *text)
{
    text += strspn(text, BLANKS);
    size_t length = strlen(text);
    while (length > 0 && strchr(BLANKS, text[length - 1]) != NULL)
        length--;
    text[length] = '\0';
    return text;
}

static bool set_flag(const struct option_spec *row, void *context, const char *value,
                     struct failure *failure)
{
    bool yes = value == NULL || strcmp(value, "yes") == 0;

    if (!yes && strcmp(value, "no") != 0)
        return failure_set(failure, "'%.200s' is neither yes nor no", value);
    *(bool *)((char *)context + row->offset) = yes;
    return true;
}

/* What is wrong with a line that other programs' files could have. */
static const char *hint(const char *key, bool has_value)
{
    if (key[0] == '[')
        return ": there are no sections, every line is KEY = VALUE";
    if (!has_value && strchr(key, ':') != NULL)
        return ": a key and its value have a = between them";
    return "";
}

/* One line that is neither empty nor a comment. False with the sentence's second half. */
static bool parse_line(const struct option_spec *table, char *line, void *context,
                       struct failure *failure)
{
    char *value = strchr(line, '=');
    struct failure reason = {""};

    if (value != NULL) {
        *value = '\0';
        value = trim(value + 1);
    }
    const char *key = trim(line);
    const struct option_spec *row = options_find(table, key, strlen(key));
    if (row == NULL)
        failure_set(failure, "unknown key '%.200s'%s", key, hint(key, value != NULL));
    else if (row->kind == OPTION_MODE || row->kind == OPTION_FILE)
        failure_set(failure, "%s belongs on the command line", row->name);
    else if (row->argument != NULL && value == NULL)
        failure_set(failure, "%s needs a value: %s = %s", row->name, row->name, row->argument);
    else if (!(row->kind == OPTION_FLAG ? set_flag : options_set)(row, context, value, &reason))
        failure_set(failure, "%s: %s", row->name, reason.text);
    else
        return true;
    return false;
}

bool options_parse_text(const struct option_spec *table, const char *path, char *text,
                        void *context, struct failure *failure)
{
    struct failure reason;

    if (strncmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
        return failure_set(failure,
                           "%.200s:1: begins with a byte order mark: save the file as "
                           "UTF-8 without one",
                           path);
    for (unsigned number = 1; text != NULL; number++) {
        char *line = trim(strsep(&text, "\n"));
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (!parse_line(table, line, context, &reason))
            return failure_set(failure, "%.200s:%u: %s", path, number, reason.text);
    }
    return true;
}

/* ---- printing ---- */

void option_value(struct option_writer *writer, const char *format, ...)
{
    va_list arguments;

    fprintf(writer->out, "%s = ", writer->name);
    va_start(arguments, format);
    vfprintf(writer->out, format, arguments);
    va_end(arguments);
    fputc('\n', writer->out);
}

static void print_row(const struct option_spec *row, const void *context, FILE *out)
{
    const void *value = (const char *)context + row->offset;
    struct option_writer writer = {.out = out, .name = row->name};

    switch (row->kind) {
    case OPTION_FLAG:
        option_value(&writer, "%s", *(const bool *)value ? "yes" : "no");
        break;
    case OPTION_UNSIGNED:
        option_value(&writer, "%u", *(const unsigned *)value);
        break;
    case OPTION_TEXT:
        if (*(const char *const *)value != NULL)
            option_value(&writer, "%s", *(const char *const *)value);
        break;
    case OPTION_CALL:
        row->print(context, &writer);
        break;
    case OPTION_MODE:
    case OPTION_FILE:
        break;
    }
}

void options_print(const struct option_spec *table, const void *context, FILE *out)
{
    for (const struct option_spec *row = table; row->name != NULL; row++)
        print_row(row, context, out);
}

static char *row_text(const struct option_spec *row, const void *context)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        return NULL;
    print_row(row, context, out);
    fclose(out);
    return text;
}

void options_compare(const struct option_spec *table, const void *a, const void *b,
                     void (*visit)(const struct option_spec *row, void *context), void *context)
{
    for (const struct option_spec *row = table; row->name != NULL; row++) {
        char *text_a = row_text(row, a), *text_b = row_text(row, b);
        if (text_a == NULL || text_b == NULL || strcmp(text_a, text_b) != 0)
            visit(row, context);
        free(text_a);
        free(text_b);
    }
}
