/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events of the control thread: SIGTERM and SIGINT end the daemon, SIGUSR1 prints
 * counters. */
#ifndef CAUSEWAY_RUNTIME_SIGNALS_H
#define CAUSEWAY_RUNTIME_SIGNALS_H

#include <stdbool.h>

#include "runtime/event.h"

struct signals {
    struct event_source source;
    bool stop; /* SIGTERM or SIGINT has come */
    void (*print_stats)(void *context);
    void *context;
};

/* Blocks the signals (before any thread is made: they inherit it), ignores SIGPIPE and SIGHUP, and
 * adds the source to the loop. 0 or negative errno. */
int signals_open(struct signals *signals, struct event_loop *loop,
                 void (*print_stats)(void *context), void *context);

#endif
