/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports that a program of this host listens on: its clients would get the enclave. */
#ifndef CAUSEWAY_PARENT_TAKEN_H
#define CAUSEWAY_PARENT_TAKEN_H

#include "parent/config.h"

/*
 * False with a sentence that names the program, if a port of config without ",force" is somebody's.
 * What before publishes already is not looked at (NULL: nothing). A UDP port among those that the
 * kernel gives to programs that ask for any (net.ipv4.ip_local_port_range) is nobody's service.
 */
bool taken_check(const struct parent_config *config, const struct parent_config *before,
                 struct failure *failure);

#endif
