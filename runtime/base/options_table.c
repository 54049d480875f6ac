/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/options_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

const struct option_spec *options_find(const struct option_spec *table, const char *name,
                                       size_t length)
{
    for (const struct option_spec *row = table; row->name != NULL; row++)
        if (strlen(row->name) == length && memcmp(row->name, name, length) == 0)
            return row;
    return NULL;
}

/* What a file could not give back: a line is one value, and blanks around it do not count. */
static bool is_plain(const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    size_t length = strlen(value);
    return length == 0 || (value[0] != ' ' && value[length - 1] != ' ');
}

/* A copy of a value for a message: nothing in it moves the cursor. */
static const char *printable(const char *value, char *out, size_t size)
{
    size_t length = 0;

    for (; value[length] != '\0' && length + 1 < size; length++)
        out[length] = (unsigned char)value[length] < ' ' ? '?' : value[length];
    out[length] = '\0';
    return out;
}

bool options_set(const struct option_spec *row, void *context, const char *value,
                 struct failure *failure)
{
    void *target = (char *)context + row->offset;
    unsigned long number;
    char shown[201];
    struct failure reason = {"is not acceptable"};

    if (!is_plain(value))
        return failure_set(failure, "'%s' has a control character in it, or a blank at an end",
                           printable(value, shown, sizeof(shown)));
    switch (row->kind) {
    case OPTION_FLAG:
    case OPTION_MODE:
        *(bool *)target = true;
        return true;
    case OPTION_FILE:
        ((struct option_file *)target)->path = value;
        return true;
    case OPTION_TEXT:
        *(const char **)target = value;
        return true;
    case OPTION_UNSIGNED:
        if (option_number(value, row->minimum, row->maximum, &number)) {
            *(unsigned *)target = (unsigned)number;
            return true;
        }
        failure_set(&reason, "is not a number from %u to %u", row->minimum, row->maximum);
        break;
    case OPTION_CALL:
        if (row->set(context, value, &reason))
            return true;
        break;
    }
    return failure_set(failure, "'%s' %s", printable(value, shown, sizeof(shown)), reason.text);
}
