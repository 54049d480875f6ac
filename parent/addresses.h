/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which addresses an enclave has: one index for both families.
 *
 * Index n of a pool is its n-th address; 0 is the network, 1 the gateway that all enclaves share.
 */
#ifndef CAUSEWAY_PARENT_ADDRESSES_H
#define CAUSEWAY_PARENT_ADDRESSES_H

#include "parent/config.h"

#define INDEX_GATEWAY 1
#define INDEX_FIRST   2

/* Is the index taken by a configured enclave? */
bool parent_config_index_taken(const struct parent_config *config, uint32_t index);

/* One above the last index that both pools can address. */
uint32_t parent_config_index_end(const struct parent_config *config);

/* The address at an index of a family, "none" where the family is off. */
struct ip_addr parent_config_address(const struct parent_config *config, int version,
                                     uint32_t index);

/* Gives every configured enclave its index: the one of its address=, else its CID, else the first
 * that is free. False with a sentence: an address that cannot be had, or too small a pool. */
bool addresses_assign(struct parent_config *config, struct failure *failure);

#endif
