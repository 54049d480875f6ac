/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes while the daemon runs: the configuration read again on SIGHUP, ports and networks opened
 * and closed one by one over the control socket.
 *
 * Every change goes the same way: a copy of the configuration is changed and checked, the helper
 * exchanges the firewall rules, and only then the copy comes into force. Whatever fails leaves the
 * old state, here and in the kernel. The daemon itself can neither run firewall tools nor, under
 * another user, open its file: the helper does both (live_serve()).
 */
#ifndef CAUSEWAY_PARENT_LIVE_H
#define CAUSEWAY_PARENT_LIVE_H

#include "runtime/base/failure.h"
#include "parent/session.h"
#include "runtime/base/helper.h"

struct live {
    struct parent_config *config; /* in force */
    struct parent_config given;   /* as last read, before the host was looked at */
    struct server *server;
    struct helper *helper;
    int argc;
    char **argv;
    char uplink[IFNAMSIZ]; /* what config->uplink points to after a reload */
};

/* Reads command line and file again and takes over what can change; logs what cannot. */
void live_reload(struct live *live);

enum live_change { LIVE_ADD, LIVE_REMOVE };

/* Adds or removes one value of the key "publish" or "allow", in the option's own form. False with a
 * sentence. */
bool live_change(struct live *live, enum live_change change, const char *key, const char *value,
                 struct failure *failure);

/* The helper's side; context is the daemon's struct parent_config. */
bool live_serve(void *context, char kind, char *text, char *answer, struct failure *failure);

#endif
