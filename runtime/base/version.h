/* SPDX-License-Identifier: Apache-2.0 */
/* What --version prints. The file version.c is made by the build, from version.c.in. */
#ifndef CAUSEWAY_RUNTIME_BASE_VERSION_H
#define CAUSEWAY_RUNTIME_BASE_VERSION_H

/* Prints "PROGRAM VERSION", and on a second line commit, compiler, libraries and how it was built.
 */
void version_print(const char *program);

#endif
