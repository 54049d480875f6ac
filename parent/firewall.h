/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's rule set: NAT, forwarding policy, published ports. The rules themselves are in
 * iptables/. */
#ifndef CAUSEWAY_PARENT_FIREWALL_H
#define CAUSEWAY_PARENT_FIREWALL_H

#include "parent/config.h"
#include "runtime/host/rules.h"

extern const struct rules_set firewall_rules;

/* The template values that the configuration asks for; the caller frees them. */
struct rules_values *firewall_values(const struct parent_config *config);

#endif
