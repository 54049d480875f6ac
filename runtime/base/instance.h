/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon of a kind in a network namespace: they would undo each other's devices and rules. */
#ifndef CAUSEWAY_RUNTIME_BASE_INSTANCE_H
#define CAUSEWAY_RUNTIME_BASE_INSTANCE_H

#include <stddef.h>

#include "runtime/base/failure.h"

/*
 * Takes the name for as long as the process lives. The lock is an abstract Unix socket: it belongs
 * to the network namespace and vanishes with the process, however that ends.
 */
bool instance_lock(const char *program, struct failure *failure);

#endif
