/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration read again while the daemon runs: some of it changes, some waits for a restart.
 *
 * Values in force may point into the text of the file that they came from: the text of the last
 * reload that was taken over lives until the next one; that of the start is never freed.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_RELOAD_H
#define CAUSEWAY_RUNTIME_BASE_RELOAD_H

#include "runtime/base/helper.h"
#include "runtime/base/options.h"

/*
 * The configuration file's text now, read by the helper, which may open what the daemon no longer
 * can. From malloc(); empty when there is no file; NULL when it cannot be read, which is logged.
 */
char *reload_text(struct helper *helper);

/* The helper's part of it: call it for requests of this kind. */
#define RELOAD_KIND_FILE 'f'
bool reload_serve(const struct option_file *file, char *answer, struct failure *failure);

/* Reads command line and file into config, defaults first; text as for options_parse_again(). */
typedef enum options_result reload_read(void *config, int argc, char **argv, char *text,
                                        struct failure *failure);

/* Takes over what can change of *fresh, after reload_report(). given is the configuration of the
 * start. False with a sentence: everything is as it was. */
typedef bool reload_take(void *context, const void *given, const void *fresh,
                         struct failure *failure);

struct reload {
    reload_read *read;
    reload_take *take;
    void *context; /* of take() */
    void *given;   /* the configuration as it was read at the start */
    void *fresh;   /* room for another, which begins with a struct option_file */
    struct helper *helper;
    int argc;
    char **argv;
    char *text; /* that values in force point into; NULL: that of the start */
};

/* Reads command line and file again and takes over what can change; logs what cannot. An invalid
 * one leaves everything as it is, with one sentence in the log. */
void reload_configuration(struct reload *reload);

/*
 * Logs what becomes of a fresh configuration: the options in which, of those that can change, it
 * differs from what is in force, in one line, and a line for each other option in which it differs
 * from what was given before, whose old value stays.
 */
void reload_report(const struct option_spec *table, const void *in_force, const void *given,
                   const void *fresh);

#endif
