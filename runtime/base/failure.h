/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something could not be done, as one sentence for a person.
 *
 * The rule of errors: packet/ returns a named result; runtime/base and runtime/host return 0 or
 * -errno where a caller acts on the number; whatever is reported to a person returns a bool and
 * takes a struct failure, which is written on false alone. It ends in no full stop and names what
 * it is about, so that a caller may put "option: " in front of it.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_FAILURE_H
#define CAUSEWAY_RUNTIME_BASE_FAILURE_H

#include <stdarg.h>
#include <stdbool.h>

#define FAILURE_TEXT_BYTES 1024

struct failure {
    char text[FAILURE_TEXT_BYTES]; /* cut where it does not fit */
};

/* Writes the sentence. Always false, so that a function can end with it. The arguments may point
 * into *failure. */
bool failure_set(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
