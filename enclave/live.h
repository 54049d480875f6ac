/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration read again on SIGHUP. What can change in a running enclave daemon is little:
 * the rest is part of what was agreed with the parent or set up before the privileges were dropped.
 */
#ifndef CAUSEWAY_ENCLAVE_LIVE_H
#define CAUSEWAY_ENCLAVE_LIVE_H

#include "enclave/session.h"
#include "runtime/base/helper.h"

struct live {
    struct enclave_config *config; /* in force */
    struct enclave_config given;   /* as read at the start */
    struct session *session;
    struct helper *helper;
    int argc;
    char **argv;
};

/* Reads command line and file again and takes over what can change; logs what cannot. An invalid
 * one leaves everything as it is, with one sentence in the log. */
void live_reload(struct live *live);

/* The helper's side; context is the daemon's struct enclave_config. */
bool live_serve(void *context, char kind, char *text, char *answer, struct failure *failure);

#endif
