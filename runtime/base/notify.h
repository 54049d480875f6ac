/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the service manager how we are: sd_notify(3)'s protocol, which is one datagram of
 * "KEY=value" lines on the socket that $NOTIFY_SOCKET names. Started by hand or by supervisord
 * there is none, and every call here does nothing.
 *
 * The watchdog beats from the control loop: a daemon whose loop hangs is restarted.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_NOTIFY_H
#define CAUSEWAY_RUNTIME_BASE_NOTIFY_H

#include <stddef.h>

#include "runtime/base/failure.h"
#include "runtime/base/event.h"

struct notify {
    int fd;                       /* connected datagram socket; -1: nobody listens */
    struct event_source watchdog; /* a timer; fd -1: none was asked for */
};

/*
 * Opens socket and timer, before the sandbox; removes the variables from the environment, so that
 * no child speaks in our name.
 */
bool notify_open(struct notify *notify, struct event_loop *loop, struct failure *failure);
void notify_close(struct notify *notify);

/* Start-up is finished; the status line is what `systemctl status` shows. NULL: nobody is told. */
void notify_ready(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void notify_status(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void notify_stopping(const struct notify *notify);

#endif
