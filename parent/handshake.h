/* SPDX-License-Identifier: Apache-2.0 */
/* From a fresh stream to a lane: what a peer's HELLO is answered. */
#ifndef CAUSEWAY_PARENT_HANDSHAKE_H
#define CAUSEWAY_PARENT_HANDSHAKE_H

#include "parent/session.h"

/* Something can be read of a pending stream, the context (event.h). */
void handshake_ready(void *context, uint32_t events);

/* Closes a pending stream without an answer, counts and logs why. */
void handshake_fail(struct pending *pending, const char *why);

/* Sends a REJECT and counts it; the stream stays open. */
void handshake_reject(struct sessions *sessions, int fd, enum wire_reject_reason reason);

#endif
