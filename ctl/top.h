/* SPDX-License-Identifier: Apache-2.0 */
/* The command `top`: a line for each lane. */
#ifndef CAUSEWAY_CTL_TOP_H
#define CAUSEWAY_CTL_TOP_H

#include <json-c/json.h>

/* Prints one status answer. */
void top_print(struct json_object *status);

#endif
