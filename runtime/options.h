/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines from one table.
 *
 * A row names an option, says what its value is and where it goes. Values are checked while they
 * are read; an error is one sentence that names the option and the value.
 */
#ifndef CAUSEWAY_RUNTIME_OPTIONS_H
#define CAUSEWAY_RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_kind {
    OPTION_FLAG,     /* bool at offset becomes true */
    OPTION_UNSIGNED, /* unsigned at offset, minimum..maximum */
    OPTION_TEXT,     /* const char * at offset: borrowed from argv */
    OPTION_CALL,     /* set() is called with the value; may be given several times */
};

struct option_spec {
    const char *name;     /* without the dashes; NULL ends the table */
    const char *argument; /* how --help calls the value; NULL for a flag */
    const char *help;     /* one line, or several separated by newlines */
    enum option_kind kind;
    size_t offset;
    unsigned minimum, maximum;
    /* Returns false with a reason in error ("is not an address"). context is options_parse()'s. */
    bool (*set)(void *context, const char *value, char *error, size_t error_size);
};

/* Kind and place of a row's value, written in the table behind the help text. */
#define OPTION_IS_FLAG(type, member) OPTION_FLAG, .offset = offsetof(type, member)
#define OPTION_IS_TEXT(type, member) OPTION_TEXT, .offset = offsetof(type, member)
#define OPTION_IS_UNSIGNED(type, member, low, high)                                                \
    OPTION_UNSIGNED, .offset = offsetof(type, member), .minimum = (low), .maximum = (high)
#define OPTION_IS_CALL(function) OPTION_CALL, .set = (function)

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,    /* --help or --version was printed: exit with 0 */
    OPTIONS_INVALID, /* error[] holds the sentence: exit with 2 */
};

/* Accepts "--name value" and "--name=value". --help and --version belong to every table. */
enum options_result options_parse(const struct option_spec *table, const char *program,
                                  const char *summary, int argc, char **argv, void *context,
                                  char *error, size_t error_size);

/* Parses a decimal number of minimum..maximum, digits only. */
bool option_number(const char *text, unsigned long minimum, unsigned long maximum,
                   unsigned long *out);

#endif
