/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread's event loop: epoll with one callback per file descriptor. The packet path
 * does not run here; it has a ring of its own in every lane.
 */
#ifndef CAUSEWAY_RUNTIME_BASE_EVENT_H
#define CAUSEWAY_RUNTIME_BASE_EVENT_H

#include <stdint.h>

/* Embedded in its owner, which outlives the registration. */
struct event_source {
    int fd;
    void (*ready)(void *context, uint32_t events); /* may remove any source */
    void *context;
};

struct event_loop {
    int epoll_fd;
};

int event_loop_init(struct event_loop *loop); /* 0 or negative errno */
void event_loop_close(struct event_loop *loop);

/* events: EPOLLIN, EPOLLOUT. 0 or negative errno. */
int event_add(struct event_loop *loop, struct event_source *source, uint32_t events);
int event_change(struct event_loop *loop, struct event_source *source, uint32_t events);
void event_remove(struct event_loop *loop, struct event_source *source);

/* The sooner of two timeouts, of which -1 is "for ever". */
static inline int event_sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Waits at most timeout_ms (-1: for ever) and calls back. 0 or negative errno. */
int event_wait(struct event_loop *loop, int timeout_ms);

#endif
