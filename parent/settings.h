/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own kernel settings that enclave traffic needs, held while the daemon runs:
 * forwarding, and router advertisements in spite of it. Everything here runs in the helper, which
 * alone writes the journal (runtime/host/sysctl.h).
 *
 * IPv4 is switched per interface, for those that a route of the main table leaves by: the global
 * switch would be taken for somebody else's decision by who looks at it (Docker closes FORWARD only
 * if it had to switch forwarding on itself). IPv6 has a global switch alone.
 */
#ifndef CAUSEWAY_PARENT_SETTINGS_H
#define CAUSEWAY_PARENT_SETTINGS_H

#include "parent/config.h"

/* Reads what an earlier run has found and changed. 0 or negative errno. */
int settings_open_journal(void);

/*
 * Sets what is not set. report is empty, or a sentence about what somebody had changed. False: the
 * failure says which setting has the wrong value and why that stays.
 */
bool settings_hold(const struct parent_config *config, char *report, size_t size,
                   struct failure *failure);

/* The same without changing anything, for --check: false if something could not be set here. */
bool settings_check(const struct parent_config *config, struct failure *failure);

/* Puts the settings back, but for those that somebody else needs by now. 0 or negative errno. */
int settings_restore(void);

#endif
