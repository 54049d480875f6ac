/* SPDX-License-Identifier: Apache-2.0 */
/* What causeway-dns answers on its control socket. */
#ifndef CAUSEWAY_DNS_COMMANDS_H
#define CAUSEWAY_DNS_COMMANDS_H

#include "dns/serve/server.h"
#include "runtime/base/control.h"

struct dns_commands {
    const struct control *control;
    const struct dns_server *server;
};

/* The table for control_open(), whose context is a struct dns_commands. */
extern const struct control_command dns_command_table[];

#endif
