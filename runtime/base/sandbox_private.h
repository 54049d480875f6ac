/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sandbox share. */
#ifndef CAUSEWAY_RUNTIME_BASE_SANDBOX_PRIVATE_H
#define CAUSEWAY_RUNTIME_BASE_SANDBOX_PRIVATE_H

#include "runtime/base/sandbox.h"

/* "cannot enter the sandbox: WHAT: errno's text". Always false. */
bool sandbox_fail(struct failure *failure, const char *what);

/* Landlock of a daemon and of a helper. True where the kernel has none. no_new_privs is set. */
bool sandbox_landlock(const struct sandbox_profile *profile, struct failure *failure);
bool sandbox_landlock_helper(const struct sandbox_profile *profile, sandbox_folders *folders,
                             const void *config, struct failure *failure);

/* seccomp of both. */
bool sandbox_limit_calls(const struct sandbox_profile *profile, int *listener,
                         struct failure *failure);
bool sandbox_limit_helper_calls(struct failure *failure);

#endif
