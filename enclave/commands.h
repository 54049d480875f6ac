/* SPDX-License-Identifier: Apache-2.0 */
/* What the enclave daemon answers on its control socket. */
#ifndef CAUSEWAY_ENCLAVE_COMMANDS_H
#define CAUSEWAY_ENCLAVE_COMMANDS_H

#include "enclave/session.h"
#include "runtime/base/control.h"

struct commands {
    const struct control *control;
    struct session *session;
    struct tap_table *taps;
};

/* The table for control_open(), whose context is a struct commands. */
extern const struct control_command enclave_commands[];

#endif
