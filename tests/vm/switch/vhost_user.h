/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back-end of a vhost-user-vsock device: what QEMU tells about a guest's memory and queues over
 * a Unix socket (QEMU docs/interop/vhost-user.rst).
 *
 * Implemented is what QEMU 7.2 to 10.0 need for this device; any other message, and any that does
 * not fit its own length, ends the connection. QEMU belongs to whoever runs the switch and is
 * trusted to finish a message that it has begun, within VHOST_USER_PATIENCE_S; the guest has no
 * say in these messages beyond when its driver starts and stops.
 */
#ifndef CAUSEWAY_TESTS_VM_SWITCH_VHOST_USER_H
#define CAUSEWAY_TESTS_VM_SWITCH_VHOST_USER_H

#include "tests/vm/switch/exchange.h"

#define VHOST_USER_PATIENCE_S 10

/* Called when a queue gets an eventfd to be watched for kicks, and before that is closed. */
struct vhost_user_watch {
    void (*kick_opened)(void *context, enum exchange_queue queue);
    void (*kick_closing)(void *context, enum exchange_queue queue);
    void *context;
};

/* Reads one message from the connection, obeys and answers it. 0; -ECONNRESET at its end; another
 * negative errno: the connection is of no more use. */
int vhost_user_serve(int connection, struct exchange_guest *guest,
                     const struct vhost_user_watch *watch);

#endif
