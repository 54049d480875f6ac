/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/endpoint.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/options.h"

/* ---- ADDRESS:PORT ---- */

bool endpoint_address(const char *text, size_t length, struct ip_addr *out)
{
    char copy[ADDR_TEXT_BYTES];
    struct ip_addr address;
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';

    if (bracketed) {
        text++;
        length -= 2;
    }
    if (length >= sizeof(copy))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (!addr_parse(copy, &address) || (bracketed && address.version != 6))
        return false;
    *out = address;
    return true;
}

/* The colon in front of the port; NULL: there is none. An IPv6 address without brackets is full of
 * colons. */
static const char *port_colon(const char *text)
{
    const char *last = strrchr(text, ':');

    if (text[0] == '[')
        return last != NULL && last[-1] == ']' ? last : NULL;
    return last == strchr(text, ':') ? last : NULL;
}

bool endpoint_parse(const char *text, uint16_t default_port, struct ip_addr *address,
                    uint16_t *port)
{
    const char *colon = port_colon(text);
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    unsigned long number = default_port;

    if (colon == NULL ? default_port == 0 : !option_number(colon + 1, 1, UINT16_MAX, &number))
        return false;
    if (!endpoint_address(text, length, address))
        return false;
    *port = (uint16_t)number;
    return true;
}

const char *endpoint_host(const struct ip_addr *address, char *out)
{
    char text[ADDR_TEXT_BYTES];

    snprintf(out, ENDPOINT_TEXT_BYTES, address->version == 6 ? "[%s]" : "%s",
             addr_format(address, text));
    return out;
}

const char *endpoint_format(const struct ip_addr *address, uint16_t port, char *out)
{
    size_t length = strlen(endpoint_host(address, out));

    snprintf(out + length, ENDPOINT_TEXT_BYTES - length, ":%u", port);
    return out;
}

socklen_t endpoint_inet(const struct ip_addr *address, uint16_t port, union inet_sockaddr *out)
{
    memset(out, 0, sizeof(*out));
    if (address->version == 4) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(port);
        memcpy(&out->v4.sin_addr, address->bytes, sizeof(out->v4.sin_addr));
        return sizeof(out->v4);
    }
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(port);
    memcpy(&out->v6.sin6_addr, address->bytes, sizeof(out->v6.sin6_addr));
    return sizeof(out->v6);
}

/* ---- Unix sockets, unix(7) ---- */

socklen_t endpoint_unix_path(const char *path, struct sockaddr_un *out)
{
    size_t length = strlen(path);

    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0 || length >= sizeof(out->sun_path))
        return 0;
    memcpy(out->sun_path, path, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

socklen_t endpoint_unix(const char *name, struct sockaddr_un *out)
{
    size_t length = strlen(name);

    if (name[0] != '@')
        return endpoint_unix_path(name, out);
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 1 || length > sizeof(out->sun_path))
        return 0;
    memcpy(out->sun_path + 1, name + 1, length - 1); /* no NUL ends an abstract name */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}
