/* SPDX-License-Identifier: Apache-2.0 */
#include "dns/upstream/spec.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "packet/policy.h"
#include "runtime/base/options.h"

#define DNS_PORT 53
#define TLS_PORT 853 /* RFC 7858 3.1 */

/* "ADDR", "ADDR4:PORT", "[ADDR6]", "[ADDR6]:PORT". */
static bool parse_endpoint(const char *text, uint16_t default_port, struct upstream_spec *out)
{
    char address[ADDR_TEXT_BYTES];
    const char *end = text + strlen(text), *port = NULL;
    unsigned long number = default_port;

    if (text[0] == '[') {
        text++;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        port = end[1] == ':' ? end + 2 : NULL;
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        end = strchr(text, ':');
        port = end + 1;
    }
    if (end == text || (size_t)(end - text) >= sizeof(address))
        return false;
    memcpy(address, text, (size_t)(end - text));
    address[end - text] = '\0';
    if (port != NULL && !option_number(port, 1, UINT16_MAX, &number))
        return false;
    out->port = (uint16_t)number;
    return addr_parse(address, &out->address);
}

static bool is_loopback(const struct ip_addr *address)
{
    static const struct ip_prefix loopback[] = {{{4, {127}}, 8}, {{6, {[15] = 1}}, 128}};

    return prefix_contains(&loopback[0], address) || prefix_contains(&loopback[1], address);
}

/* Loopback is allowed here: a resolver of this very machine may be pinned. */
static bool is_unicast(const struct ip_addr *address)
{
    return !prefix_table_contains(&policy_never, address) || is_loopback(address);
}

static bool is_tls_name(const char *name)
{
    struct ip_addr address;
    size_t length = strlen(name);

    if (length == 0 || length >= UPSTREAM_TLS_NAME_BYTES)
        return false;
    if (addr_parse(name, &address))
        return true;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && strchr("-._", name[i]) == NULL)
            return false;
    return true;
}

static bool parse_address(const char *text, const char *form, uint16_t port,
                          struct upstream_spec *spec, struct failure *failure)
{
    if (!parse_endpoint(text, port, spec))
        return failure_set(failure, "is not %s (an IPv6 address with a port in brackets)", form);
    if (!is_unicast(&spec->address))
        return failure_set(failure, "is not the address of one host");
    return true;
}

static bool parse_tls(const char *text, struct upstream_spec *spec, struct failure *failure)
{
    char endpoint[ADDR_TEXT_BYTES + 16];
    const char *hash = strchr(text, '#');

    spec->kind = UPSTREAM_TLS;
    if (hash == NULL || !is_tls_name(hash + 1))
        return failure_set(
            failure, "needs the name that the server's certificate is for: tls://ADDR[:853]#NAME");
    if ((size_t)(hash - text) >= sizeof(endpoint))
        return failure_set(failure, "is not tls://ADDR[:853]#NAME");
    memcpy(endpoint, text, (size_t)(hash - text));
    endpoint[hash - text] = '\0';
    memcpy(spec->tls_name, hash + 1, strlen(hash + 1) + 1);
    return parse_address(endpoint, "tls://ADDR[:853]#NAME", TLS_PORT, spec, failure);
}

static bool parse_link(const char *text, struct upstream_spec *spec, struct failure *failure)
{
    char plain[LINK_TEXT_BYTES];
    const char *colon = strchr(text, ':');

    spec->kind = UPSTREAM_LINK;
    /* vsock://3:53 and unix:///run/x are the URL forms of vsock:3:53 and unix:/run/x. */
    if (strncmp(colon, "://", 3) == 0 && strlen(text) - 2 < sizeof(plain)) {
        snprintf(plain, sizeof(plain), "%.*s:%s", (int)(colon - text), text, colon + 3);
        text = plain;
    }
    if (!link_parse(text, &spec->link, failure))
        return false;
    if (spec->link.kind == LINK_VSOCK && spec->link.cid == UINT32_MAX)
        return failure_set(failure, "needs a CID: 3 is a Nitro enclave's parent, 2 QEMU's host");
    return true;
}

bool upstream_parse(const char *text, struct upstream_spec *out, struct failure *failure)
{
    struct upstream_spec spec = {.kind = UPSTREAM_TCP};
    bool good;

    if (strncmp(text, "tcp://", 6) == 0)
        good = parse_address(text + 6, "tcp://ADDR[:53]", DNS_PORT, &spec, failure);
    else if (strncmp(text, "tls://", 6) == 0)
        good = parse_tls(text + 6, &spec, failure);
    else if (strncmp(text, "vsock:", 6) == 0 || strncmp(text, "unix:", 5) == 0)
        good = parse_link(text, &spec, failure);
    else {
        return failure_set(failure,
                           "is not tcp://ADDR, tls://ADDR#NAME, vsock:CID:PORT or unix:PATH");
    }
    if (good)
        *out = spec;
    return good;
}

const char *upstream_format(const struct upstream_spec *spec, char *out)
{
    char address[ADDR_TEXT_BYTES];
    bool is_tls = spec->kind == UPSTREAM_TLS;

    if (spec->kind == UPSTREAM_LINK)
        return link_format(&spec->link, out);
    addr_format(&spec->address, address);
    snprintf(out, UPSTREAM_TEXT_BYTES, "%s://%s%s%s:%u%s%s", is_tls ? "tls" : "tcp",
             spec->address.version == 6 ? "[" : "", address, spec->address.version == 6 ? "]" : "",
             spec->port, is_tls ? "#" : "", is_tls ? spec->tls_name : "");
    return out;
}

bool upstream_is_authenticated(const struct upstream_spec *spec)
{
    switch (spec->kind) {
    case UPSTREAM_TLS:
        return true;
    case UPSTREAM_TCP:
        return is_loopback(&spec->address);
    case UPSTREAM_LINK:
        break;
    }
    return spec->link.kind == LINK_UNIX;
}

bool upstream_equal(const struct upstream_spec *a, const struct upstream_spec *b)
{
    char text_a[UPSTREAM_TEXT_BYTES], text_b[UPSTREAM_TEXT_BYTES];

    return strcmp(upstream_format(a, text_a), upstream_format(b, text_b)) == 0;
}
