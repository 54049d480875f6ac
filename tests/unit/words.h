/* SPDX-License-Identifier: Apache-2.0 */
/* A command line as one string of words, for the tests of the daemons' options. */
#ifndef CAUSEWAY_TESTS_UNIT_WORDS_H
#define CAUSEWAY_TESTS_UNIT_WORDS_H

#include <string.h>

struct words {
    char text[16384];
    char *argv[512];
    int argc;
};

/* Splits at spaces; argv points into *words. */
static inline void words_split(struct words *words, const char *line)
{
    char *rest = words->text;

    memset(words, 0, sizeof(*words));
    strncpy(words->text, line, sizeof(words->text) - 1);
    words->argv[words->argc++] = (char *)"program";
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        if (word[0] != '\0')
            words->argv[words->argc++] = word;
}

#endif
