/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "parent/handshake.h"
#include "runtime/base/clock.h"

#define HANDSHAKE_TIMEOUT_MS 5000
#define ACCEPT_PAUSE_MS      1000 /* after EMFILE and the like */

static const struct enclave_entry *entry_for_cid(const struct sessions *sessions, uint32_t port,
                                                 uint32_t cid)
{
    const struct parent_config *config = sessions->context.config;
    const struct enclave_entry *any = NULL;

    for (unsigned i = 0; i < config->enclave_count; i++) {
        const struct enclave_entry *entry = &config->enclaves[i];
        if (entry->link.kind != LINK_VSOCK || entry->link.port != port)
            continue;
        if (entry->link.cid == cid)
            return entry;
        if (entry->link.cid == VMADDR_CID_ANY)
            any = entry;
    }
    /* The hypervisor, this machine itself, the host: no enclaves, unless they are named. */
    return cid > VMADDR_CID_HOST ? any : NULL;
}

static struct pending *free_pending(struct sessions *sessions, const char *peer)
{
    struct pending *found = NULL;
    unsigned of_peer = 0;

    for (unsigned i = 0; i < PENDING_MAX; i++) {
        struct pending *pending = &sessions->pending[i];
        if (pending->entry == NULL)
            found = pending;
        else if (strcmp(pending->peer, peer) == 0)
            of_peer++;
    }
    return of_peer < PENDING_PER_PEER ? found : NULL;
}

static void take_connection(struct listener *listener, int fd, uint32_t cid)
{
    struct sessions *sessions = listener->sessions;
    struct link_addr from = listener->link;
    char peer[LINK_TEXT_BYTES];

    from.cid = cid;
    link_format(&from, peer);
    const struct enclave_entry *entry =
        listener->entry ? listener->entry : entry_for_cid(sessions, from.port, cid);
    struct pending *pending = entry != NULL ? free_pending(sessions, peer) : NULL;
    if (pending == NULL) {
        sessions->refused_peers++;
        log_limited(&sessions->accept_log, LOG_LEVEL_WARNING, "%s: refused: %s", peer,
                    entry == NULL ? "no --enclave with this CID and port"
                                  : "too many unfinished handshakes");
        handshake_reject(sessions, fd, entry == NULL ? WIRE_REJECT_UNKNOWN : WIRE_REJECT_FULL);
        close(fd);
        return;
    }
    sessions->accepted++;
    pending->sessions = sessions;
    pending->entry = entry;
    pending->cid = cid;
    memcpy(pending->peer, peer, sizeof(peer));
    parent_config_label(entry, peer, pending->label);
    pending->deadline_ms = clock_ms() + HANDSHAKE_TIMEOUT_MS;
    pending->reader.have = 0;
    pending->source = (struct event_source){.fd = fd, .ready = handshake_ready, .context = pending};
    if (event_add(sessions->loop, &pending->source, EPOLLIN) < 0) {
        pending->entry = NULL;
        close(fd);
    }
}

static void listener_ready(void *context, uint32_t events)
{
    struct listener *listener = context;
    uint32_t cid;
    int fd = link_accept(listener->source.fd, &listener->link, &cid);

    (void)events;
    if (fd >= 0) {
        take_connection(listener, fd, cid);
    } else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
        log_limited(&listener->sessions->accept_log, LOG_LEVEL_ERROR, "cannot accept: %s",
                    strerror(-fd));
        event_remove(listener->sessions->loop, &listener->source);
        listener->paused_until_ms = clock_ms() + ACCEPT_PAUSE_MS;
    }
}

static bool already_listening(const struct sessions *sessions, const struct link_addr *link)
{
    for (unsigned i = 0; i < sessions->listener_count; i++) {
        const struct link_addr *other = &sessions->listeners[i].link;
        if (link->kind == LINK_VSOCK && other->kind == LINK_VSOCK && other->port == link->port)
            return true;
    }
    return false;
}

/* Listens for an enclave. What a Unix socket's file belongs to is who may connect. */
static int listen_for(const struct enclave_entry *entry)
{
    int fd = link_listen(&entry->link);

    if (fd < 0 || !entry->owned || chown(entry->link.path, entry->owner, (gid_t)-1) == 0)
        return fd;
    int error = -errno;
    unlink(entry->link.path);
    close(fd);
    return error;
}

bool listener_open(struct sessions *sessions, const struct enclave_entry *entry,
                   struct failure *failure)
{
    struct listener *listener = &sessions->listeners[sessions->listener_count];
    char text[LINK_TEXT_BYTES];

    if (already_listening(sessions, &entry->link))
        return true;
    int fd = listen_for(entry);
    if (fd >= 0) {
        *listener = (struct listener){
            .sessions = sessions,
            .link = entry->link,
            .entry = entry->link.kind == LINK_UNIX ? entry : NULL,
            .source = {.fd = fd, .ready = listener_ready, .context = listener},
        };
        int added = event_add(sessions->loop, &listener->source, EPOLLIN);
        if (added == 0) {
            sessions->listener_count++;
            return true;
        }
        close(fd);
        fd = added;
    }
    return failure_set(failure, "cannot listen on %s: %s", link_format(&entry->link, text),
                       strerror(-fd));
}

void listener_poll(struct listener *listener, uint64_t now_ms, uint64_t *next_ms)
{
    if (listener->paused_until_ms == 0)
        return;
    if (now_ms >= listener->paused_until_ms &&
        event_add(listener->sessions->loop, &listener->source, EPOLLIN) == 0)
        listener->paused_until_ms = 0;
    else
        earliest(next_ms, listener->paused_until_ms);
}

void listener_close(struct listener *listener)
{
    if (listener->link.kind == LINK_UNIX)
        unlink(listener->link.path);
    close(listener->source.fd);
}
