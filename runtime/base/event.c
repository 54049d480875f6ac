/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/event.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

int event_loop_init(struct event_loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? -errno : 0;
}

void event_loop_close(struct event_loop *loop)
{
    close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

static int control(struct event_loop *loop, int operation, struct event_source *source,
                   uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(loop->epoll_fd, operation, source->fd, &event) < 0 ? -errno : 0;
}

int event_add(struct event_loop *loop, struct event_source *source, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, source, events);
}

int event_change(struct event_loop *loop, struct event_source *source, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, source, events);
}

void event_remove(struct event_loop *loop, struct event_source *source)
{
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
}

/*
 * One event a call of epoll_wait(): a callback may then remove and free any source, as no further
 * event of the same round can still point at it. The control thread is never busy enough to care.
 */
int event_wait(struct event_loop *loop, int timeout_ms)
{
    struct epoll_event event;
    int count = epoll_wait(loop->epoll_fd, &event, 1, timeout_ms);

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    if (count == 1) {
        struct event_source *source = event.data.ptr;
        source->ready(source->context, event.events);
    }
    return 0;
}
