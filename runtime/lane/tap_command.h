/* SPDX-License-Identifier: Apache-2.0 */
/* The request "capture" of the control protocol, docs/control.md. */
#ifndef CAUSEWAY_RUNTIME_LANE_TAP_COMMAND_H
#define CAUSEWAY_RUNTIME_LANE_TAP_COMMAND_H

#include "runtime/base/failure.h"
#include "runtime/base/control.h"
#include "runtime/lane/tap_table.h"

/* A row for a table of commands; run calls tap_command() with the daemon's table. */
#define TAP_COMMAND(function)                                                                      \
    {                                                                                              \
        .name = "capture",                                                                         \
        .arguments = "[snap=BYTES] [which=WHICH] [enclave=NAME] [filter=PROGRAM]", .maximum = 4,   \
        .run = (function)                                                                          \
    }

/* "capture KEY=VALUE..." of the control protocol, docs/control.md. False with a sentence. */
bool tap_parse_wish(unsigned count, const char *const *words, struct tap_wish *out,
                    struct failure *failure);

/* Begins a capture that lasts as long as the client's connection. */
bool tap_command(struct tap_table *table, const struct control_request *request, struct json *reply,
                 struct failure *failure);

#endif
