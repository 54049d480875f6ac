/* SPDX-License-Identifier: Apache-2.0 */
/* Is an address pool in use on this host already? */
#ifndef CAUSEWAY_PARENT_OVERLAP_H
#define CAUSEWAY_PARENT_OVERLAP_H

#include "runtime/base/failure.h"
#include "parent/config.h"

/*
 * Looks for addresses and routes (default routes apart) that lie in a pool or cover it, on devices
 * that are not ours. The failure names the device.
 */
bool overlap_check(const struct parent_config *config, struct failure *failure);

#endif
