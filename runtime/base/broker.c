/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/seccomp.h>
#include <seccomp.h>

/* One step: the descriptor is there when the call returns, or the caller is gone (Linux 5.14). */
static int hand_over(int listener, uint64_t id, int fd)
{
    struct seccomp_notif_addfd addfd = {
        .id = id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = (uint32_t)fd,
        .newfd_flags = O_CLOEXEC,
    };

    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd) < 0 ? -errno : 0;
}

static void answer(int listener, uint64_t id, broker_make *make)
{
    int fd = make();
    int error = fd < 0 ? fd : hand_over(listener, id, fd);

    if (fd >= 0)
        close(fd);
    if (error == 0)
        return;
    struct seccomp_notif_resp refusal = {.id = id, .error = error};
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &refusal); /* ENOENT: the caller is gone */
}

/* The kernel's structure may be longer than ours: the library asks it. */
bool broker_answer(int listener, broker_make *make)
{
    struct seccomp_notif *request;

    if (seccomp_notify_alloc(&request, NULL) < 0)
        return false;
    int received = seccomp_notify_receive(listener, request);
    if (received == 0)
        answer(listener, request->id, make);
    seccomp_notify_free(request, NULL);
    return received == 0 || errno == EINTR || errno == ENOENT;
}
