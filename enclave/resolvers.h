/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolvers that the parent offers, written down for causeway-dns in the form of resolv.conf.
 *
 * The daemon has given up the right to write files when the offer comes, so its helper writes. The
 * file is replaced by a rename: who reads it sees the old list or the new one.
 */
#ifndef CAUSEWAY_ENCLAVE_RESOLVERS_H
#define CAUSEWAY_ENCLAVE_RESOLVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "packet/frame.h"
#include "packet/policy.h"
#include "runtime/base/helper.h"

#define RESOLVERS_FILE        "/run/causeway/resolvers"
#define RESOLVERS_HELPER_KIND 'r'

/* Leaves out what is not the address of one ordinary host: an offer is a stranger's word. */
void resolvers_filter(struct wire_config *offered, const struct prefix_table *connected);

/* Has the list written; logs what goes wrong. */
void resolvers_publish(struct helper *helper, const struct wire_config *config);

/* The helper's side: text is the list, one address a line. False with a sentence in answer. */
bool resolvers_serve(const char *path, char *text, struct failure *failure);
void resolvers_remove(const char *path);

#endif
