/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock_switch --guest CID=PATH...: gives QEMU guests on one host real vsock addresses.
 *
 * Each guest's QEMU connects its vhost-user-vsock device to the Unix socket PATH; packets go
 * between the guests by CID. The host's kernel has no part in it: no vhost, no AF_VSOCK, no
 * privileges.
 *
 * One thread, one event loop: connections, vhost-user messages and kicks are its events. After
 * each, packets are moved for as long as there are any, with a look at the events every BURST of
 * them. A guest may come, go and come again while the others run. SIGUSR1 prints the counters.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "runtime/base/event.h"
#include "runtime/base/link.h"
#include "runtime/base/log.h"
#include "runtime/base/options.h"
#include "runtime/base/signals.h"
#include "tests/vm/switch/exchange.h"
#include "tests/vm/switch/vhost_user.h"

#define GUESTS_MAX 8
#define BURST      256
#define CID_FIRST  3 /* 0 to 2 are not a guest's (linux/vm_sockets.h) */

/* Where one guest is plugged in. */
struct port {
    struct link_addr address;
    struct event_source listener, connection; /* connection.fd -1: nobody is there */
    struct event_source kicks[EXCHANGE_QUEUES];
    const char *complained[EXCHANGE_QUEUES]; /* what has been said about a broken queue */
};

static struct event_loop loop;
static struct exchange_guest guests[GUESTS_MAX];
static struct port ports[GUESTS_MAX];
static unsigned guest_count;

static struct exchange_guest *guest_of(const struct port *port)
{
    return &guests[port - ports];
}

static void on_kick(void *context, uint32_t events)
{
    struct event_source *source = context;
    eventfd_t count;

    (void)events;
    /* Only to make it unreadable: every event is followed by a look at all queues. */
    if (eventfd_read(source->fd, &count) < 0)
        event_remove(&loop, source);
}

static void kick_opened(void *context, enum exchange_queue queue)
{
    struct port *port = context;
    struct event_source *source = &port->kicks[queue];

    *source = (struct event_source){
        .fd = guest_of(port)->queues[queue].kick, .ready = on_kick, .context = source};
    if (event_add(&loop, source, EPOLLIN) < 0)
        log_error("cid %" PRIu64 ": its kicks cannot be watched", guest_of(port)->cid);
    port->complained[queue] = NULL;
}

static void kick_closing(void *context, enum exchange_queue queue)
{
    event_remove(&loop, &((struct port *)context)->kicks[queue]);
}

static void detach(struct port *port)
{
    struct exchange_guest *guest = guest_of(port);

    for (int i = 0; i < EXCHANGE_QUEUES; i++) {
        if (guest->queues[i].kick >= 0)
            kick_closing(port, (enum exchange_queue)i);
    }
    exchange_guest_detach(guest);
    event_remove(&loop, &port->connection);
    close(port->connection.fd);
    port->connection.fd = -1;
}

static void on_message(void *context, uint32_t events)
{
    struct port *port = context;
    struct vhost_user_watch watch = {
        .kick_opened = kick_opened, .kick_closing = kick_closing, .context = port};
    int result = vhost_user_serve(port->connection.fd, guest_of(port), &watch);

    (void)events;
    if (result == 0)
        return;
    if (result == -ECONNRESET)
        log_info("cid %" PRIu64 " is gone", guest_of(port)->cid);
    else
        log_warning("cid %" PRIu64 " is cut off: %s", guest_of(port)->cid, strerror(-result));
    detach(port);
}

/* One connection a guest: while it is there, another one is closed. */
static void on_connection(void *context, uint32_t events)
{
    struct port *port = context;
    struct timeval patience = {.tv_sec = VHOST_USER_PATIENCE_S};
    int fd = accept4(port->listener.fd, NULL, NULL, SOCK_CLOEXEC);

    (void)events;
    if (fd < 0)
        return;
    if (port->connection.fd >= 0) {
        log_warning("cid %" PRIu64 " is there already", guest_of(port)->cid);
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    port->connection = (struct event_source){.fd = fd, .ready = on_message, .context = port};
    if (event_add(&loop, &port->connection, EPOLLIN) < 0) {
        close(fd);
        port->connection.fd = -1;
        return;
    }
    log_info("cid %" PRIu64 " has come", guest_of(port)->cid);
}

static bool add_guest(void *context, const char *value, struct failure *failure)
{
    struct port *port = &ports[guest_count];
    char number[24], link[LINK_TEXT_BYTES];
    const char *path = strchr(value, '=');
    unsigned long cid;

    (void)context;
    if (guest_count == GUESTS_MAX)
        return failure_set(failure, "is one guest too many");
    snprintf(number, sizeof(number), "%.*s", path != NULL ? (int)(path - value) : 0, value);
    if (path == NULL || !option_number(number, CID_FIRST, UINT32_MAX - 1, &cid))
        return failure_set(failure, "is not CID=PATH");
    snprintf(link, sizeof(link), "unix:%s", path + 1);
    if (!link_parse(link, &port->address, failure))
        return false;
    for (unsigned i = 0; i < guest_count; i++) {
        if (guests[i].cid == cid)
            return failure_set(failure, "is a CID that another guest has");
    }
    exchange_guest_init(&guests[guest_count++], cid);
    return true;
}

static const struct option_spec options[] = {
    {"guest", "CID=PATH", "a guest, and the socket that its QEMU connects to; one for each guest",
     OPTION_IS_CALL(add_guest, NULL)},
    {0},
};

static void listen_all(void)
{
    for (unsigned i = 0; i < guest_count; i++) {
        struct port *port = &ports[i];
        int fd = link_listen(&port->address);

        if (fd < 0)
            die("cannot listen on %s: %s", port->address.path, strerror(-fd));
        port->connection.fd = -1;
        port->listener = (struct event_source){.fd = fd, .ready = on_connection, .context = port};
        if (event_add(&loop, &port->listener, EPOLLIN) < 0)
            die("cannot watch %s", port->address.path);
    }
}

static void print_counters(void *context)
{
    (void)context;
    for (unsigned i = 0; i < guest_count; i++) {
        const struct exchange_guest *guest = &guests[i];
        log_info("cid %" PRIu64 ": packets=%" PRIu64 " bytes=%" PRIu64 " malformed=%" PRIu64
                 " foreign_source=%" PRIu64 " resets=%" PRIu64,
                 guest->cid, guest->packets, guest->bytes, guest->malformed, guest->foreign_source,
                 guest->resets);
    }
}

/* Says once why a queue is broken; the guest's driver has to set it up anew. */
static void complain(void)
{
    for (unsigned i = 0; i < guest_count; i++) {
        for (int q = 0; q < EXCHANGE_QUEUES; q++) {
            const char *why = guests[i].queues[q].broken;

            if (why != NULL && why != ports[i].complained[q])
                log_error("cid %" PRIu64 ": its queue %d is broken: %s", guests[i].cid, q, why);
            ports[i].complained[q] = why;
        }
    }
}

int main(int argc, char **argv)
{
    struct signals signals;
    struct failure failure;
    bool more = false;

    log_init("vsock_switch", LOG_LEVEL_INFO);
    switch (options_parse(options, "vsock_switch", "A vsock switch between QEMU guests.", argc,
                          argv, NULL, &failure)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_INVALID:
        fprintf(stderr, "vsock_switch: %s\n", failure.text);
        return 2;
    case OPTIONS_OK:
        break;
    }
    if (guest_count == 0)
        die("no --guest was given");
    if (event_loop_init(&loop) < 0 || signals_open(&signals, &loop, print_counters, NULL) < 0)
        die("cannot wait for events");
    listen_all();
    log_info("ready");
    while (!signals.stop) {
        if (event_wait(&loop, more ? 0 : -1) < 0)
            die("cannot wait for events");
        more = exchange_run(guests, guest_count, BURST);
        complain();
    }
    print_counters(NULL);
    for (unsigned i = 0; i < guest_count; i++)
        unlink(ports[i].address.path);
    return 0;
}
