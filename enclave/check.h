/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAUSEWAY_ENCLAVE_CHECK_H
#define CAUSEWAY_ENCLAVE_CHECK_H

#include "enclave/config.h"

/* --check: can this enclave's kernel do what the configuration asks? Prints, changes nothing. */
int check_enclave(const struct enclave_config *config);

#endif
