/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent daemon answers on its control socket. */
#ifndef CAUSEWAY_PARENT_COMMANDS_H
#define CAUSEWAY_PARENT_COMMANDS_H

#include "parent/changes.h"
#include "runtime/base/control.h"

struct commands {
    const struct control *control;
    struct changes *changes;
    struct tap_table *taps;
    enum rules_backend firewall; /* the tool that holds the rules */
};

/* The table for control_open(), whose context is a struct commands. */
extern const struct control_command parent_commands[];

#endif
