/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part that changes while the daemon runs: published ports, opened networks, and the networks
 * of the host's devices. The keys are "publish" and "allow". Adding and removing one value takes it
 * in the option's form; all lists, with "connected", are exchanged as text in the file's form:
 * taking replaces them, and cuts up text. All is checked against the enclaves. On false, with a
 * sentence, config is as it was.
 */
#ifndef CAUSEWAY_PARENT_POLICY_H
#define CAUSEWAY_PARENT_POLICY_H

#include "parent/config.h"

bool parent_policy_add(struct parent_config *config, const char *key, const char *value,
                       struct failure *failure);
bool parent_policy_remove(struct parent_config *config, const char *key, const char *value,
                          struct failure *failure);
void parent_policy_print(const struct parent_config *config, FILE *out);
bool parent_policy_take(struct parent_config *config, char *text, struct failure *failure);

/* Does every published port belong to an enclave, and to one only? False with a sentence. */
bool parent_policy_check(const struct parent_config *config, struct failure *failure);

/*
 * What --allow opens. A network that lies inside policy_closed (packet/policy.h) opens that part of
 * it; any other opens private addresses alone: 0.0.0.0/0 does not open the metadata service. Both
 * the daemon's check of packets and the firewall's rules are made from this.
 */
struct parent_policy_opened {
    struct prefix_table closed;   /* opens what is closed */
    struct prefix_table ordinary; /* opens private addresses */
};
struct parent_policy_opened parent_policy_opened(const struct prefix_table *allow);

/* The options "publish" and "allow" (options.h). */
bool parent_policy_set_publish(void *context, const char *value, struct failure *failure);
void parent_policy_print_publish(const void *context, struct option_writer *writer);
bool parent_policy_set_allow(void *context, const char *value, struct failure *failure);
void parent_policy_print_allow(const void *context, struct option_writer *writer);

#endif
