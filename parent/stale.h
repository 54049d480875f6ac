/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conntrack entries that are older than a publication. The kernel translates by the entry that a
 * packet belongs to, not by today's rules: a UDP client that sent to the port before it was
 * published, or goes on sending after that was taken back, keeps its entry alive itself.
 */
#ifndef CAUSEWAY_PARENT_STALE_H
#define CAUSEWAY_PARENT_STALE_H

#include "parent/config.h"

/*
 * Forgets the entries, UDP's and those without an answer, that packets to a published port have and
 * that do not lead where *now says; also to ports that *before (NULL: nothing) published. TCP
 * connections go on. After the rules are in place.
 */
void stale_forget(const struct parent_config *before, const struct parent_config *now);

#endif
