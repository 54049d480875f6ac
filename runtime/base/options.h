/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines and configuration files from one table.
 *
 * A row names an option, says what its value is and where it goes. Values are checked while they
 * are read; an error is one sentence that names the option and the value.
 *
 * The same names are the keys of a configuration file (docs/configuration.md), which is read before
 * the command line: there a value replaces the file's, and an option that may be repeated adds to
 * it. options_print() writes a configuration in the file's form, which reads back as the same.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_OPTIONS_H
#define CAUSEWAY_RUNTIME_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "runtime/base/failure.h"

enum option_kind {
    OPTION_FLAG,     /* bool at offset becomes true; in a file also false: "key = no" */
    OPTION_MODE,     /* a flag of this one call ("check"): neither in a file nor printed */
    OPTION_UNSIGNED, /* unsigned at offset, minimum..maximum */
    OPTION_TEXT,     /* const char * at offset: borrowed from argv or the file's text */
    OPTION_FILE,     /* struct option_file at offset: the configuration file; not in a file */
    OPTION_CALL,     /* set() is called with the value; may be given several times */
};

/* A configuration file that was read. Values point into the text, so it lives as long as they. */
struct option_file {
    const char *path; /* NULL: none */
    char *text;       /* malloc()ed, cut into values */
};
void option_file_free(struct option_file *file);

/* Where the print function of a row puts its values, each a line of its own. */
struct option_writer {
    FILE *out;
    const char *name;
};
void option_value(struct option_writer *writer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct option_spec {
    const char *name;     /* without the dashes; NULL ends the table */
    const char *argument; /* how --help calls the value; NULL for a flag */
    const char *help;     /* one line, or several separated by newlines */
    enum option_kind kind;
    size_t offset;
    unsigned minimum, maximum;
    /* Returns false with a reason in error ("is not an address"). context is options_parse()'s. */
    bool (*set)(void *context, const char *value, struct failure *failure);
    /* Calls option_value() for every value that set() would have to be given. */
    void (*print)(const void *context, struct option_writer *writer);
    bool reload; /* a running daemon takes a change of it over */
};

/* Kind and place of a row's value, written in the table behind the help text. */
#define OPTION_IS_FLAG(type, member) OPTION_FLAG, .offset = offsetof(type, member)
#define OPTION_IS_MODE(type, member) OPTION_MODE, .offset = offsetof(type, member)
#define OPTION_IS_TEXT(type, member) OPTION_TEXT, .offset = offsetof(type, member)
#define OPTION_IS_FILE(type, member) OPTION_FILE, .offset = offsetof(type, member)
#define OPTION_IS_UNSIGNED(type, member, low, high)                                                \
    OPTION_UNSIGNED, .offset = offsetof(type, member), .minimum = (low), .maximum = (high)
#define OPTION_IS_CALL(setter, printer) OPTION_CALL, .set = (setter), .print = (printer)

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,    /* --help or --version was printed: exit with 0 */
    OPTIONS_INVALID, /* error[] holds the sentence: exit with 2 */
};

/*
 * Accepts "--name value" and "--name=value". --help (-h, or the first word "help") and --version
 * (-V, "version") belong to every table. A file named by an OPTION_FILE row is read first, wherever
 * on the line it stands.
 */
enum options_result options_parse(const struct option_spec *table, const char *program,
                                  const char *summary, int argc, char **argv, void *context,
                                  struct failure *failure);

/*
 * The same for a daemon that may no longer open the file: text, from malloc(), is its content now
 * and becomes context's, also on an error. NULL: the file is opened.
 */
enum options_result options_parse_again(const struct option_spec *table, const char *program,
                                        const char *summary, int argc, char **argv, char *text,
                                        void *context, struct failure *failure);

/*
 * Reads "key = value" lines from text, which is cut up and lent to context. path is for messages:
 * "PATH:LINE: ...". False with the sentence.
 */
bool options_parse_text(const struct option_spec *table, const char *path, char *text,
                        void *context, struct failure *failure);

/* Sets one option that is not a flag. False with "unknown key 'KEY'" or "KEY: 'VALUE' REASON". */
bool options_set_key(const struct option_spec *table, const char *key, const char *value,
                     void *context, struct failure *failure);

/* A whole file as text, from malloc(). NULL with a sentence: unreadable, too long or not text. */
#define OPTION_FILE_MAX_BYTES 65536
char *options_load(const char *path, struct failure *failure);

/* Prints the configuration in the file's form. */
void options_print(const struct option_spec *table, const void *context, FILE *out);

/* Calls visit for every row of which two configurations differ. */
void options_compare(const struct option_spec *table, const void *a, const void *b,
                     void (*visit)(const struct option_spec *row, void *context), void *context);

/* Parses a decimal number of minimum..maximum, digits only. */
bool option_number(const char *text, unsigned long minimum, unsigned long maximum,
                   unsigned long *out);

#endif
