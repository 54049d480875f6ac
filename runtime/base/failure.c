/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/failure.h"

#include <stdio.h>
#include <string.h>

bool failure_set(struct failure *failure, const char *format, ...)
{
    char text[FAILURE_TEXT_BYTES]; /* an argument may be the old text */
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    strcpy(failure->text, text);
    return false;
}
