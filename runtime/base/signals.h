/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events of the control thread: SIGTERM and SIGINT end the daemon, SIGUSR1 prints
 * counters, SIGHUP makes a daemon that asked for it read its files again. */
#ifndef CAUSEWAY_RUNTIME_BASE_SIGNALS_H
#define CAUSEWAY_RUNTIME_BASE_SIGNALS_H

#include <stdbool.h>

#include "runtime/base/event.h"

struct signals {
    struct event_source source;
    bool stop; /* SIGTERM or SIGINT has come */
    void (*print_stats)(void *context);
    void (*reload)(void *context); /* NULL: SIGHUP is ignored */
    void *context;
};

/* Blocks the signals (before any thread is made: they inherit it), ignores SIGPIPE and SIGHUP, and
 * adds the source to the loop. 0 or negative errno. */
int signals_open(struct signals *signals, struct event_loop *loop,
                 void (*print_stats)(void *context), void *context);

/* From now on SIGHUP calls reload with the context given to signals_open(). 0 or negative errno. */
int signals_on_hangup(struct signals *signals, void (*reload)(void *context));

#endif
