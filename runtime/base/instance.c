/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/instance.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

bool instance_lock(const char *program, struct failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length =
        (size_t)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s.lock", program);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0)
        return true; /* the descriptor stays open on purpose */
    return failure_set(failure,
                       errno == EADDRINUSE ? "another %s runs in this network namespace"
                                           : "cannot take the lock of %s",
                       program);
}
