/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The veth pair of an enclave.
 *
 * cwin<index> is the kernel's end: gateway address, route and neighbour of the enclave.
 * cwout<index> is the daemon's end. Packets to the enclave carry a MAC address that cwout<index>
 * does not have: its packet sockets see them, its IP stack does not.
 *
 * What these functions need of struct enclave are its index, addresses and texts; theirs are the
 * names, indexes and MAC addresses of the devices. They know nothing of lanes.
 */
#ifndef CAUSEWAY_PARENT_ENCLAVE_DEVICE_H
#define CAUSEWAY_PARENT_ENCLAVE_DEVICE_H

#include "parent/enclave.h"

#define ENCLAVE_DEVICE_PREFIX      "cwin"
#define ENCLAVE_PEER_DEVICE_PREFIX "cwout"

/* Fills in names and MAC addresses, which the index decides. */
void enclave_device_name(struct enclave *enclave);

/* Bytes. Both sides' devices have the same MTU, or a packet would be too long for one of them. */
uint32_t enclave_device_mtu(const struct enclave *enclave, const struct enclave_context *context);

/* Gives both ends that MTU. 0 or negative errno. */
int enclave_device_set_mtu(struct enclave *enclave, const struct enclave_context *context);

/* Makes or adopts the pair and sets it up. 0 or negative errno. */
int enclave_device_ready(struct enclave *enclave, const struct enclave_context *context);

/* Looks whether the pair is as it was set up, puts back what is not and says so. 0, or the negative
 * errno of what could not be put back; -ENODEV: an end is gone, which is not said. */
int enclave_device_mend(struct enclave *enclave, const struct enclave_context *context);

/* Removes the pair; absent is success. 0 or negative errno. */
int enclave_device_delete(const struct enclave *enclave, const struct enclave_context *context);

/* Removes every pair of ours, of this run or an earlier one. */
void enclave_devices_remove(void);

#endif
