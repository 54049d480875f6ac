/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on a control socket as text: a line of words. docs/control.md. */
#ifndef CAUSEWAY_RUNTIME_BASE_CONTROL_REQUEST_H
#define CAUSEWAY_RUNTIME_BASE_CONTROL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define CONTROL_LINE_MAX  16384 /* bytes of a request with its newline */
#define CONTROL_WORDS_MAX 8

struct control_words {
    unsigned count;
    const char *word[CONTROL_WORDS_MAX]; /* into the line */
};

/*
 * Cuts a line without its newline into words separated by spaces. length bytes, and one more that
 * may be written (the newline's place). False for an empty line, too many words, or a byte that is
 * not printable ASCII.
 */
bool control_split(char *line, size_t length, struct control_words *out);

#endif
