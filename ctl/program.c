/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/program.h"

#include <stdarg.h>
#include <stdio.h>

void ctl_error(const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, CTL_PROGRAM ": error: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}
