/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/serve/listen_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool listen_is_wildcard(const struct ip_addr *address)
{
    static const uint8_t zero[sizeof(address->bytes)];

    return memcmp(address->bytes, zero, sizeof(zero)) == 0;
}

static int bind_to(int fd, const struct ip_addr *address, uint16_t port, bool *foreign)
{
    union inet_sockaddr sockaddr;
    socklen_t length = endpoint_inet(address, port, &sockaddr);
    const int on = 1;

    if (bind(fd, &sockaddr.any, length) == 0)
        return 0;
    if (errno != EADDRNOTAVAIL || foreign == NULL)
        return -errno;
    if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
        bind(fd, &sockaddr.any, length) < 0)
        return -errno;
    *foreign = true;
    return 0;
}

int listen_socket(int type, const struct ip_addr *address, uint16_t port, bool *foreign)
{
    const int on = 1;
    int fd =
        socket(address->version == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (address->version == 6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (type == SOCK_STREAM) /* a restart finds connections of the last run in TIME-WAIT */
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int result = bind_to(fd, address, port, foreign);
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

void listen_peer(const union inet_sockaddr *from, struct ip_addr *out)
{
    *out = (struct ip_addr){0};
    if (from->any.sa_family == AF_INET) {
        out->version = 4;
        memcpy(out->bytes, &from->v4.sin_addr, sizeof(from->v4.sin_addr));
    } else {
        out->version = 6;
        memcpy(out->bytes, &from->v6.sin6_addr, sizeof(from->v6.sin6_addr));
    }
}
