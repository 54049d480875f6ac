/* SPDX-License-Identifier: Apache-2.0 */
/* The command `status`: what a daemon is doing, in sentences. */
#ifndef CAUSEWAY_CTL_STATUS_H
#define CAUSEWAY_CTL_STATUS_H

#include <json-c/json.h>

/* Prints one status answer. */
void status_print(struct json_object *status);

#endif
