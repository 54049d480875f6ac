/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent's host is like, as far as the rules depend on it: the networks it is in, whether
 * it forwarded before, which of its ports an enclave's connections could be given. */
#ifndef CAUSEWAY_PARENT_HOST_H
#define CAUSEWAY_PARENT_HOST_H

#include "parent/config.h"
#include "runtime/host/netdev.h"

/* Fills in config->connected. True if it is not what it was. */
bool host_networks(struct parent_config *config, struct netdev *netdev);

/* Fills in config->forwards_only4 and 6, by what the sysctls were before any run of ours. */
void host_forwarding(struct parent_config *config);

/*
 * Ports of --nat-ports behind which there is a service of this host, or that are published: whom an
 * enclave connects to could be made to take one of its connections for the service's. Calls report
 * with a sentence for each, at most SHADOWS_MAX times.
 */
#define SHADOWS_MAX 8
void host_shadows(const struct parent_config *config,
                  void (*report)(const char *sentence, void *context), void *context);

#endif
