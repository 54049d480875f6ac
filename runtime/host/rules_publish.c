/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports in the notations of the tools.
 *
 * A range is mapped one to one. With equal ranges DNAT names no port, which leaves it as it is
 * (nf_nat_core.c, nf_nat_l4proto_unique_tuple()). With shifted ones iptables has "first-last/base"
 * (NF_NAT_RANGE_PROTO_OFFSET, Linux 4.18, iptables 1.8) and nft a map of every port: a plain range
 * would take any free port of it.
 */
#include <stdio.h>

#include "runtime/host/rules_private.h"

static void set_range(struct rules_values *values, const char *name, char separator, unsigned first,
                      unsigned last)
{
    if (first == last)
        rules_group_set(values, name, "%u", first);
    else
        rules_group_set(values, name, "%u%c%u", first, separator, last);
}

static void set_nft_target(struct rules_values *values, const struct rules_publish *p,
                           const char *bracketed)
{
    struct text map = {0};

    if (p->first == p->last) {
        rules_group_set(values, "nft_target", "%s:%u", bracketed, p->to_first);
        return;
    }
    text_printf(&map, "%s:%s dport map { ", bracketed, p->protocol);
    for (unsigned i = 0; i <= (unsigned)(p->last - p->first); i++)
        text_printf(&map, "%s%u : %u", i > 0 ? ", " : "", p->first + i, p->to_first + i);
    text_printf(&map, " }");
    rules_group_set(values, "nft_target", "%s", map.bytes);
    text_free(&map);
}

static void set_iptables_target(struct rules_values *values, const struct rules_publish *p,
                                const char *bracketed)
{
    if (p->first == p->last)
        rules_group_set(values, "target", "%s:%u", bracketed, p->to_first);
    else
        rules_group_set(values, "target", "%s:%u-%u/%u", bracketed, p->to_first,
                        p->to_first + (p->last - p->first), p->first);
}

void rules_publish(struct rules_values *values, const struct rules_publish *p)
{
    char address[ADDR_TEXT_BYTES], bracketed[ADDR_TEXT_BYTES + 2], listen[ADDR_TEXT_BYTES];
    unsigned to_last = (unsigned)p->to_first + (unsigned)(p->last - p->first);

    addr_format(&p->to, address);
    snprintf(bracketed, sizeof(bracketed), p->to.version == 6 ? "[%s]" : "%s", address);
    rules_group(values, p->to.version == 6 ? "publish6" : "publish4");
    rules_group_set(values, "proto", "%s", p->protocol);
    rules_group_set(values, "listen", "%s",
                    p->listen.version == 0 ? "" : addr_format(&p->listen, listen));
    rules_group_set(values, "outside", "%s", addr_is_loopback(&p->listen) ? "" : "yes");
    rules_group_set(values, "to", "%s", address);
    set_range(values, "ports", '-', p->first, p->last);
    set_range(values, "ports_colon", ':', p->first, p->last);
    set_range(values, "to_ports", '-', p->to_first, to_last);
    set_range(values, "to_ports_colon", ':', p->to_first, to_last);
    if (p->first == p->to_first) {
        rules_group_set(values, "target", "%s", address);
        rules_group_set(values, "nft_target", "%s", address);
        return;
    }
    set_iptables_target(values, p, bracketed);
    set_nft_target(values, p, bracketed);
}
