/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/instance.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "runtime/base/endpoint.h"

bool instance_lock(const char *program, struct failure *failure)
{
    struct sockaddr_un address;
    char name[64];

    snprintf(name, sizeof(name), "@%s.lock", program);
    socklen_t length = endpoint_unix(name, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0)
        return true; /* the descriptor stays open on purpose */
    return failure_set(failure,
                       errno == EADDRINUSE ? "another %s runs in this network namespace"
                                           : "cannot take the lock of %s",
                       program);
}
