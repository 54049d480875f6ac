/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAUSEWAY_PARENT_CHECK_H
#define CAUSEWAY_PARENT_CHECK_H

#include "parent/config.h"

/* --check: can this host do what the configuration asks? Prints, changes nothing. */
int check_parent(const struct parent_config *config);

#endif
