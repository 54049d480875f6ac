/* SPDX-License-Identifier: Apache-2.0 */
/* Where enclaves come in: a socket for each Unix path and each vsock port. */
#ifndef CAUSEWAY_PARENT_LISTENER_H
#define CAUSEWAY_PARENT_LISTENER_H

#include "parent/session.h"

/* Listens for a configured enclave, unless another one's vsock port is the same. False with a
 * sentence. */
bool listener_open(struct sessions *sessions, const struct enclave_entry *entry,
                   struct failure *failure);

/* Goes on after a pause that is over; moves *next_ms back to the end of one that is not. */
void listener_poll(struct listener *listener, uint64_t now_ms, uint64_t *next_ms);

/* Closes it, and removes a Unix socket's file. */
void listener_close(struct listener *listener);

#endif
