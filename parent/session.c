/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/session.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "parent/handshake.h"
#include "parent/listener.h"
#include "runtime/base/clock.h"

/* A change seldom comes alone (down, up): they are looked at, and reported, together. */
#define LOOK_DELAY_MS 100
#define LOOK_AGAIN_MS 1000 /* what could not be put back */

static void lane_exit_ready(void *context, uint32_t events)
{
    struct sessions *sessions = context;
    uint64_t count;

    (void)events;
    if (read(sessions->lane_exit.fd, &count, sizeof(count)) < 0)
        return;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_reap_lanes(&sessions->enclaves[i]);
}

bool sessions_open(struct sessions *sessions, struct failure *failure)
{
    const struct parent_config *config = sessions->context.config;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    sessions->lane_exit =
        (struct event_source){.fd = fd, .ready = lane_exit_ready, .context = sessions};
    sessions->context.lane_exit_fd = fd;
    if (fd < 0 || event_add(sessions->loop, &sessions->lane_exit, EPOLLIN) < 0)
        return failure_set(failure, "cannot make an eventfd: %s", strerror(errno));
    for (unsigned i = 0; i < config->enclave_count; i++) {
        if (!listener_open(sessions, &config->enclaves[i], failure))
            return false;
    }
    return true;
}

/* ---- what others do to devices ---- */

void sessions_device_changed(struct sessions *sessions, int ifindex)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++) {
        struct enclave *enclave = &sessions->enclaves[i];
        if (!enclave->used || enclave->device_index == 0 ||
            (ifindex != 0 && ifindex != enclave->device_index &&
             ifindex != enclave->peer_device_index))
            continue;
        enclave->look = true;
        if (sessions->look_ms == 0)
            sessions->look_ms = clock_ms() + LOOK_DELAY_MS;
    }
}

static void poll_devices(struct sessions *sessions, uint64_t now_ms, uint64_t *next_ms)
{
    if (sessions->look_ms != 0 && now_ms >= sessions->look_ms) {
        sessions->look_ms = 0;
        for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++) {
            struct enclave *enclave = &sessions->enclaves[i];
            if (!enclave->used || !enclave->look)
                continue;
            enclave->look = enclave_mend(enclave, &sessions->context) < 0;
            if (enclave->look)
                sessions->look_ms = now_ms + LOOK_AGAIN_MS;
        }
    }
    if (sessions->look_ms != 0)
        earliest(next_ms, sessions->look_ms);
}

int sessions_poll(struct sessions *sessions)
{
    uint64_t now_ms = clock_ms(), next_ms = UINT64_MAX;

    poll_devices(sessions, now_ms, &next_ms);
    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *pending = &sessions->pending[i];
        if (pending->entry != NULL && now_ms >= pending->deadline_ms)
            handshake_fail(pending, "no HELLO in time");
        if (pending->entry != NULL)
            earliest(&next_ms, pending->deadline_ms);
    }
    for (unsigned i = 0; i < sessions->listener_count; i++)
        listener_poll(&sessions->listeners[i], now_ms, &next_ms);
    if (next_ms == UINT64_MAX)
        return -1;
    return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

void sessions_settings_changed(struct sessions *sessions, uint32_t mtu)
{
    sessions->context.mtu = mtu;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_settings_changed(&sessions->enclaves[i], &sessions->context);
}

void sessions_policy_changed(struct sessions *sessions)
{
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_policy_changed(&sessions->enclaves[i], &sessions->context);
}

void sessions_ipv6_changed(struct sessions *sessions, bool off)
{
    sessions->context.ipv6_off = off;
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_ipv6_changed(&sessions->enclaves[i], &sessions->context);
}

void sessions_stop(struct sessions *sessions)
{
    for (unsigned i = 0; i < sessions->listener_count; i++)
        listener_close(&sessions->listeners[i]);
    for (unsigned i = 0; i < PARENT_ENCLAVES_MAX; i++)
        if (sessions->enclaves[i].used)
            enclave_stop_lanes(&sessions->enclaves[i]);
}
