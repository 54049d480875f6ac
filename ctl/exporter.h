/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A page of metrics over HTTP, in a process of its own: a fault in it does not touch the packet
 * path. One thread; every GET of /metrics prints the page anew.
 */
#ifndef CAUSEWAY_CTL_EXPORTER_H
#define CAUSEWAY_CTL_EXPORTER_H

#include <stdio.h>

typedef void exporter_print(const void *context, FILE *out);

/* Serves on "ADDRESS:PORT" until SIGTERM or SIGINT; main()'s status. */
int exporter_serve(const char *listen, exporter_print *print, const void *context);

#endif
