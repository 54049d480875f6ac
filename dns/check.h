/* SPDX-License-Identifier: Apache-2.0 */
/* --check of causeway-dns: could it work on this machine with these options? */
#ifndef CAUSEWAY_DNS_CHECK_H
#define CAUSEWAY_DNS_CHECK_H

#include "dns/config.h"

/* Prints the findings; the exit status. Changes nothing. */
int check_dns(const struct dns_config *config);

#endif
