/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "runtime/base/endpoint.h"
#include "runtime/base/options.h"

/*
 * A stream buffer of a few full writes: enough to keep the other side busy while this one is
 * scheduled, small enough that a queue in it is no delay worth speaking of.
 */
#define LINK_BUFFER_BYTES (512 * 1024)
#define LINK_BACKLOG      64

static bool parse_vsock(const char *text, struct link_addr *out)
{
    char cid[16];
    const char *colon = strchr(text, ':');
    unsigned long number;

    if (colon == NULL || (size_t)(colon - text) >= sizeof(cid))
        return false;
    memcpy(cid, text, (size_t)(colon - text));
    cid[colon - text] = '\0';
    if (strcmp(cid, "any") == 0)
        out->cid = VMADDR_CID_ANY;
    else if (option_number(cid, 0, UINT32_MAX - 1, &number))
        out->cid = (uint32_t)number;
    else
        return false;
    if (!option_number(colon + 1, 1, UINT32_MAX - 1, &number))
        return false;
    out->port = (uint32_t)number;
    return true;
}

bool link_parse(const char *text, struct link_addr *out, struct failure *failure)
{
    struct link_addr addr = {0};

    if (strncmp(text, "vsock:", 6) == 0) {
        addr.kind = LINK_VSOCK;
        if (!parse_vsock(text + 6, &addr))
            return failure_set(failure, "is not vsock:CID:PORT");
    } else if (strncmp(text, "unix:", 5) == 0) {
        addr.kind = LINK_UNIX;
        size_t length = strlen(text + 5);
        if (length == 0 || length >= sizeof(addr.path))
            return failure_set(failure, "needs a path of 1 to %zu bytes", sizeof(addr.path) - 1);
        memcpy(addr.path, text + 5, length + 1);
    } else {
        return failure_set(failure, "is neither vsock:CID:PORT nor unix:PATH");
    }
    *out = addr;
    return true;
}

const char *link_format(const struct link_addr *addr, char *out)
{
    if (addr->kind == LINK_UNIX)
        snprintf(out, LINK_TEXT_BYTES, "unix:%s", addr->path);
    else if (addr->cid == VMADDR_CID_ANY)
        snprintf(out, LINK_TEXT_BYTES, "vsock:any:%u", addr->port);
    else
        snprintf(out, LINK_TEXT_BYTES, "vsock:%u:%u", addr->cid, addr->port);
    return out;
}

union link_sockaddr {
    struct sockaddr any;
    struct sockaddr_un local;
    struct sockaddr_vm vm;
};

static socklen_t fill_sockaddr(const struct link_addr *addr, union link_sockaddr *out)
{
    memset(out, 0, sizeof(*out));
    if (addr->kind == LINK_UNIX)
        return endpoint_unix_path(addr->path, &out->local);
    out->vm.svm_family = AF_VSOCK;
    out->vm.svm_cid = addr->cid;
    out->vm.svm_port = addr->port;
    return sizeof(out->vm);
}

/* The buffer sizes are wishes: a kernel that grants less is slower, not wrong. */
static void set_buffers(int fd, enum link_kind kind)
{
    int bytes = LINK_BUFFER_BYTES;
    unsigned long long vm_bytes = LINK_BUFFER_BYTES;

    if (kind == LINK_UNIX) {
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    } else {
        setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &vm_bytes, sizeof(vm_bytes));
        setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &vm_bytes, sizeof(vm_bytes));
    }
}

static int open_socket(enum link_kind kind)
{
    int family = kind == LINK_UNIX ? AF_UNIX : AF_VSOCK;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_buffers(fd, kind);
    return fd;
}

static int close_with(int fd, int error)
{
    close(fd);
    return -error;
}

void link_remove_stale(const struct link_addr *addr)
{
    struct stat status;
    union link_sockaddr sockaddr;
    socklen_t length = fill_sockaddr(addr, &sockaddr);

    if (lstat(addr->path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return;
    int probe = open_socket(LINK_UNIX);
    if (probe < 0)
        return;
    if (connect(probe, &sockaddr.any, length) < 0 && errno == ECONNREFUSED)
        unlink(addr->path);
    close(probe);
}

int link_listen(const struct link_addr *addr)
{
    union link_sockaddr sockaddr;
    socklen_t length = fill_sockaddr(addr, &sockaddr);

    if (addr->kind == LINK_UNIX)
        link_remove_stale(addr);
    else
        sockaddr.vm.svm_cid = VMADDR_CID_ANY;
    int fd = open_socket(addr->kind);
    if (fd < 0)
        return fd;
    mode_t mask = umask(0177);
    int bound = bind(fd, &sockaddr.any, length);
    int error = errno;
    umask(mask);
    if (bound < 0)
        return close_with(fd, error);
    if (listen(fd, LINK_BACKLOG) < 0)
        return close_with(fd, errno);
    return fd;
}

int link_accept(int listener, const struct link_addr *addr, uint32_t *cid)
{
    union link_sockaddr sockaddr = {0};
    socklen_t length = sizeof(sockaddr);
    int fd = accept4(listener, &sockaddr.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return -errno;
    set_buffers(fd, addr->kind);
    *cid = addr->kind == LINK_VSOCK ? sockaddr.vm.svm_cid : VMADDR_CID_ANY;
    return fd;
}

int link_dial(const struct link_addr *addr)
{
    union link_sockaddr sockaddr;
    socklen_t length = fill_sockaddr(addr, &sockaddr);
    int fd = open_socket(addr->kind);

    if (fd < 0)
        return fd;
    if (connect(fd, &sockaddr.any, length) < 0 && errno != EINPROGRESS)
        return close_with(fd, errno);
    return fd;
}

int link_dial_result(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    return -error;
}

unsigned link_write_max(enum link_kind kind, unsigned chosen)
{
    if (chosen != LINK_WRITE_AUTOMATIC)
        return chosen;
    return kind == LINK_VSOCK ? LINK_WRITE_MAX_VSOCK : LINK_WRITE_MOST;
}

bool link_write_max_parse(const char *text, unsigned *out, struct failure *failure)
{
    unsigned long bytes = LINK_WRITE_AUTOMATIC;

    if (strcmp(text, "auto") != 0 &&
        !option_number(text, LINK_WRITE_LEAST, LINK_WRITE_MOST, &bytes))
        return failure_set(failure, "is neither auto nor %d to %d bytes", LINK_WRITE_LEAST,
                           LINK_WRITE_MOST);
    *out = (unsigned)bytes;
    return true;
}

unsigned link_backoff_ms(unsigned failures, uint32_t random)
{
    unsigned shift = failures < 6 ? failures : 6;
    unsigned full = LINK_BACKOFF_MIN_MS << shift;

    if (full > LINK_BACKOFF_MAX_MS)
        full = LINK_BACKOFF_MAX_MS;
    return full - random % (full / 2 + 1);
}
