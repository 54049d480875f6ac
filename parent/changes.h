/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes while the daemon runs: the configuration read again on SIGHUP, ports and networks opened
 * and closed one by one over the control socket.
 *
 * Every change goes the same way: a copy of the configuration is changed and checked, the helper
 * exchanges the firewall rules, and only then the copy comes into force. Whatever fails leaves the
 * old state, here and in the kernel. The daemon itself can neither run firewall tools nor, under
 * another user, open its file: the helper does both (changes_serve()).
 */
#ifndef CAUSEWAY_PARENT_CHANGES_H
#define CAUSEWAY_PARENT_CHANGES_H

#include "runtime/base/failure.h"
#include "parent/session.h"
#include "runtime/base/helper.h"
#include "runtime/host/netdev.h"

struct changes {
    struct parent_config *config; /* in force */
    struct sessions *sessions;
    struct helper *helper;
    struct log_limit host_log; /* of what others do to the host's settings */
};

/* Takes over what can change of a configuration that was read again; context is a struct changes
 * (reload_take). */
bool changes_reload(void *context, const void *given, const void *fresh, struct failure *failure);

enum change_kind { CHANGE_ADD, CHANGE_REMOVE };

/* Adds or removes one value of the key "publish" or "allow", in the option's own form. False with a
 * sentence. */
bool changes_make(struct changes *changes, enum change_kind kind, const char *key,
                  const char *value, struct failure *failure);

/* The networks that this host is in may have changed: the rules follow. */
void changes_networks(struct changes *changes);

/* The helper's side; context is the daemon's struct parent_config. */
bool changes_serve(void *context, char kind, char *text, char *answer, struct failure *failure);

/* Has the helper hold the host's settings (parent/settings.h), and logs what somebody had changed.
 */
bool changes_hold_settings(struct changes *changes, struct failure *failure);

#endif
