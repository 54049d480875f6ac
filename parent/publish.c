/* SPDX-License-Identifier: Apache-2.0 */
#include "parent/publish.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/endpoint.h"

static bool parse_ports(const char *text, uint16_t *first, uint16_t *last)
{
    char copy[16], *rest = copy;
    unsigned long number;

    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return false;
    if (!option_number(strsep(&rest, "-"), 1, 65535, &number))
        return false;
    *first = *last = (uint16_t)number;
    if (rest == NULL)
        return true;
    if (!option_number(rest, *first, 65535, &number))
        return false;
    *last = (uint16_t)number;
    return true;
}

/* Cuts ",force" off the end. */
static bool parse_force(char *text)
{
    char *comma = strrchr(text, ',');

    if (comma == NULL || strcmp(comma, ",force") != 0)
        return false;
    *comma = '\0';
    return true;
}

/* Cuts "/tcp" or "/udp" off the end. */
static bool parse_protocol(char *text, const char **protocol)
{
    char *slash = strrchr(text, '/');

    *protocol = "tcp";
    if (slash == NULL)
        return true;
    *slash = '\0';
    if (strcmp(slash + 1, "udp") == 0)
        *protocol = "udp";
    return strcmp(slash + 1, "udp") == 0 || strcmp(slash + 1, "tcp") == 0;
}

/* Takes "ADDRESS:" off the front of *rest if what stands there is not just PORTS:PORTS. */
static bool parse_listen(char **rest, struct ip_addr *listen)
{
    char *text = *rest, *bracket = text[0] == '[' ? strchr(text, ']') : NULL;
    char *colon = strchr(bracket != NULL ? bracket : text, ':');

    if (text[0] != '[' && (colon == NULL || strchr(colon + 1, ':') == NULL))
        return true;
    if (colon == NULL)
        return false;
    *rest = colon + 1;
    return endpoint_address(text, (size_t)(colon - text), listen);
}

bool publish_parse(const char *text, struct publish_entry *out, struct failure *failure)
{
    struct publish_entry entry = {0};
    char copy[256], *rest = copy, *equals, *colon;
    uint16_t to_last;

    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return failure_set(failure, "is too long");
    entry.force = parse_force(copy);
    equals = strchr(copy, '=');
    if (equals != NULL) {
        *equals = '\0';
        rest = equals + 1;
        if ((size_t)snprintf(entry.enclave, sizeof(entry.enclave), "%s", copy) >=
            sizeof(entry.enclave))
            return failure_set(failure, "has a name that is too long");
    }
    if (!parse_protocol(rest, &entry.protocol))
        return failure_set(failure, "ends in something other than /tcp or /udp");
    if (!parse_listen(&rest, &entry.listen))
        return failure_set(failure, "has no IP address before the ports");
    colon = strchr(rest, ':');
    if (colon != NULL)
        *colon = '\0';
    if (colon == NULL || !parse_ports(rest, &entry.first, &entry.last) ||
        !parse_ports(colon + 1, &entry.to_first, &to_last))
        return failure_set(failure, "is not PORTS:PORTS (1 to 65535, or FIRST-LAST)");
    if (to_last - entry.to_first != entry.last - entry.first)
        return failure_set(failure, "maps ranges of different size");
    *out = entry;
    return true;
}

static const char *format_ports(unsigned first, unsigned last, char *out, size_t size)
{
    snprintf(out, size, first == last ? "%u" : "%u-%u", first, last);
    return out;
}

const char *publish_format(const struct publish_entry *entry, char *out)
{
    char outside[16], inside[16], listen[ENDPOINT_TEXT_BYTES] = "";
    unsigned to_last = entry->to_first + entry->last - (unsigned)entry->first;

    if (entry->listen.version != 0)
        endpoint_host(&entry->listen, listen);
    snprintf(out, PUBLISH_TEXT_BYTES, "%s%s%s%s%s:%s/%s%s", entry->enclave,
             entry->enclave[0] ? "=" : "", listen, listen[0] ? ":" : "",
             format_ports(entry->first, entry->last, outside, sizeof(outside)),
             format_ports(entry->to_first, to_last, inside, sizeof(inside)), entry->protocol,
             entry->force ? ",force" : "");
    return out;
}

bool publish_covers(const struct publish_entry *entry, const struct ip_addr *address, uint16_t port)
{
    if (port < entry->first || port > entry->last)
        return false;
    if (entry->listen.version == 0)
        return true;
    return entry->listen.version == address->version &&
           (addr_is_any(&entry->listen) || addr_is_any(address) ||
            addr_equal(&entry->listen, address));
}

bool publish_overlap(const struct publish_entry *a, const struct publish_entry *b)
{
    if (strcmp(a->protocol, b->protocol) != 0 || a->first > b->last || b->first > a->last)
        return false;
    if (a->listen.version == 0 || b->listen.version == 0)
        return true;
    return a->listen.version == b->listen.version &&
           (addr_is_any(&a->listen) || addr_is_any(&b->listen) ||
            addr_equal(&a->listen, &b->listen));
}
